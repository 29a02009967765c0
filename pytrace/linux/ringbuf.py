"""Reading ring buffers (BPF_MAP_TYPE_RINGBUF), and mapping arrays into memory.

Layout (kernel/bpf/ringbuf.c): page 0 of the mapping holds the consumer's position, which only we
write; page 1 the producer's position; then the data, mapped twice in a row so that no record is
ever split. Positions count bytes from the start and never wrap. A record is an 8-byte header, of
which the first 4 bytes are its length with a busy and a discard bit, then the data, all padded to
8 bytes.
"""

from __future__ import annotations

import mmap

from pytrace.linux.syscall import is_weakly_ordered
from pytrace.linux.uapi import (
    BPF_RINGBUF_BUSY_BIT,
    BPF_RINGBUF_DISCARD_BIT,
    BPF_RINGBUF_HDR_SZ,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LENGTH_MASK = ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT) & 0xFFFFFFFF

PAGE_SIZE = mmap.PAGESIZE


class RingBuffer:
    """The consumer's side of a ring buffer of ``size`` bytes; there must be only one.

    ``fileno()`` may be registered with epoll: it is readable while there is data. Reading until
    ``read`` gives nothing, then waiting, loses no wake-up.
    """

    def __init__(self, map_fd: int, size: int) -> None:
        self.size = size
        self._fd = map_fd
        self._mask = size - 1
        self._consumer_map = mmap.mmap(map_fd, PAGE_SIZE)
        try:
            self._data_map = mmap.mmap(
                map_fd, PAGE_SIZE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=PAGE_SIZE
            )
        except BaseException:
            self._consumer_map.close()
            raise
        self._consumer = memoryview(self._consumer_map)[:8].cast("Q")
        whole = memoryview(self._data_map)
        self._producer = whole[:8].cast("Q")
        self._data = whole[PAGE_SIZE:]
        self._lengths = self._data.cast("I")
        self._fence = _make_fence()
        self._load_fence = self._fence if is_weakly_ordered() else _no_fence
        self._batch_bytes = max(size // 8, 4096)

    def fileno(self) -> int:
        return self._fd

    @property
    def producer_position(self) -> int:
        """Bytes reserved since the start. Records up to here may still be busy."""
        return self._producer[0]

    @property
    def consumer_position(self) -> int:
        """Bytes that were read since the start."""
        return self._consumer[0]

    @property
    def available(self) -> int:
        """Bytes between the two positions, headers, padding and busy records included."""
        return self._producer[0] - self._consumer[0]

    def read(self, limit_position: int | None = None) -> Iterator[tuple[int, bytes]]:
        """The finished records as (position, data), up to a busy one or to ``limit_position``.

        A record counts as read once it was given out, also when the caller stops early (closes or
        drops the iterator). Space goes back to the kernel in batches. ``limit_position`` is a
        producer position seen before: records that begin at or after it stay.
        """
        data_map, lengths, mask = self._data, self._lengths, self._mask
        consumer = position = self._consumer[0]
        limit = self._producer[0] if limit_position is None else limit_position
        self._load_fence()
        try:
            while position < limit:
                offset = position & mask
                length = lengths[offset >> 2]
                if length & BPF_RINGBUF_BUSY_BIT:
                    return
                self._load_fence()
                here, start = position, offset + BPF_RINGBUF_HDR_SZ
                size = length & _LENGTH_MASK
                position += (size + 15) & -8
                if length & BPF_RINGBUF_DISCARD_BIT:
                    continue
                yield here, bytes(data_map[start : start + size])
                if position - consumer >= self._batch_bytes:
                    self._advance(position)
                    consumer = position
        finally:
            if position != consumer:
                self._advance(position)

    def drain(
        self,
        handle: Callable[[memoryview, int, int, int], object],
        limit_position: int | None = None,
    ) -> int:
        """Call ``handle(data, offset, length, position)`` for each finished record; their number.

        ``data[offset : offset + length]`` is the record, in place, valid during the call only;
        ``struct.Struct.unpack_from(data, offset)`` reads it without a copy. A true result stops
        after this record. Otherwise as ``read``.
        """
        data, lengths, mask = self._data, self._lengths, self._mask
        batch_bytes, load_fence = self._batch_bytes, self._load_fence
        consumer = position = self._consumer[0]
        limit = self._producer[0] if limit_position is None else limit_position
        count, stop = 0, None
        load_fence()
        try:
            while position < limit and not stop:
                offset = position & mask
                length = lengths[offset >> 2]
                if length & BPF_RINGBUF_BUSY_BIT:
                    break
                load_fence()
                here = position
                size = length & _LENGTH_MASK
                position += (size + 15) & -8
                if length & BPF_RINGBUF_DISCARD_BIT:
                    continue
                count += 1
                stop = handle(data, offset + BPF_RINGBUF_HDR_SZ, size, here)
                if position - consumer >= batch_bytes:
                    self._advance(position)
                    consumer = position
        finally:
            if position != consumer:
                self._advance(position)
        return count

    def skip_to(self, position: int) -> None:
        """Give the space up to ``position`` back unread: a record boundary that is not busy."""
        self._advance(position)

    def close(self) -> None:
        """Unmap. The map's descriptor stays with its owner."""
        for view in (self._consumer, self._producer, self._lengths, self._data):
            view.release()
        self._consumer_map.close()
        self._data_map.close()

    def _advance(self, position: int) -> None:
        # The data was read before the space is given back, and the position is visible before the
        # producer's is looked at again: a commit that still saw the old position wakes nobody
        # (kernel/bpf/ringbuf.c, bpf_ringbuf_commit), so its record must be seen by the next read.
        self._load_fence()
        self._consumer[0] = position
        self._fence()


def mmap_array(map_fd: int, size: int) -> memoryview:
    """A writable view of ``size`` bytes of an array map with BPF_F_MMAPABLE.

    Element i begins at i times the value size rounded up to 8. The mapping lives as long as the
    view, and keeps the map alive. A map cannot be frozen while it is mapped so.
    """
    whole = mmap.mmap(map_fd, (size + PAGE_SIZE - 1) & -PAGE_SIZE)
    return memoryview(whole)[:size]


def _make_fence() -> Callable[[], object]:
    """A full memory barrier that Python code can call: an atomic operation of a lock."""
    import _thread

    lock = _thread.allocate_lock()
    acquire, release = lock.acquire, lock.release

    def fence() -> None:
        acquire()
        release()

    return fence


def _no_fence() -> None:
    """Machines whose loads stay in order need nothing between a length and its data."""
