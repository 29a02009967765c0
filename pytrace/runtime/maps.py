"""The script's maps as a whole: read, print, clear, zero (language 6, 9.2, 11.3)."""

from __future__ import annotations

import gc
import sys
from itertools import compress

from pytrace.base.types import I64, NONE, Aggregate, Type
from pytrace.model.values import Entries, MapContents
from pytrace.runtime.columns import AggregateValues, Keys, Values, present, sort_entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pytrace.linux.maps import BpfMap
    from pytrace.model.compiled import MapSpec
    from pytrace.model.values import Value
    from pytrace.runtime.decode import Codecs
    from pytrace.runtime.environment import Environment

TABLES = ("hist", "lhist", "tseries")


def open_map(spec: MapSpec, bpf_map: BpfMap, codecs: Codecs, env: Environment) -> UserMap:
    """The reader that a map of the script needs."""
    if spec.series:
        from pytrace.runtime.series import SeriesMap

        return SeriesMap(spec, bpf_map, codecs, env)
    return UserMap(spec, bpf_map, codecs)


class UserMap:
    """One map of the script, on the kernel's map behind it."""

    def __init__(self, spec: MapSpec, bpf_map: BpfMap, codecs: Codecs) -> None:
        self.spec = spec
        self._map = bpf_map
        self._array = "ARRAY" in spec.kind
        self._cpus = bpf_map.transfer_size // (spec.value_size + 7 & -8) if spec.percpu else 1
        value_type: Type = spec.value or NONE
        self.kind = value_type.kind if isinstance(value_type, Aggregate) else "value"
        self._keys = Keys(spec.key or I64, codecs, index=self._array)
        self._values: Values
        if isinstance(value_type, Aggregate):
            self._values = AggregateValues(spec, value_type, codecs, self._cpus)
        elif spec.percpu:
            raise TypeError(f"map {spec.name} keeps a plain value for each CPU")
        else:
            self._values = Values(spec, value_type, codecs)

    @property
    def name(self) -> str:
        return self.spec.name

    def read(self, top: int = 0, div: int = 1) -> MapContents:
        """All entries in the contract's order, or the ``top`` last of them, numbers divided."""
        collecting = gc.isenabled()
        gc.disable()  # Millions of new tuples make it look through all of them again and again.
        try:
            return self._read(top, div)
        finally:
            if collecting:
                gc.enable()

    def _read(self, top: int, div: int) -> MapContents:
        keys, values = self._items()
        show, convert = self._keys.value, self._values.value
        if self.spec.scalar:
            return self._contents([None], [convert(v, div) for v in values[:1]])
        by_value = self._values.orders(values) if self._values.by_value else None
        keys, values = sort_entries(keys, self._keys.orders(keys), values, by_value)
        if top:
            keys, values = keys[-top:], values[-top:]
        if not self._keys.plain:
            keys = [show(k) for k in keys]
        if not self._values.plain or div != 1:
            values = [convert(v, div) for v in values]
        return self._contents(keys, values)

    def _contents(self, keys: list[Any], values: list[Any]) -> MapContents:
        simple = self._keys.simple and self._values.simple
        entries = Entries(keys[: len(values)], values, simple=simple)
        return MapContents(self.name, self.kind, self.spec.scalar, entries)

    def print_contents(self, top: int, div: int) -> MapContents:
        """What ``print(@m)`` shows: as ``read``, but a scalar that is not there is zero, unless
        it is a table."""
        contents = self.read(top, div)
        if self.spec.scalar and not contents.entries and self.kind not in TABLES:
            return self._contents([None], [self.zero_value(div)])
        return contents

    def value(self, key: bytes) -> Value:
        """One element, zero where it is missing."""
        raw = self._map.lookup(key)
        if raw is not None:
            values = memoryview(raw)
            if not self.spec.presence or present(values, self._unit, self._cpus)[0]:
                found: Value = self._values.value(self._values.items(values)[0], 1)
                return found
        return self.zero_value(1)

    def zero_value(self, div: int) -> Value:
        zeros = memoryview(bytes(self._map.transfer_size))
        found: Value = self._values.value(self._values.items(zeros)[0], div)
        return found

    def clear(self) -> None:
        """Remove all entries."""
        if not self._array:
            self._map.clear()
            return
        zeros = bytes(self._map.transfer_size)
        for key in self._raw_keys():
            self._map.update(key, zeros)

    def zero(self) -> None:
        """Set all values to zero; the keys stay."""
        zeros = bytearray(self._map.transfer_size)
        if self.spec.presence:
            for end in range(self._unit, len(zeros) + 1, self._unit):
                zeros[end - 8 : end] = (1).to_bytes(8, sys.byteorder)
        for key in self._raw_keys():
            self._map.update(key, zeros)

    @property
    def _unit(self) -> int:
        """Bytes of one CPU's value in a transfer."""
        return self.spec.value_size + 7 & -8 if self.spec.percpu else self.spec.value_size

    def _raw_keys(self) -> list[bytes]:
        """Keys of the elements that are there, as the kernel has them."""
        size = self.spec.key_size
        found: list[bytes] = []
        for keys, values, count in self._map.batches():
            raw = [bytes(keys[i * size : (i + 1) * size]) for i in range(count)]
            if self.spec.presence:
                whole = values[: count * self._map.transfer_size]
                raw = list(compress(raw, present(whole, self._unit, self._cpus)))
            found += raw
        return found

    def _items(self) -> tuple[list[Any], list[Any]]:
        """Items of the keys and of the values of all elements that are there."""
        keys: list[Any] = []
        values: list[Any] = []
        key_size, transfer_size = self.spec.key_size, self._map.transfer_size
        for raw_keys, raw_values, count in self._map.batches():
            whole = raw_values[: count * transfer_size]
            some_keys = self._keys.items(raw_keys[: count * key_size])
            some_values = self._values.items(whole)
            if self.spec.presence:
                marks = present(whole, self._unit, self._cpus)
                some_keys = list(compress(some_keys, marks))
                some_values = list(compress(some_values, marks))
            keys += some_keys
            values += some_values
        return keys, values
