"""A machine made up for tests, and maps in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from pytrace.base.types import EnumDef, StructDef, Type, align_up
from pytrace.model.compiled import MapSpec
from pytrace.model.values import StackTrace
from pytrace.runtime.decode import Codecs
from pytrace.runtime.environment import Environment
from pytrace.runtime.maps import UserMap


class FakeEnvironment(Environment):
    """Symbols, users and groups that only depend on their numbers."""

    def __init__(self, trailer: str = "..") -> None:
        super().__init__({"str_trunc_trailer": trailer})

    def kernel_symbol(self, address: int) -> str:
        return f"k_{address:x}"

    def user_symbol(self, address: int, pid: int) -> str:
        return f"u_{address:x}_{pid}"

    def stack(self, type_: Any, raw: bytes) -> StackTrace:
        count, pid = struct.unpack_from("=iI", raw)
        frames = struct.unpack_from(f"={max(count, 0)}Q", raw, 8)
        return StackTrace(tuple(f"{pid}:{f:x}" for f in frames))


def codecs(structs: Sequence[StructDef] = (), enums: Sequence[EnumDef] = ()) -> Codecs:
    return Codecs(structs, enums, FakeEnvironment())


class MemoryMap:
    """What ``UserMap`` uses of ``linux.maps.BpfMap``, on a dict."""

    def __init__(self, spec: MapSpec, cpus: int) -> None:
        self.spec = spec
        self.cpus = cpus if spec.percpu else 1
        unit = align_up(spec.value_size, 8) if spec.percpu else spec.value_size
        self.transfer_size = unit * self.cpus
        self.elements: dict[bytes, bytes] = {}
        if "ARRAY" in spec.kind:
            for index in range(spec.max_entries):
                self.elements[struct.pack("=I", index)] = bytes(self.transfer_size)

    def lookup(self, key: bytes) -> bytes | None:
        return self.elements.get(key)

    def update(self, key: bytes, value: bytes | bytearray) -> None:
        assert len(value) == self.transfer_size
        self.elements[key] = bytes(value)

    def clear(self) -> None:
        assert "HASH" in self.spec.kind, "only a hash can lose its elements"
        self.elements.clear()

    def batches(self) -> Iterator[tuple[memoryview, memoryview, int]]:
        """Two elements a batch, in buffers that are larger than what is in them."""
        items = list(self.elements.items())
        for start in range(0, len(items), 2):
            part = items[start : start + 2]
            keys = bytearray(b"".join(k for k, _ in part) + b"\xee" * 64)
            values = bytearray(b"".join(v for _, v in part) + b"\xee" * 64)
            yield memoryview(keys), memoryview(values), len(part)


def make_map(
    value: Type,
    key: Type | None = None,
    *,
    kind: str = "HASH",
    cpus: int = 2,
    entries: int = 16,
    presence: bool = False,
    structs: Sequence[StructDef] = (),
    enums: Sequence[EnumDef] = (),
) -> tuple[UserMap, MemoryMap]:
    size = align_up(value.size, 8) + 8 if presence else value.size
    spec = MapSpec(
        name="@m",
        kind=kind,
        key_size=4 if "ARRAY" in kind else (key.size if key else 8),
        value_size=size,
        max_entries=entries,
        key=key,
        value=value,
        scalar=key is None,
        presence=presence,
    )
    memory = MemoryMap(spec, cpus)
    return UserMap(spec, memory, codecs(structs, enums)), memory  # type: ignore[arg-type]


def pairs(contents: Any) -> list[tuple[Any, Any]]:
    return list(contents.entries)
