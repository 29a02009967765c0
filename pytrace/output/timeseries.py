"""Time series: the table of language 11.5, and local times."""

from __future__ import annotations

import time

from pytrace.output.histogram import single

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.model.values import TimeSeries

_SECOND: Final = 1_000_000_000
_MILLISECOND: Final = 1_000_000
_MICROSECOND: Final = 1_000
_WIDTH: Final = 51


def rows(series: TimeSeries) -> list[str]:
    """The table's lines."""
    points = series.rows
    values = [v for _, v in points if v is not None]
    if not values:
        return ["<no data>"]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 1 if low or series.signed else 0, high + 1
    spacing = series.interval_ns if len(points) > 1 else 0
    tag, digits = _unit(spacing)
    margin = 9 + (1 + digits if digits else 0)
    scale = f"{'':{margin}}{low:<21}{high:>32}"
    zero = int(single(single(_WIDTH + 2) * _ratio(-low, high - low))) if low < 0 < high else -1
    # Columns of this line are bytes, of which \u03bc has two, as in bpftrace 0.27.1.
    padding = " " * (margin - len(f"hh:mm:ss{tag}".encode()))
    lines = [scale, f"hh:mm:ss{tag}{padding}|{'_' * _WIDTH}|"]
    for start_ns, value in points:
        moment = local_time(start_ns, "%H:%M:%S")
        if digits:
            moment += f".{start_ns % _SECOND // 10 ** (9 - digits):0{digits}}"
        line = ["|", *" " * _WIDTH, "|"]
        if zero >= 0:
            line[zero] = "."
        if value is not None:
            line[int(single(single(_WIDTH + 1) * _ratio(value - low, high - low)))] = "*"
        lines.append(f"{moment} {''.join(line)} {'-' if value is None else value}")
    lines += [f"{'':{margin}}v{'_' * _WIDTH}v", scale]
    return lines


def _ratio(part: int, whole: int) -> float:
    return single(single(part) / single(whole))


def _unit(spacing_ns: int) -> tuple[str, int]:
    """The tag of the time column and its number of digits after the second."""
    if spacing_ns >= _SECOND:
        return "", 0
    if spacing_ns >= _MILLISECOND:
        return ".ms", 3
    if spacing_ns >= _MICROSECOND:
        return ".\u03bcs", 6
    return ".ns", 9


def local_time(wall_ns: int, format: str) -> str:
    return time.strftime(format, time.localtime(wall_ns // _SECOND))


def full_time(wall_ns: int) -> str:
    """``2026-01-02 03:04:05.000000000``, local time."""
    return f"{local_time(wall_ns, '%Y-%m-%d %H:%M:%S')}.{wall_ns % _SECOND:09}"
