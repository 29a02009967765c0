"""Rows of results, and the table that people read."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """Medians of one measure of one item.

    ``goal`` is the largest ratio that pytrace allows itself, the smallest where ``more`` is better;
    ``enough`` an absolute value that will do whatever the peer has. None: nothing is promised.
    """

    item: str
    measure: str
    unit: str
    ours: float | None
    peers: float | None
    goal: float | None = None
    more: bool = False
    enough: float | None = None

    @property
    def ratio(self) -> float | None:
        if self.ours is None or not self.peers:
            return None
        return self.ours / self.peers

    @property
    def met(self) -> bool | None:
        if self.ours is not None and self.enough is not None and self.ours <= self.enough:
            return True
        if self.ratio is None or self.goal is None:
            return None
        return self.ratio >= self.goal if self.more else self.ratio <= self.goal


def median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


HEAD = ("item", "measure", "pytrace", "peer", "ratio", "goal", "")


def cells(row: Row) -> tuple[str, ...]:
    goal = ""
    if row.goal is not None:
        goal = f"{'>=' if row.more else '<='} {row.goal:.2f}"
    if row.enough is not None:
        goal += f" or {_number(row.enough)} {row.unit}"
    met = {True: "met", False: "short", None: ""}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:.{2 if row.ratio >= 0.1 else 3}f}"
    return (
        row.item,
        row.measure,
        _with_unit(row.ours, row.unit),
        _with_unit(row.peers, row.unit),
        ratio,
        goal,
        met,
    )


def _with_unit(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{_number(value)} {unit}".rstrip()


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows: Sequence[Row]) -> str:
    """A table that reads well as text and as Markdown."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]

    def show(line: tuple[str, ...]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([show(HEAD), rule, *map(show, lines[1:])]) + "\n"
