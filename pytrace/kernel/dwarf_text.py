"""C text of functions and types from debug information: what ``-lv`` shows. Pure."""

from __future__ import annotations

from pytrace.kernel import dwarf
from pytrace.kernel.info import FuncText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.kernel.dwarf import Die

_QUALIFIERS: Final = {
    dwarf.CONST_TYPE: "const",
    dwarf.VOLATILE_TYPE: "volatile",
    dwarf.RESTRICT_TYPE: "restrict",
    dwarf.ATOMIC_TYPE: "_Atomic",
}
_POINTERS: Final = {
    dwarf.POINTER_TYPE: "*",
    dwarf.REFERENCE_TYPE: "&",
    dwarf.RVALUE_REFERENCE_TYPE: "&&",
}
_TAGGED: Final = {
    dwarf.STRUCTURE_TYPE: "struct",
    dwarf.CLASS_TYPE: "class",
    dwarf.UNION_TYPE: "union",
    dwarf.ENUMERATION_TYPE: "enum",
}
_NAMED: Final = (dwarf.BASE_TYPE, dwarf.TYPEDEF, dwarf.UNSPECIFIED_TYPE)
_MAX_DEPTH: Final = 64


def function_text(die: Die) -> FuncText:
    """The prototype of a function."""
    return FuncText(params=tuple(_parameters(die, 0)), returns=type_text(_type(die)))


def type_text(die: Die | None, depth: int = 0) -> str:
    """A type as C writes it, pointers close to what they point to: ``const char*``."""
    before, inner = "", ""
    for _ in range(_MAX_DEPTH):
        if die is None or depth > _MAX_DEPTH:
            break
        tag = die.tag
        if tag in _QUALIFIERS:
            before += f"{_QUALIFIERS[tag]} "
        elif tag in _POINTERS:
            inner = f"{_POINTERS[tag]}{' ' + before.rstrip() if before else ''}{inner}"
            before = ""
        elif tag == dwarf.ARRAY_TYPE:
            inner = f"{_bracketed(inner)}{_dimensions(die)}"
        elif tag == dwarf.SUBROUTINE_TYPE:
            shown = ", ".join([kind for kind, _ in _parameters(die, depth + 1)]) or "void"
            inner = f"{_bracketed(inner)}({shown})"
        else:
            break
        die = die.refer(dwarf.TYPE)
    base = _base(die)
    return f"{before}{base}{' ' if inner[:1] == '(' else ''}{inner}"


def _parameters(die: Die, depth: int) -> list[tuple[str, str]]:
    found = []
    for child in die.children():
        if child.tag == dwarf.FORMAL_PARAMETER:
            found.append((type_text(_type(child), depth), child.name()))
        elif child.tag == dwarf.UNSPECIFIED_PARAMETERS:
            found.append(("...", ""))
    return found


def _type(die: Die) -> Die | None:
    """The type of an entry, or of the one that it completes."""
    seen: Die | None = die
    for _ in range(_MAX_DEPTH):
        if seen is None or dwarf.TYPE in seen.attributes:
            break
        seen = seen.origin()
    return seen.refer(dwarf.TYPE) if seen is not None else None


def _base(die: Die | None) -> str:
    if die is None:
        return "void"
    word = _TAGGED.get(die.tag, "")
    if not word and die.tag not in _NAMED:
        return "<unknown type>"
    name = die.name() or "<anonymous>"
    if die.unit.is_cpp:
        return f"{die.unit.scopes().get(die.at, '')}{name}"
    return f"{word} {name}".lstrip()


def _dimensions(die: Die) -> str:
    counts = []
    for child in die.children():
        if child.tag == dwarf.SUBRANGE_TYPE:
            count, last = child.number(dwarf.COUNT), child.number(dwarf.UPPER_BOUND)
            known = count if count is not None else last + 1 if last is not None else None
            counts.append(f"[{'' if known is None else known}]")
    return "".join(counts)


def _bracketed(inner: str) -> str:
    return f" ({inner})" if inner[:1] in "*&" and inner else inner
