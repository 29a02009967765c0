"""Time series tables: shape and columns as bpftrace 0.27.1 prints them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pytrace.model.values import TimeSeries
from pytrace.output.timeseries import full_time, rows

MS = 1_000_000
START = 1_800_000_000 * 1000  # epoch of a 1 ms interval


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_rows_begin_at_the_first_value() -> None:
    series = TimeSeries(10 * MS, START // 10, (None, 25, None, 50))
    assert rows(series) == [
        "             25                                                 50",
        "hh:mm:ss.ms  |___________________________________________________|",
        "08:00:00.010 *                                                   | 25",
        "08:00:00.020 |                                                   | -",
        "08:00:00.030 |                                                   * 50",
        "             v___________________________________________________v",
        "             25                                                 50",
    ]


def test_equal_values_stand_in_the_middle() -> None:
    table = rows(TimeSeries(MS, START, (5, None, 5)))
    assert table[0] == "             4                                                   6"
    assert table[2] == "08:00:00.000 |                         *                         | 5"


def test_a_single_row_shows_nanoseconds() -> None:
    table = rows(TimeSeries(MS, START, (299,)))
    assert table == [
        "                   298                                               300",
        "hh:mm:ss.ns        |___________________________________________________|",
        "08:00:00.000000000 |                         *                         | 299",
        "                   v___________________________________________________v",
        "                   298                                               300",
    ]


def test_zero_has_a_column_between_negative_and_positive_values() -> None:
    table = rows(TimeSeries(MS, START, (-5, 5)))
    assert [line.index(".", 14) for line in table[2:4]] == [13 + 26, 13 + 26]
    assert table[2][13] == "*" and table[3][65] == "*"


@pytest.mark.parametrize(
    ("interval_ns", "head"),
    [
        (1_000_000_000, "hh:mm:ss |"),
        (MS, "hh:mm:ss.ms  |"),
        (1000, "hh:mm:ss.\u03bcs    |"),
        (10, "hh:mm:ss.ns        |"),
    ],
)
def test_unit(interval_ns: int, head: str) -> None:
    assert rows(TimeSeries(interval_ns, 1000, (1, 2)))[1].startswith(head)


def test_no_data() -> None:
    assert rows(TimeSeries(MS, START, (None, None))) == ["<no data>"]


def test_epochs_of_another_clock() -> None:
    series = TimeSeries(1_000_000_000, 1_800_000_037, (1,), offset_ns=37_000_000_000)
    assert [full_time(start) for start, _ in series.rows] == ["2027-01-15 08:00:00.000000000"]
