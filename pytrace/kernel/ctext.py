"""C text of a kernel's types, from its BTF: what listings show. Pure.

A definition compiles to the layout that the kernel has: gaps that C's own rules do not make are
filled with unnamed bit fields.
"""

from __future__ import annotations

from pytrace.base.types import align_up
from pytrace.kernel import btf_index as k

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from pytrace.kernel.btf import Btf

WORDS: Final = {"struct": k.STRUCT, "union": k.UNION, "enum": k.ENUM}
"""C's words for kinds of types that have a definition, and their kinds in BTF."""

_QUALIFIERS: Final = {k.CONST: "const", k.VOLATILE: "volatile", k.RESTRICT: "restrict"}
_PADS: Final = ((64, "long"), (32, "int"), (16, "short"), (8, "char"))
_BYTE_ENUM: Final = " __attribute__((mode(byte)))"
_POINTER_BITS: Final = 64
_MAX_ALIGNMENT: Final = 16


class CText:
    """Types of one BTF blob as C text."""

    def __init__(self, btf: Btf) -> None:
        self._btf = btf
        self._alignments: dict[int, int] = {}

    def type(self, type_id: int) -> str:
        """A type without a name: ``struct sock *``, ``int (*)(void *)``."""
        return self._declare(type_id, "", -1)

    def declaration(self, type_id: int, name: str) -> str:
        """``struct sock *sk``, ``char comm[16]``; an anonymous struct is written out in it."""
        return self._declare(type_id, name, 0)

    def prototype(self, proto: int) -> tuple[tuple[tuple[str, str], ...], str]:
        """((type, name) of each parameter, type of the result) of a function's prototype."""
        _, info, returns = self._btf.head(proto)
        words = self._btf.words(proto, (info & 0xFFFF) * 2)
        params = []
        for at in range(0, len(words), 2):
            name, type_id = words[at : at + 2]
            if name or type_id:
                params.append((self.type(type_id), self._btf.string(name)))
            else:
                params.append(("...", ""))
        return tuple(params), self.type(returns)

    def members(self, type_id: int) -> tuple[tuple[str, str], ...]:
        """(type, name) of a struct's members, those of unions without a name in their place."""
        found: list[tuple[str, str]] = []
        for name, member, _, _ in self._rows(type_id):
            if name:
                found.append((self.type(member), name))
            else:
                found += self.members(member)
        return tuple(found)

    def definition(self, type_id: int) -> str:
        """A struct, union or enum with its body, up to the semicolon; lines end in newlines."""
        return f"{self._written_out(type_id, 0)};\n"

    # Declarators

    def _declare(self, type_id: int, inner: str, level: int) -> str:
        """``inner`` declared as a type; types without a name are written out from ``level`` on,
        or only hinted at if that is negative."""
        before = ""
        while type_id:
            _, info, value = self._btf.head(type_id)
            kind = info >> 24 & 31
            if kind in _QUALIFIERS:
                if _QUALIFIERS[kind] not in before:  # an array and its elements may both be const
                    before = f"{before} {_QUALIFIERS[kind]}"
                type_id = value
            elif kind == k.PTR:
                # Qualifiers so far belong to the pointer: * const name.
                gap = " " if before and inner else ""
                inner, before = f"*{before}{gap}{inner}", ""
                type_id = value
            elif kind == k.ARRAY:
                elem, _, count = self._btf.words(type_id, 3)
                inner = f"{_bracketed(inner)}[{count}]"
                type_id = elem
            elif kind == k.FUNC_PROTO:
                inner = f"{_bracketed(inner)}({self._params(type_id, info & 0xFFFF)})"
                type_id = value
            elif kind == k.TYPE_TAG:
                type_id = value
            else:
                break
        base = f"{before} {self._base(type_id, level)}".lstrip()
        return f"{base}{'' if not inner or inner[0] == '[' else ' '}{inner}"

    def _params(self, proto: int, count: int) -> str:
        words = self._btf.words(proto, count * 2)
        shown = [
            self.type(words[at + 1]) if words[at] or words[at + 1] else "..."
            for at in range(0, len(words), 2)
        ]
        return ", ".join(shown) or "void"

    def _base(self, type_id: int, level: int) -> str:
        """The name of a type that is neither pointer, array nor function."""
        if not type_id:
            return "void"
        name_at, info, _ = self._btf.head(type_id)
        kind = info >> 24 & 31
        name = self._btf.string(name_at)
        if kind == k.FWD:
            return f"{'union' if info >> 31 else 'struct'} {name}"
        word = _word(kind)
        if not word:
            return name
        if name:
            return f"{word} {name}"
        return self._written_out(type_id, level) if level >= 0 else f"{word} {{...}}"

    # Definitions

    def _written_out(self, type_id: int, level: int) -> str:
        name_at, info, size = self._btf.head(type_id)
        kind = info >> 24 & 31
        name = self._btf.string(name_at)
        start = f"{_word(kind)} {name}".rstrip()
        if kind in (k.ENUM, k.ENUM64):
            lines = self._enumerators(type_id)
            after = _BYTE_ENUM if size == 1 else ""
        else:
            lines = list(self._members(type_id, level + 1))
            after = " __attribute__((packed))" if self._is_packed(type_id) else ""
        if not lines:
            return f"{start} {{}}{after}"
        tabs = "\t" * level
        body = "".join([f"{tabs}\t{line}\n" for line in lines])
        return f"{start} {{\n{body}{tabs}}}{after}"

    def _enumerators(self, type_id: int) -> list[str]:
        _, info, _ = self._btf.head(type_id)
        wide = info >> 24 & 31 == k.ENUM64
        suffix = "" if not wide else "LL" if info >> 31 else "ULL"
        return [f"{name} = {value}{suffix}," for name, value in self._btf.enumerators(type_id)]

    def _members(self, type_id: int, level: int) -> Iterator[str]:
        """Declarations of members, without the tabs before their first line."""
        _, info, size = self._btf.head(type_id)
        union = info >> 24 & 31 == k.UNION
        packed = self._is_packed(type_id)
        at = 0
        for name, member, offset, width in self._rows(type_id):
            if not union:
                yield from _pads(at, offset, self._next_place(at, member, width, packed))
            text = self._declare(member, name, level)
            yield f"{text}: {width};" if width else f"{text};"
            at = offset + (width or self._bits(member))
        if not union:
            unit = 8 if packed else self._alignment(type_id) * 8
            yield from _pads(at, size * 8, align_up(at, unit))

    def _rows(self, type_id: int) -> Iterator[tuple[str, int, int, int]]:
        """(name, type, offset, width) of each member, in bits; width 0: no bit field."""
        _, info, _ = self._btf.head(type_id)
        words = self._btf.words(type_id, (info & 0xFFFF) * 3)
        for at in range(0, len(words), 3):
            name, member, place = words[at : at + 3]
            offset, width = (place & 0xFFFFFF, place >> 24) if info >> 31 else (place, 0)
            yield self._btf.string(name), member, offset, width

    def _next_place(self, at: int, member: int, width: int, packed: bool) -> int:
        """Where C puts a member that follows bit ``at``."""
        if not width:
            return align_up(at, 8 if packed else self._alignment(member) * 8)
        unit = self._bits(member) or 8
        crosses = not packed and at // unit != (at + width - 1) // unit
        return align_up(at, unit) if crosses else at

    def _bits(self, type_id: int) -> int:
        """The size of a type in bits."""
        count = 1
        while type_id:
            _, info, value = self._btf.head(type_id)
            kind = info >> 24 & 31
            if kind == k.PTR:
                return count * _POINTER_BITS
            if kind == k.ARRAY:
                type_id, _, length = self._btf.words(type_id, 3)
                count *= length
            elif kind in _QUALIFIERS or kind in (k.TYPEDEF, k.TYPE_TAG):
                type_id = value
            elif kind in (k.FUNC_PROTO, k.FWD):
                return 0
            else:
                return count * value * 8
        return 0

    def _alignment(self, type_id: int) -> int:
        """What C aligns a type to (bytes)."""
        known = self._alignments.get(type_id)
        if known is None:
            known = self._alignments[type_id] = self._find_alignment(type_id)
        return known

    def _find_alignment(self, type_id: int) -> int:
        if not type_id:
            return 1
        _, info, value = self._btf.head(type_id)
        kind = info >> 24 & 31
        if kind in _QUALIFIERS or kind in (k.TYPEDEF, k.TYPE_TAG):
            return self._alignment(value)
        if kind == k.ARRAY:
            return self._alignment(self._btf.words(type_id, 3)[0])
        if kind in (k.STRUCT, k.UNION):
            return 1 if self._is_packed(type_id) else self._natural(type_id)
        size = self._bits(type_id) // 8
        return min(size, _MAX_ALIGNMENT) or 1

    def _natural(self, type_id: int) -> int:
        return max((self._alignment(member) for _, member, _, _ in self._rows(type_id)), default=1)

    def _is_packed(self, type_id: int) -> bool:
        """True if a struct lies as only __attribute__((packed)) can make it lie."""
        if self._btf.head(type_id)[2] % self._natural(type_id):
            return True
        return any(
            offset % (self._alignment(member) * 8)
            for _, member, offset, width in self._rows(type_id)
            if not width
        )


def _word(kind: int) -> str:
    if kind == k.ENUM64:
        return "enum"
    return next((word for word, known in WORDS.items() if known == kind), "")


def _bracketed(inner: str) -> str:
    """``*`` binds less tightly than what follows a name."""
    return f"({inner})" if inner[:1] == "*" else inner


def _pads(at: int, end: int, place: int) -> Iterator[str]:
    """Unnamed bit fields that move what follows from ``place``, where C puts it, to bit ``end``.

    ``at`` is where the last member ended. A bit field lies within one unit of its type, so that
    C itself steps to the next one.
    """
    while at < end != place:
        for unit, name in _PADS:
            start = align_up(at, unit)
            if start + unit <= end:
                yield f"{name}: {unit};"
                at = start + unit
                break
        else:
            step = min(8 - at % 8, end - at)
            yield f"char: {step};"
            at += step
