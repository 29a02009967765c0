"""Lists of traceable kernel functions, from the texts that kernels give. Pure.

The kernel's own list is available_filter_functions in tracefs. Where it is refused, functions
with a symbol (in a section that can be traced) and a prototype are candidates, of which some
refuse the probe. One name is searched in the text; only patterns cost the parsing of all lines.
"""

from __future__ import annotations

from pytrace.base.text import matches
from pytrace.kernel.info import FuncRef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, Protocol

    class FunctionList(Protocol):
        def find(self, pattern: str, module: str) -> list[FuncRef]:
            """Functions whose name and module match (``*`` only), by name, then module."""


VMLINUX: Final = "vmlinux"
_TEXT_KINDS: Final = b"tTwW"
_LONG: Final = 16
_CLOSED: Final = (
    (b"__noinstr_text_start", b"__noinstr_text_end"),
    (b"__entry_text_start", b"__entry_text_end"),
    (b"__cpuidle_text_start", b"__cpuidle_text_end"),
    (b"_sinittext", b"_einittext"),
)
"""Edges of text sections that are closed to tracing (include/asm-generic/vmlinux.lds.h)."""


class ListedFunctions:
    """available_filter_functions, or a file like it: ``name`` or ``name [module]`` a line.

    What follows (an address, BPF details) is ignored.
    """

    def __init__(self, text: bytes) -> None:
        self._text = b"\n" + text
        self._all: list[tuple[str, str]] | None = None

    def find(self, pattern: str, module: str) -> list[FuncRef]:
        if "*" in pattern:
            if self._all is None:
                self._all = [_listed(line) for line in self._text.split(b"\n") if _usable(line)]
            return _select(self._all, pattern, module)
        lines = _lines_with(self._text, b"\n" + pattern.encode())
        found = [_listed(line) for line in lines if _usable(line)]
        return _select(found, pattern, module)


class CandidateFunctions:
    """Functions by /proc/kallsyms text, of those that ``typed`` knows; all symbols without it.

    ``has_type(name, module)`` answers for one function, ``typed()`` gives all names by module.
    Pieces of functions (``name.cold``, ``name.constprop.0``) are no candidates.
    """

    def __init__(
        self,
        symbols: bytes,
        has_type: Callable[[str, str], bool] | None = None,
        typed: Callable[[], dict[str, set[bytes]]] | None = None,
    ) -> None:
        self._symbols = symbols
        self._has_type = has_type
        self._typed = typed
        self._closed: list[tuple[bytes, bytes]] | None = None
        self._all: list[tuple[str, str]] | None = None

    def find(self, pattern: str, module: str) -> list[FuncRef]:
        if "*" in pattern:
            if self._all is None:
                self._all = self._collect()
            return _select(self._all, pattern, module)
        found = set()
        for line in _lines_with(self._symbols, b" " + pattern.encode()):
            if self._is_open(line):
                name, where = _symbol(line)
                if self._has_type is None or self._has_type(name, where):
                    found.add((name, where))
        return _select(found, pattern, module)

    def _collect(self) -> list[tuple[str, str]]:
        typed = self._typed() if self._typed else None
        vmlinux = typed.get(VMLINUX, set()) if typed else set()
        found = []
        for line in self._symbols.split(b"\n"):
            name = line[_LONG + 3 :]
            if b"\t" not in name:
                if (typed is None or name in vmlinux) and self._is_open(line):
                    found.append((name.decode("utf-8", "replace"), VMLINUX))
            elif self._is_open(line):
                text, module = _symbol(line)
                if typed is None or text.encode() in typed.get(module, ()):
                    found.append((text, module))
        return found

    def _is_open(self, line: bytes) -> bool:
        """True for a line of a function in a section that may be traced."""
        if line[_LONG : _LONG + 1] != b" " or line[_LONG + 1] not in _TEXT_KINDS or b"." in line:
            return False
        if self._closed is None:
            edges = [(self._edge(start), self._edge(end)) for start, end in _CLOSED]
            self._closed = [(start, end) for start, end in edges if start and end]
        address = line[:_LONG]
        return not any(start <= address < end for start, end in self._closed)

    def _edge(self, name: bytes) -> bytes:
        """The address of a section's edge as text, empty if unknown or hidden."""
        for line in _lines_with(self._symbols, b" " + name):
            address = line[:_LONG]
            return address if address.strip(b"0") else b""
        return b""


def _lines_with(text: bytes, word: bytes) -> list[bytes]:
    """Lines of ``text`` in which ``word`` (with the character before the name) is a whole word."""
    found = []
    at = text.find(word)
    while at >= 0:
        after = at + len(word)
        if text[after : after + 1] in (b"\n", b"\t", b" ", b""):
            start = text.rfind(b"\n", 0, at + 1) + 1
            end = text.find(b"\n", after)
            found.append(text[start : end if end >= 0 else None])
        at = text.find(word, after)
    return found


def _usable(line: bytes) -> bool:
    return bool(line) and not line.startswith((b"__ftrace_invalid_address__", b" ", b"\t"))


def _listed(line: bytes) -> tuple[str, str]:
    words = line.decode("utf-8", "replace").split(None, 2)
    module = words[1].strip("[]") if len(words) > 1 and words[1][0] == "[" else VMLINUX
    return words[0], module


def _symbol(line: bytes) -> tuple[str, str]:
    name, _, module = line[_LONG + 3 :].decode("utf-8", "replace").partition("\t")
    return name, module.strip("[]") or VMLINUX


def _select(names: Iterable[tuple[str, str]], pattern: str, module: str) -> list[FuncRef]:
    if pattern != "*":
        names = [row for row in names if matches(pattern, row[0])]
    if module:
        names = [row for row in names if matches(module, row[1])]
    return [FuncRef(name=name, module=where) for name, where in sorted(set(names))]
