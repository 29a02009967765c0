"""The ring buffer's reader, on a file laid out like the kernel's mapping."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from pytrace.linux.ringbuf import PAGE_SIZE, RingBuffer

SIZE = 4096
BUSY, DISCARD = 1 << 31, 1 << 30


class FakeKernel:
    """Plays the producer: writes records at the positions the kernel would use."""

    def __init__(self, start: int = 0) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE_SIZE + 2 * SIZE)
        self.position = start
        self._word(0, start)
        self._word(PAGE_SIZE, start)

    def _word(self, offset: int, value: int) -> None:
        os.pwrite(self.fd, struct.pack("=Q", value), offset)

    def write(self, data: bytes, bits: int = 0) -> int:
        """One record; its position."""
        here = self.position
        record = struct.pack("=II", len(data) | bits, 0) + data
        for index, byte in enumerate(record):
            place = (here + index) % SIZE
            for copy in (0, SIZE):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE_SIZE + copy + place)
        self.position += (len(record) + 7) & -8
        self._word(PAGE_SIZE, self.position)
        return here

    def finish(self, position: int, length: int) -> None:
        """Clear the busy bit of a record."""
        for copy in (0, SIZE):
            place = 2 * PAGE_SIZE + copy + position % SIZE
            os.pwrite(self.fd, struct.pack("=I", length), place)

    @property
    def seen_consumer(self) -> int:
        return int.from_bytes(os.pread(self.fd, 8, 0), "little")


@pytest.fixture
def kernel() -> Iterator[FakeKernel]:
    fake = FakeKernel()
    yield fake
    os.close(fake.fd)


@pytest.fixture
def ring(kernel: FakeKernel) -> Iterator[RingBuffer]:
    buffer = RingBuffer(kernel.fd, SIZE)
    yield buffer
    buffer.close()


def drained(ring: RingBuffer, limit: int | None = None) -> list[tuple[int, bytes]]:
    """As ``read``, by ``drain``; positions from the offsets, which count from the ring's start."""
    found: list[tuple[int, bytes]] = []
    base = ring.consumer_position // SIZE * SIZE

    def keep(data: memoryview, offset: int, length: int) -> None:
        found.append((base + offset - 8, bytes(data[offset : offset + length])))

    assert ring.drain(keep, limit) == len(found)
    return found


def test_an_empty_ring_gives_nothing(ring: RingBuffer) -> None:
    assert list(ring.read()) == []
    assert ring.available == 0


def test_records_come_in_order_with_their_positions(kernel: FakeKernel, ring: RingBuffer) -> None:
    kernel.write(b"a")
    kernel.write(b"12345678")
    kernel.write(b"123456789")
    assert ring.available == 16 + 16 + 24
    assert list(ring.read()) == [(0, b"a"), (16, b"12345678"), (32, b"123456789")]
    assert kernel.seen_consumer == kernel.position == ring.producer_position
    assert list(ring.read()) == []


def test_drain_gives_the_same_records_in_place(kernel: FakeKernel, ring: RingBuffer) -> None:
    kernel.write(b"a")
    kernel.write(b"123456789")
    assert drained(ring) == [(0, b"a"), (16, b"123456789")]
    assert kernel.seen_consumer == kernel.position


@pytest.mark.parametrize("drain", [False, True])
def test_discarded_records_are_skipped_also_at_the_end(
    kernel: FakeKernel, ring: RingBuffer, drain: bool
) -> None:
    kernel.write(b"gone", DISCARD)
    kernel.write(b"kept")
    kernel.write(b"gone", DISCARD)
    assert (drained(ring) if drain else list(ring.read())) == [(16, b"kept")]
    assert kernel.seen_consumer == kernel.position


@pytest.mark.parametrize("drain", [False, True])
def test_reading_stops_at_a_busy_record_and_goes_on_once_it_is_finished(
    kernel: FakeKernel, ring: RingBuffer, drain: bool
) -> None:
    def read() -> list[tuple[int, bytes]]:
        return drained(ring) if drain else list(ring.read())

    kernel.write(b"one")
    busy = kernel.write(b"two", BUSY)
    kernel.write(b"three")
    assert [data for _, data in read()] == [b"one"]
    assert kernel.seen_consumer == busy
    assert read() == []
    kernel.finish(busy, 3)
    assert [data for _, data in read()] == [b"two", b"three"]


@pytest.mark.parametrize("drain", [False, True])
def test_a_limit_leaves_later_records(kernel: FakeKernel, ring: RingBuffer, drain: bool) -> None:
    kernel.write(b"one")
    limit = ring.producer_position
    kernel.write(b"two")
    first = drained(ring, limit) if drain else list(ring.read(limit))
    assert [data for _, data in first] == [b"one"]
    assert kernel.seen_consumer == limit
    assert [data for _, data in ring.read()] == [b"two"]


def test_a_reader_that_breaks_off_has_read_what_it_was_given(
    kernel: FakeKernel, ring: RingBuffer
) -> None:
    kernel.write(b"one")
    second = kernel.write(b"two")
    kernel.write(b"three")
    for _, data in ring.read():
        assert data == b"one"
        break
    assert kernel.seen_consumer == second
    assert [data for _, data in ring.read()] == [b"two", b"three"]


def test_a_handler_that_stops_or_fails_has_read_its_record(
    kernel: FakeKernel, ring: RingBuffer
) -> None:
    kernel.write(b"one")
    second = kernel.write(b"two")
    third = kernel.write(b"three")
    assert ring.drain(lambda *_: True) == 1
    assert kernel.seen_consumer == second

    def fail(*_: object) -> None:
        raise RuntimeError("handler")

    with pytest.raises(RuntimeError, match="handler"):
        ring.drain(fail)
    assert kernel.seen_consumer == third


def test_space_goes_back_before_the_end_of_a_long_read(
    kernel: FakeKernel, ring: RingBuffer
) -> None:
    for _ in range(SIZE // 32):
        kernel.write(b"x" * 24)
    seen = [kernel.seen_consumer for _ in ring.read()]
    assert seen[0] == 0
    assert seen[-1] >= SIZE // 2
    assert kernel.seen_consumer == kernel.position == SIZE


@pytest.mark.parametrize("drain", [False, True])
def test_a_record_over_the_end_of_the_ring_is_whole(drain: bool) -> None:
    kernel = FakeKernel(start=5 * SIZE - 16)
    ring = RingBuffer(kernel.fd, SIZE)
    data = bytes(range(100))
    kernel.write(data)
    kernel.write(b"next")
    found = drained(ring) if drain else list(ring.read())
    assert found == [(5 * SIZE - 16, data), (5 * SIZE + 96, b"next")]
    ring.close()
    os.close(kernel.fd)


def test_positions_above_32_bits_work() -> None:
    kernel = FakeKernel(start=(1 << 32) - 8)
    ring = RingBuffer(kernel.fd, SIZE)
    kernel.write(b"one")
    kernel.write(b"two")
    assert list(ring.read()) == [((1 << 32) - 8, b"one"), ((1 << 32) + 8, b"two")]
    assert ring.consumer_position == (1 << 32) + 24
    ring.close()
    os.close(kernel.fd)


def test_records_can_be_skipped_unread(kernel: FakeKernel, ring: RingBuffer) -> None:
    kernel.write(b"one")
    limit = ring.producer_position
    kernel.write(b"two")
    ring.skip_to(limit)
    assert [data for _, data in ring.read()] == [b"two"]
