"""Maps of time series: the cells of all intervals, keys and CPUs as one window for each key.

The layout of keys and cells is that of ``semantics.lower.series``.
"""

from __future__ import annotations

import struct

from pytrace.base.types import I64, Aggregate
from pytrace.model.values import TimeSeries, divide
from pytrace.runtime.columns import Keys, sort_entries
from pytrace.runtime.decode import signed
from pytrace.runtime.maps import UserMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.linux.maps import BpfMap
    from pytrace.model.compiled import MapSpec
    from pytrace.model.values import MapContents, Value
    from pytrace.runtime.decode import Codecs
    from pytrace.runtime.environment import Environment

    Cell = tuple[int, int, int]

_CELL: Final = struct.Struct("=3Q")
_WORD: Final = 8

LAST, AVG, MAX, MIN, SUM = range(5)
"""Indexes into ``builtins.aggregates.SERIES_FUNCTIONS``."""


class SeriesMap(UserMap):
    """A map whose values are time series. All its keys share one window of time."""

    def __init__(self, spec: MapSpec, bpf_map: BpfMap, codecs: Codecs, env: Environment) -> None:
        super().__init__(spec, bpf_map, codecs)
        assert isinstance(spec.value, Aggregate)
        self._series = spec.value
        self._env = env
        self._user_key = (spec.key or I64).size if spec.key is not None else 0
        self._keys = Keys(spec.key or I64, codecs, index=False)

    def _read(self, top: int, div: int) -> MapContents:
        """Sorted by key; ``top`` and ``div`` mean nothing here (language 11.3)."""
        found = self._windows()
        if self.spec.scalar:
            return self._contents([None], list(found.values()))
        keys = self._keys.items(memoryview(b"".join(found)))
        keys, values = sort_entries(keys, self._keys.orders(keys), list(found.values()), None)
        if not self._keys.plain:
            keys = [self._keys.value(key) for key in keys]
        return self._contents(keys, values)

    def value(self, key: bytes) -> Value:
        return self._windows().get(key) or self.zero_value(1)

    def zero_value(self, div: int) -> Value:
        return TimeSeries(self._series.params[0], 0, ())

    def _windows(self) -> dict[bytes, TimeSeries]:
        """The series of each key, by the bytes of the script's key."""
        interval, count, _ = self._series.params
        found: dict[bytes, dict[int, int]] = {}
        key_size, transfer = self.spec.key_size, self._map.transfer_size
        for keys, values, many in self._map.batches():
            for index in range(many):
                key = bytes(keys[index * key_size : index * key_size + self._user_key])
                cells = _CELL.iter_unpack(values[index * transfer : (index + 1) * transfer])
                epoch, value = self._reduce(list(cells))
                found.setdefault(key, {})[epoch] = value
        newest = max((epoch for series in found.values() for epoch in series), default=0)
        first = max(newest - count + 1, 0)
        offset = self._env.tai_offset_ns
        window = range(first, newest + 1)
        return {
            key: TimeSeries(
                interval, first, tuple(map(series.get, window)), offset, signed=self._series.signed
            )
            for key, series in found.items()
        }

    def _reduce(self, cells: list[Cell]) -> tuple[int, int]:
        """Epoch and value of one interval over the CPUs: those of an older epoch are left out."""
        function = self._series.params[2]
        epoch = max(cell[2] for cell in cells)
        now = [cell for cell in cells if cell[2] == epoch]
        if function == LAST:
            return epoch, self._number(max(reversed(now), key=lambda cell: cell[1])[0])
        numbers = [self._number(cell[0]) for cell in now]
        if function == MAX:
            return epoch, max(numbers)
        if function == MIN:
            return epoch, min(numbers)
        if function == SUM:
            return epoch, self._number(sum(numbers))
        calls = sum(cell[1] for cell in now)
        return epoch, divide(self._number(sum(numbers)), calls) if calls else 0

    def _number(self, word: int) -> int:
        return signed(word) if self._series.signed else word & (1 << 64) - 1
