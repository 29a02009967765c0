"""The DWARF reader on units made entry by entry."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.kernel import dwarf
from pytrace.kernel.dwarf import DwarfError, DwarfFile
from pytrace.kernel.dwarf_forms import AddressTable, Reader, UnitIndex
from pytrace.kernel.dwarf_text import function_text
from pytrace.kernel.info import FuncText
from tests.unit.kernel.dwarfs import (
    ADDR,
    ADDRX,
    DATA1,
    DATA4,
    FLAG_PRESENT,
    REF4,
    SEC_OFFSET,
    STRING,
    STRP,
    STRX1,
    Entry,
    UnitBytes,
    code,
    named,
    typed,
    uleb,
)

C_LANGUAGE = (dwarf.LANGUAGE, DATA1, 0x1D)
CPP_LANGUAGE = (dwarf.LANGUAGE, DATA1, 0x21)


def base(name: str) -> Entry:
    return named(dwarf.BASE_TYPE, name, (dwarf.BYTE_SIZE, DATA1, 4))


def pointer(to: Entry | None = None, tag: int = dwarf.POINTER_TYPE) -> Entry:
    return Entry(tag, *([typed(to)] if to is not None else []))


def parameter(name: str, kind: Entry) -> Entry:
    return named(dwarf.FORMAL_PARAMETER, name, typed(kind))


def unit(*children: Entry, attributes: tuple[tuple[int, int, object], ...] = ()) -> Entry:
    return Entry(
        dwarf.COMPILE_UNIT, C_LANGUAGE, *attributes, *code(0x1000, 0x1000), children=children
    )


def opened(root: Entry, version: int = 5, **more: bytes) -> DwarfFile:
    return DwarfFile(UnitBytes(root, version).sections("", **more), "<")


def text_at(file: DwarfFile, address: int) -> FuncText:
    die = file.function(address)
    assert die is not None
    return function_text(die)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_function_is_found_by_its_address(version: int) -> None:
    number = base("int")
    main = named(
        dwarf.SUBPROGRAM, "main", *code(0x1010), typed(number),
        children=(parameter("argc", number), parameter("argv", pointer(pointer(number)))),
    )  # fmt: skip
    # Entries that only others refer to must be in the tree, too.
    argv = main.children[1].attributes[1][2]
    assert isinstance(argv, Entry)
    inner = argv.attributes[0][2]
    assert isinstance(inner, Entry)
    other = named(dwarf.SUBPROGRAM, "other", *code(0x1100))
    file = opened(unit(other, number, inner, argv, main), version)
    assert text_at(file, 0x1010) == FuncText(
        params=(("int", "argc"), ("int**", "argv")), returns="int"
    )
    assert text_at(file, 0x1100) == FuncText(params=(), returns="void")
    assert file.function(0x1011) is None
    assert file.function(0x5000) is None


def shown(kind: Entry, *more: Entry, language: tuple[int, int, object] = C_LANGUAGE) -> str:
    """How the type of a parameter is shown; ``more`` are the entries that it is made of."""
    function = named(dwarf.SUBPROGRAM, "f", *code(0x1000), children=(parameter("x", kind),))
    root = Entry(dwarf.COMPILE_UNIT, language, *code(0x1000), children=(*more, kind, function))
    return text_at(opened(root), 0x1000).params[0][0]


def test_pointers_and_qualifiers() -> None:
    char = base("char")
    constant = pointer(char, dwarf.CONST_TYPE)
    to_constant = pointer(constant)
    assert shown(to_constant, char, constant) == "const char*"
    assert shown(pointer(to_constant, dwarf.CONST_TYPE), char, constant, to_constant) == (
        "const char* const"
    )
    assert shown(pointer()) == "void*"
    volatile = pointer(char, dwarf.VOLATILE_TYPE)
    assert shown(pointer(volatile), char, volatile) == "volatile char*"
    assert shown(pointer(char, dwarf.REFERENCE_TYPE), char) == "char&"


def test_structs_enums_and_names() -> None:
    struct_type = named(dwarf.STRUCTURE_TYPE, "sock")
    assert shown(pointer(struct_type), struct_type) == "struct sock*"
    assert shown(named(dwarf.UNION_TYPE, "u")) == "union u"
    assert shown(named(dwarf.ENUMERATION_TYPE, "e")) == "enum e"
    assert shown(named(dwarf.TYPEDEF, "size_t")) == "size_t"
    anonymous = Entry(dwarf.STRUCTURE_TYPE)
    assert shown(pointer(anonymous), anonymous) == "struct <anonymous>*"
    assert shown(Entry(dwarf.MEMBER)) == "<unknown type>"


def test_functions_and_arrays() -> None:
    number = base("int")
    call = Entry(
        dwarf.SUBROUTINE_TYPE, typed(number),
        children=(
            Entry(dwarf.FORMAL_PARAMETER, typed(number)),
            Entry(dwarf.UNSPECIFIED_PARAMETERS),
        ),
    )  # fmt: skip
    assert shown(pointer(call), number, call) == "int (*)(int, ...)"
    rows = Entry(
        dwarf.ARRAY_TYPE, typed(number),
        children=(
            Entry(dwarf.SUBRANGE_TYPE, (dwarf.UPPER_BOUND, DATA1, 2)),
            Entry(dwarf.SUBRANGE_TYPE, (dwarf.COUNT, DATA1, 5)),
        ),
    )  # fmt: skip
    assert shown(pointer(rows), number, rows) == "int (*)[3][5]"
    nothing = Entry(dwarf.SUBROUTINE_TYPE)
    back = pointer(nothing)
    assert shown(back, nothing) == "void (*)(void)"


def test_cpp_names_have_their_scope() -> None:
    box = named(dwarf.CLASS_TYPE, "Box")
    space = named(dwarf.NAMESPACE, "ns", children=(box,))
    assert shown(pointer(box), space, language=CPP_LANGUAGE) == "ns::Box*"


def test_a_definition_takes_names_and_types_from_its_declaration() -> None:
    number = base("int")
    argument = parameter("count", number)
    declared = named(
        dwarf.SUBPROGRAM, "method", typed(number), (dwarf.DECLARATION, FLAG_PRESENT, 1),
        children=(argument,),
    )  # fmt: skip
    box = named(dwarf.CLASS_TYPE, "Box", children=(declared,))
    defined = Entry(
        dwarf.SUBPROGRAM, (dwarf.ABSTRACT_ORIGIN, REF4, declared), *code(0x1040),
        children=(Entry(dwarf.FORMAL_PARAMETER, (dwarf.ABSTRACT_ORIGIN, REF4, argument)),),
    )  # fmt: skip
    file = opened(unit(number, box, defined))
    assert text_at(file, 0x1040) == FuncText(params=(("int", "count"),), returns="int")
    found = file.function(0x1040)
    assert found is not None and found.name() == "method"


def test_functions_in_namespaces_and_with_split_code() -> None:
    cold = Entry(dwarf.SUBPROGRAM, (dwarf.NAME, STRP, "split"), (dwarf.RANGES, SEC_OFFSET, 4))
    hidden = named(dwarf.SUBPROGRAM, "inner", *code(0x1080))
    space = named(dwarf.NAMESPACE, "ns", children=(hidden,))
    ranges = b"\4" + uleb(0x20) + uleb(0x30) + b"\7" + struct.pack("<Q", 0x9000) + uleb(8) + b"\0"
    lists = opened(unit(space, cold), rnglists=bytes(4) + ranges)
    for address, name in ((0x1080, "inner"), (0x1020, "split"), (0x9000, "split")):
        # The second piece lies outside of the unit's own range: .debug_aranges would tell.
        found = lists.units()[0].function(address)
        assert found is not None and found.name() == name
    pairs = struct.pack("<QQQQQQ", 0x20, 0x30, 2**64 - 1, 0x2000, 0, 0)
    old = opened(unit(cold), 4, ranges=bytes(4) + pairs)
    assert old.units()[0].function(0x1020) is not None


def address_table(*rows: tuple[int, int], at: int = 0) -> bytes:
    body = struct.pack("<HIBB", 2, at, 8, 0) + bytes(4)
    for low, size in (*rows, (0, 0)):
        body += struct.pack("<QQ", low, size)
    return struct.pack("<I", len(body)) + body


def test_units_by_address() -> None:
    data = address_table((0x1000, 0x10), (0x3000, 0x10)) + address_table((0x2000, 8), at=77)
    table = AddressTable(data, "<")
    assert [table.units(a) for a in (0xFFF, 0x1000, 0x100F, 0x1010, 0x2007, 0x3001, 0x9999)] == [
        set(), {0}, {0}, set(), {77}, {0}, set()
    ]  # fmt: skip


def split_pair(number: int = 0x1122) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Sections of a program with a skeleton unit, and of the file with its entries."""
    skeleton = Entry(
        0x4A, (dwarf.DWO_NAME, STRP, "x.dwo"), (dwarf.COMP_DIR, STRP, "/build"),
        (dwarf.ADDR_BASE, SEC_OFFSET, 8), *code(0x1000, 0x100),
    )  # fmt: skip
    addresses = bytes(8) + struct.pack("<QQ", 0x1000, 0x1030)
    main = UnitBytes(skeleton, kind=4, number=number).sections(addr=addresses)
    number_type = Entry(dwarf.BASE_TYPE, (dwarf.NAME, STRX1, 1))
    function = Entry(
        dwarf.SUBPROGRAM, (dwarf.NAME, STRX1, 0), (dwarf.LOW_PC, ADDRX, 1), typed(number_type)
    )
    whole = UnitBytes(
        Entry(dwarf.COMPILE_UNIT, C_LANGUAGE, children=(number_type, function)),
        kind=5, number=number,
    )  # fmt: skip
    strings = b"work\0int\0"
    offsets = struct.pack("<IHHII", 12, 5, 0, 0, 5)
    split = whole.sections(".dwo")
    split.update({".debug_str.dwo": strings, ".debug_str_offsets.dwo": offsets})
    return main, split


def test_split_units() -> None:
    main, split = split_pair()
    asked: list[tuple[str, str, int]] = []

    def find(name: str, directory: str, number: int) -> DwarfFile | None:
        asked.append((name, directory, number))
        return DwarfFile(split, "<")

    die = DwarfFile(main, "<", find).function(0x1030)
    assert asked == [("x.dwo", "/build", 0x1122)]
    assert die is not None and die.name() == "work"
    assert function_text(die) == FuncText(params=(), returns="int")
    assert DwarfFile(main, "<", lambda *_: None).function(0x1030) is None


def test_packages_of_split_units() -> None:
    _, split = split_pair()
    other = UnitBytes(Entry(dwarf.COMPILE_UNIT, C_LANGUAGE), kind=5, number=9)
    columns, units, slots = 3, 2, 4
    hashes = struct.pack("<4Q", 0, 9, 0x1122, 0)
    rows = struct.pack("<4I", 0, 1, 2, 0)
    start = len(other.info)
    table = struct.pack("<3I", 1, 3, 6)
    table += struct.pack("<3I", 0, 0, 0) + struct.pack("<3I", start, len(other.abbrev), 0)
    index = struct.pack("<IIII", 5, columns, units, slots) + hashes + rows + table
    package = {
        ".debug_info.dwo": other.info + split[".debug_info.dwo"],
        ".debug_abbrev.dwo": other.abbrev + split[".debug_abbrev.dwo"],
        ".debug_str.dwo": split[".debug_str.dwo"],
        ".debug_str_offsets.dwo": split[".debug_str_offsets.dwo"],
        ".debug_cu_index": index,
    }
    assert UnitIndex(index, "<").offset(0x1122, "info") == start
    found = DwarfFile(package, "<").unit_of(0x1122)
    assert found is not None
    names = [child.name() for child in found.root().children()]
    assert names == ["int", "work"]
    assert DwarfFile(package, "<").unit_of(0x77) is None


@pytest.mark.parametrize(
    "cut", [b"\xff\xff\xff\x00" + bytes(20), struct.pack("<IHIB", 20, 9, 0, 8) + bytes(20)]
)
def test_broken_units_are_refused(cut: bytes) -> None:
    with pytest.raises(DwarfError):
        DwarfFile({".debug_info": cut, ".debug_abbrev": b"\0"}, "<").function(0x1000)


def test_an_unknown_form_is_refused() -> None:
    root = UnitBytes(Entry(dwarf.COMPILE_UNIT, (dwarf.NAME, STRING, "x")))
    sections = root.sections()
    sections[".debug_abbrev"] = b"\1\x11\0\3\x7f\0\0\0"
    with pytest.raises(DwarfError, match="unknown form 0x7f"):
        DwarfFile(sections, "<").units()[0].root()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_units_end_in_an_answer_or_a_refusal(junk: bytes) -> None:
    good = UnitBytes(unit(named(dwarf.SUBPROGRAM, "f", *code(0x1000))))
    sections = good.sections()
    sections[".debug_info"] = good.info[:11] + junk
    try:
        DwarfFile(sections, "<").function(0x1000)
    except DwarfError:
        return


@given(st.integers(0, 2**64 - 1))
def test_numbers_of_variable_length(value: int) -> None:
    data = uleb(value)
    assert Reader(data, "<").uleb(0) == (value, len(data))


@pytest.mark.parametrize(("data", "value"), [(b"\x7e", -2), (b"\x81\x7f", -127), (b"\x3f", 63)])
def test_signed_numbers(data: bytes, value: int) -> None:
    assert Reader(data, "<").sleb(0) == (value, len(data))


def test_values_of_unused_kinds() -> None:
    """Forms are read past even where nobody asks for their value."""
    root = Entry(
        dwarf.COMPILE_UNIT, (dwarf.LOW_PC, ADDR, 1), (dwarf.HIGH_PC, DATA4, 2),
        (dwarf.COMP_DIR, STRP, "/d"), (dwarf.NAME, STRING, "n"),
    )  # fmt: skip
    die = opened(root).units()[0].root()
    assert (die.number(dwarf.LOW_PC), die.number(dwarf.HIGH_PC), die.name()) == (1, 2, "n")
    directory = die.value(dwarf.COMP_DIR)
    assert not isinstance(directory, int) and directory is not None
