"""Attaching progs to the running kernel: each test makes N events itself and reads back N."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytrace.linux import bpf, links, maps, perf, progs, ringbuf
from pytrace.linux import uapi as u
from pytrace.linux.attach import Linux
from pytrace.linux.features import Features
from pytrace.linux.links import Link
from pytrace.linux.maps import BpfMap
from pytrace.linux.progs import BpfProg
from pytrace.linux.syscall import Syscalls
from tests.kernel import asm
from tests.kernel.build import Library, build_library

pytestmark = pytest.mark.needs("root")


class Counter:
    """A one-element array, seen in memory, in which progs of a test count."""

    def __init__(self) -> None:
        self.sys = Syscalls()
        self.map: BpfMap = maps.create(
            self.sys,
            "count",
            kind=u.BPF_MAP_TYPE_ARRAY,
            key_size=4,
            value_size=8,
            max_entries=1,
            flags=u.BPF_F_MMAPABLE,
        )
        self._view = ringbuf.mmap_array(self.map.fd, 8).cast("Q")
        self._progs: list[BpfProg] = []

    @property
    def value(self) -> int:
        return self._view[0]

    def prog(self, prog_type: int, code: bytes | None = None, attach_type: int = 0) -> BpfProg:
        """A loaded prog; without ``code`` one that counts its runs in this process."""
        prog = progs.load(
            self.sys,
            "counter",
            prog_type=prog_type,
            insns=code or asm.count_in_array(self.map.fd, os.getpid()),
            expected_attach_type=attach_type,
        )
        self._progs.append(prog)
        return prog

    def adds_cookie(self) -> bytes:
        """Code that adds the attach cookie to the counter, in this process."""
        return asm.assemble(
            asm.insn(0xBF, asm.R6, asm.R1),
            *asm.unless_pid_exit(os.getpid()),
            asm.insn(0xBF, asm.R1, asm.R6),
            asm.call(asm.GET_ATTACH_COOKIE),
            asm.load_map_value(asm.R1, self.map.fd),
            asm.atomic_add(asm.R1, 0, asm.R0),
            "out",
            asm.return_(0),
        )

    def close(self) -> None:
        for prog in self._progs:
            prog.close()
        self._view.release()
        self.map.close()


@pytest.fixture
def counter() -> Iterator[Counter]:
    counter = Counter()
    yield counter
    counter.close()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return build_library(tmp_path_factory.mktemp("library"))


def attach_getppid(counter: Counter, cookie: int = 0, code: bytes | None = None) -> Link:
    number = perf.tracepoint_id("syscalls", "sys_enter_getppid")
    event = perf.open_tracepoint(counter.sys, number, "tracepoint:syscalls:sys_enter_getppid")
    prog = counter.prog(u.BPF_PROG_TYPE_TRACEPOINT, code)
    return links.attach_perf_event(counter.sys, prog, event, cookie=cookie)


def require(sys: Syscalls, feature: str) -> None:
    works, reason = Features(sys).check(feature)
    if not works:
        pytest.skip(f"needs {feature}: {reason}")


@pytest.mark.needs("tracefs")
def test_a_tracepoint_counts_each_call_and_stops_with_its_link(counter: Counter) -> None:
    with attach_getppid(counter) as link:
        assert link.slow_close
        for _ in range(1000):
            os.getppid()
        assert counter.value == 1000
    os.getppid()
    assert counter.value == 1000


@pytest.mark.needs("tracefs")
def test_a_tracepoint_has_a_cookie(counter: Counter) -> None:
    cookie = 0x1_0000_0001
    with attach_getppid(counter, cookie, counter.adds_cookie()):
        os.getppid()
        os.getppid()
    assert counter.value == 2 * cookie


@pytest.mark.needs("tracefs")
def test_without_perf_links_the_ioctl_attaches(counter: Counter) -> None:
    class Old(Syscalls):
        """A kernel before 5.15."""

        def bpf_raw(self, command: int, attr: bytearray) -> int:
            if command == u.BPF_LINK_CREATE:
                return -errno.EINVAL
            return super().bpf_raw(command, attr)

    counter.sys = Old()
    with attach_getppid(counter) as link:
        assert isinstance(link, links.PerfIoctlLink)
        for _ in range(10):
            os.getppid()
    os.getppid()
    assert counter.value == 10
    with pytest.raises(OSError, match="attach tracepoint:syscalls:sys_enter_getppid"):
        attach_getppid(counter, cookie=1)


@pytest.mark.needs("tracefs")
def test_a_failed_attach_closes_the_event(counter: Counter) -> None:
    before = os.listdir("/proc/self/fd")
    number = perf.tracepoint_id("syscalls", "sys_enter_getppid")
    prog = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT)
    event = perf.open_tracepoint(counter.sys, number, "wrong")
    with pytest.raises(OSError, match="attach wrong"):
        links.attach_perf_event(counter.sys, prog, event)
    prog.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_raw_tracepoint_counts_each_call(counter: Counter) -> None:
    """sys_enter's second argument is the number of the call."""
    getppid = {"x86_64": 110}.get(os.uname().machine, 173)
    code = asm.assemble(
        asm.load(8, asm.R6, asm.R1, 8),
        asm.jump_if(asm.R6, "!=", getppid, "out"),
        *asm.unless_pid_exit(os.getpid()),
        asm.load_map_value(asm.R1, counter.map.fd),
        asm.mov(asm.R2, 1),
        asm.atomic_add(asm.R1, 0, asm.R2),
        "out",
        asm.return_(0),
    )
    prog = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT, code)
    with links.attach_raw_tracepoint(counter.sys, prog, "sys_enter") as link:
        for _ in range(500):
            os.getppid()
        info = link.info()
        assert info.prog_id == prog.info().id
        assert info.id in set(bpf.ids(counter.sys, "link"))
    os.getppid()
    assert counter.value == 500


def test_an_unknown_raw_tracepoint_is_an_error_that_names_it(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT)
    with pytest.raises(FileNotFoundError, match="attach rawtracepoint:no_such_thing"):
        links.attach_raw_tracepoint(counter.sys, prog, "no_such_thing")


def attach_uprobe(counter: Counter, library: Library, retprobe: bool = False) -> Link:
    event = perf.open_uprobe(
        counter.sys, library.path, library.offset("callee"), "uprobe", retprobe=retprobe
    )
    return links.attach_perf_event(counter.sys, counter.prog(u.BPF_PROG_TYPE_KPROBE), event)


@pytest.mark.needs("probed-library")
@pytest.mark.parametrize("retprobe", [False, True])
def test_a_uprobe_counts_each_call(counter: Counter, library: Library, retprobe: bool) -> None:
    with attach_uprobe(counter, library, retprobe):
        for _ in range(300):
            library.call("callee")
    library.call("callee")
    assert counter.value == 300


@pytest.mark.needs("probed-library")
def test_a_uprobe_of_one_process_leaves_others_alone(counter: Counter, library: Library) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_KPROBE)
    offset = library.offset("callee")
    event = perf.open_uprobe(counter.sys, library.path, offset, "uprobe", pid=os.getpid())
    with links.attach_perf_event(counter.sys, prog, event):
        for _ in range(5):
            library.call("callee")
    assert counter.value == 5


@pytest.mark.needs("probed-library")
def test_a_uprobe_raises_its_semaphore_while_attached(counter: Counter, library: Library) -> None:
    assert library.semaphore == 0
    prog = counter.prog(u.BPF_PROG_TYPE_KPROBE)
    event = perf.open_uprobe(
        counter.sys,
        library.path,
        library.offset("callee"),
        "uprobe",
        ref_ctr_offset=library.offset("semaphore"),
    )
    with links.attach_perf_event(counter.sys, prog, event):
        assert library.semaphore == 1
    assert library.semaphore == 0


@pytest.mark.needs("probed-library")
def test_one_uprobe_multi_link_counts_many_functions(counter: Counter, library: Library) -> None:
    require(counter.sys, "uprobe_multi")
    prog = counter.prog(
        u.BPF_PROG_TYPE_KPROBE, counter.adds_cookie(), attach_type=u.BPF_TRACE_UPROBE_MULTI
    )
    functions = ["callee", "second", "third"]
    with links.attach_uprobe_multi(
        counter.sys,
        prog,
        "uprobe_multi",
        library.path,
        [library.offset(name) for name in functions],
        cookies=[1, 100, 10000],
    ):
        for _ in range(3):
            library.call("callee")
        library.call("second")
        library.call("third")
        library.call("third")
    library.call("third")
    assert counter.value == 20103


@pytest.mark.needs("probed-library")
def test_a_uprobe_multi_link_of_return_probes(counter: Counter, library: Library) -> None:
    require(counter.sys, "uprobe_multi")
    prog = counter.prog(u.BPF_PROG_TYPE_KPROBE, attach_type=u.BPF_TRACE_UPROBE_MULTI)
    with links.attach_uprobe_multi(
        counter.sys,
        prog,
        "uretprobe_multi",
        library.path,
        [library.offset("callee")],
        pid=os.getpid(),
        retprobe=True,
    ):
        for _ in range(9):
            library.call("callee")
    assert counter.value == 9


def count_every_run(counter: Counter) -> bytes:
    return asm.assemble(
        asm.load_map_value(asm.R1, counter.map.fd),
        asm.mov(asm.R2, 1),
        asm.atomic_add(asm.R1, 0, asm.R2),
        asm.return_(0),
    )


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


def test_a_timer_fires_in_its_rhythm_on_one_cpu(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    event = perf.open_counter(
        counter.sys,
        u.PERF_TYPE_SOFTWARE,
        u.PERF_COUNT_SW_CPU_CLOCK,
        "interval",
        period=5_000_000,
        cpu=0,
    )
    start = time.monotonic_ns()
    with links.attach_perf_event(counter.sys, prog, event) as link:
        assert not link.slow_close
        wait_for(lambda: counter.value >= 20)
        elapsed_ns = time.monotonic_ns() - start
    # A busy machine may delay a timer, which then fires less often and never more often.
    assert counter.value <= elapsed_ns // 5_000_000 + 1


def test_a_timer_by_frequency_on_a_cpu_that_is_kept_busy(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    event = perf.open_counter(
        counter.sys, u.PERF_TYPE_SOFTWARE, u.PERF_COUNT_SW_CPU_CLOCK, "profile", freq=199, cpu=0
    )
    with links.attach_perf_event(counter.sys, prog, event):
        wait_for(lambda: counter.value >= 3)


def test_a_software_event_counts_page_faults_of_this_process(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    pages = 64
    memory = mmap.mmap(-1, pages * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    event = perf.open_counter(
        counter.sys,
        u.PERF_TYPE_SOFTWARE,
        u.PERF_COUNT_SW_PAGE_FAULTS,
        "software:page-faults",
        period=1,
        pid=os.getpid(),
    )
    with links.attach_perf_event(counter.sys, prog, event):
        before = counter.value
        for number in range(pages):
            memory[number * mmap.PAGESIZE] = 1
        counted = counter.value - before
    memory.close()
    # The interpreter itself may fault a page of its own now and then.
    assert pages <= counted < 2 * pages


def test_a_watchpoint_counts_writes_of_a_process(counter: Counter) -> None:
    word = ctypes.c_uint64()
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    linux = Linux(counter.sys)
    try:
        attached = linux.watchpoint(
            prog, "w", ctypes.addressof(word), 8, u.HW_BREAKPOINT_W, pid=os.getpid()
        )
    except OSError as error:
        pytest.skip(f"needs watchpoint: {error.strerror}")
    for value in range(25):
        word.value = value
    for link in attached:
        link.close()
    word.value = 99
    assert counter.value == 25


def test_profile_opens_one_timer_for_each_online_cpu(counter: Counter) -> None:
    linux = Linux(counter.sys)
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    attached = linux.profile(prog, "profile:hz:99", freq=99)
    assert len(attached) == len(linux.online_cpus)
    wait_for(lambda: counter.value > 0)
    for link in attached:
        link.close()


def test_interval_fires_on_one_cpu(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    with Linux(counter.sys).interval(prog, "interval:ms:1", period_ns=1_000_000):
        wait_for(lambda: counter.value >= 10)


def test_a_counter_that_fails_on_one_cpu_leaves_nothing_open(counter: Counter) -> None:
    class SecondFails(Syscalls):
        opened = 0

        def perf_event_open(
            self, attr: bytearray, pid: int, cpu: int, group_fd: int, flags: int, what: str
        ) -> int:
            self.opened += 1
            if self.opened == 2:
                raise OSError(errno.EBUSY, "Device or resource busy", what)
            return super().perf_event_open(attr, pid, 0, group_fd, flags, what)

    prog = counter.prog(u.BPF_PROG_TYPE_PERF_EVENT, count_every_run(counter))
    linux = Linux(SecondFails())
    linux._cpus = (0, 1)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="open software:cpu-clock"):
        linux.counter(prog, "software:cpu-clock", u.PERF_TYPE_SOFTWARE, 0, period=10**6)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.needs("tracefs")
def test_a_tracepoint_by_name(counter: Counter) -> None:
    linux = Linux(counter.sys)
    prog = counter.prog(u.BPF_PROG_TYPE_TRACEPOINT)
    with linux.tracepoint(prog, "syscalls", "sys_enter_getppid"):
        os.getppid()
    assert counter.value == 1
    with pytest.raises(FileNotFoundError):
        linux.tracepoint(prog, "syscalls", "sys_enter_nonsense")


@pytest.mark.needs("probed-library")
def test_uprobes_by_the_facade(counter: Counter, library: Library) -> None:
    linux = Linux(counter.sys)
    prog = counter.prog(u.BPF_PROG_TYPE_KPROBE)
    offset = library.offset("callee")
    with linux.uprobe(prog, library.path, offset, "u", retprobe=True, pid=os.getpid()):
        library.call("callee")
    assert counter.value == 1
    require(counter.sys, "uprobe_multi")
    multi = counter.prog(u.BPF_PROG_TYPE_KPROBE, attach_type=u.BPF_TRACE_UPROBE_MULTI)
    with linux.uprobe_multi(multi, library.path, [offset], "u", pid=os.getpid()):
        library.call("callee")
    assert counter.value == 2


def test_run_time_statistics_count_while_they_are_enabled(counter: Counter) -> None:
    prog = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT, asm.return_(0))
    stats = bpf.enable_stats(counter.sys)
    try:
        for _ in range(10):
            prog.test_run()
        assert prog.info().run_count == 10
        assert prog.info().run_time_ns > 0
    finally:
        # Whether counting stops now is everybody's business: the switch is the whole kernel's.
        os.close(stats)


def test_a_pinned_prog_is_opened_by_its_path(counter: Counter) -> None:
    directory = Path("/sys/fs/bpf")
    if not os.path.ismount(directory):
        pytest.skip("needs bpffs: no bpf file system at /sys/fs/bpf")
    path = directory / f"pytrace-test-{os.getpid()}"
    prog = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT, asm.return_(3))
    bpf.pin(counter.sys, prog.fd, str(path))
    try:
        fd = bpf.open_pinned(counter.sys, str(path))
        with BpfProg(counter.sys, fd, "again", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT) as again:
            assert again.info().id == prog.info().id
            assert again.test_run(context=struct.pack("=Q", 0)).retval == 3
    finally:
        path.unlink()


def test_a_link_takes_another_prog_where_the_kernel_allows(counter: Counter) -> None:
    first = counter.prog(u.BPF_PROG_TYPE_RAW_TRACEPOINT, asm.return_(0))
    with (
        links.attach_raw_tracepoint(counter.sys, first, "sys_enter") as link,
        pytest.raises(OSError, match="replace the prog of rawtracepoint:sys_enter"),
    ):
        link.update(first)
