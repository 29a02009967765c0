"""What an input of the prompt is, and the script that it makes with what was remembered.

All of this is text and syntax trees; nothing here reads a terminal or runs anything. The parser
comes as an argument.
"""

from __future__ import annotations

from pytrace.base.config import RENAMED, bare_name
from pytrace.base.diagnostics import Diagnostic, DiagnosticSink, Label
from pytrace.base.frozen import Frozen, replace
from pytrace.base.source import SourceFile, Span
from pytrace.frontend.ast import CDef, CppLine, Fn, Import, Macro, MapDecl, Probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from pytrace.frontend.ast import Node, Program

    Parse = Callable[[SourceFile, DiagnosticSink], Program | None]
    """The front end: a tree, or errors in the sink."""

EMPTY: Final = "empty"
COMMAND: Final = "command"
RUN: Final = "run"
DEFINE: Final = "define"
EXPRESSION: Final = "expression"
STATEMENTS: Final = "statements"
OPEN: Final = "open"
WRONG: Final = "wrong"
"""Kinds of input. ``OPEN`` is one that goes on in the next line."""

NAME: Final = "stdin"
"""What diagnostics call an input."""

_PRINT: Final = ("begin { print(", "); }")
_DO: Final = ("begin { ", " }")
_CLOSERS: Final = {"(": ")", "[": "]", "{": "}"}
_PROBES_WITHOUT_FIELDS: Final = ("begin", "end")


class Input(Frozen):
    """An input understood. ``program`` is there for ``RUN`` and ``DEFINE``, ``problems`` for
    ``WRONG``, with spans in ``source``, the input's own text."""

    kind: str
    source: SourceFile
    program: Program | None = None
    problems: tuple[Diagnostic, ...] = ()


class Piece(Frozen):
    """Bytes from ``start`` on of a composed text are those of ``source`` from ``origin`` on."""

    start: int
    end: int
    source: SourceFile
    origin: int


class Script(Frozen):
    """A text put together from pieces, and where each came from."""

    source: SourceFile
    pieces: tuple[Piece, ...]

    def original(self, span: Span) -> Span:
        """The same place in the text that the user typed, if it is in one piece."""
        if span.source is not self.source:
            return span
        for piece in reversed(self.pieces):  # Where two meet, the place is of the later one.
            if piece.start <= span.start <= piece.end:
                shift = piece.origin - piece.start
                return Span(
                    source=piece.source,
                    start=span.start + shift,
                    end=min(span.end, piece.end) + shift,
                    expanded_from=self.original(span.expanded_from) if span.expanded_from else None,
                )
        return span

    def told(self, problem: Diagnostic) -> Diagnostic:
        """A diagnostic with all its places as the user typed them."""
        if problem.span is None:
            return problem
        return replace(
            problem,
            span=self.original(problem.span),
            labels=tuple(Label(text=x.text, span=self.original(x.span)) for x in problem.labels),
        )


class _Composer:
    """Puts texts one after the other and remembers where they came from."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.pieces: list[Piece] = []

    def add(self, text: str) -> None:
        """Text of our own."""
        self.text += text.encode()

    def copy(self, source: SourceFile, start: int, end: int) -> None:
        """A stretch of a text that the user typed, on a line of its own."""
        at = len(self.text)
        self.text += source.text[start:end]
        self.pieces.append(Piece(start=at, end=len(self.text), source=source, origin=start))
        if not self.text.endswith(b"\n"):
            self.text += b"\n"

    def script(self) -> Script:
        source = SourceFile(NAME, bytes(self.text))
        return Script(source=source, pieces=tuple(self.pieces))


def understand(text: str, parse: Parse) -> Input:
    """What kind of input a text is, as far as its syntax tells.

    A call that has no value is taken for an expression: only types tell.
    """
    raw = text.encode("utf-8", "surrogateescape")
    source = SourceFile(NAME, raw)
    bare = text.strip()
    if not bare:
        return Input(kind=EMPTY, source=source)
    if bare.startswith(":"):
        return Input(kind=COMMAND, source=source)
    balance = brackets(text)
    if balance > 0:
        return Input(kind=OPEN, source=source)
    sink = DiagnosticSink()
    program = parse(source, sink)
    if program is not None and not sink.failed:
        return Input(kind=_kind(program), source=source, program=program)
    readings = [tuple(sink.errors)]
    # "begin < print(1)" would also do as a comparison; a closed bracket too many would end a frame.
    if balance == 0 and _first_word(bare).lower() not in _PROBES_WITHOUT_FIELDS:
        for kind, around in ((EXPRESSION, _PRINT), (STATEMENTS, _DO)):
            errors = _attempt(source, around, parse)
            if not errors:
                return Input(kind=kind, source=source)
            readings.insert(0, errors)
    end = len(raw.rstrip())
    if balance == 0 and any(_first(problems) >= end for problems in readings):
        return Input(kind=OPEN, source=source)
    # The reading that got furthest is what was meant.
    return Input(kind=WRONG, source=source, problems=max(readings, key=_first))


def _first_word(text: str) -> str:
    rest = text.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
    return text[: len(text) - len(rest)]


def _attempt(source: SourceFile, around: tuple[str, str], parse: Parse) -> tuple[Diagnostic, ...]:
    """The errors of a text, as of the text alone, when it is read as what a frame makes of it."""
    script = framed(source, around)
    sink = DiagnosticSink()
    parse(script.source, sink)
    return tuple(script.told(problem) for problem in sink.errors)


def _first(problems: tuple[Diagnostic, ...]) -> int:
    return _start(problems[0])


def _kind(program: Program) -> str:
    if program.probes:
        return RUN
    if program.c_parts or program.config or program.imports or program.items:
        return DEFINE
    return EMPTY


def _start(problem: Diagnostic) -> int:
    return problem.span.start if problem.span else 0


def framed(source: SourceFile, around: tuple[str, str]) -> Script:
    """The text ``source`` between two texts of our own."""
    composer = _Composer()
    composer.add(around[0])
    at = len(composer.text)
    composer.text += source.text
    composer.pieces.append(Piece(start=at, end=len(composer.text), source=source, origin=0))
    if b"//" in source.text:
        composer.add("\n")  # A comment must not take the rest with it.
    composer.add(around[1])
    return composer.script()


def brackets(text: str) -> int:
    """1 while a string, a comment, a bracket or a brace is open at the end of ``text``, else 0.

    -1 if one is closed that is not open: whatever follows, the text is wrong.
    """
    closers: list[str] = []
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == '"':
            at = _string_end(text, at + 1)
            if at < 0:
                return 1
        elif text.startswith("//", at) and not _in_path(text, at):
            at = text.find("\n", at)
            if at < 0:
                break
        elif text.startswith("/*", at):
            at = text.find("*/", at + 2)
            if at < 0:
                return 1
            at += 1
        elif letter in _CLOSERS:
            closers.append(_CLOSERS[letter])
        elif letter in ")]}" and (not closers or closers.pop() != letter):
            return -1
        at += 1
    return 1 if closers else 0


def _in_path(text: str, at: int) -> bool:
    """True for the ``//`` of ``uprobe://lib/x``, which begins no comment."""
    return at > 0 and text[at - 1] == ":"


def _string_end(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == '"':
            return at
        at += 1
    return -1


class Definitions:
    """What is put before or behind later inputs: definitions by kind and name, in order."""

    def __init__(self) -> None:
        self._known: list[_Definition] = []

    def __bool__(self) -> bool:
        return bool(self._known)

    def remember(self, given: Input) -> None:
        """Take all definitions of an input; each replaces the older ones of its name.

        Those of one input stand beside each other: they may be overloads of a macro.
        """
        new = list(_definitions(given))
        names = {definition.name for definition in new}
        self._known = [d for d in self._known if d.name not in names] + new

    def forget(self) -> None:
        self._known.clear()

    def listing(self) -> str:
        """The definitions as a person would type them."""
        return "".join(f"{definition.text}\n" for definition in self._known)

    def script(self, given: Input) -> Script:
        """The whole script for an input that has probes, or for an expression or statements."""
        composer = _Composer()
        if given.program is None:
            own: list[_Definition] = []
        else:
            own = list(_definitions(given))
        names = {definition.name for definition in own}
        older = [d for d in self._known if d.name not in names]
        for definition in older + own:
            if definition.place == _C:
                definition.copy(composer)
        entries = [d for d in older + own if d.place == _CONFIG]
        if entries:
            composer.add("config = {\n")
            for definition in entries:
                definition.copy(composer)
                composer.add(";\n")
            composer.add("}\n")
        for definition in older + own:
            if definition.place == _IMPORT:
                definition.copy(composer)
        if given.program is None:
            _append(composer, framed(given.source, _DO if given.kind == STATEMENTS else _PRINT))
        else:
            for node, end in _items(given.program, given.source):
                composer.copy(given.source, node.span.start, end)
        for definition in older:
            if definition.place == _ITEM:
                definition.copy(composer)
        return composer.script()


_C: Final = 0
_CONFIG: Final = 1
_IMPORT: Final = 2
_ITEM: Final = 3


class _Definition(Frozen):
    """A stretch of an input: ``place`` is where the language wants it, ``name`` what it defines."""

    place: int
    name: tuple[str, ...]
    source: SourceFile
    start: int
    end: int

    @property
    def text(self) -> str:
        text = self.source.text[self.start : self.end].decode("utf-8", "surrogateescape").strip()
        return f"config = {{ {text} }}" if self.place == _CONFIG else text

    def copy(self, composer: _Composer) -> None:
        composer.copy(self.source, self.start, self.end)


def _append(composer: _Composer, script: Script) -> None:
    base = len(composer.text)
    composer.text += script.source.text
    for piece in script.pieces:
        composer.pieces.append(replace(piece, start=piece.start + base, end=piece.end + base))
    composer.text += b"\n"


def _definitions(given: Input) -> Iterator[_Definition]:
    program, source = given.program, given.source
    if program is None:
        return
    for node, end in _stretches(program, source):
        start = node.span.start
        if isinstance(node, CppLine | CDef):
            yield _Definition(place=_C, name=_c_name(node), source=source, start=start, end=end)
    if program.config is not None:
        for entry in program.config.entries:
            key = bare_name(entry.key)
            yield _Definition(
                place=_CONFIG,
                name=("config", RENAMED.get(key, key)),
                source=source,
                start=entry.span.start,
                end=entry.span.end,
            )
    for node, end in _stretches(program, source):
        start = node.span.start
        if isinstance(node, Import):
            name: tuple[str, ...] = ("import", node.path)
            yield _Definition(place=_IMPORT, name=name, source=source, start=start, end=end)
        elif isinstance(node, Macro | Fn | MapDecl):
            name = _item_name(node)
            yield _Definition(place=_ITEM, name=name, source=source, start=start, end=end)


def _c_name(node: CppLine | CDef) -> tuple[str, ...]:
    if isinstance(node, CDef):
        return ("c", node.kind, node.name)
    words = node.text.lstrip("# \t").split(None, 2)
    if words[:1] == ["define"] and len(words) > 1:
        return ("c", "define", words[1].partition("(")[0])
    return ("c", "line", node.text)


def _item_name(node: Macro | Fn | MapDecl) -> tuple[str, ...]:
    if isinstance(node, MapDecl):
        return ("map", node.map.name)
    return ("function", node.name)


def _stretches(program: Program, source: SourceFile) -> list[tuple[Node, int]]:
    """All top-level nodes in order, each with the end of its text: where the next one begins."""
    nodes: list[Node] = [*program.c_parts, *program.imports, *program.items]
    if program.config is not None:
        nodes.append(program.config)
    nodes.sort(key=lambda node: node.span.start)
    ends = [node.span.start for node in nodes[1:]] + [len(source.text)]
    return list(zip(nodes, ends, strict=True))


def _items(program: Program, source: SourceFile) -> list[tuple[Node, int]]:
    return [
        (node, end)
        for node, end in _stretches(program, source)
        if isinstance(node, Probe | Macro | Fn | MapDecl)
    ]
