"""Types of a program from its debug information, as the language's types. Pure.

Structs are known by name; those without a name, and those that a caller says are taken (by the
kernel), get one that only this program uses. A definition is found once something that was asked
for refers to it, or by its name in the units that were looked into.
"""

from __future__ import annotations

from pytrace.base.types import (
    BOOL,
    U8,
    USER,
    VOID,
    Array,
    Enum,
    EnumDef,
    Field,
    Int,
    Ptr,
    Str,
    Struct,
    StructDef,
    Type,
)
from pytrace.kernel import dwarf
from pytrace.kernel.dwarf_forms import Block, Reader
from pytrace.kernel.info import FuncProto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from pytrace.kernel.dwarf import Die, Unit

_THROUGH: Final = (
    dwarf.TYPEDEF,
    dwarf.CONST_TYPE,
    dwarf.VOLATILE_TYPE,
    dwarf.RESTRICT_TYPE,
    dwarf.ATOMIC_TYPE,
)
_POINTERS: Final = (dwarf.POINTER_TYPE, dwarf.REFERENCE_TYPE, dwarf.RVALUE_REFERENCE_TYPE)
_KINDS: Final = {
    dwarf.STRUCTURE_TYPE: "struct",
    dwarf.CLASS_TYPE: "struct",
    dwarf.UNION_TYPE: "union",
}
_MAX_DEPTH: Final = 64
_PLUS_UCONST: Final = 0x23  # DW_OP_plus_uconst, before constants were allowed (version 2)

# Encodings of base types (DW_ATE_*).
_BOOLEAN: Final = 2
_FLOATS: Final = (3, 4, 9, 15)
_SIGNED: Final = (5, 6)
_SIGNED_CHAR: Final = 6


class DwarfTypes:
    """Types of one file, by the units that were asked for.

    ``taken(kind, name)`` tells of names that mean another type already; such a type is called
    ``name@label`` instead.
    """

    def __init__(self, taken: Callable[[str, str], bool] | None = None, label: str = "") -> None:
        self._taken = taken
        self._label = label
        self._structs: dict[tuple[str, str], Die] = {}
        self._enums: dict[str, Die] = {}
        self._units: set[int] = set()

    def prototype(self, die: Die, name: str) -> FuncProto:
        """A function's parameters, without their places, and its result."""
        params: list[tuple[str, Type]] = []
        for child in die.children():
            if child.tag == dwarf.FORMAL_PARAMETER:
                label = child.name() or f"arg{len(params)}"
                params.append((label, self.type(_type_of(child))))
        returns = self.type(_type_of(die))
        return FuncProto(name=name, module="", params=tuple(params), returns=returns)

    def struct(self, kind: str, name: str) -> StructDef | None:
        die = self._structs.get((kind, name))
        if die is None:
            return None
        fields: list[Field] = []
        self._flatten(die, 0, fields, 0)
        size = die.number(dwarf.BYTE_SIZE) or 0
        return StructDef(kind=kind, name=name, size=size, fields=tuple(fields))

    def enum(self, name: str) -> EnumDef | None:
        die = self._enums.get(name)
        if die is None:
            return None
        made = self._enum(die)
        top = 1 << (made.bits - 1)
        values = []
        for child in die.children():
            number = child.number(dwarf.CONST_VALUE)
            if child.tag == dwarf.ENUMERATOR and number is not None:
                value = number - 2 * top if made.signed and number & top and number > 0 else number
                values.append((child.name(), value))
        return EnumDef(name=name, bits=made.bits, signed=made.signed, values=tuple(values))

    def type(self, die: Die | None, depth: int = 0) -> Type:
        """The language's type of an entry; void for none, bytes for what it has no type for."""
        die = _behind(die)
        if die is None or depth > _MAX_DEPTH:
            return VOID
        size = die.number(dwarf.BYTE_SIZE) or 0
        if die.tag == dwarf.BASE_TYPE:
            return _base(die, size)
        if die.tag in _POINTERS:
            return Ptr(to=self.type(die.refer(dwarf.TYPE), depth + 1), space=USER)
        if die.tag in _KINDS:
            return self._struct(die)
        if die.tag == dwarf.ENUMERATION_TYPE:
            return self._enum(die)
        if die.tag == dwarf.ARRAY_TYPE:
            return self._array(die, depth)
        return Array(elem=U8, count=size) if size else VOID

    def _struct(self, die: Die) -> Struct:
        kind = _KINDS[die.tag]
        name = self._name(kind, die)
        if dwarf.DECLARATION in die.attributes:
            known = self._structs.get((kind, name))
            size = known.number(dwarf.BYTE_SIZE) or 0 if known is not None else 0
            return Struct(kind=kind, name=name, bytes=size)
        self._structs.setdefault((kind, name), die)
        return Struct(kind=kind, name=name, bytes=die.number(dwarf.BYTE_SIZE) or 0)

    def _enum(self, die: Die) -> Enum:
        name = self._name("enum", die)
        self._enums.setdefault(name, die)
        underlying = _behind(die.refer(dwarf.TYPE))
        signed = underlying is not None and underlying.number(dwarf.ENCODING) in _SIGNED
        size = die.number(dwarf.BYTE_SIZE) or 4
        return Enum(name=name, bits=size * 8 if size in (1, 2, 4, 8) else 32, signed=signed)

    def _name(self, kind: str, die: Die) -> str:
        name = die.name()
        if not name:
            return f"anon_{die.unit.at + die.at:x}@{self._label}"
        return f"{name}@{self._label}" if self._taken and self._taken(kind, name) else name

    def _array(self, die: Die, depth: int) -> Type:
        elem = die.refer(dwarf.TYPE)
        counts = list(_counts(die))
        if _is_char(elem):
            made: Type = Str(length=counts.pop() if counts else 0)
        else:
            made = self.type(elem, depth + 1)
        for count in reversed(counts):
            made = Array(elem=made, count=count)
        return made

    def _flatten(self, die: Die, base: int, fields: list[Field], depth: int) -> None:
        """Append members, those of anonymous members and of base classes in their place."""
        if depth > _MAX_DEPTH:
            return
        for child in die.children():
            if child.tag not in (dwarf.MEMBER, dwarf.INHERITANCE):
                continue
            at = base + _location(child)
            kind = _behind(child.refer(dwarf.TYPE))
            inner = kind is not None and kind.tag in _KINDS
            if kind is not None and inner and (child.tag == dwarf.INHERITANCE or not child.name()):
                self._flatten(kind, at, fields, depth + 1)
            elif child.name():
                fields.append(self._field(child, at))

    def _field(self, die: Die, at: int) -> Field:
        made = self.type(die.refer(dwarf.TYPE))
        width = die.number(dwarf.BIT_SIZE)
        if not width:
            return Field(name=die.name(), type=made, offset=at)
        size = made.size or 1
        bits = die.number(dwarf.DATA_BIT_OFFSET)
        if bits is not None:
            start = bits // (size * 8) * size
            return Field(
                name=die.name(), type=made, offset=at + start,
                bit_offset=bits - start * 8, bit_size=width,
            )  # fmt: skip
        # Before version 4 the offset counts from the storage unit's highest bit.
        high = die.number(dwarf.BIT_OFFSET) or 0
        unit = die.number(dwarf.BYTE_SIZE) or size
        return Field(
            name=die.name(), type=made, offset=at, bit_offset=unit * 8 - high - width,
            bit_size=width,
        )  # fmt: skip

    def read_names(self, unit: Unit) -> None:
        """Take note of a unit's types, so that ``struct`` and ``enum`` find them by name."""
        if unit.at in self._units:
            return
        self._units.add(unit.at)
        for child in unit.root().children():
            if child.tag in _KINDS and child.name() and dwarf.DECLARATION not in child.attributes:
                kind = _KINDS[child.tag]
                self._structs.setdefault((kind, self._name(kind, child)), child)
            elif child.tag == dwarf.ENUMERATION_TYPE and child.name():
                self._enums.setdefault(self._name("enum", child), child)


def _behind(die: Die | None) -> Die | None:
    """The entry behind typedefs and qualifiers."""
    for _ in range(_MAX_DEPTH):
        if die is None or die.tag not in _THROUGH:
            return die
        die = die.refer(dwarf.TYPE)
    return None


def _type_of(die: Die) -> Die | None:
    """The type of an entry, or of the one that it completes."""
    seen: Die | None = die
    for _ in range(_MAX_DEPTH):
        if seen is None or dwarf.TYPE in seen.attributes:
            break
        seen = seen.origin()
    return seen.refer(dwarf.TYPE) if seen is not None else None


def _base(die: Die, size: int) -> Type:
    encoding = die.number(dwarf.ENCODING)
    if encoding == _BOOLEAN and size == 1:
        return BOOL
    if encoding in _FLOATS or size not in (1, 2, 4, 8):
        return Array(elem=U8, count=size)
    return Int(bits=size * 8, signed=encoding in _SIGNED)


def _is_char(die: Die | None) -> bool:
    """True for elements of what the language calls a string: char and signed bytes."""
    kind = _behind(die)
    if kind is None or kind.tag != dwarf.BASE_TYPE or kind.number(dwarf.BYTE_SIZE) != 1:
        return False
    return kind.name() == "char" or kind.number(dwarf.ENCODING) == _SIGNED_CHAR


def _counts(die: Die) -> Iterator[int]:
    for child in die.children():
        if child.tag == dwarf.SUBRANGE_TYPE:
            count, last = child.number(dwarf.COUNT), child.number(dwarf.UPPER_BOUND)
            # An array without a size has no last index, or the one before zero.
            unsized = last is None or last >= 1 << 31
            yield count if count is not None else 0 if unsized or last is None else last + 1


def _location(die: Die) -> int:
    """A member's offset (bytes)."""
    found = die.value(dwarf.DATA_MEMBER_LOCATION)
    if isinstance(found, Block) and found.data[:1] == bytes([_PLUS_UCONST]):
        return Reader(found.data, "<").uleb(1)[0]
    return found if isinstance(found, int) else 0
