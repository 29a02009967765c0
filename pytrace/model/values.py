"""Values as output formats see them: plain Python values and a few small classes.

===================== =====================================================
integer               int
bool                  bool
string                str, bytes that are not UTF-8 as surrogates (surrogateescape); already cut
                      at its zero, the truncation trailer already appended
pointer, enum         Pointer, EnumValue
array                 list
tuple                 tuple
record, struct        StructValue
buffer                Buffer
stack                 StackTrace
ksym, usym, inet ...  Text (a str to formats; kept apart because JSON and keys treat it as text)
stats, avg            Stats, Average
hist, lhist           Histogram
tseries               TimeSeries
none                  None
===================== =====================================================
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Union


class Pointer(int):
    """An address."""

    __slots__ = ()


class EnumValue(int):
    """An integer with the name that its enum gives it, None if it has none."""

    name: str | None

    def __new__(cls, value: int, name: str | None) -> EnumValue:
        self = super().__new__(cls, value)
        self.name = name
        return self


class Text(str):
    """Text made from something else than a string (a symbol, an address, a time)."""

    __slots__ = ()


class Buffer(bytes):
    """Bytes of ``buf()``."""

    __slots__ = ()


class StructValue:
    """A struct, union or record: names and values in order."""

    __slots__ = ("names", "values")

    def __init__(self, names: tuple[str, ...], values: tuple[Value, ...]) -> None:
        self.names = names
        self.values = values


class StackTrace:
    """Symbolised frames, innermost first, one text line each, without newlines or indent.

    ``lines`` are final text (mode and symbols already applied), indent included.
    """

    __slots__ = ("lines",)

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines


class Stats:
    """count, average (truncated toward zero) and total of a ``stats()`` element."""

    __slots__ = ("average", "count", "total")

    def __init__(self, count: int, total: int) -> None:
        self.count = count
        self.total = total
        self.average = divide(total, count) if count else 0


class Average(int):
    """The value of an ``avg()`` element."""

    __slots__ = ()


class Histogram:
    """Counts of a ``hist`` (``kind`` "hist", ``params`` (bits,)) or ``lhist`` (min, max, step).

    ``counts[i]`` belongs to bucket i of language section 10. ``shown`` are the buckets to show:
    from the first to the last that is not empty.
    """

    __slots__ = ("counts", "kind", "params", "shown")

    def __init__(
        self,
        kind: str,
        params: tuple[int, ...],
        counts: tuple[int, ...],
        shown: range | None = None,
    ) -> None:
        self.kind = kind
        self.params = params
        self.counts = counts
        if shown is None:
            filled = [i for i, count in enumerate(counts) if count]
            shown = range(filled[0], filled[-1] + 1) if filled else range(0)
        self.shown = shown

    @property
    def total(self) -> int:
        return sum(self.counts)

    def divided(self, div: int) -> Histogram:
        """All counts divided; the same buckets are shown, empty now or not."""
        counts = tuple(c // div for c in self.counts)
        return Histogram(self.kind, self.params, counts, self.shown)


class TimeSeries:
    """Value of each interval by epoch number (interval start / interval), None where empty.

    ``interval_ns`` is the interval's length, ``first`` the epoch of ``values[0]``, ``offset_ns``
    what the epochs' clock is ahead of the wall clock; ``signed`` tells that values may be negative.
    """

    __slots__ = ("first", "interval_ns", "offset_ns", "signed", "values")

    def __init__(
        self,
        interval_ns: int,
        first: int,
        values: tuple[int | None, ...],
        offset_ns: int = 0,
        *,
        signed: bool = True,
    ) -> None:
        self.signed = signed
        self.interval_ns = interval_ns
        self.first = first
        self.values = values
        self.offset_ns = offset_ns

    @property
    def rows(self) -> list[tuple[int, int | None]]:
        """Start of each interval in ns of wall clock, and its value: from the first interval that
        has one to the newest."""
        filled = [i for i, value in enumerate(self.values) if value is not None]
        if not filled:
            return []
        start = self.first * self.interval_ns - self.offset_ns
        return [
            (start + i * self.interval_ns, self.values[i])
            for i in range(filled[0], len(self.values))
        ]


class Entries:
    """Keys and values of a map side by side: a sequence of pairs that does not hold the pairs.

    A million pairs would take 64 MB. ``simple`` tells that keys and values are plain ints and
    strs, whose text is what ``str()`` gives.
    """

    __slots__ = ("keys", "simple", "values")

    def __init__(self, keys: list[Value], values: list[Value], *, simple: bool = False) -> None:
        self.keys = keys
        self.values = values
        self.simple = simple

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[Value, Value]]:
        return zip(self.keys, self.values)

    def __getitem__(self, index: int) -> tuple[Value, Value]:
        return self.keys[index], self.values[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Entries, tuple, list)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class MapContents:
    """A map as read: entries already in the contract's order.

    ``name`` has its ``@``; ``type`` is the aggregate's kind (``count``, ``hist``...) or
    ``value``; ``scalar`` entries have the key None.
    """

    __slots__ = ("entries", "name", "scalar", "type")

    def __init__(self, name: str, type: str, scalar: bool, entries: Entries) -> None:
        self.name = name
        self.type = type
        self.scalar = scalar
        self.entries = entries


if TYPE_CHECKING:
    Value = Union[
        None, int, bool, str, bytes, list["Value"], tuple["Value", ...], StructValue, StackTrace,
        Stats, Histogram, TimeSeries,
    ]  # fmt: skip


def divide(a: int, b: int) -> int:
    """Integer division that truncates toward zero, as C's."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient
