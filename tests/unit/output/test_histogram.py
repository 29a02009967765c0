"""Histogram tables. Blocks without a note are output of bpftrace 0.27.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.types import Aggregate
from pytrace.model.values import Histogram
from pytrace.output.histogram import bounds, rows


def log_bucket(value: int, bits: int) -> int:
    """The bucket of a value as the language defines it."""
    per_power = 1 << bits
    if value < 0:
        return 0
    if value < 2 * per_power:
        return value + 1
    power = value.bit_length() - 1 - bits
    return (power + 1) * per_power + (value >> power) - per_power + 1


def linear_bucket(value: int, low: int, high: int, step: int) -> int:
    if value < low:
        return 0
    return min(1 + (value - low) // step, 1 + (high - low) // step)


def hist(values: list[int], bits: int = 0) -> Histogram:
    counts = [0] * Aggregate(kind="hist", signed=True, params=(bits,)).words
    for value in values:
        counts[log_bucket(value, bits)] += 1
    return Histogram("hist", (bits,), tuple(counts))


def lhist(values: list[int], low: int, high: int, step: int) -> Histogram:
    counts = [0] * Aggregate(kind="lhist", signed=True, params=(low, high, step)).words
    for value in values:
        counts[linear_bucket(value, low, high, step)] += 1
    return Histogram("lhist", (low, high, step), tuple(counts))


def table(histogram: Histogram) -> str:
    return "\n".join(rows(histogram))


def labels(histogram: Histogram) -> list[str]:
    return [row[:16].rstrip() for row in rows(histogram)]


def test_rows_run_from_the_first_to_the_last_filled_bucket() -> None:
    assert (
        table(hist([0, 1, 2, 3, 3, 5]))
        == """\
[0]                    1 |@@@@@@@@@@@@@@@@@                                   |
[1]                    1 |@@@@@@@@@@@@@@@@@                                   |
[2, 4)                 3 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[4, 8)                 1 |@@@@@@@@@@@@@@@@@                                   |"""
    )


def test_linear_table() -> None:
    assert (
        table(lhist([-5, 15, 15, 100], 0, 100, 10)).splitlines()
        == """\
(..., 0)               1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |
[0, 10)                0 |                                                    |
[10, 20)               2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|
[20, 30)               0 |                                                    |
[30, 40)               0 |                                                    |
[40, 50)               0 |                                                    |
[50, 60)               0 |                                                    |
[60, 70)               0 |                                                    |
[70, 80)               0 |                                                    |
[80, 90)               0 |                                                    |
[90, 100)              0 |                                                    |
[100, ...)             1 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |""".splitlines()
    )


def test_an_empty_histogram_has_no_rows() -> None:
    assert rows(hist([])) == []


def test_division_keeps_the_rows_and_empties_the_bars() -> None:
    divided = hist([5, 5, 50]).divided(100)
    assert labels(divided) == ["[4, 8)", "[8, 16)", "[16, 32)", "[32, 64)"]
    assert all(row.endswith(f"        0 |{' ' * 52}|") for row in rows(divided))


@pytest.mark.parametrize(
    ("bits", "value", "label"),
    [
        (0, -1, "(..., 0)"),
        (0, 0, "[0]"),
        (0, 2, "[2, 4)"),
        (0, 512, "[512, 1K)"),
        (0, 1 << 19, "[512K, 1M)"),
        (0, 1 << 29, "[512M, 1G)"),
        (0, 1 << 39, "[512G, 1T)"),
        (0, 1 << 49, "[512T, 1P)"),
        (0, 1 << 59, "[512P, 1E)"),
        (0, (1 << 63) - 1, "[4E, 8E)"),
        (1, 2, "[2]"),
        (1, 3, "[3]"),
        (1, 4, "[4, 6)"),
        (1, 1000, "[768, 1024)"),
        (2, 5, "[5]"),
        (2, 7, "[7]"),
        (2, 8, "[8, 10)"),
        (2, 3600, "[3584, 4K)"),
        (2, 4097, "[4K, 5K)"),
        (2, 900000, "[768K, 896K)"),
        (2, 1000000, "[896K, 1024K)"),
        (5, 63, "[63]"),
        (5, 64, "[64, 66)"),
        (5, (1 << 63) - 1, "[8064P, 8192P)"),
    ],
)
def test_labels_of_powers(bits: int, value: int, label: str) -> None:
    assert labels(hist([value], bits)) == [label]


@pytest.mark.parametrize(
    ("value", "params", "label"),
    [
        (3, (0, 10, 1), "[3]"),
        (1, (2, 10, 2), "(..., 2)"),
        (24, (0, 25, 10), "[20, ...)"),
        (2000, (1024, 10240, 1024), "[1K, 2K)"),
        (99999, (1024, 10240, 1024), "[10K, ...)"),
        (0, (0, 4194304, 1048576), "[0, 1M)"),
        (4194304, (0, 4194304, 1048576), "[4M, ...)"),
        (1600000, (0, 4194304, 524288), "[1536K, 2M)"),
        (10, (10, 5000, 1024), "[10, 1034)"),
        (4500, (10, 5000, 1024), "[4106, ...)"),
    ],
)
def test_labels_of_steps(value: int, params: tuple[int, int, int], label: str) -> None:
    assert labels(lhist([value], *params)) == [label]


def test_bars_are_counted_in_single_precision() -> None:
    # 16777217 is no IEEE single: the count rounds to 16777216 and the bar is full.
    big = Histogram("lhist", (0, 2, 1), (0, 16777216, 16777217, 0))
    assert [row.count("@") for row in rows(big)] == [52, 52]


@given(st.integers(-3, (1 << 63) - 1), st.integers(0, 5))
def test_a_value_lies_within_the_bounds_of_its_bucket(value: int, bits: int) -> None:
    lower, upper = bounds(hist([], bits), log_bucket(value, bits))
    assert lower is None or lower <= value
    assert upper is not None and value < upper


@given(st.integers(-3, 300), st.integers(0, 20), st.integers(1, 200), st.integers(1, 50))
def test_linear_bounds(value: int, low: int, width: int, step: int) -> None:
    histogram = lhist([], low, low + width, step)
    lower, upper = bounds(histogram, linear_bucket(value, low, low + width, step))
    assert lower is None or lower <= value
    assert upper is None or value < upper
