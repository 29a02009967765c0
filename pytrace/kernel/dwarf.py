"""Reads DWARF debug information, versions 2 to 5, split or not: units, entries, attributes. Pure.

Only what is asked for is decoded: a function is found by its address, through .debug_aranges if
there is one, and then in its unit. Layouts are those of the DWARF standard (dwarfstd.org, version
5, chapter 7) and of GNU's extensions for split files of version 4.
"""

from __future__ import annotations

from pytrace.kernel import dwarf_forms as forms
from pytrace.kernel.dwarf_forms import DwarfError
from pytrace.kernel.dwarf_ranges import listed_ranges, paired_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final, Protocol

    from pytrace.kernel.dwarf_forms import Abbrev, Value

    class Sections(Protocol):
        """Contents of sections by name; a dict will do."""

        def __contains__(self, name: object, /) -> bool: ...
        def get(self, name: str, default: bytes, /) -> bytes: ...

    FindSplit = Callable[[str, str, int], "DwarfFile | None"]
    """The split file for (name, directory of the compilation, id of the unit)."""

# Tags (DW_TAG_*) that readers of this module name.
ARRAY_TYPE: Final = 0x01
CLASS_TYPE: Final = 0x02
ENUMERATION_TYPE: Final = 0x04
FORMAL_PARAMETER: Final = 0x05
MEMBER: Final = 0x0D
POINTER_TYPE: Final = 0x0F
REFERENCE_TYPE: Final = 0x10
COMPILE_UNIT: Final = 0x11
STRUCTURE_TYPE: Final = 0x13
SUBROUTINE_TYPE: Final = 0x15
TYPEDEF: Final = 0x16
UNION_TYPE: Final = 0x17
UNSPECIFIED_PARAMETERS: Final = 0x18
INHERITANCE: Final = 0x1C
SUBRANGE_TYPE: Final = 0x21
BASE_TYPE: Final = 0x24
CONST_TYPE: Final = 0x26
ENUMERATOR: Final = 0x28
SUBPROGRAM: Final = 0x2E
VOLATILE_TYPE: Final = 0x35
RESTRICT_TYPE: Final = 0x37
NAMESPACE: Final = 0x39
UNSPECIFIED_TYPE: Final = 0x3B
RVALUE_REFERENCE_TYPE: Final = 0x42
ATOMIC_TYPE: Final = 0x47

# Attributes (DW_AT_*).
SIBLING: Final = 0x01
NAME: Final = 0x03
BYTE_SIZE: Final = 0x0B
STMT_LIST: Final = 0x10
LOW_PC: Final = 0x11
HIGH_PC: Final = 0x12
COMP_DIR: Final = 0x1B
CONST_VALUE: Final = 0x1C
UPPER_BOUND: Final = 0x2F
ABSTRACT_ORIGIN: Final = 0x31
ARTIFICIAL: Final = 0x34
COUNT: Final = 0x37
DATA_MEMBER_LOCATION: Final = 0x38
DECLARATION: Final = 0x3C
ENCODING: Final = 0x3E
SPECIFICATION: Final = 0x47
TYPE: Final = 0x49
DATA_BIT_OFFSET: Final = 0x6B
BIT_OFFSET: Final = 0x0C
BIT_SIZE: Final = 0x0D
RANGES: Final = 0x55
SIGNATURE: Final = 0x69
STR_OFFSETS_BASE: Final = 0x72
ADDR_BASE: Final = 0x73
LANGUAGE: Final = 0x13
RNGLISTS_BASE: Final = 0x74
DWO_NAME: Final = 0x76
GNU_DWO_NAME: Final = 0x2130
GNU_DWO_ID: Final = 0x2131
GNU_RANGES_BASE: Final = 0x2132
GNU_ADDR_BASE: Final = 0x2133

_CPP: Final = (0x04, 0x1A, 0x21, 0x2B)
"""DW_LANG_C_plus_plus and its later standards."""

_TYPE_UNIT: Final = 2
_SKELETON: Final = 4
_SPLIT_COMPILE: Final = 5
_SPLIT_TYPE: Final = 6
_CONTAINERS: Final = (COMPILE_UNIT, NAMESPACE, CLASS_TYPE, STRUCTURE_TYPE)


class Die:
    """A debugging information entry. ``at`` is its offset among the unit's section."""

    __slots__ = ("abbrev", "at", "attributes", "end", "unit")

    def __init__(self, unit: Unit, at: int) -> None:
        self.unit = unit
        self.at = at
        self.abbrev, self.attributes, self.end = unit.decode(at)

    @property
    def tag(self) -> int:
        return self.abbrev.tag

    def value(self, attribute: int) -> Value | None:
        return self.attributes.get(attribute)

    def number(self, attribute: int) -> int | None:
        """A constant, or an address that is one already; None for anything else."""
        found = self.attributes.get(attribute)
        return found if isinstance(found, int) else None

    def name(self) -> str:
        """DW_AT_name, of what this entry completes too; empty without."""
        found = self.attributes.get(NAME)
        if isinstance(found, (bytes, forms.Indexed)):
            return self.unit.text(found)
        origin = self.origin()
        return origin.name() if origin is not None else ""

    def refer(self, attribute: int) -> Die | None:
        """The entry that an attribute refers to."""
        found = self.attributes.get(attribute)
        return self.unit.follow(found) if isinstance(found, forms.Reference) else None

    def origin(self) -> Die | None:
        """The declaration or abstract function that this entry stands for."""
        return self.refer(SPECIFICATION) or self.refer(ABSTRACT_ORIGIN)

    def address(self, attribute: int) -> int | None:
        found = self.attributes.get(attribute)
        return (
            self.unit.address(found) if isinstance(found, forms.Indexed) else self.number(attribute)
        )

    def children(self) -> Iterator[Die]:
        if not self.abbrev.children:
            return
        at = self.end
        while True:
            if self.unit.is_null(at):
                return
            child = Die(self.unit, at)
            yield child
            at = child.after()

    def after(self) -> int:
        """Where the next entry of the same level lies."""
        if not self.abbrev.children:
            return self.end
        sibling = self.attributes.get(SIBLING)
        if isinstance(sibling, forms.Reference) and sibling.kind == forms.IN_UNIT:
            return self.unit.at + sibling.value
        at = self.end
        while not self.unit.is_null(at):
            at = Die(self.unit, at).after()
        return at + 1


class Unit:
    """A compilation or type unit. ``at`` and ``end`` bound it in its section."""

    def __init__(self, file: DwarfFile, section: str, at: int, number: int = 0) -> None:
        self.file = file
        self.at = at
        self.data = data = file.section(section)
        self.skeleton: Unit | None = None
        self.reader = forms.Reader(data, file.order)
        length, start = self.reader.initial_length(at)
        self.wide = start - at == 12
        self.end = start + length
        self.version = self.reader.u16(start)
        if self.end > len(data) or not 2 <= self.version <= 5:
            raise DwarfError(f"unknown unit at {at:#x} of {section}")
        self.id = number
        self.kind = _TYPE_UNIT if section.startswith(".debug_types") else 1
        size = 8 if self.wide else 4
        if self.version >= 5:
            self.kind, self.address_size = data[start + 2], data[start + 3]
            abbrevs, self.top = self.reader.offset(start + 4, size), start + 4 + size
            if self.kind in (_SKELETON, _SPLIT_COMPILE, _TYPE_UNIT, _SPLIT_TYPE):
                self.id = self.reader.u64(self.top)
                self.top += 8
            if self.kind in (_TYPE_UNIT, _SPLIT_TYPE):
                self.top += size
        else:
            abbrevs = self.reader.offset(start + 2, size)
            self.address_size, self.top = data[start + 2 + size], start + 3 + size
            if self.kind == _TYPE_UNIT:
                self.id = self.reader.u64(self.top)
                self.top += 8 + size
        self.abbrevs = file.abbrevs(abbrevs + file.base_of(self.id, forms.ABBREV))
        self._root: Die | None = None
        self._scopes: dict[int, str] | None = None
        self._functions: dict[int, int] | None = None

    @property
    def is_type_unit(self) -> bool:
        return self.kind in (_TYPE_UNIT, _SPLIT_TYPE)

    def root(self) -> Die:
        if self._root is None:
            self._root = Die(self, self.top)
        return self._root

    def is_null(self, at: int) -> bool:
        """True at the end of a list of children, and at the unit's end."""
        return at >= self.end or self.data[at] == 0

    def decode(self, at: int) -> tuple[Abbrev, dict[int, Value], int]:
        """(form of the entry, its attributes, where it ends)."""
        code, at = self.reader.uleb(at)
        abbrev = self.abbrevs.get(code)
        if abbrev is None:
            raise DwarfError(f"there is no abbreviation {code}")
        attributes: dict[int, Value] = {}
        for attribute, form, constant in abbrev.attributes:
            attributes[attribute], at = self.reader.value(form, at, constant, self)
        return abbrev, attributes, at

    def function(self, address: int) -> Die | None:
        """The function that starts at an address, at any depth of namespaces and classes."""
        if self._functions is None:
            self._functions = {}
            pending = [self.root()]
            while pending:
                for child in pending.pop().children():
                    if child.tag == SUBPROGRAM:
                        for start in self._starts(child):
                            self._functions.setdefault(start, child.at)
                    elif child.tag in _CONTAINERS:
                        pending.append(child)
        at = self._functions.get(address)
        return Die(self, at) if at is not None else None

    def _starts(self, die: Die) -> Iterator[int]:
        """Where the pieces of a function's code start."""
        low = die.address(LOW_PC)
        if low is not None:
            yield low
        elif RANGES in die.attributes:
            for start, _ in self._ranges(die):
                yield start

    def _ranges(self, die: Die) -> Iterator[tuple[int, int]]:
        where = die.number(RANGES) or 0
        base = (self.skeleton or self).root().address(LOW_PC) or 0
        size, order = self.address_size, self.file.order
        if self.version < 5:
            main = (self.skeleton or self).file  # split units have their ranges there
            if self.skeleton is not None:
                where += self.skeleton.root().number(GNU_RANGES_BASE) or 0
            yield from paired_ranges(main.section(".debug_ranges"), order, where, size, base)
            return
        table = self.file.section(".debug_rnglists")
        if die.abbrev.form_of(RANGES) == forms.RNGLISTX:
            where = self._listed(table, where)
        yield from listed_ranges(table, order, where, size, base, self._numbered_address)

    def _listed(self, table: bytes, number: int) -> int:
        """Where the list with a number lies in .debug_rnglists."""
        size = 8 if self.wide else 4
        base = self.root().number(RNGLISTS_BASE)
        if base is None:
            base = self.file.base_of(self.id, forms.RANGE_LISTS) + (20 if self.wide else 12)
        return base + forms.Reader(table, self.file.order).offset(base + number * size, size)

    def _numbered_address(self, number: int) -> int:
        return self.address(forms.Indexed(section=".debug_addr", index=number)) or 0

    def scopes(self) -> dict[int, str]:
        """The namespace or class of each entry within one: ``ns::Box::`` by the entry's place."""
        if self._scopes is None:
            self._scopes = {}
            pending = [(self.root(), "")]
            while pending:
                parent, scope = pending.pop()
                for child in parent.children():
                    if scope:
                        self._scopes[child.at] = scope
                    if child.tag in _CONTAINERS:
                        pending.append((child, f"{scope}{child.name() or '(anonymous)'}::"))
        return self._scopes

    @property
    def is_cpp(self) -> bool:
        return self.root().number(LANGUAGE) in _CPP

    def follow(self, reference: forms.Reference) -> Die | None:
        if reference.kind == forms.IN_UNIT:
            return Die(self, self.at + reference.value)
        if reference.kind == forms.IN_FILE:
            return self.file.at(reference.value)
        if reference.kind == forms.SIGNATURE:
            return self.file.type_of(reference.value)
        other = self.file.alternate
        return other.at(reference.value) if other is not None else None

    def text(self, value: bytes | forms.Indexed) -> str:
        """A string, or one that is named by its number or place in another section."""
        if isinstance(value, forms.Indexed):
            file = self.file
            if value.section == forms.ALT_STRINGS:
                found = file.alternate.string(".debug_str", value.index) if file.alternate else b""
            elif value.section == forms.STRING_INDEX:
                found = file.indexed_string(self._string_base(), value.index, self.wide)
            else:
                found = file.string(value.section, value.index)
        else:
            found = value
        return found.decode("utf-8", "replace")

    def _string_base(self) -> int:
        if self.file.split:
            base = self.file.base_of(self.id, forms.STRING_OFFSETS)
            header = 16 if self.wide else 8
            return base + (header if self.version >= 5 else 0)
        found = self.root().number(STR_OFFSETS_BASE)
        return found if found is not None else 8

    def address(self, value: forms.Indexed) -> int | None:
        """An address by its number; those of a split unit are in the main file."""
        unit = self.skeleton or self
        root = unit.root()
        base = root.number(ADDR_BASE)
        if base is None:
            base = root.number(GNU_ADDR_BASE) or 0
        at = base + value.index * self.address_size
        table = unit.file.section(".debug_addr")
        if at + self.address_size > len(table):
            return None
        return forms.Reader(table, unit.file.order).unsigned(at, self.address_size)


class DwarfFile:
    """The debug information of one file. ``sections`` holds the contents of its .debug_* ones.

    ``find_split`` opens the files that skeleton units name; ``alternate`` is the file that dwz
    moved common entries to. Raises ``DwarfError`` for what the standard forbids.
    """

    def __init__(
        self,
        sections: Sections,
        order: str,
        find_split: FindSplit | None = None,
        alternate: DwarfFile | None = None,
    ) -> None:
        self.order = order
        self.alternate = alternate
        self.split = ".debug_info.dwo" in sections
        self._sections = sections
        self._find_split = find_split
        self._abbrevs: dict[int, dict[int, Abbrev]] = {}
        self._units: list[Unit] | None = None
        self._signatures: dict[int, Unit] | None = None
        self._by_address: forms.AddressTable | None = None
        self._by_offset: dict[int, Unit] = {}
        self._whole: dict[int, Unit] = {}
        self._packed = forms.UnitIndex(sections.get(".debug_cu_index", b""), order)

    def section(self, name: str) -> bytes:
        return self._sections.get(f"{name}.dwo" if self.split else name, b"")

    def units(self) -> list[Unit]:
        """All units, in the order of the file."""
        if self._units is None:
            self._units = []
            for section in (".debug_info", ".debug_types"):
                at, size = 0, len(self.section(section))
                while at + 11 < size:
                    unit = (
                        self._unit_at(at) if section == ".debug_info" else Unit(self, section, at)
                    )
                    self._units.append(unit)
                    at = unit.end
        return self._units

    def function(self, address: int) -> Die | None:
        """The function that starts at an address of the file."""
        for unit in self._units_around(address):
            found = self._split_of(unit).function(address)
            if found is not None:
                return found
        return None

    def _units_around(self, address: int) -> list[Unit]:
        """The units that may hold code for an address, best first."""
        if self._by_address is None:
            self._by_address = forms.AddressTable(self.section(".debug_aranges"), self.order)
        known = self._by_address.units(address)
        if known:
            return [self._unit_at(at) for at in sorted(known)]
        return [u for u in self.units() if not u.is_type_unit and _may_hold(u, address)]

    def _unit_at(self, at: int) -> Unit:
        known = self._by_offset.get(at)
        if known is None:
            known = self._by_offset[at] = Unit(self, ".debug_info", at)
        return known

    def _split_of(self, unit: Unit) -> Unit:
        """The unit with the entries, if another file holds them."""
        known = self._whole.get(unit.at)
        if known is None:
            known = self._whole[unit.at] = self._find_whole(unit)
        return known

    def _find_whole(self, unit: Unit) -> Unit:
        root = unit.root()
        name = root.value(DWO_NAME) or root.value(GNU_DWO_NAME)
        if not isinstance(name, (bytes, forms.Indexed)) or self._find_split is None:
            return unit
        directory = root.value(COMP_DIR)
        where = unit.text(directory) if isinstance(directory, (bytes, forms.Indexed)) else ""
        number = unit.id or root.number(GNU_DWO_ID) or 0
        file = self._find_split(unit.text(name), where, number)
        found = file.unit_of(number) if file is not None else None
        if found is None:
            return unit
        found.skeleton = unit
        return found

    def unit_of(self, number: int) -> Unit | None:
        """The unit of a split file with that id; in a file with one unit, that one."""
        start = self._packed.offset(number, forms.INFO)
        if start is not None:
            return Unit(self, ".debug_info", start, number)
        units = [u for u in self.units() if not u.is_type_unit]
        return next((u for u in units if u.id == number), units[0] if len(units) == 1 else None)

    def at(self, offset: int) -> Die | None:
        """The entry at an offset of .debug_info."""
        found = next((u for u in self.units() if u.top <= offset < u.end), None)
        return Die(found, offset) if found is not None else None

    def type_of(self, signature: int) -> Die | None:
        """The type that a type unit holds."""
        if self._signatures is None:
            self._signatures = {u.id: u for u in self.units() if u.is_type_unit}
        unit = self._signatures.get(signature)
        return next(unit.root().children(), None) if unit is not None else None

    def abbrevs(self, offset: int) -> dict[int, Abbrev]:
        known = self._abbrevs.get(offset)
        if known is None:
            data = self.section(".debug_abbrev")
            known = self._abbrevs[offset] = forms.read_abbrevs(data, offset, self.order)
        return known

    def string(self, section: str, at: int) -> bytes:
        data = self.section(section)
        return data[at : data.find(b"\0", at)] if at < len(data) else b""

    def indexed_string(self, base: int, index: int, wide: bool) -> bytes:
        size = 8 if wide else 4
        table = self.section(".debug_str_offsets")
        at = base + index * size
        if at + size > len(table):
            return b""
        return self.string(".debug_str", forms.Reader(table, self.order).offset(at, size))

    def base_of(self, unit_id: int, kind: str) -> int:
        """Where a unit's part of a section begins in a package of split units, else 0."""
        return self._packed.offset(unit_id, kind) or 0


def _may_hold(unit: Unit, address: int) -> bool:
    """False if the unit's one range of code excludes an address."""
    root = unit.root()
    low, high = root.address(LOW_PC), root.value(HIGH_PC)
    if low is None or not isinstance(high, int) or not high:
        return True
    end = high if root.abbrev.form_of(HIGH_PC) == forms.ADDR else low + high
    return low <= address < end


__all__ = ["Die", "DwarfError", "DwarfFile", "Unit"]
