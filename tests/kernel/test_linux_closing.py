"""Closing many links: all gone, nobody kept waiting, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.linux import bpf, closing, links, perf, progs
from pytrace.linux import uapi as u
from pytrace.linux.links import Link
from pytrace.linux.syscall import Syscalls
from tests.kernel import asm

pytestmark = pytest.mark.needs("root", "tracefs")

TRACEPOINTS = ("getppid", "getuid", "getgid", "geteuid")


def attach(sys: Syscalls, names: tuple[str, ...] = TRACEPOINTS) -> list[Link]:
    found: list[Link] = []
    for name in names:
        with progs.load(
            sys, "empty", prog_type=u.BPF_PROG_TYPE_TRACEPOINT, insns=asm.return_(0)
        ) as prog:
            number = perf.tracepoint_id("syscalls", f"sys_enter_{name}")
            event = perf.open_tracepoint(sys, number, name)
            found.append(links.attach_perf_event(sys, prog, event))
    return found


def attach_raw(sys: Syscalls, name: str) -> Link:
    with progs.load(
        sys, "empty", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=asm.return_(0)
    ) as prog:
        return links.attach_raw_tracepoint(sys, prog, name)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.002)


def link_ids(attached: list[Link]) -> set[int]:
    return {link.info().id for link in attached}


def test_close_links_closes_all() -> None:
    sys_ = Syscalls()
    attached = attach(sys_)
    ids = link_ids(attached)
    closing.close_links(attached)
    assert not ids & set(bpf.ids(sys_, "link"))
    assert [link.fd for link in attached] == [-1] * len(attached)
    closing.close_links(attached)


def test_left_links_are_gone_soon_and_their_keeper_with_them() -> None:
    sys_ = Syscalls()
    attached = attach(sys_)
    ids = link_ids(attached)
    pid = closing.leave_links(attached)
    assert pid > 0
    assert [link.fd for link in attached] == [-1] * len(attached)
    assert os.waitpid(pid, 0) == (pid, 0)
    assert not ids & set(bpf.ids(sys_, "link"))


def test_leaving_links_keeps_signals_as_they_were() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    pid = closing.leave_links(attach(Syscalls(), TRACEPOINTS[:1]))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    os.waitpid(pid, 0)


def test_links_that_close_fast_need_no_child() -> None:
    sys_ = Syscalls()
    attached = [attach_raw(sys_, "sys_enter"), attach_raw(sys_, "sys_exit")]
    ids = link_ids(attached)
    assert closing.leave_links(attached) == 0
    assert not ids & set(bpf.ids(sys_, "link"))


def test_several_progs_on_one_raw_tracepoint_are_left_to_a_child() -> None:
    sys_ = Syscalls()
    attached = [attach_raw(sys_, "sys_enter"), attach_raw(sys_, "sys_enter")]
    ids = link_ids(attached)
    pid = closing.leave_links(attached)
    assert pid > 0
    os.waitpid(pid, 0)
    assert not ids & set(bpf.ids(sys_, "link"))


SCRIPT = """
import os, sys
from tests.kernel.test_linux_closing import attach, link_ids
from pytrace.linux import closing
from pytrace.linux.syscall import Syscalls
attached = attach(Syscalls())
print(*link_ids(attached), flush=True)
if sys.argv[1] == "leave":
    print(closing.leave_links(attached), flush=True)
else:
    sys.stdin.read()
"""


def start(mode: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, mode],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_leaves_its_links_ends_its_output_at_once_and_they_go_away() -> None:
    with start("leave") as process:
        assert process.stdout is not None
        # End of file: neither the process nor the keeper of the links has the pipe open any more.
        first, second = process.stdout.read().splitlines()
        assert process.wait() == 0
    ids, keeper = {int(word) for word in first.split()}, int(second)
    wait_for(lambda: not ids & set(bpf.ids(Syscalls(), "link")))
    wait_for(lambda: state(keeper) in ("gone", "Z"))


def test_a_killed_process_leaves_no_links() -> None:
    with start("stay") as process:
        assert process.stdout is not None
        ids = {int(word) for word in process.stdout.readline().split()}
        assert ids <= set(bpf.ids(Syscalls(), "link"))
        process.kill()
    wait_for(lambda: not ids & set(bpf.ids(Syscalls(), "link")))


def state(pid: int) -> str:
    """The letter of /proc/PID/stat, or "gone". Where nobody reaps orphans, Z is as good."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
