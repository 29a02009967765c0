"""The ring buffer on the running kernel."""

from __future__ import annotations

import select
import struct
from collections.abc import Iterator

import pytest

from pytrace.linux import maps, progs
from pytrace.linux import uapi as u
from pytrace.linux.maps import BpfMap
from pytrace.linux.progs import BpfProg
from pytrace.linux.ringbuf import RingBuffer
from pytrace.linux.syscall import Syscalls
from tests.kernel import asm
from tests.kernel.asm import R0, R1, R2, R3, R6, R7, R10

SIZE = 65536
NO_WAKEUP = 1


pytestmark = pytest.mark.needs("root")


@pytest.fixture
def ring_map() -> Iterator[BpfMap]:
    with maps.create(
        Syscalls(),
        "ring",
        kind=u.BPF_MAP_TYPE_RINGBUF,
        key_size=0,
        value_size=0,
        max_entries=SIZE,
    ) as ring_map:
        yield ring_map


@pytest.fixture
def ring(ring_map: BpfMap) -> Iterator[RingBuffer]:
    ring = RingBuffer(ring_map.fd, SIZE)
    yield ring
    ring.close()


def writer(ring_map: BpfMap, flags: int = 0) -> BpfProg:
    """A prog that sends its first two arguments, 12 bytes; with an odd second one it discards."""
    code = asm.assemble(
        asm.load(8, R6, R1, 0),
        asm.load(8, R7, R1, 8),
        asm.load_map(R1, ring_map.fd),
        asm.mov(R2, 12),
        asm.mov(R3, 0),
        asm.call(asm.RINGBUF_RESERVE),
        asm.jump_if(R0, "==", 0, "full"),
        asm.store(8, R0, 0, R6),
        asm.store(4, R0, 8, R7),
        asm.insn(0xBF, R1, R0),
        asm.mov(R2, flags),
        asm.alu(R7, "&", 1),
        asm.jump_if(R7, "==", 1, "discard"),
        asm.call(asm.RINGBUF_SUBMIT),
        asm.return_(0),
        "discard",
        asm.call(asm.RINGBUF_DISCARD),
        asm.return_(0),
        "full",
        asm.return_(1),
    )
    return progs.load(ring_map.sys, "writer", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=code)


def send(prog: BpfProg, first: int, second: int) -> bool:
    return prog.test_run(context=struct.pack("=QQ", first, second)).retval == 0


def test_records_of_a_prog_are_read_and_discarded_ones_skipped(
    ring_map: BpfMap, ring: RingBuffer
) -> None:
    with writer(ring_map) as prog:
        for number in range(10):
            assert send(prog, number * 1000, number)
    assert ring.available == 10 * 24
    records = [struct.unpack("=QI", data) for _, data in ring.read()]
    assert records == [(n * 1000, n) for n in range(0, 10, 2)]
    assert ring.available == 0


def test_a_run_of_equal_records_is_found_at_once(ring_map: BpfMap, ring: RingBuffer) -> None:
    """``writer`` sends records of one length, of which the first 4 bytes are the number's."""
    with writer(ring_map) as prog:
        for number in (7, 7, 7, 8, 7):
            send(prog, number | 1 << 40, 0)
        send(prog, 7, 1)  # discarded
    end = ring.producer_position
    found = ring.uniform(end, 100)
    assert found is not None
    data, start, stride, count = found
    assert (stride, count) == (24, 3)
    assert struct.unpack_from("=QI", data, start + 2 * stride) == (7 | 1 << 40, 0)
    assert ring.uniform(ring.consumer_position + 24, 100) == (data, start, 24, 1)
    assert ring.uniform(end, 2) == (data, start, 24, 2)
    for left in (1, 1, 0):
        ring.skip_to(ring.consumer_position + stride * count)
        found = ring.uniform(end, 100)
        count = found[3] if found else 0
        assert count == left
    assert ring.uniform(None, 100) is None  # What is left was discarded.
    assert list(ring.read()) == []
    assert ring.uniform(None, 100) is None


def test_many_times_the_ring_size_goes_through_unchanged(
    ring_map: BpfMap, ring: RingBuffer
) -> None:
    got: list[int] = []
    unpack = struct.Struct("=QI").unpack_from

    def keep(data: memoryview, offset: int, length: int) -> None:
        assert length == 12
        got.append(unpack(data, offset)[0])

    sent = 3 * SIZE // 24
    with writer(ring_map) as prog:
        for number in range(sent):
            if not send(prog, number, 0):
                ring.drain(keep)
                assert send(prog, number, 0)
    ring.drain(keep)
    assert got == list(range(sent))


def test_a_full_ring_refuses_and_takes_more_after_reading(
    ring_map: BpfMap, ring: RingBuffer
) -> None:
    with writer(ring_map) as prog:
        fitted = 0
        while send(prog, fitted, 0):
            fitted += 1
        assert fitted == (SIZE - 1) // 24
        assert len(list(ring.read())) == fitted
        assert send(prog, 0, 0)


def test_epoll_wakes_for_a_record(ring_map: BpfMap, ring: RingBuffer) -> None:
    with select.epoll() as epoll, writer(ring_map) as prog:
        epoll.register(ring.fileno(), select.EPOLLIN)
        assert epoll.poll(0) == []
        assert send(prog, 1, 0)
        assert epoll.poll(10) == [(ring_map.fd, select.EPOLLIN)]
        assert len(list(ring.read())) == 1
        assert epoll.poll(0) == []


def test_records_without_wakeup_are_there_all_the_same(ring_map: BpfMap, ring: RingBuffer) -> None:
    with writer(ring_map, NO_WAKEUP) as prog:
        send(prog, 5, 0)
        assert [data for _, data in ring.read()] == [struct.pack("=QI", 5, 0)]


def test_output_of_a_whole_buffer(ring_map: BpfMap, ring: RingBuffer) -> None:
    code = asm.assemble(
        asm.store_imm(8, R10, -8, 0x1234),
        asm.load_map(R1, ring_map.fd),
        asm.insn(0xBF, R2, R10),
        asm.alu(R2, "+", -8),
        asm.mov(R3, 8),
        asm.mov(4, 0),
        asm.call(asm.RINGBUF_OUTPUT),
        asm.exit_(),
    )
    with progs.load(
        ring_map.sys, "out", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=code
    ) as prog:
        assert prog.test_run().retval == 0
    assert [data for _, data in ring.read()] == [struct.pack("=Q", 0x1234)]


def test_closing_unmaps_so_that_the_map_goes_away(ring_map: BpfMap) -> None:
    from pytrace.linux import bpf

    number = ring_map.info().id
    ring = RingBuffer(ring_map.fd, SIZE)
    ring_map.close()
    assert number in set(bpf.ids(ring_map.sys, "map"))
    ring.close()
    assert number not in set(bpf.ids(ring_map.sys, "map"))
