"""Histograms: bounds of their buckets and the table of language 11.4."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.model.values import Histogram

_SINGLE: Final = struct.Struct("=f")
_BAR: Final = 52
_SUFFIXES: Final = ("", "K", "M", "G", "T", "P", "E")


def bounds(histogram: Histogram, index: int) -> tuple[int | None, int | None]:
    """Lower bound and upper bound (exclusive) of a bucket, None where it is open."""
    if histogram.kind == "hist":
        (bits,) = histogram.params
        return (_log_bound(index - 1, bits) if index else None), _log_bound(index, bits)
    low, high, step = histogram.params
    overflow = 1 + (high - low) // step
    lower = low + (index - 1) * step if index else None
    return lower, (low + index * step if index < overflow else None)


def _log_bound(place: int, bits: int) -> int:
    """Smallest value of the ``place``-th bucket above the one for negative values."""
    per_power = 1 << bits
    if place < 2 * per_power:
        return place
    return (per_power + place % per_power) << (place // per_power - 1)


def rows(histogram: Histogram) -> list[str]:
    """The table's lines."""
    counts = [histogram.counts[i] for i in histogram.shown]
    highest = single(max(counts, default=0))
    lines = []
    for index, count in zip(histogram.shown, counts):
        bar = "@" * _bar_length(count, highest)
        lines.append(f"{_label(histogram, index):<16}{count:>8} |{bar:<{_BAR}}|")
    return lines


def _bar_length(count: int, highest: float) -> int:
    if not highest:
        return 0
    ratio = single(single(count) / highest)
    return int(single(ratio * _BAR))


def single(value: float) -> float:
    """``value`` rounded to what an IEEE single holds."""
    rounded: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return rounded


def _label(histogram: Histogram, index: int) -> str:
    lower, upper = bounds(histogram, index)
    if histogram.kind == "hist":
        (bits,) = histogram.params
        low = _log_text(index - 1, bits)
        high = _log_text(index, bits)
    else:
        low = _linear_text(lower, histogram.params[2])
        high = _linear_text(upper, histogram.params[2])
    if lower is None:
        return f"(..., {high})"
    if upper is None:
        return f"[{low}, ...)"
    if upper == lower + 1 and high == str(upper):
        return f"[{low}]"
    return f"[{low}, {high})"


def _log_text(place: int, bits: int) -> str:
    per_power = 1 << bits
    if place < 2 * per_power:
        return str(place)
    power = place // per_power - 1
    thousands = power // 10
    return f"{(per_power + place % per_power) << (power - 10 * thousands)}{_SUFFIXES[thousands]}"


def _linear_text(bound: int | None, step: int) -> str:
    if not bound:
        return "0"
    if step % 1024 == 0:
        if bound % 1048576 == 0:
            return f"{bound // 1048576}M"
        if bound % 1024 == 0:
            return f"{bound // 1024}K"
    return str(bound)
