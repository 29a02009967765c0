"""Iterators on this kernel: each object once, then the end."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from pytrace.linux.features import Features
from pytrace.linux.syscall import Syscalls
from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root", "btf")


@pytest.fixture(scope="module", autouse=True)
def iterators() -> None:
    features = Features(Syscalls(), find_function=_function_id)
    works, reason = features.check("iter")
    if not works:
        pytest.skip(f"needs iter: {reason}")


def _function_id(name: str) -> int:
    from pytrace.kernel.live import LiveKernel

    found = LiveKernel().function(name, "vmlinux")
    return found.btf_id if found else 0


def output(script: str, *words: str) -> str:
    done = run("-q", *words, "-e", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tasks_by_their_names_and_ids() -> None:
    ready, leave = threading.Event(), threading.Event()

    def stay() -> None:
        ready.set()
        leave.wait()

    threads = [threading.Thread(target=stay) for _ in range(3)]
    for thread in threads:
        thread.start()
        ready.wait()
    try:
        script = (
            f"iter:task /ctx.task.tgid == {os.getpid()}/ "
            '{ printf("%d %d\\n", ctx.task.tgid, ctx.task.pid); }'
        )
        found = [line.split() for line in output(script).splitlines() if line]
        tasks = os.listdir("/proc/self/task")
    finally:
        leave.set()
        for thread in threads:
            thread.join()
    assert sorted(tid for _, tid in found) == sorted(tasks)


def test_the_run_ends_by_itself_and_end_follows() -> None:
    text = output('begin { @n = 0; } iter:task { @n++; } end { printf("end %d\\n", @n > 3); }')
    assert text.startswith("end 1\n")


def test_exit_ends_the_output() -> None:
    text = output('iter:task { printf("one\\n"); exit(); } end { printf("end\\n"); }')
    assert text.split() == ["one", "end"]


def test_open_files_of_a_process() -> None:
    script = (
        f"iter:task_file /ctx.task.pid == {os.getpid()}/ "
        '{ printf("%d %s\\n", ctx.fd, str(ctx.file.f_path.dentry.d_name.name)); }'
    )
    with open(__file__, encoding="utf-8") as file:
        found = dict(line.split(" ", 1) for line in output(script).splitlines() if line)
        assert found[str(file.fileno())] == os.path.basename(__file__)


def test_sockets() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        text = output("iter:tcp { @[ctx.sk_common.skc_num] = count(); }")
    assert f"@[{port}]: 1\n" in text


def test_cgroups() -> None:
    text = output("iter:cgroup { @ = count(); }")
    assert int(text.strip().removeprefix("@: ")) >= 1


def test_every_element_arrives_where_they_are_many() -> None:
    count = 2000
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    try:
        script = (
            f"iter:task_file /ctx.task.pid == {os.getpid()}/ "
            '{ printf("%-120d\\n", ctx.fd); @n = count(); }'
        )
        text = output(script)
    finally:
        for fd in files:
            os.close(fd)
    seen = {int(line) for line in text.splitlines() if line.strip().isdigit()}
    assert set(files) <= seen
