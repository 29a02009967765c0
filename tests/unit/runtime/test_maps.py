"""Maps read as a whole: reduction over CPUs, order, top and div, clear and zero."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    I64,
    U8,
    U32,
    U64,
    Aggregate,
    Enum,
    Ptr,
    Record,
    Str,
    Tuple,
    Type,
)
from pytrace.model.values import Histogram, Stats, divide
from tests.unit.runtime.machine import make_map, pairs

COUNT = Aggregate(kind="count", signed=False)
SUM = Aggregate(kind="sum", signed=True)
AVG = Aggregate(kind="avg", signed=True)
STATS = Aggregate(kind="stats", signed=True)
LHIST = Aggregate(kind="lhist", signed=True, params=(0, 10, 5))

MIN = Aggregate(kind="min", signed=True)
MAX = Aggregate(kind="max", signed=True)
UMAX = Aggregate(kind="max", signed=False)


def words(*numbers: int) -> bytes:
    return b"".join((n & (1 << 64) - 1).to_bytes(8, "little") for n in numbers)


@pytest.mark.parametrize(
    ("aggregate", "per_cpu", "value"),
    [
        (COUNT, [(3,), (4,)], 7),
        (SUM, [(-3,), (1,)], -2),
        (SUM, [((1 << 63) - 1,), (1,)], -(1 << 63)),
        (Aggregate(kind="sum", signed=False), [((1 << 64) - 1,), (2,)], 1),
        (MIN, [(5, 1), (-7, 1)], -7),
        (MIN, [(5, 1), (0, 0)], 5),
        (MAX, [(-5, 1), (0, 0)], -5),
        (MAX, [(0, 0), (0, 0)], 0),
        (UMAX, [((1 << 64) - 1, 1), (5, 1)], (1 << 64) - 1),
        (AVG, [(-10, 2), (3, 1)], divide(-7, 3)),
        (AVG, [(0, 0), (0, 0)], 0),
    ],
)
def test_values_are_reduced_over_cpus(
    aggregate: Aggregate, per_cpu: list[tuple[int, ...]], value: int
) -> None:
    user_map, memory = make_map(aggregate, I64, kind="PERCPU_HASH")
    memory.update(words(1), b"".join(words(*cpu) for cpu in per_cpu))
    assert pairs(user_map.read()) == [(1, value)]
    assert user_map.value(words(1)) == value


def test_stats_and_histograms_are_reduced_over_cpus() -> None:
    user_map, memory = make_map(STATS, I64, kind="PERCPU_HASH", cpus=3)
    memory.update(words(1), words(10, 2, -40, 1, 0, 0))
    ((_, stats),) = pairs(user_map.read())
    assert isinstance(stats, Stats)
    assert (stats.count, stats.average, stats.total) == (3, -10, -30)
    user_map, memory = make_map(LHIST, I64, kind="PERCPU_HASH")
    memory.update(words(1), words(1, 0, 2, 0, 0, 0, 5, 1))
    ((_, histogram),) = pairs(user_map.read())
    assert isinstance(histogram, Histogram)
    assert histogram.counts == (1, 0, 7, 1)


def test_one_value_for_all_cpus() -> None:
    user_map, memory = make_map(COUNT, I64, kind="HASH")
    memory.update(words(1), words(9))
    assert pairs(user_map.read()) == [(1, 9)]


def fill(value: Type, key: Type, elements: list[tuple[bytes, bytes]]) -> list[tuple[Any, Any]]:
    user_map, memory = make_map(value, key)
    for raw_key, raw_value in elements:
        memory.update(raw_key.ljust(key.size, b"\0"), raw_value.ljust(value.size, b"\0"))
    return pairs(user_map.read())


@pytest.mark.parametrize(
    ("value", "numbers", "order"),
    [
        (I64, [5, -1, 3], [-1, 3, 5]),
        (U64, [5, (1 << 64) - 1, 3], [3, 5, (1 << 64) - 1]),
        (COUNT, [5, 9, 1], [1, 5, 9]),
        (SUM, [5, -9, 1], [-9, 1, 5]),
        (BOOL, [1, 0, 1], [True, False, True]),  # by key
    ],
)
def test_integers_are_sorted_by_value_and_others_by_key(
    value: Type, numbers: list[int], order: list[int]
) -> None:
    elements = [(words(i), words(n)[: value.size]) for i, n in enumerate(numbers)]
    assert [v for _, v in fill(value, I64, elements)] == order


def test_enums_are_sorted_as_integers() -> None:
    elements = [(words(1), struct.pack("=I", 7)), (words(2), struct.pack("=I", 3))]
    assert [k for k, _ in fill(Enum(name="e"), I64, elements)] == [2, 1]


def test_averages_and_stats_are_sorted_by_average() -> None:
    elements = [(words(1), words(9, 1)), (words(2), words(-9, 3)), (words(3), words(4, 2))]
    assert [k for k, _ in fill(AVG, I64, elements)] == [2, 3, 1]
    assert [k for k, _ in fill(STATS, I64, elements)] == [2, 3, 1]


def test_histograms_are_sorted_by_their_total() -> None:
    elements = [
        (words(1), words(0, 3, 0, 0)),
        (words(2), words(0, 0, 0, 1)),
        (words(3), words(1, 1, 0, 0)),
    ]
    assert [k for k, _ in fill(LHIST, I64, elements)] == [2, 3, 1]


@pytest.mark.parametrize(
    ("key", "raw_keys", "order"),
    [
        (I64, [words(5), words(-1), words(3)], [-1, 3, 5]),
        # Integers compare by the signed number of their bits (bpftrace 0.27.1).
        (U64, [words(5), words(-1), words(1 << 63)], [1 << 63, (1 << 64) - 1, 5]),
        (U8, [b"\3", b"\xff"], [255, 3]),
        (I8, [b"\4", b"\xff", b"\xfb"], [-5, -1, 4]),
        (Ptr(to=I8), [words(5), words(0xFFFFFFFF81000000)], [0xFFFFFFFF81000000, 5]),
        (BOOL, [b"\1", b"\0"], [False, True]),
        (Str(length=8), [b"b", b"\xc3\xa9", b"a", b"ab", b"B"], ["B", "a", "ab", "b", "é"]),
        (Str(length=4), [b"a\xff", b"a\xc3\xa9", b"a"], ["a", "aé", "a\udcff"]),
        (
            Tuple(elems=(I32, Str(length=4))),
            [struct.pack("=i4s", n, text) for n, text in ((1, b"b"), (1, b"a"), (-1, b"z"))],
            [(-1, "z"), (1, "a"), (1, "b")],
        ),
        (
            Tuple(elems=(U32, U32)),
            [struct.pack("=II", 1, 300), struct.pack("=II", 1, 2), struct.pack("=II", 1 << 31, 0)],
            [(1 << 31, 0), (1, 2), (1, 300)],
        ),
        (
            Tuple(elems=(Str(length=4), Tuple(elems=(I32, I32)))),
            [struct.pack("=4sii", b"b", 2, 3), struct.pack("=4sii", b"b", -1, 9)],
            [("b", (-1, 9)), ("b", (2, 3))],
        ),
    ],
)  # fmt: skip
def test_order_of_keys(key: Type, raw_keys: list[bytes], order: list[Any]) -> None:
    found = fill(Str(length=8), key, [(raw, b"x") for raw in raw_keys])
    assert [k for k, _ in found] == order
    # Equal values leave the order to the keys.
    equal = fill(COUNT, key, [(raw, words(1)) for raw in raw_keys])
    assert [k for k, _ in equal] == order


def test_record_keys_are_sorted_by_their_fields() -> None:
    key = Record(names=("a", "b"), elems=(I32, Str(length=4)))
    raw = [struct.pack("=i4s", a, b) for a, b in ((300, b"x"), (2, b"x"), (2, b"a"))]
    found = fill(Str(length=2), key, [(r, b"v") for r in raw])
    assert [k.values for k, _ in found] == [(2, "a"), (2, "x"), (300, "x")]


@given(
    st.dictionaries(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 1 << 40), max_size=40),
    st.booleans(),
)
def test_any_counts_come_in_order(counts: dict[int, int], few: bool) -> None:
    if few:
        counts = {key: value % 2 for key, value in counts.items()}
    found = fill(COUNT, I64, [(words(k), words(v)) for k, v in counts.items()])
    assert found == sorted(counts.items(), key=lambda item: (item[1], item[0]))


@given(
    st.dictionaries(
        st.tuples(st.integers(0, (1 << 32) - 1), st.sampled_from(["a", "b", "bb"])),
        st.integers(0, 9),
        max_size=40,
    )
)
def test_tuple_keys_come_in_order(counts: dict[tuple[int, str], int]) -> None:
    key = Tuple(elems=(U32, Str(length=4)))
    elements = [(struct.pack("=I4s", k[0], k[1].encode()), words(v)) for k, v in counts.items()]

    def order(item: tuple[tuple[int, str], int]) -> tuple[int, int, str]:
        (number, text), value = item
        return value, number - (1 << 32) if number >= 1 << 31 else number, text

    assert fill(COUNT, key, elements) == sorted(counts.items(), key=order)


def test_top_and_div() -> None:
    user_map, memory = make_map(COUNT, I64)
    for key, count in ((1, 10), (2, 25), (3, 99)):
        memory.update(words(key), words(count))
    assert pairs(user_map.read(2)) == [(2, 25), (3, 99)]
    assert pairs(user_map.read(0, 10)) == [(1, 1), (2, 2), (3, 9)]
    assert pairs(user_map.read(1, 10)) == [(3, 9)]
    assert len(user_map.read(9).entries) == 3


@pytest.mark.parametrize(
    ("value", "raw", "divided"),
    [
        (I64, words(-9), -4),
        (AVG, words(-7, 1), -3),
        (Tuple(elems=(I32, I32)), struct.pack("=ii", 7, -9), (3, -4)),
        (BOOL, b"\1", True),
        (Str(length=4), b"9", "9"),
    ],
)
def test_division_is_toward_zero_and_of_integers(value: Type, raw: bytes, divided: Any) -> None:
    user_map, memory = make_map(value, I64)
    memory.update(words(1), raw.ljust(value.size, b"\0"))
    assert pairs(user_map.read(0, 2)) == [(1, divided)]


def test_division_of_histograms() -> None:
    hist = Aggregate(kind="hist", signed=True, params=(0,))
    user_map, memory = make_map(hist, I64)
    memory.update(words(1), words(0, 5, 0, 1).ljust(hist.size, b"\0"))
    ((_, found),) = pairs(user_map.read(0, 2))
    assert (found.counts[:4], found.shown) == ((0, 2, 0, 0), range(1, 4))
    user_map, memory = make_map(LHIST, I64)
    memory.update(words(1), words(0, 5, 0, 1))
    ((_, found),) = pairs(user_map.read(0, 2))
    assert found.counts == (0, 5, 0, 1)


def test_division_of_stats_is_of_the_average() -> None:
    user_map, memory = make_map(STATS, I64)
    memory.update(words(1), words(7, 1))
    ((_, found),) = pairs(user_map.read(0, 2))
    assert (found.count, found.average, found.total) == (1, 3, 7)


# --- scalars and arrays -----------------------------------------------------------------------


def test_a_scalar_is_there_once_it_was_set() -> None:
    user_map, memory = make_map(I64, kind="ARRAY", entries=1, presence=True)
    assert user_map.read().entries == ()
    assert user_map.print_contents(0, 1).entries == ((None, 0),)
    memory.update(bytes(4), words(5, 1))
    assert user_map.read().entries == ((None, 5),)


def test_a_per_cpu_scalar_is_there_once_any_cpu_set_it() -> None:
    user_map, memory = make_map(COUNT, kind="PERCPU_ARRAY", entries=1, presence=True)
    assert user_map.read().entries == ()
    memory.update(bytes(4), words(0, 0, 6, 1))
    assert user_map.read().entries == ((None, 6),)


@pytest.mark.parametrize("kind", ["hist", "lhist"])
def test_a_table_that_was_never_set_is_not_printed(kind: str) -> None:
    params = (0,) if kind == "hist" else (0, 10, 5)
    aggregate = Aggregate(kind=kind, signed=True, params=params)
    user_map, _ = make_map(aggregate, kind="PERCPU_ARRAY", entries=1, presence=True)
    assert user_map.print_contents(0, 1).entries == ()


def test_keyed_maps_print_nothing_when_empty() -> None:
    user_map, _ = make_map(COUNT, I64)
    assert user_map.print_contents(0, 1).entries == ()


def test_the_index_of_an_array_is_the_key() -> None:
    user_map, memory = make_map(I64, U32, kind="ARRAY", entries=8, presence=True)
    memory.update(struct.pack("=I", 5), words(-1, 1))
    memory.update(struct.pack("=I", 2), words(0, 1))
    assert pairs(user_map.read()) == [(5, -1), (2, 0)]
    assert user_map.value(struct.pack("=I", 3)) == 0


def test_clear_and_zero_of_hashes() -> None:
    user_map, memory = make_map(STATS, I64, kind="PERCPU_HASH")
    memory.update(words(1), words(7, 1, 8, 1))
    user_map.zero()
    ((key, stats),) = pairs(user_map.read())
    assert (key, stats.count, stats.total) == (1, 0, 0)
    user_map.clear()
    assert memory.elements == {}


@pytest.mark.parametrize("kind", ["ARRAY", "PERCPU_ARRAY"])
def test_clear_and_zero_of_arrays(kind: str) -> None:
    user_map, memory = make_map(COUNT, U32, kind=kind, entries=4, presence=True)
    memory.update(struct.pack("=I", 2), words(7, 1) * memory.cpus)
    user_map.zero()
    assert pairs(user_map.read()) == [(2, 0)]
    user_map.clear()
    assert pairs(user_map.read()) == []
    assert set(memory.elements.values()) == {bytes(memory.transfer_size)}


def test_a_missing_element_is_the_zero_of_its_type() -> None:
    user_map, _ = make_map(Tuple(elems=(I32, Str(length=4))), I64)
    assert user_map.value(words(9)) == (0, "")


def test_plain_entries_say_so() -> None:
    assert make_map(COUNT, Str(length=4))[0].read().entries.simple
    assert not make_map(COUNT, Tuple(elems=(I32, I32)))[0].read().entries.simple
    assert not make_map(BOOL, I64)[0].read().entries.simple


def test_plain_values_are_not_kept_for_each_cpu() -> None:
    with pytest.raises(TypeError, match="@m keeps a plain value for each CPU"):
        make_map(I64, I64, kind="PERCPU_HASH")
