"""How types meet (language 3.2, 3.3)."""

from __future__ import annotations

import pytest

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
    VOID,
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    Ptr,
    Record,
    Stack,
    Str,
    Struct,
    Tuple,
    Type,
)
from pytrace.semantics.merge import (
    FlexInt,
    flexible,
    is_condition,
    kind_name,
    loses,
    merge,
    promote,
    settled,
    value_type,
)
from pytrace.semantics.type_ops import literal_type, stepped

LIT8 = FlexInt(bits=8, signed=True)
LIT16 = FlexInt(bits=16, signed=True)
LIT64U = FlexInt(bits=64, signed=False)
COUNT = Aggregate(kind="count", signed=False)
SUM = Aggregate(kind="sum", signed=True)
HIST = Aggregate(kind="hist", signed=True, params=(0,))
COLOR = Enum(name="color")
SHAPE = Enum(name="shape")
TASK = Ptr(to=Struct(kind="struct", name="task_struct", bytes=8), space="kernel")


def pair(*elems: Type) -> Tuple:
    return Tuple(elems=elems)


def record(**fields: Type) -> Record:
    return Record(names=tuple(fields), elems=tuple(fields.values()))


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        # Same sign: the larger size.
        (I8, I32, I32),
        (U16, U64, U64),
        # A literal takes the other's sign.
        (LIT8, U32, U32),
        (LIT16, U8, U16),
        (LIT8, I64, I64),
        (LIT8, LIT16, LIT16),
        (LIT8, LIT64U, LIT64U),
        (LIT64U, I8, I64),
        # A larger signed type holds an unsigned one; otherwise signed of twice the size.
        (I64, U32, I64),
        (I32, U8, I32),
        (I8, U8, I16),
        (I8, U32, I64),
        (I32, U32, I64),
        (I64, U64, I64),
        (I8, U64, I64),
        # Strings and buffers: the larger one.
        (Str(length=3), Str(length=16), Str(length=16)),
        (Buf(length=8), Buf(length=4), Buf(length=8)),
        # Tuples and records by element; records by name, the first order wins.
        (pair(I8, Str(length=2)), pair(I16, Str(length=4)), pair(I16, Str(length=4))),
        (pair(LIT8, pair(U8)), pair(U64, pair(U16)), pair(U64, pair(U16))),
        (record(a=I8, b=U8), record(b=U32, a=I16), record(a=I16, b=U32)),
        # A castable aggregate with an integer is the integer.
        (COUNT, U64, U64),
        (I32, SUM, I32),
        (SUM, Aggregate(kind="sum", signed=False), SUM),
        # Enums become plain integers unless they are the same.
        (COLOR, COLOR, COLOR),
        (COLOR, Enum(name="color", bits=64), Enum(name="color", bits=64)),
        (COLOR, SHAPE, U32),
        (COLOR, I64, I64),
        (COLOR, LIT8, U32),
        # Others.
        (BOOL, BOOL, BOOL),
        (NONE, Str(length=2), Str(length=2)),
        (TASK, TASK, TASK),
        (TASK, Ptr(to=VOID), TASK),
        (Stack(user=False, mode="perf", limit=3), Stack(user=False, mode="perf", limit=9),
         Stack(user=False, mode="perf", limit=9)),
        (Array(elem=U8, count=4), Array(elem=U8, count=4), Array(elem=U8, count=4)),
    ],
)  # fmt: skip
def test_merged(a: Type, b: Type, merged: Type) -> None:
    assert merge(a, b) == merged
    swapped = merge(b, a)
    if isinstance(merged, Record):
        assert isinstance(swapped, Record)
        assert sorted(zip(swapped.names, map(str, swapped.elems))) == sorted(
            zip(merged.names, map(str, merged.elems))
        )
    else:
        assert swapped == merged


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (I8, Str(length=2)),
        (I8, BOOL),
        (U64, TASK),
        (Str(length=8), Buf(length=8)),
        (pair(I8), pair(I8, I8)),
        (pair(I8, I8), pair(I8, Str(length=2))),
        (record(a=I8), record(b=I8)),
        (record(a=I8), pair(I8)),
        (COUNT, SUM),
        (HIST, U64),
        (HIST, Aggregate(kind="hist", signed=True, params=(2,))),
        (TASK, Ptr(to=I32)),
        (KSYM, U64),
        (Stack(user=False, mode="perf", limit=3), Stack(user=True, mode="perf", limit=3)),
        (Stack(user=False, mode="perf", limit=3), Stack(user=False, mode="raw", limit=3)),
        (Array(elem=U8, count=4), Array(elem=U8, count=8)),
    ],
)
def test_not_merged(a: Type, b: Type) -> None:
    assert merge(a, b) is None
    assert merge(b, a) is None


WIDENING = "+*&|^/%"


@pytest.mark.parametrize("op", WIDENING)
@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        (U8, U8, U64),
        (U64, U32, U64),
        (I8, I8, I64),
        (I8, U64, I64),
        (U64, I8, I64),
        (LIT8, U8, U64),
        (U64, LIT16, U64),
        (LIT8, I8, I64),
        (LIT8, LIT16, I64),
        (LIT64U, LIT8, U64),
        (LIT64U, I8, I64),
        (BOOL, BOOL, BOOL),
        (BOOL, U8, U64),
        (BOOL, LIT8, U64),
        (BOOL, I8, I64),
        (COLOR, LIT8, U64),
        (COLOR, I32, I64),
    ],
)
def test_promotion(op: str, a: Type, b: Type, result: Type) -> None:
    assert promote(op, a, b) == result


@pytest.mark.parametrize("a", [U8, U64, I8, LIT8, LIT64U, COLOR])
@pytest.mark.parametrize("b", [U32, I32, LIT8])
def test_subtraction_is_signed(a: Type, b: Type) -> None:
    assert promote("-", a, b) == I64


@pytest.mark.parametrize("op", ["<<", ">>"])
@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        (U8, I64, U64),
        (U64, LIT8, U64),
        (I8, U64, I64),
        (LIT8, U8, U64),
        (LIT8, I8, I64),
        (LIT8, LIT8, I64),
    ],
)
def test_shifts_have_the_left_sign(op: str, a: Type, b: Type, result: Type) -> None:
    assert promote(op, a, b) == result


@pytest.mark.parametrize(
    ("op", "known", "result"),
    [
        ("++", U8, U64),
        ("++", I8, I64),
        ("++", LIT8, I64),
        ("++", COLOR, U64),
        ("--", U8, I64),
        ("--", U64, I64),
        ("++", TASK, TASK),
        ("--", TASK, TASK),
        # No number: what comes out does not fit what is stored, which is then reported.
        ("++", Str(length=2), U64),
        ("--", Str(length=2), I64),
    ],
)
def test_steps(op: str, known: Type, result: Type) -> None:
    assert stepped(op, known) == result


@pytest.mark.parametrize(
    ("source", "target", "warns"),
    [
        (U64, I64, True),
        (U32, I32, True),
        (U32, I64, False),
        (I64, U64, False),
        (U32, U64, False),
        (LIT64U, I64, False),
        (Str(length=2), I64, False),
    ],
)
def test_implicit_casts_that_may_lose(source: Type, target: Type, warns: bool) -> None:
    assert loses(source, target) == warns


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, LIT8), (127, LIT8), (128, LIT16), (-128, I8), (-129, I16), (1 << 31, None),
        ((1 << 63) - 1, None), (1 << 63, LIT64U), (-(1 << 63), I64), (True, BOOL),
        (b"ab", Str(length=3)), (b"", Str(length=1)),
    ],
)  # fmt: skip
def test_types_of_literals(value: int | bytes, kind: Type | None) -> None:
    expected = kind or FlexInt(bits=64, signed=True)
    assert literal_type(value) == expected


def test_only_literals_that_are_not_negative_are_flexible() -> None:
    assert isinstance(flexible(5, I8), FlexInt)
    assert not isinstance(flexible(-5, I8), FlexInt)


def test_flexibility_is_over_once_settled() -> None:
    found = settled(pair(LIT8, record(x=LIT16), Str(length=2)))
    assert found == pair(I8, record(x=I16), Str(length=2))
    assert type(settled(LIT8)) is Int


def test_castable_aggregates_are_read_as_numbers() -> None:
    assert value_type(COUNT) == U64
    assert value_type(SUM) == I64
    assert value_type(HIST) == HIST


@pytest.mark.parametrize("kind", [I8, BOOL, COLOR, TASK, COUNT])
def test_conditions(kind: Type) -> None:
    assert is_condition(kind)


@pytest.mark.parametrize("kind", [Str(length=2), pair(I8), HIST, VOID, Array(elem=U8, count=1)])
def test_no_conditions(kind: Type) -> None:
    assert not is_condition(kind)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (U32, "int"), (COLOR, "int"), (Bool(), "bool"), (Str(length=4), "string"),
        (Buf(length=4), "buffer"), (TASK, "pointer"), (Array(elem=U8, count=2), "array"),
        (pair(I8), "tuple"), (pair(), "none"), (record(a=I8), "record"), (VOID, "void"),
        (Struct(kind="struct", name="s", bytes=4), "c_type"), (COUNT, "count_t"),
        (Stack(user=True, mode="perf", limit=3), "ustack"), (KSYM, "ksym_t"),
    ],
)  # fmt: skip
def test_names_of_kinds(kind: Type, name: str) -> None:
    assert kind_name(kind) == name
