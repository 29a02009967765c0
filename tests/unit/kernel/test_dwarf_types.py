"""Types from debug information, on units made entry by entry."""

from __future__ import annotations

import pytest

from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    U8,
    U64,
    USER,
    VOID,
    Array,
    Enum,
    Field,
    Ptr,
    Str,
    Struct,
    Type,
)
from pytrace.kernel import dwarf
from pytrace.kernel.dwarf import DwarfFile
from pytrace.kernel.dwarf_types import DwarfTypes
from tests.unit.kernel.dwarfs import (
    DATA1,
    EXPRLOC,
    FLAG_PRESENT,
    Entry,
    UnitBytes,
    code,
    named,
    typed,
)


def base(name: str, size: int, encoding: int) -> Entry:
    size_of = (dwarf.BYTE_SIZE, DATA1, size)
    return named(dwarf.BASE_TYPE, name, size_of, (dwarf.ENCODING, DATA1, encoding))


INT, LONG, CHAR = base("int", 4, 5), base("unsigned long", 8, 7), base("char", 1, 6)
BYTE, TRUTH, DOUBLE = base("unsigned char", 1, 8), base("_Bool", 1, 2), base("double", 8, 4)
WIDE, SCHAR = base("__int128", 16, 5), base("signed char", 1, 6)
BASES = (INT, LONG, CHAR, BYTE, TRUTH, DOUBLE, WIDE, SCHAR)


def pointer(to: Entry | None = None, tag: int = dwarf.POINTER_TYPE) -> Entry:
    return Entry(tag, *([typed(to)] if to is not None else []))


def array(elem: Entry, *counts: int) -> Entry:
    ranges = tuple(Entry(dwarf.SUBRANGE_TYPE, (dwarf.UPPER_BOUND, DATA1, c - 1)) for c in counts)
    return Entry(dwarf.ARRAY_TYPE, typed(elem), children=ranges)


def member(name: str, kind: Entry, at: int, *more: tuple[int, int, object]) -> Entry:
    return named(dwarf.MEMBER, name, typed(kind), (dwarf.DATA_MEMBER_LOCATION, DATA1, at), *more)


def struct_of(name: str, size: int, *members: Entry, tag: int = dwarf.STRUCTURE_TYPE) -> Entry:
    size_of = (dwarf.BYTE_SIZE, DATA1, size)
    if not name:
        return Entry(tag, size_of, children=members)
    return named(tag, name, size_of, children=members)


class Read:
    """A function with one parameter of a type; ``parts`` are the entries that it is made of."""

    def __init__(self, kind: Entry, *parts: Entry, taken: tuple[str, ...] = ()) -> None:
        parameter = named(dwarf.FORMAL_PARAMETER, "x", typed(kind))
        function = named(dwarf.SUBPROGRAM, "f", *code(0x1000), children=(parameter,))
        own = () if kind in BASES else (kind,)
        root = Entry(dwarf.COMPILE_UNIT, *code(0x1000), children=(*BASES, *parts, *own, function))
        die = DwarfFile(UnitBytes(root).sections(), "<").function(0x1000)
        assert die is not None
        self.unit = die.unit
        self.types = DwarfTypes(lambda kind, name: name in taken, "app")
        self.proto = self.types.prototype(die, "f")

    @property
    def type(self) -> Type:
        return self.proto.params[0][1]


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (INT, I32),
        (LONG, U64),
        (CHAR, I8),
        (BYTE, U8),
        (TRUTH, BOOL),
        (DOUBLE, Array(elem=U8, count=8)),
        (WIDE, Array(elem=U8, count=16)),
        (pointer(INT), Ptr(to=I32, space=USER)),
        (pointer(), Ptr(to=VOID, space=USER)),
        (pointer(INT, dwarf.REFERENCE_TYPE), Ptr(to=I32, space=USER)),
        (pointer(INT, dwarf.CONST_TYPE), I32),
        (array(CHAR, 16), Str(length=16)),
        (array(SCHAR, 4), Str(length=4)),
        (array(BYTE, 4), Array(elem=U8, count=4)),
        (array(INT, 2, 3), Array(elem=Array(elem=I32, count=3), count=2)),
        (array(CHAR, 2, 8), Array(elem=Str(length=8), count=2)),
    ],
)
def test_types(entry: Entry, kind: Type) -> None:
    assert Read(entry).type == kind


def test_a_function_s_result_and_names() -> None:
    found = Read(INT).proto
    assert (found.name, found.params, found.returns) == ("f", (("x", I32),), VOID)


def test_structs() -> None:
    text = array(CHAR, 8)
    foo = struct_of("Foo", 16, member("a", INT, 0), member("b", text, 4))
    to = pointer(foo)
    read = Read(to, text, foo)
    assert read.type == Ptr(to=Struct(kind="struct", name="Foo", bytes=16), space=USER)
    found = read.types.struct("struct", "Foo")
    assert found is not None
    assert (found.kind, found.name, found.size) == ("struct", "Foo", 16)
    assert found.fields == (
        Field(name="a", type=I32, offset=0),
        Field(name="b", type=Str(length=8), offset=4),
    )
    assert read.types.struct("union", "Foo") is None


def test_anonymous_members_and_base_classes_lie_in_their_place() -> None:
    inner = struct_of("", 8, member("low", INT, 0), member("high", INT, 4))
    either = struct_of("", 8, Entry(dwarf.MEMBER, typed(inner)), member("whole", LONG, 0),
                       tag=dwarf.UNION_TYPE)  # fmt: skip
    parent = struct_of("Parent", 4, member("id", INT, 0))
    inherits = Entry(dwarf.INHERITANCE, typed(parent), (dwarf.DATA_MEMBER_LOCATION, DATA1, 0))
    hidden = Entry(dwarf.MEMBER, typed(either), (dwarf.DATA_MEMBER_LOCATION, DATA1, 8))
    child = struct_of("Child", 16, inherits, hidden, tag=dwarf.CLASS_TYPE)
    found = Read(child, inner, either, parent).types.struct("struct", "Child")
    assert found is not None
    assert [(f.name, f.offset) for f in found.fields] == [
        ("id", 0), ("low", 8), ("high", 12), ("whole", 8)
    ]  # fmt: skip


def test_bit_fields() -> None:
    new = member("new", INT, 0, (dwarf.BIT_SIZE, DATA1, 3), (dwarf.DATA_BIT_OFFSET, DATA1, 37))
    old = member("old", INT, 4, (dwarf.BIT_SIZE, DATA1, 5), (dwarf.BIT_OFFSET, DATA1, 24),
                 (dwarf.BYTE_SIZE, DATA1, 4))  # fmt: skip
    found = Read(struct_of("Bits", 8, new, old)).types.struct("struct", "Bits")
    assert found is not None
    assert found.fields == (
        Field(name="new", type=I32, offset=4, bit_offset=5, bit_size=3),
        Field(name="old", type=I32, offset=4, bit_offset=3, bit_size=5),
    )


def test_places_as_expressions() -> None:
    place = (dwarf.DATA_MEMBER_LOCATION, EXPRLOC, b"\x23\x0c")
    old = named(dwarf.MEMBER, "m", typed(INT), place)
    found = Read(struct_of("Old", 16, old)).types.struct("struct", "Old")
    assert found is not None
    assert found.fields[0].offset == 12


def test_enums() -> None:
    values = tuple(
        named(dwarf.ENUMERATOR, name, (dwarf.CONST_VALUE, DATA1, value))
        for name, value in (("RED", 0), ("BLUE", 2))
    )
    color = named(
        dwarf.ENUMERATION_TYPE, "color", (dwarf.BYTE_SIZE, DATA1, 4), typed(INT), children=values
    )
    read = Read(color)
    assert read.type == Enum(name="color", bits=32, signed=True)
    found = read.types.enum("color")
    assert found is not None
    assert (found.bits, found.signed, found.values) == (32, True, (("RED", 0), ("BLUE", 2)))
    assert read.types.enum("nosuch") is None


def test_declared_structs_and_those_known_by_name_only() -> None:
    opaque = named(dwarf.STRUCTURE_TYPE, "opaque", (dwarf.DECLARATION, FLAG_PRESENT, 1))
    to = pointer(opaque)
    other = struct_of("other", 4, member("n", INT, 0))
    read = Read(to, opaque, other)
    assert read.type == Ptr(to=Struct(kind="struct", name="opaque", bytes=0), space=USER)
    assert read.types.struct("struct", "other") is None
    read.types.read_names(read.unit)
    assert read.types.struct("struct", "other") is not None
    assert read.types.struct("struct", "opaque") is None


def test_names_that_mean_another_type() -> None:
    file = struct_of("file", 4, member("n", INT, 0))
    read = Read(file, taken=("file",))
    assert read.type == Struct(kind="struct", name="file@app", bytes=4)
    assert read.types.struct("struct", "file@app") is not None
    nameless = Read(struct_of("", 4, member("n", INT, 0)))
    assert isinstance(nameless.type, Struct)
    assert nameless.type.name.startswith("anon_")
    assert nameless.types.struct("struct", nameless.type.name) is not None
