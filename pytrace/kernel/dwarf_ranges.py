"""Ranges of code that do not follow on each other: .debug_rnglists, and .debug_ranges before."""

from __future__ import annotations

from pytrace.kernel.dwarf_forms import DwarfError, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    Address = Callable[[int], int]
    """The address with a number in .debug_addr."""

_END: Final = 0
_BASE_ADDRESSX: Final = 1
_STARTX_ENDX: Final = 2
_STARTX_LENGTH: Final = 3
_OFFSET_PAIR: Final = 4
_BASE_ADDRESS: Final = 5
_START_END: Final = 6
_START_LENGTH: Final = 7


def listed_ranges(
    data: bytes, order: str, at: int, size: int, base: int, address: Address
) -> Iterator[tuple[int, int]]:
    """(start, end) of each range of a version 5 list; ``size`` is that of an address."""
    reader = Reader(data, order)
    while True:
        kind = reader.unsigned(at, 1)
        at += 1
        if kind == _END:
            return
        if kind == _BASE_ADDRESS:
            base, at = reader.unsigned(at, size), at + size
        elif kind == _BASE_ADDRESSX:
            number, at = reader.uleb(at)
            base = address(number)
        elif kind in (_START_END, _START_LENGTH):
            start, at = reader.unsigned(at, size), at + size
            if kind == _START_END:
                yield start, reader.unsigned(at, size)
                at += size
            else:
                length, at = reader.uleb(at)
                yield start, start + length
        elif kind in (_STARTX_ENDX, _STARTX_LENGTH, _OFFSET_PAIR):
            first, at = reader.uleb(at)
            second, at = reader.uleb(at)
            if kind == _OFFSET_PAIR:
                yield base + first, base + second
            elif kind == _STARTX_ENDX:
                yield address(first), address(second)
            else:
                yield address(first), address(first) + second
        else:
            raise DwarfError(f"unknown kind of range {kind}")


def paired_ranges(
    data: bytes, order: str, at: int, size: int, base: int
) -> Iterator[tuple[int, int]]:
    """(start, end) of each range of a list of versions before 5."""
    reader = Reader(data, order)
    whole = (1 << size * 8) - 1
    while True:
        start, end = reader.unsigned(at, size), reader.unsigned(at + size, size)
        at += 2 * size
        if not start and not end:
            return
        if start == whole:
            base = end
        else:
            yield base + start, base + end
