"""Reads /proc/kallsyms text: kernel symbols by name and by address. Pure; bytes in.

A line is ``ffffffff81000000 T name`` or, of a module, ``... T name\\t[module]``. The addresses
are zeros for readers whom kernel.kptr_restrict shuts out. Cheap to import: the run side
symbolises with it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LONG: Final = 16


class Kallsyms:
    """Symbols of a running kernel. Sorted on the first search by address, not before."""

    __slots__ = ("_data", "_lines", "_starts")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lines: list[bytes] = []
        self._starts: array[int] = array("Q")

    @property
    def hidden(self) -> bool:
        """True if the kernel gave zeros for addresses: names are good, addresses unknown."""
        end = self._data.find(b" ", 0, 32)
        first = self._data[: max(end, 0)].strip(b"0")
        last = self._data[self._data.rstrip(b"\n").rfind(b"\n") + 1 :].partition(b" ")[0]
        return not first and not last.strip(b"0")

    def address(self, name: str, module: str = "") -> int | None:
        """Address of a symbol; without ``module`` the first of that name, the kernel's own
        before those of modules. None if there is none or addresses are hidden.
        """
        raw = name.encode()
        ends = (b"\n", b"\t[") if not module else (b"\t[" + module.encode() + b"]",)
        for end in ends:
            at = self._data.find(b" " + raw + end)
            if at >= 0:
                start = self._data.rfind(b"\n", 0, at) + 1
                value = int(self._data[start : self._data.index(b" ", start)], 16)
                return value or None
        return None

    def has(self, name: str) -> bool:
        """True if there is a symbol of that name, whether or not its address is shown."""
        raw = b" " + name.encode()
        return bool(name) and (raw + b"\n" in self._data or raw + b"\t" in self._data)

    def find(self, address: int) -> tuple[str, str, int] | None:
        """(name, module or "", distance from its start) of the symbol at or below an address.

        Addresses in user space's half and below the first symbol have none.
        """
        if not self._lines:
            self._sort()
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address < 1 << 63:
            return None
        # Of several symbols of one address the first listed is the one that people know.
        start = self._starts[at]
        while at and self._starts[at - 1] == start:
            at -= 1
        name, module = _names(self._lines[at])
        return name, module, address - start

    def _sort(self) -> None:
        # Slicing and one fromhex() for all take 25 ms for 120 000 lines, int() in a loop 60.
        lines = [x for x in self._data.split(b"\n") if len(x) > _LONG and x[_LONG] == 32]
        starts = array("Q", bytes.fromhex(b"".join([x[:_LONG] for x in lines]).decode("ascii")))
        if array("H", [1]).tobytes() == b"\1\0":
            starts.byteswap()
        values = starts.tolist()
        if values != sorted(values):  # modules and BPF progs follow, at lower addresses
            order = sorted(range(len(values)), key=values.__getitem__)
            lines = [lines[i] for i in order]
            starts = array("Q", [values[i] for i in order])
        self._lines = lines
        self._starts = starts


def _names(line: bytes) -> tuple[str, str]:
    _, _, rest = line.partition(b" ")
    name, _, module = rest[2:].decode("utf-8", "replace").partition("\t")
    return name, module.strip("[]")
