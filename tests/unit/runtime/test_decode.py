"""Every type from its bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.types import (
    BOOL,
    I8,
    I16,
    I32,
    I64,
    KSYM,
    NONE,
    U8,
    U16,
    U32,
    U64,
    USYM,
    Aggregate,
    Array,
    Buf,
    Enum,
    EnumDef,
    Field,
    Opaque,
    Printable,
    Ptr,
    Record,
    Stack,
    Str,
    StructDef,
    Tuple,
    Type,
)
from pytrace.model.values import (
    Average,
    Buffer,
    EnumValue,
    Histogram,
    Pointer,
    StackTrace,
    Stats,
    StructValue,
    Text,
)
from tests.unit.runtime.machine import codecs

COLORS = EnumDef(name="color", bits=32, signed=False, values=(("RED", 0), ("BLUE", 2)))


def decode(type_: Type, raw: bytes, structs: tuple[StructDef, ...] = ()) -> Any:
    assert len(raw) == type_.size
    row = codecs(structs, (COLORS,)).row([type_], [8])
    return row.unpacker()(memoryview(b"\xee" * 8 + raw), 0)[0]


@pytest.mark.parametrize(
    ("type_", "raw", "value"),
    [
        (I8, b"\xff", -1),
        (U8, b"\xff", 255),
        (I16, struct.pack("=h", -300), -300),
        (U16, struct.pack("=H", 65535), 65535),
        (I32, struct.pack("=i", -5), -5),
        (U32, struct.pack("=I", 1 << 31), 1 << 31),
        (I64, struct.pack("=q", -1), -1),
        (U64, struct.pack("=Q", (1 << 64) - 1), (1 << 64) - 1),
        (BOOL, b"\x01", True),
        (BOOL, b"\x00", False),
        (Str(length=8), b"abc\0xyz\0", "abc"),
        (Str(length=4), b"\0\0\0\0", ""),
        (Str(length=4), b"abcd", "abcd.."),
        (Str(length=4), b"\xffab\0", "\udcffab"),
        (Buf(length=4), struct.pack("=I", 2) + b"abcd", Buffer(b"ab")),
        (Buf(length=4), struct.pack("=I", 9) + b"abcd", Buffer(b"abcd")),
        (Ptr(to=I8), struct.pack("=Q", 1 << 63), Pointer(1 << 63)),
        (Array(elem=I32, count=3), struct.pack("=3i", 1, -2, 3), [1, -2, 3]),
        (Array(elem=Str(length=2), count=2), b"a\0b\0", ["a", "b"]),
        (Array(elem=Array(elem=U8, count=2), count=2), b"\1\2\3\4", [[1, 2], [3, 4]]),
        (Array(elem=BOOL, count=2), b"\1\0", [True, False]),
        (Tuple(elems=(I8, I64)), struct.pack("=b7xq", 1, 2), (1, 2)),
        (
            Tuple(elems=(I32, Tuple(elems=(Str(length=4), U8)))),
            struct.pack("=i4sB3x", 5, b"ab", 7)[: Tuple(elems=(I32, Str(length=4), U8)).size],
            (5, ("ab", 7)),
        ),
        (KSYM, struct.pack("=Q", 0xAB), Text("k_ab")),
        (USYM, struct.pack("=QI4x", 0xAB, 7), Text("u_ab_7")),
    ],
)
def test_values(type_: Type, raw: bytes, value: Any) -> None:
    decoded = decode(type_, raw.ljust(type_.size, b"\0"))
    assert decoded == value
    assert type(decoded) is type(value)


def test_nothing_is_none() -> None:
    assert decode(NONE, b"") is None


@pytest.mark.parametrize(("number", "name"), [(2, "BLUE"), (0, "RED"), (1, None)])
def test_enums_carry_their_name(number: int, name: str | None) -> None:
    decoded = decode(Enum(name="color"), struct.pack("=I", number))
    assert isinstance(decoded, EnumValue)
    assert (int(decoded), decoded.name) == (number, name)


def test_the_first_of_two_names_of_one_value_counts() -> None:
    twins = EnumDef(name="e", bits=8, signed=True, values=(("A", -1), ("B", -1)))
    row = codecs((), (twins,)).row([Enum(name="e", bits=8, signed=True)], [0])
    assert row.unpacker()(b"\xff", 0)[0].name == "A"


def test_records_and_structs_have_names() -> None:
    record = decode(
        Record(names=("a", "b"), elems=(I8, Str(length=3))), b"\x05hi\0".ljust(4, b"\0")
    )
    assert (record.names, record.values) == (("a", "b"), (5, "hi"))
    point = StructDef(
        kind="struct",
        name="point",
        size=12,
        fields=(Field(name="x", type=I32, offset=0), Field(name="y", type=I64, offset=4)),
    )
    value = decode(point.type, struct.pack("=iq", -1, 9), (point,))
    assert isinstance(value, StructValue)
    assert (value.names, value.values) == (("x", "y"), (-1, 9))


def test_members_of_a_union_overlap() -> None:
    union = StructDef(
        kind="union",
        name="u",
        size=4,
        fields=(Field(name="i", type=I32, offset=0), Field(name="c", type=I8, offset=0)),
    )
    assert decode(union.type, struct.pack("=i", 65), (union,)).values == (65, 65)


def test_a_struct_without_definition_is_an_error() -> None:
    missing = StructDef(kind="struct", name="gone", size=4, fields=())
    with pytest.raises(TypeError, match="struct gone"):
        decode(missing.type, bytes(4))


@pytest.mark.parametrize(
    ("type_", "shift", "size", "word", "value"),
    [
        (U32, 0, 3, 0b101, 5),
        (U32, 3, 4, 0b0101_110, 5),
        (I32, 0, 3, 0b110, -2),
        (I32, 3, 4, 0b1000_111, -8),
        (I32, 7, 1, 0x80, -1),
        (U64, 30, 10, 0x3FF << 30, 0x3FF),
    ],
)
def test_bit_fields(type_: Type, shift: int, size: int, word: int, value: int) -> None:
    bits = StructDef(
        kind="struct",
        name="bits",
        size=8,
        fields=(Field(name="f", type=type_, offset=0, bit_offset=shift, bit_size=size),),
    )
    raw = word.to_bytes(8, "little")
    assert decode(bits.type, raw, (bits,)).values == (value,)


def test_stacks_are_shown_by_the_environment() -> None:
    stack = Stack(user=True, mode="bpftrace", limit=3)
    raw = struct.pack("=iI3Q", 2, 7, 0xA, 0xB, 0xEE)
    assert isinstance(decode(stack, raw), StackTrace)
    assert decode(stack, raw).lines == ("7:a", "7:b")
    assert decode(stack, struct.pack("=iI3Q", -14, 7, 1, 1, 1)).lines == ()


def test_printables_are_shown_by_their_builtin(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    module = ModuleType("pytrace.builtins.shown")

    def show(raw: bytes, static: tuple[str, ...], env: Any) -> str:
        if raw == b"\0\0":
            raise ValueError("no time")
        return f"{static[0]}:{raw.hex()}"

    module.SHOWS = {"thing": show}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytrace.builtins.shown", module)
    thing = Printable(kind="thing", bytes=2, show="shown:thing", static=("%H",))
    assert decode(thing, b"\1\2") == Text("%H:0102")
    assert decode(thing, b"\0\0") == Text("!{no time}")


@pytest.mark.parametrize(
    ("kind", "signed", "words", "value"),
    [
        ("count", False, (5,), 5),
        ("sum", True, ((1 << 64) - 3,), -3),
        ("sum", False, ((1 << 64) - 3,), (1 << 64) - 3),
        ("min", True, ((1 << 64) - 3, 1), -3),
        ("avg", True, ((1 << 64) - 7, 2), Average(-3)),
        ("avg", True, (0, 0), Average(0)),
    ],
)
def test_aggregates(kind: str, signed: bool, words: tuple[int, ...], value: int) -> None:
    decoded = decode(Aggregate(kind=kind, signed=signed), struct.pack(f"={len(words)}Q", *words))
    assert decoded == value
    assert type(decoded) is type(value)


def test_aggregates_with_several_numbers() -> None:
    stats = decode(Aggregate(kind="stats", signed=True), struct.pack("=qQ", -31, 2))
    assert isinstance(stats, Stats)
    assert (stats.count, stats.average, stats.total) == (2, -15, -31)
    histogram = decode(
        Aggregate(kind="lhist", signed=True, params=(0, 10, 5)), struct.pack("=4Q", 0, 3, 0, 1)
    )
    assert isinstance(histogram, Histogram)
    assert histogram.counts == (0, 3, 0, 1)


def test_rows_keep_the_order_of_the_fields() -> None:
    row = codecs().row([U8, Str(length=3), I32], [6, 0, 8])
    assert row.unpacker()(struct.pack("=3s3xBxi", b"hi", 7, -1), 0) == (7, "hi", -1)


def test_a_record_may_be_cut_behind_its_last_zero() -> None:
    unpack = codecs().row([U32, Str(length=64)], [8, 12]).unpacker()
    ring = memoryview(struct.pack("=8xI", 5) + b"abc\0" + b"next record".ljust(80, b"\xee"))
    assert unpack(ring, 0) == (5, "abc")


def test_types_that_never_leave_the_kernel_are_refused() -> None:
    class Secret(Type):
        size = 8

        def __str__(self) -> str:
            return "secret_t"

    with pytest.raises(TypeError, match="values of type secret_t are not decoded"):
        codecs().codec(Secret())


@given(st.tuples(st.integers(-128, 127), st.integers(0, 1 << 32), st.text(max_size=5)))
def test_tuples_round_trip(values: tuple[int, int, str]) -> None:
    small, large, text = values
    raw_text = text.encode().partition(b"\0")[0]
    if len(raw_text) >= 20:
        return
    type_ = Tuple(elems=(I8, U64, Str(length=20)))
    raw = struct.pack("=b7xQ20s4x", small, large, raw_text)
    assert decode(type_, raw) == (small, large, raw_text.decode())


def test_a_member_that_the_language_has_no_values_for_is_none() -> None:
    fields = (
        Field(name="i", type=I32, offset=0),
        Field(name="f", type=Opaque(bytes=4), offset=4),
        Field(name="a", type=Array(elem=Opaque(bytes=8), count=2), offset=8),
    )
    definition = StructDef(kind="struct", name="s", size=24, fields=fields)
    value = codecs([definition]).codec(definition.type).value(struct.pack("=iI2Q", -3, 1, 2, 3))
    assert value.values == (-3, None, [None, None])
