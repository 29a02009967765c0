"""Child processes that start when told to."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys as python
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.linux import process
from pytrace.linux.process import start_child
from pytrace.linux.syscall import Syscalls

SH = "/bin/sh"


@pytest.fixture
def sys() -> Syscalls:
    return Syscalls()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def ended(pidfd: int, seconds: float = 20) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


@pytest.mark.parametrize("stop_after_exec", [False, True])
def test_a_child_runs_only_after_resume(
    sys: Syscalls, tmp_path: Path, stop_after_exec: bool
) -> None:
    target = tmp_path / "ran"
    command = shell(f"echo $$ > {target}; exit 3")
    with start_child(sys, SH, command, stop_after_exec=stop_after_exec) as child:
        assert not ended(child.pidfd, 0.05)
        assert not target.exists()
        assert child.poll() is None
        child.resume()
        child.resume()
        assert ended(child.pidfd)
        assert child.wait() == 3
        assert child.poll() == 3
        assert target.read_text().split() == [str(child.pid)]


def test_a_child_stopped_after_exec_has_its_memory_laid_out(sys: Syscalls) -> None:
    with start_child(sys, SH, shell("exit 0"), stop_after_exec=True) as child:
        assert os.path.samefile(f"/proc/{child.pid}/exe", SH)
        assert os.path.realpath(SH) in Path(f"/proc/{child.pid}/maps").read_text()
        child.resume()
        assert child.wait() == 0


@pytest.mark.parametrize("stop_after_exec", [False, True])
def test_a_child_that_is_not_wanted_never_runs(
    sys: Syscalls, tmp_path: Path, stop_after_exec: bool
) -> None:
    target = tmp_path / "ran"
    child = start_child(sys, SH, shell(f"echo > {target}"), stop_after_exec=stop_after_exec)
    child.close()
    assert child.poll() is not None
    assert not target.exists()


def test_terminate_ends_a_running_child(sys: Syscalls) -> None:
    with start_child(sys, "/bin/sleep", ["sleep", "1000"]) as child:
        child.resume()
        child.terminate()
        assert child.wait() == -signal.SIGTERM
        child.terminate()


def test_terminate_before_resume(sys: Syscalls, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    with start_child(sys, SH, shell(f"echo > {target}")) as child:
        child.terminate()
        assert child.wait() != 0
        assert not target.exists()


def test_a_child_killed_while_it_waits_is_no_error(sys: Syscalls) -> None:
    with start_child(sys, SH, shell("exit 0")) as child:
        os.kill(child.pid, signal.SIGKILL)
        assert ended(child.pidfd)
        child.resume()
        assert child.wait() == -signal.SIGKILL


def test_a_path_that_is_no_program_fails_at_once(sys: Syscalls, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        start_child(sys, "/no/such/program", ["x"])
    with pytest.raises(PermissionError):
        start_child(sys, str(tmp_path), ["x"])
    plain = tmp_path / "plain"
    plain.write_text("text")
    with pytest.raises(PermissionError):
        start_child(sys, str(plain), ["x"])


@pytest.fixture
def garbage(tmp_path: Path) -> str:
    """An executable file that exec refuses."""
    path = tmp_path / "garbage"
    path.write_bytes(b"\x7fELF garbage")
    path.chmod(0o755)
    return str(path)


def test_a_failed_exec_is_reported_with_its_errno(sys: Syscalls, garbage: str) -> None:
    with start_child(sys, garbage, ["garbage"]) as child:
        with pytest.raises(OSError, match="start process") as caught:
            child.resume()
        assert caught.value.errno == errno.ENOEXEC
        assert child.poll() == 127


def test_a_failed_exec_of_a_stopped_child_is_reported_at_the_start(
    sys: Syscalls, garbage: str
) -> None:
    with pytest.raises(OSError, match="start process") as caught:
        start_child(sys, garbage, ["garbage"], stop_after_exec=True)
    assert caught.value.errno == errno.ENOEXEC


def ignored_signals(status: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return int(line.split()[1], 16)


@pytest.mark.parametrize("stop_after_exec", [False, True])
def test_a_child_has_the_signals_of_the_users_shell(
    sys: Syscalls, tmp_path: Path, stop_after_exec: bool
) -> None:
    target = tmp_path / "status"
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command = ["cp", "/proc/self/status", str(target)]
        with start_child(sys, "/bin/cp", command, stop_after_exec=stop_after_exec) as child:
            child.resume()
            assert child.wait() == 0
    finally:
        signal.signal(signal.SIGHUP, old)
    ignored = ignored_signals(target.read_text())
    assert ignored >> signal.SIGHUP - 1 & 1, "nohup's choice is kept"
    assert not ignored >> signal.SIGPIPE - 1 & 1, "Python's own is not"
    assert "SigBlk:\t0000000000000000" in target.read_text()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_child_does_not_outlive_a_parent_that_never_resumed_it(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    script = (
        "import os\n"
        "from pytrace.linux.process import start_child\n"
        "from pytrace.linux.syscall import Syscalls\n"
        f"child = start_child(Syscalls(), {SH!r}, ['sh', '-c', 'echo > {target}'])\n"
        "os.write(1, b'%d' % child.pid)\n"
        "os._exit(0)\n"
    )
    root = Path(__file__).parents[3]
    # The child shares the pipe: the end of the output is the end of the child.
    done = subprocess.run(
        [python.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, check=True
    )
    assert int(done.stdout) > 0
    assert not target.exists()


def test_a_pidfd_of_another_process(sys: Syscalls) -> None:
    with start_child(sys, SH, shell("exit 0")) as child:
        pidfd = process.open_pidfd(sys, child.pid)
        assert not ended(pidfd, 0)
        child.resume()
        assert ended(pidfd)
        child.wait()
        assert process.send_signal(sys, pidfd, signal.SIGTERM) is False
        os.close(pidfd)


def test_a_process_that_is_not_there(sys: Syscalls) -> None:
    with pytest.raises(ProcessLookupError, match="open process 4194304"):
        process.open_pidfd(sys, 4194304)


def test_a_process_names_itself() -> None:
    comm = Path("/proc/self/comm")
    before = comm.read_text().strip()
    try:
        process.name_process("pytrace-with-a-long-name")
        assert comm.read_text() == "pytrace-with-a-\n"
    finally:
        process.name_process(before)
    assert comm.read_text().strip() == before
