"""Processes that a case starts, each in a session of its own so that nothing outlives it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

POLL_SECONDS = 0.01
OUTPUT_LIMIT = 256 << 20
"""Bytes of output after which a tracer counts as run wild."""


class ProcessError(Exception):
    """A process did not do what the case needs of it."""


class Session:
    """One command and everything it starts, as long as that stays in its session."""

    __slots__ = ("process",)

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: str,
        env: dict[str, str],
        captured: bool = False,
    ) -> None:
        """Start the command. With ``captured`` stdout and stderr are one pipe, else nothing."""
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if captured else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if captured else subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The first process, whose id is the session's too."""
        return self.process.pid

    def members(self) -> dict[int, str]:
        """The living processes of the session: comm by process id."""
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                stat = _read(f"/proc/{name}/stat")
                comm, _, rest = stat.partition("(")[2].rpartition(")")
                fields = rest.split()
                # After the comm: state, parent, process group, session (proc(5)).
                if len(fields) > 3 and fields[0] not in "ZX" and int(fields[3]) == self.pid:
                    found[int(name)] = comm
        return found

    def wait_for_comm(self, comm: str, seconds: float) -> int:
        """Wait until a process has this name, and give its id; ProcessError after so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for pid, name in self.members().items():
                if name == comm:
                    return pid
            time.sleep(POLL_SECONDS)
        raise ProcessError(f"no process called {comm} after {seconds:g} s")

    def signal(self, number: int) -> None:
        """Send a signal to the first process's group."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return

    def kill(self) -> None:
        """End every process of the session and reap the first; ProcessError if some resist."""
        deadline = time.monotonic() + 5
        while True:
            self.signal(signal.SIGKILL)
            left = self.members()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if not left:
                break
            if time.monotonic() > deadline:
                raise ProcessError(f"cannot kill {left}")
            time.sleep(POLL_SECONDS)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class Output:
    """What a captured session prints, read as it comes."""

    __slots__ = ("_pipe", "_selector", "data", "ended", "session")

    def __init__(self, session: Session) -> None:
        pipe = session.process.stdout
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self.session = session
        self.data = bytearray()
        self.ended = False
        """Whether every process has closed the pipe."""
        self._pipe = pipe.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def read_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Read until something holds, or nothing more can come, or a monotonic time is there.
        Says whether it came to hold or the output ended and the first process did."""
        while not done():
            exited = self.session.process.poll() is not None
            if self.ended and exited:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self.ended:
                time.sleep(min(left, POLL_SECONDS))
            elif self._selector.select(min(left, 0.05)):
                self._read()
        return True

    def _read(self) -> None:
        try:
            chunk = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        self.data += chunk
        self.ended = not chunk
        if len(self.data) > OUTPUT_LIMIT:
            raise ProcessError(f"more than {OUTPUT_LIMIT} bytes of output")

    def drain(self) -> None:
        """Take what is in the pipe now, without waiting."""
        while not self.ended and self._selector.select(0):
            self._read()

    def close(self) -> None:
        """Give up the selector; the session owns the pipe."""
        self._selector.close()


def namespace_pid(pid: int) -> int:
    """The id of a process in its own pid name space (the last of NSpid)."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise ProcessError(f"process {pid} has ended")


def children(pid: int) -> list[int]:
    """The ids of a process's children."""
    return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    """A /proc file of a process, or '' when the process is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
