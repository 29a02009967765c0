"""Time series maps: cells of intervals, keys and CPUs become one window for each key."""

from __future__ import annotations

import struct

import pytest

from pytrace.base.types import I32, Aggregate, Str, Type
from pytrace.model.compiled import MapSpec
from pytrace.model.values import TimeSeries
from pytrace.runtime.maps import open_map
from pytrace.runtime.series import AVG, LAST, MAX, MIN, SUM, SeriesMap
from tests.unit.runtime.machine import FakeEnvironment, MemoryMap, codecs, pairs

INTERVAL = 100


def make(
    function: int = LAST, *, key: Type | None = I32, count: int = 4, signed: bool = True
) -> tuple[SeriesMap, MemoryMap]:
    kind = Aggregate(kind="tseries", signed=signed, params=(INTERVAL, count, function))
    spec = MapSpec(
        name="@m", kind="PERCPU_HASH", key_size=16 if key else 8, value_size=24, max_entries=64,
        key=key, value=kind, scalar=key is None,
    )  # fmt: skip
    memory = MemoryMap(spec, 2)
    found = open_map(spec, memory, codecs(), FakeEnvironment())  # type: ignore[arg-type]
    assert isinstance(found, SeriesMap)
    return found, memory


def put(memory: MemoryMap, key: int, interval: int, *cells: tuple[int, int, int]) -> None:
    """Stores the (value, meta, epoch) of each CPU."""
    raw = b"".join(struct.pack("=qQQ", *cell) for cell in cells)
    prefix = struct.pack("=i4xQ", key, interval) if memory.spec.key else struct.pack("=Q", interval)
    memory.update(prefix, raw)


def shown(series: object) -> list[tuple[int, int | None]]:
    assert isinstance(series, TimeSeries)
    return list(enumerate(series.values, series.first))


@pytest.mark.parametrize(
    ("function", "value"), [(LAST, 7), (AVG, (7 - 20) // 5 + 1), (MAX, 7), (MIN, -20), (SUM, -13)]
)
def test_an_interval_is_reduced_over_cpus(function: int, value: int) -> None:
    series, memory = make(function)
    put(memory, 1, 2, (7, 3, 10), (-20, 2, 10))
    ((key, found),) = pairs(series.read())
    assert (key, shown(found)[-1]) == (1, (10, value))


def test_cpus_whose_cell_is_of_an_older_round_are_left_out() -> None:
    series, memory = make(SUM)
    put(memory, 1, 2, (7, 1, 10), (100, 1, 6))
    ((_, found),) = pairs(series.read())
    assert shown(found)[-1] == (10, 7)


def test_all_keys_share_the_window_that_ends_at_the_newest_interval() -> None:
    series, memory = make()
    put(memory, 2, 3, (5, 1, 7), (0, 0, 0))
    put(memory, 2, 0, (6, 1, 8), (0, 0, 0))
    put(memory, 1, 2, (9, 1, 10), (0, 0, 0))
    put(memory, 1, 1, (4, 1, 5), (0, 0, 0))
    (first, one), (second, two) = pairs(series.read())
    assert (first, second) == (1, 2)
    assert shown(one) == [(7, None), (8, None), (9, None), (10, 9)]
    assert shown(two) == [(7, 5), (8, 6), (9, None), (10, None)]


def test_unsigned_values_are_read_without_a_sign() -> None:
    series, memory = make(MAX, signed=False)
    put(memory, 1, 0, (-1, 1, 4), (5, 1, 4))
    ((_, found),) = pairs(series.read())
    assert shown(found)[-1] == (4, (1 << 64) - 1)


def test_a_scalar_series_has_one_entry_or_none() -> None:
    series, memory = make(key=None)
    assert pairs(series.read()) == []
    put(memory, 0, 1, (5, 1, 1), (0, 0, 0))
    ((key, found),) = pairs(series.read())
    assert (key, shown(found)) == (None, [(0, None), (1, 5)])


def test_keys_are_sorted_as_their_type_is() -> None:
    series, memory = make(key=Str(length=5))
    for word in (b"b", b"a"):
        memory.update(struct.pack("=5s3xQ", word, 0), bytes(48))
    assert [key for key, _ in pairs(series.read())] == ["a", "b"]


def test_one_key_is_read_alone_and_a_missing_one_is_empty() -> None:
    series, memory = make()
    put(memory, 1, 0, (5, 1, 4), (0, 0, 0))
    assert shown(series.value(struct.pack("=i", 1)))[-1] == (4, 5)
    assert shown(series.value(struct.pack("=i", 2))) == []


def test_clear_and_zero() -> None:
    series, memory = make()
    put(memory, 1, 0, (5, 1, 4), (0, 0, 0))
    series.zero()
    ((_, found),) = pairs(series.read())
    assert shown(found) == [(0, 0)]
    series.clear()
    assert pairs(series.read()) == []
