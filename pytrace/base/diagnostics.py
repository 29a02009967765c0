"""What is wrong with a script, where, and what to do: data, a sink and the text form."""

from __future__ import annotations

from pytrace.base.frozen import Frozen
from pytrace.base.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

ERROR: Final = "ERROR"
WARNING: Final = "WARNING"
HELP: Final = "HINT"
"""Severity of an answer to a question (``-- --help``): it ends compiling as an error does."""

RED: Final = "\033[31m"
YELLOW: Final = "\033[33m"
RESET: Final = "\033[0m"

TAB_WIDTH: Final = 4


class Label(Frozen):
    """A further place that belongs to a diagnostic, with its own text."""

    text: str
    span: Span


class Diagnostic(Frozen):
    """One fault found in a script.

    ``code`` is a stable slug (``type-mismatch``) that tests compare; ``message`` is for people.
    ``labels`` are further spans with text; ``hints`` say what to do. ``span`` is None only where
    no text is at fault (an option, the environment).
    """

    severity: str
    code: str
    message: str
    span: Span | None = None
    labels: tuple[Label, ...] = ()
    hints: tuple[str, ...] = ()


class DiagnosticSink:
    """Collects diagnostics in the order of discovery, dropping exact repetitions.

    The same construct is typed once for each attach point of a probe, so the same fault may be
    found several times; a user wants to read it once.
    """

    def __init__(self) -> None:
        self.items: list[Diagnostic] = []
        self._seen: set[tuple[object, ...]] = set()

    def add(self, item: Diagnostic) -> None:
        span = item.span
        where = (id(span.source), span.start, span.end) if span else None
        key = (item.severity, item.message, where)
        if key not in self._seen:
            self._seen.add(key)
            self.items.append(item)

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        labels: Sequence[tuple[str, Span]] = (),
        hints: Sequence[str] = (),
    ) -> None:
        self.add(_make(ERROR, code, message, span, labels, hints))

    def warn(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        labels: Sequence[tuple[str, Span]] = (),
        hints: Sequence[str] = (),
    ) -> None:
        self.add(_make(WARNING, code, message, span, labels, hints))

    def extend(self, items: Iterable[Diagnostic]) -> None:
        for item in items:
            self.add(item)

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.items if d.severity in (ERROR, HELP)]

    @property
    def warnings(self) -> list[Diagnostic]:
        return [d for d in self.items if d.severity == WARNING]

    @property
    def failed(self) -> bool:
        return bool(self.errors)


def _make(
    severity: str,
    code: str,
    message: str,
    span: Span | None,
    labels: Sequence[tuple[str, Span]],
    hints: Sequence[str],
) -> Diagnostic:
    return Diagnostic(
        severity=severity,
        code=code,
        message=message,
        span=span,
        labels=tuple(Label(text=t, span=s) for t, s in labels),
        hints=tuple(hints),
    )


def render(item: Diagnostic, *, color: bool = False) -> str:
    """The text form of one diagnostic, ending in a newline."""
    parts = [_render_one(item.severity, item.message, item.span, color)]
    for label in item.labels:
        parts.append(_render_one(item.severity, label.text, label.span, color))
    span = item.span.expanded_from if item.span else None
    while span is not None:
        parts.append(_render_one(item.severity, "expanded from", span, color))
        span = span.expanded_from
    parts.extend(f"HINT: {hint}\n" for hint in item.hints)
    return "".join(parts)


def render_all(sink: DiagnosticSink, *, color: bool = False, warnings: bool = True) -> str:
    """All diagnostics, errors before warnings, each as ``render`` gives it."""
    chosen = sink.errors + (sink.warnings if warnings else [])
    return "".join(render(d, color=color) for d in chosen)


def location(span: Span) -> str:
    """``file:line:begin-end`` (1-based, end exclusive), or ``file:first-last`` over lines."""
    line, column = span.begin()
    last_line, last_column = span.finish()
    if line != last_line:
        return f"{span.source.name}:{line}-{last_line}"
    return f"{span.source.name}:{line}:{column}-{last_column}"


def excerpt(span: Span) -> str:
    """The source lines of a span with a marker line below when it is one line."""
    line, column = span.begin()
    last_line, last_column = span.finish()
    lines = [_printable(span.source.line(n)) for n in range(line, last_line + 1)]
    if line != last_line:
        return "".join(f"{text}\n" for text in lines)
    raw = span.source.line(line)
    before = _width(raw[: column - 1])
    marked = _width(raw[column - 1 : last_column - 1])
    return f"{lines[0]}\n{(' ' * before + '~' * marked)}\n"


def _render_one(severity: str, message: str, span: Span | None, color: bool) -> str:
    tint = (RED if severity == ERROR else YELLOW) if color else ""
    reset = RESET if color else ""
    if span is None:
        return f"{tint}{severity}: {message}{reset}\n"
    return f"{tint}{location(span)}: {severity}: {message}{reset}\n{excerpt(span)}"


def _printable(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").replace("\t", " " * TAB_WIDTH)


def _width(raw: bytes) -> int:
    return len(_printable(raw))
