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
        self._fence_loads = is_weakly_ordered()
        self._batch_bytes = size // 8

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
        data, lengths = self._data, self._lengths
        base, offset, end = self._window(limit_position)
        done, flush_at = offset, offset + self._batch_bytes
        try:
            while offset < end:
                length = lengths[offset >> 2]
                start = offset + BPF_RINGBUF_HDR_SZ
                if length >= BPF_RINGBUF_DISCARD_BIT:
                    if length & BPF_RINGBUF_BUSY_BIT:
                        return
                    offset += ((length & _LENGTH_MASK) + 15) & -8
                    continue
                if self._fence_loads:
                    self._fence()
                here = base + offset
                offset += (length + 15) & -8
                yield here, bytes(data[start : start + length])
                if offset >= flush_at:
                    self._advance(base + offset)
                    done, flush_at = offset, offset + self._batch_bytes
        finally:
            if offset != done:
                self._advance(base + offset)

    def drain(
        self,
        handle: Callable[[memoryview, int, int], object],
        limit_position: int | None = None,
    ) -> int:
        """Call ``handle(data, offset, length)`` for each finished record; their number.

        ``data[offset : offset + length]`` is the record, in place, valid during the call only;
        ``struct.Struct.unpack_from(data, offset)`` reads it without a copy. A true result stops
        after this record. Otherwise as ``read``.
        """
        data, lengths, fence_loads = self._data, self._lengths, self._fence_loads
        batch_bytes = self._batch_bytes
        base, offset, end = self._window(limit_position)
        done, flush_at, count = offset, offset + batch_bytes, 0
        try:
            while offset < end:
                length = lengths[offset >> 2]
                start = offset + BPF_RINGBUF_HDR_SZ
                if length >= BPF_RINGBUF_DISCARD_BIT:
                    if length & BPF_RINGBUF_BUSY_BIT:
                        break
                    offset += ((length & _LENGTH_MASK) + 15) & -8
                    continue
                if fence_loads:
                    self._fence()
                offset += (length + 15) & -8
                count += 1
                if handle(data, start, length):
                    break
                if offset >= flush_at:
                    self._advance(base + offset)
                    done, flush_at = offset, offset + batch_bytes
        finally:
            if offset != done:
                self._advance(base + offset)
        return count

    def uniform(
        self, limit_position: int | None, most: int
    ) -> tuple[memoryview, int, int, int] | None:
        """The next records as long as they are finished, of one length and with the same first 4
        bytes: (data, offset of the first record, distance between records, their number).

        At most ``most`` of them. They stay in place until ``skip_to`` gives their space back.
        Looks at all lengths in a few steps inside C. None if there is no finished record.
        """
        lengths = self._lengths
        _, offset, end = self._window(limit_position)
        length = lengths[offset >> 2] if offset < end else BPF_RINGBUF_DISCARD_BIT
        if length >= BPF_RINGBUF_DISCARD_BIT:
            return None
        stride = (length + 15) & -8
        count = min((end - offset) // stride, most)
        first, step = offset >> 2, stride >> 2
        count = _leading(lengths[first : first + count * step : step].tolist(), length)
        if self._fence_loads:
            self._fence()
        first += BPF_RINGBUF_HDR_SZ >> 2
        kinds = lengths[first : first + count * step : step].tolist()
        count = _leading(kinds, kinds[0])
        return self._data, offset + BPF_RINGBUF_HDR_SZ, stride, count

    def skip_to(self, position: int) -> None:
        """Give the space up to ``position`` back unread: a record boundary that is not busy."""
        self._advance(position)

    def close(self) -> None:
        """Unmap. The map's descriptor stays with its owner."""
        for view in (self._consumer, self._producer, self._lengths, self._data):
            view.release()
        self._consumer_map.close()
        self._data_map.close()

    def _window(self, limit_position: int | None) -> tuple[int, int, int]:
        """What to read: the position of data offset 0, the first offset and the last plus one.

        The data is mapped twice, so that offsets need not wrap within one pass, and they are small
        numbers, which Python adds and compares faster than positions.
        """
        position = self._consumer[0]
        limit = self._producer[0]
        if limit_position is not None and limit_position < limit:
            limit = limit_position
        if self._fence_loads:
            self._fence()
        offset = position & (self.size - 1)
        return position - offset, offset, offset + limit - position

    def _advance(self, position: int) -> None:
        # The data was read before the space is given back, and the position is visible before the
        # producer's is looked at again: a commit that still saw the old position wakes nobody
        # (kernel/bpf/ringbuf.c, bpf_ringbuf_commit), so its record must be seen by the next read.
        if self._fence_loads:
            self._fence()
        self._consumer[0] = position
        self._fence()


def _leading(numbers: list[int], number: int) -> int:
    """How many of the first ``numbers`` are ``number``."""
    if numbers.count(number) == len(numbers):
        return len(numbers)
    return next(i for i, n in enumerate(numbers) if n != number)


def mmap_array(map_fd: int, size: int) -> memoryview:
    """A writable view of ``size`` bytes of an array map with BPF_F_MMAPABLE.

    Element i begins at i times the value size rounded up to 8. The mapping lives as long as the
    view, and keeps the map alive. A map cannot be frozen while it is mapped so.
    """
    whole = mmap.mmap(map_fd, (size + PAGE_SIZE - 1) & -PAGE_SIZE)
    return memoryview(whole)[:size]


def _make_fence() -> Callable[[], object]:
    """A full memory barrier that Python code can call: atomic operations of a lock.

    One acquire and release lets accesses of both sides into the middle, where they may pass each
    other on ARM; the release followed by a second acquire of the same lock does not.
    """
    import _thread

    lock = _thread.allocate_lock()
    acquire, release = lock.acquire, lock.release

    def fence() -> None:
        acquire()
        release()
        acquire()
        release()

    return fence
