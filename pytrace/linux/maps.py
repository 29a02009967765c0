"""Maps: creation, elements, and fast reading of many elements."""

from __future__ import annotations

import errno
import struct

from pytrace.base.errors import LoadError, NotSupported
from pytrace.linux.descriptor import Descriptor, object_name
from pytrace.linux.syscall import address_of, failure
from pytrace.linux.uapi import (
    BPF_ANY,
    BPF_MAP_CREATE,
    BPF_MAP_DELETE_ELEM,
    BPF_MAP_FREEZE,
    BPF_MAP_GET_NEXT_KEY,
    BPF_MAP_LOOKUP_AND_DELETE_BATCH,
    BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    BPF_MAP_LOOKUP_BATCH,
    BPF_MAP_LOOKUP_ELEM,
    BPF_MAP_TYPE_LRU_PERCPU_HASH,
    BPF_MAP_TYPE_PERCPU_ARRAY,
    BPF_MAP_TYPE_PERCPU_HASH,
    BPF_MAP_UPDATE_ELEM,
    ENOTSUPP,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytrace.linux.bpf import MapInfo
    from pytrace.linux.syscall import Syscalls

PERCPU_KINDS = frozenset(
    (BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH)
)

# union bpf_attr as BPF_MAP_CREATE reads it, up to map_token_fd.
_CREATE = struct.Struct("=IIIIIII16sIIIIIQiI")
_ELEMENT = struct.Struct("=IIQQQ")
_BATCH = struct.Struct("=QQQQIIQQ")

# Errors that say "this kind of map, or this kernel, has no batch operations".
_NO_BATCH = (-errno.EINVAL, -ENOTSUPP, -errno.EOPNOTSUPP)

DEFAULT_BATCH = 16384
_BATCH_BYTES = 4 << 20


class BpfMap(Descriptor):
    """A map of the kernel, owned through its descriptor.

    ``value_size`` is the declared size. Per-CPU kinds transfer, for each key, one value for each
    possible CPU, each rounded up to 8 bytes: ``transfer_size`` bytes in all.
    """

    __slots__ = ("kind", "key_size", "value_size", "max_entries", "flags", "cpus")

    def __init__(
        self,
        sys: Syscalls,
        fd: int,
        name: str,
        *,
        kind: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int = 0,
        cpus: int = 0,
    ) -> None:
        super().__init__(sys, fd, name)
        self.kind = kind
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.cpus = cpus

    @property
    def percpu(self) -> bool:
        return self.kind in PERCPU_KINDS

    @property
    def transfer_size(self) -> int:
        """Bytes of the value of one key as look-ups give and updates take it."""
        if self.kind not in PERCPU_KINDS:
            return self.value_size
        if not self.cpus:
            from pytrace.linux.cpus import possible_cpu_count

            self.cpus = possible_cpu_count()
        return (self.value_size + 7 & -8) * self.cpus

    def lookup(self, key: bytes, *, flags: int = 0, delete: bool = False) -> bytes | None:
        """The value of ``key`` (``transfer_size`` bytes), or None. ``delete`` removes it too."""
        key_buffer = self._key(key)
        value = bytearray(self.transfer_size)
        attr = self._element(key_buffer, value, flags)
        command = BPF_MAP_LOOKUP_AND_DELETE_ELEM if delete else BPF_MAP_LOOKUP_ELEM
        result = self.sys.bpf_raw(command, attr)
        if result == -errno.ENOENT:
            return None
        if result < 0:
            raise failure(-result, f"look up a key of map {self.name}")
        return bytes(value)

    def update(self, key: bytes, value: bytes | bytearray, *, flags: int = BPF_ANY) -> None:
        """Set the value of ``key``.

        Raises ``OSError``: E2BIG when the map is full, EEXIST and ENOENT as ``flags`` ask,
        EPERM when the map is frozen.
        """
        if len(value) != self.transfer_size:
            raise ValueError(f"map {self.name} takes values of {self.transfer_size} bytes")
        key_buffer, value_buffer = self._key(key), bytearray(value)
        attr = self._element(key_buffer, value_buffer, flags)
        self.sys.bpf(BPF_MAP_UPDATE_ELEM, attr, f"update map {self.name}")

    def delete(self, key: bytes) -> bool:
        """Remove ``key``; whether it was there."""
        key_buffer = self._key(key)
        attr = self._element(key_buffer, None, 0)
        result = self.sys.bpf_raw(BPF_MAP_DELETE_ELEM, attr)
        if result == -errno.ENOENT:
            return False
        if result < 0:
            raise failure(-result, f"delete a key of map {self.name}")
        return True

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after ``key``, the first one for None, or None after the last.

        When ``key`` is no longer there, a hash starts again from its first key.
        """
        key_buffer = None if key is None else self._key(key)
        following = bytearray(self.key_size)
        attr = self._element(key_buffer, following, 0)
        result = self.sys.bpf_raw(BPF_MAP_GET_NEXT_KEY, attr)
        if result == -errno.ENOENT:
            return None
        if result < 0:
            raise failure(-result, f"list the keys of map {self.name}")
        return bytes(following)

    def batches(
        self, *, size: int = DEFAULT_BATCH, delete: bool = False, fallback: bool = True
    ) -> Iterator[tuple[memoryview, memoryview, int]]:
        """All elements, many at a time: ``(keys, values, count)``.

        ``keys`` holds ``count`` keys of ``key_size`` bytes one after the other, ``values`` as many
        values of ``transfer_size`` bytes. Both are valid until the next step. ``delete`` removes
        what it returns and is for hashes only. Kernels, and kinds of map, without batch operations
        are read one by one; without ``fallback`` they raise ``NotSupported``.
        """
        try:
            yield from self._batches(size, delete)
        except NotSupported:
            # The kernel says so at the first step, before anything was given out.
            if not fallback:
                raise
            yield from self._one_by_one(size, delete)

    def items(self, *, delete: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """All elements as pairs of key and value. ``batches`` is faster for large maps."""
        key_size, value_size = self.key_size, self.transfer_size
        for keys, values, count in self.batches(delete=delete):
            for index in range(count):
                key = bytes(keys[index * key_size : (index + 1) * key_size])
                yield key, bytes(values[index * value_size : (index + 1) * value_size])

    def clear(self) -> None:
        """Remove every element of a hash."""
        for _ in self.batches(delete=True):
            pass

    def freeze(self) -> None:
        """Refuse all later changes from user space. EBUSY while it is mapped writable."""
        attr = bytearray(struct.pack("=I", self.fd))
        self.sys.bpf(BPF_MAP_FREEZE, attr, f"freeze map {self.name}")

    def info(self) -> MapInfo:
        from pytrace.linux import bpf

        return bpf.map_info(self.sys, self.fd)

    def _key(self, key: bytes) -> bytearray:
        if len(key) != self.key_size:
            raise ValueError(f"map {self.name} takes keys of {self.key_size} bytes")
        return bytearray(key)

    def _element(self, key: bytearray | None, value: bytearray | None, flags: int) -> bytearray:
        # The caller keeps both buffers alive over the call. Queues have keys of no bytes.
        key_address = address_of(key) if key else 0
        value_address = address_of(value) if value else 0
        return bytearray(_ELEMENT.pack(self.fd, 0, key_address, value_address, flags))

    def _batches(self, size: int, delete: bool) -> Iterator[tuple[memoryview, memoryview, int]]:
        command = BPF_MAP_LOOKUP_AND_DELETE_BATCH if delete else BPF_MAP_LOOKUP_BATCH
        element_size = self.key_size + self.transfer_size
        size = max(1, min(size, self.max_entries, _BATCH_BYTES // element_size))
        keys, values = bytearray(size * self.key_size), bytearray(size * self.transfer_size)
        # A hash keeps the number of a bucket (4 bytes) in the position, an array a key.
        here, there = bytearray(max(8, self.key_size)), bytearray(max(8, self.key_size))
        started = False
        while True:
            attr = bytearray(
                _BATCH.pack(
                    address_of(here) if started else 0,
                    address_of(there),
                    address_of(keys),
                    address_of(values),
                    size,
                    self.fd,
                    0,
                    0,
                )
            )
            result = self.sys.bpf_raw(command, attr)
            if result == -errno.ENOSPC:
                # One bucket holds more than a whole batch; nothing was given out or deleted.
                size *= 2
                keys, values = bytearray(size * self.key_size), bytearray(size * self.transfer_size)
                continue
            if result in _NO_BATCH:
                raise NotSupported("map_batch", f"map {self.name} has no batches", kernel="5.6")
            if result < 0 and result != -errno.ENOENT:
                raise failure(-result, f"read map {self.name}")
            count = struct.unpack_from("=I", attr, 32)[0]
            if count:
                yield memoryview(keys), memoryview(values), count
            if result == -errno.ENOENT:
                return
            here, there = there, here
            started = True

    def _one_by_one(self, size: int, delete: bool) -> Iterator[tuple[memoryview, memoryview, int]]:
        keys, values, seen = bytearray(), bytearray(), set()
        key = self.next_key(None)
        # A hash that changes meanwhile may start again: every key is given out once, and the
        # number of steps is bounded.
        steps = 2 * self.max_entries + 1
        while key is not None and steps:
            steps -= 1
            following = self.next_key(key)
            value = None if key in seen else self.lookup(key)
            if value is not None:
                seen.add(key)
                keys += key
                values += value
                if delete:
                    self.delete(key)
            if len(keys) >= size * self.key_size:
                yield memoryview(keys), memoryview(values), len(keys) // self.key_size
                keys, values = bytearray(), bytearray()
            key = following
        if keys:
            yield memoryview(keys), memoryview(values), len(keys) // self.key_size


def create(
    sys: Syscalls,
    name: str,
    *,
    kind: int,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: int = 0,
    map_extra: int = 0,
    inner_map_fd: int = 0,
    numa_node: int = 0,
    btf_fd: int = 0,
    btf_key_type_id: int = 0,
    btf_value_type_id: int = 0,
) -> BpfMap:
    """A new map of ``kind`` (BPF_MAP_TYPE_*). Sizes are bytes.

    For a ring buffer both sizes are 0 and ``max_entries`` is its size: a power of two and a
    multiple of the page size. Raises ``LoadError`` when the kernel refuses.
    """
    attr = bytearray(
        _CREATE.pack(
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
            inner_map_fd,
            numa_node,
            object_name(name),
            0,
            btf_fd,
            btf_key_type_id,
            btf_value_type_id,
            0,
            map_extra,
            0,
            0,
        )
    )
    try:
        fd = sys.bpf(BPF_MAP_CREATE, attr, f"create map {name}")
    except OSError as error:
        reason = f"cannot create map {name} of {max_entries} entries: {error.strerror}"
        raise LoadError(reason, errno=error.errno or 0) from error
    return BpfMap(
        sys,
        fd,
        name,
        kind=kind,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        flags=flags,
    )


def adopt(sys: Syscalls, fd: int) -> BpfMap:
    """The owner of a descriptor that came from ``bpf.fd_by_id`` or ``bpf.open_pinned``."""
    from pytrace.linux import bpf

    info = bpf.map_info(sys, fd)
    return BpfMap(
        sys,
        fd,
        info.name,
        kind=info.type,
        key_size=info.key_size,
        value_size=info.value_size,
        max_entries=info.max_entries,
        flags=info.flags,
    )
