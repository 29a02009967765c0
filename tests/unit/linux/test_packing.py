"""Bytes of ``union bpf_attr`` and ``struct perf_event_attr`` as the kernel reads them."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from pytrace.base.errors import NotSupported
from pytrace.linux import links, maps, perf, progs
from pytrace.linux import uapi as u
from pytrace.linux.descriptor import object_name
from pytrace.linux.progs import BpfProg
from pytrace.linux.syscall import read_memory
from tests.unit.linux.fakes import UPROBE_TYPE, RecordingSyscalls


def u32(attr: bytes, offset: int) -> int:
    return int(struct.unpack_from("=I", attr, offset)[0])


def u64(attr: bytes, offset: int) -> int:
    return int(struct.unpack_from("=Q", attr, offset)[0])


@pytest.fixture
def sys() -> RecordingSyscalls:
    return RecordingSyscalls()


@pytest.fixture
def prog(sys: RecordingSyscalls) -> BpfProg:
    return BpfProg(sys, 5, "prog", prog_type=u.BPF_PROG_TYPE_KPROBE)


def test_map_create(sys: RecordingSyscalls) -> None:
    maps.create(
        sys,
        "@long_user_name_x",
        kind=u.BPF_MAP_TYPE_PERCPU_HASH,
        key_size=8,
        value_size=24,
        max_entries=4096,
        flags=u.BPF_F_RDONLY_PROG,
        map_extra=0x1122334455667788,
        inner_map_fd=6,
        btf_fd=7,
        btf_key_type_id=8,
        btf_value_type_id=9,
    )
    command, attr = sys.calls[0]
    assert command == u.BPF_MAP_CREATE
    assert struct.unpack_from("=IIIIII", attr) == (5, 8, 24, 4096, 128, 6)
    assert attr[28:44] == b"long_user_name_\0"
    assert struct.unpack_from("=III", attr, 48) == (7, 8, 9)
    assert u64(attr, 64) == 0x1122334455667788
    assert sys.decoded[0]["map_type"] == "PERCPU_HASH"


def test_prog_load(sys: RecordingSyscalls) -> None:
    progs.load(
        sys,
        "probe",
        prog_type=u.BPF_PROG_TYPE_KPROBE,
        insns=b"\x95" + b"\0" * 7,
        expected_attach_type=u.BPF_TRACE_KPROBE_MULTI,
        flags=u.BPF_F_SLEEPABLE,
        btf_fd=11,
        func_info=b"f" * 16,
        line_info=b"l" * 48,
        attach_btf_id=12,
        attach_fd=13,
        fd_array=[3, 4],
        kern_version=0x060102,
    )
    command, attr = sys.calls[0]
    assert command == u.BPF_PROG_LOAD
    assert (u32(attr, 0), u32(attr, 4)) == (u.BPF_PROG_TYPE_KPROBE, 1)
    assert (u32(attr, 24), u32(attr, 28), u64(attr, 32)) == (0, 0, 0)
    assert (u32(attr, 40), u32(attr, 44)) == (0x060102, u.BPF_F_SLEEPABLE)
    assert attr[48:64] == b"probe".ljust(16, b"\0")
    assert (u32(attr, 68), u32(attr, 72)) == (u.BPF_TRACE_KPROBE_MULTI, 11)
    assert (u32(attr, 76), u32(attr, 88)) == (8, 2)
    assert (u32(attr, 92), u32(attr, 104)) == (16, 3)
    assert (u32(attr, 108), u32(attr, 112)) == (12, 13)
    assert u64(attr, 120) != 0
    assert sys.decoded[0]["license"] == "GPL"
    assert len(sys.calls) == 1


def test_a_perf_link_with_a_cookie(sys: RecordingSyscalls, prog: BpfProg) -> None:
    fd = os.memfd_create("event")
    event = perf.PerfEvent(sys, fd, "event", slow_close=True)
    link = links.attach_perf_event(sys, prog, event, cookie=0xABCDEF0123456789)
    command, attr = sys.calls[0]
    assert command == u.BPF_LINK_CREATE
    assert struct.unpack_from("=IIII", attr) == (5, fd, u.BPF_PERF_EVENT, 0)
    assert u64(attr, 16) == 0xABCDEF0123456789
    assert link.slow_close
    assert event.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_raw_tracepoint(sys: RecordingSyscalls, prog: BpfProg) -> None:
    links.attach_raw_tracepoint(sys, prog, "sched_switch", cookie=3)
    assert sys.decoded == [
        {"command": "RAW_TRACEPOINT_OPEN", "name": "sched_switch", "prog_fd": 5, "cookie": 3}
    ]


def test_a_kprobe_multi_link_by_names(sys: RecordingSyscalls, prog: BpfProg) -> None:
    seen: list[list[str]] = []

    class Reading(RecordingSyscalls):
        def bpf_raw(self, command: int, attr: bytearray) -> int:
            pointers = struct.unpack("=2Q", read_memory(u64(bytes(attr), 24), 16))
            seen.append([read_memory(p, 3).decode() for p in pointers])
            return super().bpf_raw(command, attr)

    sys = Reading()
    links.attach_kprobe_multi(sys, prog, "k", functions=["abc", "xyz"], cookies=[1, 2])
    attr = sys.calls[0][1]
    assert (u32(attr, 8), u32(attr, 16), u32(attr, 20)) == (u.BPF_TRACE_KPROBE_MULTI, 0, 2)
    assert seen == [["abc", "xyz"]]
    assert u64(attr, 32) == 0
    assert u64(attr, 40) != 0


def test_a_kprobe_multi_return_session_by_addresses(sys: RecordingSyscalls, prog: BpfProg) -> None:
    links.attach_kprobe_multi(sys, prog, "k", addresses=[1 << 63], retprobe=True, session=True)
    attr = sys.calls[0][1]
    assert (u32(attr, 8), u32(attr, 16), u32(attr, 20)) == (u.BPF_TRACE_KPROBE_SESSION, 1, 1)
    assert u64(attr, 24) == 0
    assert u64(attr, 32) != 0


def test_a_uprobe_multi_link(sys: RecordingSyscalls, prog: BpfProg) -> None:
    links.attach_uprobe_multi(
        sys, prog, "u", "/bin/true", [16, 32], ref_ctr_offsets=[1, 2], pid=42, retprobe=True
    )
    attr = sys.calls[0][1]
    assert sys.decoded[0] == {
        "command": "LINK_CREATE",
        "prog_fd": 5,
        "attach_type": "UPROBE_MULTI",
        "path": "/bin/true",
        "cnt": 2,
        "multi_flags": 1,
        "pid": 42,
    }
    assert u64(attr, 24) != 0
    assert u64(attr, 32) != 0
    assert u64(attr, 40) == 0


def test_a_tracing_link_falls_back_only_without_a_cookie(prog: BpfProg) -> None:
    refusing = RecordingSyscalls(-errno.EINVAL)
    with pytest.raises(OSError, match="attach fentry:x"):
        links.attach_tracing(refusing, prog, u.BPF_TRACE_FENTRY, "fentry:x", cookie=1)
    assert [c for c, _ in refusing.calls] == [u.BPF_LINK_CREATE]
    assert u64(refusing.calls[0][1], 24) == 1
    refusing.calls.clear()
    with pytest.raises(OSError, match="attach fentry:x"):
        links.attach_tracing(refusing, prog, u.BPF_TRACE_FENTRY, "fentry:x")
    assert [c for c, _ in refusing.calls] == [u.BPF_LINK_CREATE, u.BPF_RAW_TRACEPOINT_OPEN]


def test_a_tracepoint_event(sys: RecordingSyscalls) -> None:
    event = perf.open_tracepoint(sys, 1234, "t")
    attr = sys.calls[0][1]
    assert len(attr) == 112
    assert (u32(attr, 0), u32(attr, 4), u64(attr, 8)) == (2, 112, 1234)
    assert sys.decoded[0]["cpu"] == 0
    assert sys.decoded[0]["pid"] == -1
    assert sys.decoded[0]["open_flags"] == u.PERF_FLAG_FD_CLOEXEC
    assert event.slow_close


def test_a_timer_by_frequency_sets_the_freq_bit(sys: RecordingSyscalls) -> None:
    perf.open_counter(sys, u.PERF_TYPE_SOFTWARE, u.PERF_COUNT_SW_CPU_CLOCK, "t", freq=99, cpu=1)
    attr = sys.calls[0][1]
    assert (u32(attr, 0), u64(attr, 8), u64(attr, 16), u64(attr, 40)) == (1, 0, 99, 1 << 10)
    perf.open_counter(sys, u.PERF_TYPE_SOFTWARE, u.PERF_COUNT_SW_CPU_CLOCK, "t", period=10**6)
    assert (u64(sys.calls[1][1], 16), u64(sys.calls[1][1], 40)) == (10**6, 0)


def test_a_breakpoint() -> None:
    attr = bytes(perf.pack_breakpoint(0xFFFFFFFF81000000, 4, u.HW_BREAKPOINT_RW))
    assert (u32(attr, 0), u32(attr, 52)) == (u.PERF_TYPE_BREAKPOINT, u.HW_BREAKPOINT_RW)
    assert (u64(attr, 56), u64(attr, 64)) == (0xFFFFFFFF81000000, 4)


def test_a_uretprobe_with_a_semaphore(
    sys: RecordingSyscalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf, "dynamic_pmu", lambda name: (UPROBE_TYPE, 0))
    perf.open_uprobe(sys, "/bin/true", 0x1234, "u", retprobe=True, pid=7, ref_ctr_offset=0x5678)
    attr = sys.calls[0][1]
    assert u64(attr, 8) == 0x5678 << 32 | 1
    assert u64(attr, 64) == 0x1234
    assert sys.decoded[0]["target"] == "/bin/true"
    assert (sys.decoded[0]["pid"], sys.decoded[0]["cpu"]) == (7, -1)


def test_a_probe_pmu_says_its_type_and_retprobe_bit(tmp_path: Path) -> None:
    (tmp_path / "uprobe/format").mkdir(parents=True)
    (tmp_path / "uprobe/type").write_text("8\n")
    (tmp_path / "uprobe/format/retprobe").write_text("config:3\n")
    assert perf.dynamic_pmu("uprobe", str(tmp_path)) == (8, 3)
    with pytest.raises(NotSupported, match="this kernel has no kprobes"):
        perf.dynamic_pmu("kprobe", str(tmp_path))


def test_an_event_moves_to_another_cpu_when_cpu_0_is_offline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Cpu0Offline(RecordingSyscalls):
        def perf_event_open(
            self, attr: bytearray, pid: int, cpu: int, group_fd: int, flags: int, what: str
        ) -> int:
            if cpu == 0:
                raise OSError(errno.ENODEV, "No such device", what)
            return super().perf_event_open(attr, pid, cpu, group_fd, flags, what)

    monkeypatch.setattr("pytrace.linux.cpus.online_cpus", lambda: (3, 4))
    sys = Cpu0Offline()
    perf.open_tracepoint(sys, 1, "t")
    assert sys.decoded[0]["cpu"] == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("@start", b"start"),
        ("my-map", b"my_map"),
        ("@", b"_"),
        ("0123456789abcdefgh", b"0123456789abcde"),
        (".data", b".data"),
    ],
)
def test_names_become_what_the_kernel_takes(text: str, name: bytes) -> None:
    assert object_name(text) == name
