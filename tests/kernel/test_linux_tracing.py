"""BTF-typed progs and kernel functions: iterators, fentry, kprobes, where the machine has them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytrace.kernel.live import LiveKernel
from pytrace.linux import maps, progs
from pytrace.linux import uapi as u
from pytrace.linux.attach import Linux
from pytrace.linux.features import Features
from pytrace.linux.maps import BpfMap
from pytrace.linux.progs import BpfProg
from pytrace.linux.syscall import Syscalls
from tests.kernel import asm

pytestmark = pytest.mark.needs("root", "btf")

# Called once for each sync of a file system file, and by nothing else in this process.
FUNCTION = "vfs_fsync_range"


def function_id(name: str) -> int:
    found = LiveKernel().function(name, "vmlinux")
    return found.btf_id if found else 0


@pytest.fixture(scope="module")
def linux() -> Iterator[Linux]:
    sys = Syscalls()
    features = Features(sys, find_function=function_id)
    yield Linux(sys, features)
    features.close()


@pytest.fixture
def count(linux: Linux) -> Iterator[BpfMap]:
    with maps.create(
        linux.sys, "count", kind=u.BPF_MAP_TYPE_ARRAY, key_size=4, value_size=8, max_entries=1
    ) as table:
        yield table


def value(count: BpfMap) -> int:
    return int.from_bytes(count.lookup(b"\0" * 4) or b"", "little")


def require(linux: Linux, feature: str) -> None:
    works, reason = linux.features.check(feature)
    if not works:
        pytest.skip(f"needs {feature}: {reason}")


def counting(
    count: BpfMap, prog_type: int, attach_type: int = 0, btf_id: int = 0, everybody: bool = False
) -> BpfProg:
    code = asm.count_in_array(count.fd, os.getpid())
    if everybody:
        code = asm.assemble(
            asm.load_map_value(asm.R1, count.fd),
            asm.mov(asm.R2, 1),
            asm.atomic_add(asm.R1, 0, asm.R2),
            asm.return_(0),
        )
    return progs.load(
        count.sys,
        "counter",
        prog_type=prog_type,
        insns=code,
        expected_attach_type=attach_type,
        attach_btf_id=btf_id,
    )


def sync_files(times: int) -> None:
    fd = os.memfd_create("sync")  # Its file system does not call the function a second time.
    for _ in range(times):
        os.fsync(fd)
    os.close(fd)


def test_an_iterator_visits_every_task(linux: Linux, count: BpfMap) -> None:
    require(linux, "iter")
    with (
        counting(
            count,
            u.BPF_PROG_TYPE_TRACING,
            u.BPF_TRACE_ITER,
            function_id("bpf_iter_task"),
            everybody=True,
        ) as prog,
        linux.iterator(prog, "iter:task") as link,
    ):
        fd = link.open_iterator()
        assert os.read(fd, 4096) == b""
        os.close(fd)
    tasks = sum(len(os.listdir(f"/proc/{p}/task")) for p in os.listdir("/proc") if p.isdigit())
    # Once more at the end, without a task; others come and go meanwhile.
    assert tasks // 2 < value(count) < tasks * 2 + 2


def test_an_iterator_of_one_process(linux: Linux, count: BpfMap) -> None:
    require(linux, "iter")
    with counting(
        count,
        u.BPF_PROG_TYPE_TRACING,
        u.BPF_TRACE_ITER,
        function_id("bpf_iter_task"),
        everybody=True,
    ) as prog:
        try:
            link = linux.iterator(prog, "iter:task", pid=os.getpid())
        except OSError as error:
            pytest.skip(f"needs iter: no iterator over one process ({error.strerror})")
        with link:
            fd = link.open_iterator()
            os.read(fd, 4096)
            os.close(fd)
    assert value(count) == len(os.listdir("/proc/self/task")) + 1


def test_fentry_counts_each_call(linux: Linux, count: BpfMap) -> None:
    require(linux, "fentry")
    number = function_id(FUNCTION)
    with (
        counting(count, u.BPF_PROG_TYPE_TRACING, u.BPF_TRACE_FENTRY, number) as prog,
        linux.tracing(prog, u.BPF_TRACE_FENTRY, f"fentry:{FUNCTION}"),
    ):
        sync_files(20)
    sync_files(1)
    assert value(count) == 20


@pytest.mark.parametrize("retprobe", [False, True])
def test_a_kprobe_counts_each_call(linux: Linux, count: BpfMap, retprobe: bool) -> None:
    require(linux, "kprobe")
    with (
        counting(count, u.BPF_PROG_TYPE_KPROBE) as prog,
        linux.kprobe(prog, FUNCTION, f"kprobe:{FUNCTION}", retprobe=retprobe),
    ):
        sync_files(20)
    sync_files(1)
    assert value(count) == 20


@pytest.mark.parametrize("retprobe", [False, True])
def test_a_kprobe_multi_link_counts_each_call(linux: Linux, count: BpfMap, retprobe: bool) -> None:
    require(linux, "kprobe_multi")
    with (
        counting(count, u.BPF_PROG_TYPE_KPROBE, u.BPF_TRACE_KPROBE_MULTI) as prog,
        linux.kprobe_multi(prog, [FUNCTION], f"kprobe:{FUNCTION}", retprobe=retprobe),
    ):
        sync_files(20)
    sync_files(1)
    assert value(count) == 20


def test_a_session_counts_entry_and_return(linux: Linux, count: BpfMap) -> None:
    require(linux, "kprobe_session")
    with (
        counting(count, u.BPF_PROG_TYPE_KPROBE, u.BPF_TRACE_KPROBE_SESSION) as prog,
        linux.kprobe_multi(prog, [FUNCTION], f"kprobe:{FUNCTION}", session=True),
    ):
        sync_files(20)
    assert value(count) == 40


def test_an_unknown_function_is_an_error_that_names_the_probe(linux: Linux, count: BpfMap) -> None:
    require(linux, "kprobe")
    with (
        counting(count, u.BPF_PROG_TYPE_KPROBE) as prog,
        pytest.raises(OSError, match="kprobe:no_such_function"),
    ):
        linux.kprobe(prog, "no_such_function", "kprobe:no_such_function")
