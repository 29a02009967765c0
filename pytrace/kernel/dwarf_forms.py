"""How DWARF writes values: numbers, forms, abbreviations, and the tables that lead to units."""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct
from struct import error as StructError

from pytrace.base.frozen import FrozenValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol, Union

    class Sizes(Protocol):
        """What the size of some forms depends on: the unit that they are in."""

        version: int
        address_size: int
        wide: bool


class DwarfError(ValueError):
    """Bytes that are not DWARF, or broken DWARF."""


ADDR: Final = 0x01
RNGLISTX: Final = 0x23
IN_UNIT: Final = "unit"
IN_FILE: Final = "file"
SIGNATURE: Final = "signature"
IN_ALTERNATE: Final = "alternate"
"""What a reference counts from: its unit, .debug_info, a type's signature, the file of dwz."""

ALT_STRINGS: Final = "alternate"
STRING_INDEX: Final = "index"
INFO: Final = "info"
ABBREV: Final = "abbrev"
STRING_OFFSETS: Final = "string offsets"
RANGE_LISTS: Final = "range lists"
"""Parts of a package of split units."""

_PARTS: Final = {1: INFO, 3: ABBREV, 6: STRING_OFFSETS, 8: RANGE_LISTS}

_IMPLICIT_CONST: Final = 0x21
_INDIRECT: Final = 0x16
_FIXED: Final = {
    0x0B: 1, 0x0C: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16,
}  # fmt: skip
_INDEX_SIZES: Final = {
    0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4,
    0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4,
}  # fmt: skip
_UNIT_REFERENCES: Final = {0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8}
_BLOCK_SIZES: Final = {0x0A: 1, 0x03: 2, 0x04: 4}


class Reference(FrozenValue):
    """A reference to another entry."""

    kind: str
    value: int


class Indexed(FrozenValue):
    """A string or an address that lies elsewhere: in a section, or in a table by its number."""

    section: str
    index: int


class Block(FrozenValue):
    """Bytes with a meaning of their own, such as an expression for a location."""

    data: bytes


if TYPE_CHECKING:
    Value = Union[int, bytes, Reference, Indexed, Block]


class Abbrev:
    """The form of entries: tag, whether children follow, (attribute, form, constant) of each."""

    __slots__ = ("attributes", "children", "tag")

    def __init__(
        self, tag: int, children: bool, attributes: tuple[tuple[int, int, int], ...]
    ) -> None:
        self.tag = tag
        self.children = children
        self.attributes = attributes

    def form_of(self, attribute: int) -> int:
        return next((form for known, form, _ in self.attributes if known == attribute), 0)


class Reader:
    """Numbers at places of a section. ``DwarfError`` beyond its end."""

    __slots__ = ("_data", "_order", "_u16", "_u32", "_u64")

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._u16, self._u32, self._u64 = (Struct(order + c).unpack_from for c in "HIQ")

    def u16(self, at: int) -> int:
        return self.unsigned(at, 2)

    def u32(self, at: int) -> int:
        return self.unsigned(at, 4)

    def u64(self, at: int) -> int:
        return self.unsigned(at, 8)

    def offset(self, at: int, size: int) -> int:
        return self.unsigned(at, size)

    def unsigned(self, at: int, size: int) -> int:
        try:
            if size == 4:
                found: int = self._u32(self._data, at)[0]
            elif size == 8:
                found = self._u64(self._data, at)[0]
            elif size == 2:
                found = self._u16(self._data, at)[0]
            elif size == 1:
                found = self._data[at]
            else:
                order = "little" if self._order == "<" else "big"
                found = int.from_bytes(self._data[at : at + size], order)  # type: ignore[arg-type]
        except (StructError, IndexError):
            raise DwarfError("debug information is cut short") from None
        return found

    def initial_length(self, at: int) -> tuple[int, int]:
        """(length, where what it counts begins)."""
        length = self.u32(at)
        return (self.u64(at + 4), at + 12) if length == 0xFFFFFFFF else (length, at + 4)

    def uleb(self, at: int) -> tuple[int, int]:
        """(number, where it ends)."""
        data = self._data
        try:
            byte = data[at]
            if byte < 0x80:
                return byte, at + 1
            value, shift = byte & 0x7F, 7
            while byte & 0x80:
                at += 1
                byte = data[at]
                value |= (byte & 0x7F) << shift
                shift += 7
        except IndexError:
            raise DwarfError("debug information is cut short") from None
        return value, at + 1

    def sleb(self, at: int) -> tuple[int, int]:
        start = at
        value, at = self.uleb(at)
        bits = 7 * (at - start)
        return (value - (1 << bits) if value >> (bits - 1) & 1 else value), at

    def string(self, at: int) -> tuple[bytes, int]:
        end = self._data.find(b"\0", at)
        if end < 0:
            raise DwarfError("a string without an end")
        return self._data[at:end], end + 1

    def value(self, form: int, at: int, constant: int, unit: Sizes) -> tuple[Value, int]:
        """(an attribute's value, where it ends)."""
        size = _FIXED.get(form)
        if size:
            return self.unsigned(at, size), at + size
        if form == 0x19:  # flag_present
            return 1, at
        if form in _UNIT_REFERENCES:
            size = _UNIT_REFERENCES[form]
            return Reference(kind=IN_UNIT, value=self.unsigned(at, size)), at + size
        wide = 8 if unit.wide else 4
        if form in (0x0E, 0x1F):  # strp, line_strp
            section = ".debug_str" if form == 0x0E else ".debug_line_str"
            return Indexed(section=section, index=self.offset(at, wide)), at + wide
        if form == 0x17:  # sec_offset
            return self.offset(at, wide), at + wide
        if form == ADDR:
            return self.unsigned(at, unit.address_size), at + unit.address_size
        if form == _IMPLICIT_CONST:
            return constant, at
        return self._rare(form, at, wide, unit)

    def _rare(self, form: int, at: int, wide: int, unit: Sizes) -> tuple[Value, int]:
        if form == 0x0D:  # sdata
            return self.sleb(at)
        if form in (0x0F, 0x22, RNGLISTX):  # udata, loclistx, rnglistx
            return self.uleb(at)
        if form == 0x08:
            return self.string(at)
        if form in (0x18, 0x09):  # exprloc, block
            size, at = self.uleb(at)
            return Block(data=self._data[at : at + size]), at + size
        if form in _BLOCK_SIZES:
            size = self.unsigned(at, _BLOCK_SIZES[form])
            at += _BLOCK_SIZES[form]
            return Block(data=self._data[at : at + size]), at + size
        if form in _INDEX_SIZES:
            size = _INDEX_SIZES[form]
            section = STRING_INDEX if form < 0x29 else ".debug_addr"
            return Indexed(section=section, index=self.unsigned(at, size)), at + size
        if form in (0x1A, 0x1F02, 0x1B, 0x1F01):  # strx, addrx and GNU's names of them
            index, at = self.uleb(at)
            section = STRING_INDEX if form in (0x1A, 0x1F02) else ".debug_addr"
            return Indexed(section=section, index=index), at
        return self._reference(form, at, wide, unit)

    def _reference(self, form: int, at: int, wide: int, unit: Sizes) -> tuple[Value, int]:
        if form == 0x10:  # ref_addr, an address before version 3
            size = unit.address_size if unit.version < 3 else wide
            return Reference(kind=IN_FILE, value=self.unsigned(at, size)), at + size
        if form == 0x15:  # ref_udata
            found, at = self.uleb(at)
            return Reference(kind=IN_UNIT, value=found), at
        if form == 0x20:  # ref_sig8
            return Reference(kind=SIGNATURE, value=self.u64(at)), at + 8
        if form in (0x1F20, 0x1C, 0x24):  # GNU_ref_alt, ref_sup4, ref_sup8
            size = {0x1C: 4, 0x24: 8}.get(form, wide)
            return Reference(kind=IN_ALTERNATE, value=self.unsigned(at, size)), at + size
        if form in (0x1F21, 0x1D):  # GNU_strp_alt, strp_sup
            return Indexed(section=ALT_STRINGS, index=self.offset(at, wide)), at + wide
        if form == _INDIRECT:
            form, at = self.uleb(at)
            constant = 0
            if form == _IMPLICIT_CONST:
                constant, at = self.sleb(at)
            return self.value(form, at, constant, unit)
        raise DwarfError(f"unknown form {form:#x}")


def read_abbrevs(data: bytes, at: int, order: str) -> dict[int, Abbrev]:
    """The abbreviations of one unit, by code."""
    reader = Reader(data, order)
    found: dict[int, Abbrev] = {}
    while True:
        code, at = reader.uleb(at)
        if not code:
            return found
        tag, at = reader.uleb(at)
        children = reader.unsigned(at, 1) != 0
        at += 1
        attributes = []
        while True:
            attribute, at = reader.uleb(at)
            form, at = reader.uleb(at)
            constant = 0
            if form == _IMPLICIT_CONST:
                constant, at = reader.sleb(at)
            if not attribute and not form:
                break
            attributes.append((attribute, form, constant))
        found[code] = Abbrev(tag, children, tuple(attributes))


class AddressTable:
    """.debug_aranges: the units that hold code for an address, by their offsets."""

    def __init__(self, data: bytes, order: str) -> None:
        reader = Reader(data, order)
        rows: list[tuple[int, int, int]] = []
        at = 0
        while at + 12 < len(data):
            length, start = reader.initial_length(at)
            end = start + length
            size = 8 if start - at == 12 else 4
            unit = reader.offset(start + 2, size)
            width = reader.unsigned(start + 2 + size, 1)
            if width not in (4, 8) or end > len(data):
                raise DwarfError("a table of addresses is broken")
            first = start + 4 + size
            first += -(first - at) % (2 * width)
            row = Struct(f"{order}{'II' if width == 4 else 'QQ'}")
            usable = (end - first) // row.size * row.size
            for low, count in row.iter_unpack(data[first : first + usable]):
                if count:
                    rows.append((low, low + count, unit))
            at = end
        self._rows = sorted(rows)
        self._starts = [row[0] for row in self._rows]

    def units(self, address: int) -> set[int]:
        at = bisect_right(self._starts, address) - 1
        found: set[int] = set()
        # Ranges do not overlap, but for what a link editor folded: those start at one place.
        while at >= 0 and (not found or self._starts[at] == self._starts[at + 1]):
            low, high, unit = self._rows[at]
            if not low <= address < high:
                break
            found.add(unit)
            at -= 1
        return found


class UnitIndex:
    """.debug_cu_index: where the parts of each unit lie in a package of split units (.dwp)."""

    def __init__(self, data: bytes, order: str) -> None:
        self._rows: dict[int, dict[str, int]] = {}
        if not data:
            return
        reader = Reader(data, order)
        columns, _, slots = (reader.u32(at) for at in (4, 8, 12))
        hashes = 16
        rows = hashes + slots * 8
        kinds = rows + slots * 4
        for slot in range(slots):
            row = reader.u32(rows + slot * 4)
            if row:
                number = reader.u64(hashes + slot * 8)
                self._rows[number] = {
                    _PARTS.get(reader.u32(kinds + c * 4), ""): reader.u32(
                        kinds + (row * columns + c) * 4
                    )
                    for c in range(columns)
                }

    def offset(self, number: int, kind: str) -> int | None:
        row = self._rows.get(number)
        return row.get(kind) if row is not None else None
