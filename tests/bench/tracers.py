"""Tracers as processes: started, watched from outside and ended like any command.

Nothing here depends on what a tracer prints, and its progs are found through the descriptors that
it holds, so that the same code measures every tracer that takes `-e SCRIPT`.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from pytrace.linux import bpf
from pytrace.linux.syscall import Syscalls

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Made(NamedTuple):
    """Calls that a workload made: their number, nanoseconds each, and the process."""

    calls: int
    price_ns: float
    pid: int


class Machine:
    """What all measurements share: the workload's program and the place for files."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.work = os.path.join(directory, "work")
        self.sys = Syscalls()
        source = str(Path(__file__).parent / "work.c")
        subprocess.run(["gcc", "-O2", "-o", self.work, source], check=True)

    def calls(self, mode: str, count: int) -> float:
        """Make ``count`` calls; nanoseconds a call."""
        return self._run("calls", mode, str(count), "1").price_ns

    def storm(self, mode: str, seconds: float) -> Made:
        """Make calls for a time."""
        return self._run("storm", mode, str(seconds), "1")

    def _run(self, *words: str) -> Made:
        with subprocess.Popen([self.work, *words], stdout=subprocess.PIPE, text=True) as process:
            count, price = process.communicate()[0].split()
        return Made(int(count), float(price), process.pid)

    def stats(self) -> Stats:
        return Stats(bpf.enable_stats(self.sys))


class Stats:
    """The kernel counts the run time of every prog inside this block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)


class Command(NamedTuple):
    """How a tracer is called, and what is added to its environment."""

    name: str
    words: tuple[str, ...]
    environment: dict[str, str]

    def argv(self, script: str) -> list[str]:
        return [*self.words, "-e", script]

    def env(self, **more: str) -> dict[str, str]:
        return {**os.environ, **self.environment, **more}


def pytrace(cache: str) -> Command:
    """The command of this environment as its users have it, with a cache of its own."""
    launcher = Path(sys.prefix) / "bin" / "pytrace"
    words = (str(launcher if launcher.exists() else ROOT / "bin" / "pytrace"),)
    return Command("pytrace", words, {"PYTRACE_CACHE": cache})


def peer(command: str) -> Command:
    return Command("peer", tuple(shlex.split(command)), {})


class Ended(NamedTuple):
    """One whole run. ``first_s`` is when the awaited text came on stdout; RSS is the peak."""

    wall_s: float
    cpu_s: float
    rss_mib: float
    first_s: float | None


def run(command: Command, script: str, wait_for: bytes = b"") -> Ended:
    """Run a script that ends by itself. Raises ``RuntimeError`` where it fails."""
    read, write = os.pipe()
    start = time.perf_counter()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, write, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    argv = command.argv(script)
    pid = os.posix_spawnp(argv[0], argv, command.env(), file_actions=actions)
    os.close(write)
    first, output = None, b""
    while part := os.read(read, 1 << 16):
        output += part
        if first is None and wait_for and wait_for in output:
            first = time.perf_counter() - start
    os.close(read)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command.name} ended with status {status}: {script}")
    return Ended(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, first)


class Live:
    """A tracer that runs until it is stopped. Output goes to a file, messages to another."""

    def __init__(
        self, machine: Machine, command: Command, script: str, out: str = os.devnull, **env: str
    ) -> None:
        self.machine = machine
        self.command = command
        self.messages = os.path.join(machine.directory, "messages")
        self.usage: resource.struct_rusage | None = None
        self.started = time.monotonic()
        with open(out, "wb") as output, open(self.messages, "wb") as messages:
            self.process = subprocess.Popen(
                command.argv(script),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=messages,
                env=command.env(**env),
            )

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- what it holds

    def pids(self) -> list[int]:
        """The process and its descendants."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    text = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    waiting += map(int, text.split())
            except OSError:
                continue  # It ended between the look and the read.
        return found

    def progs(self) -> dict[int, bpf.ProgInfo]:
        """The progs that the tracer holds by their ids."""
        ids: set[int] = set()
        for pid in self.pids():
            try:
                names = os.listdir(f"/proc/{pid}/fdinfo")
            except OSError:
                continue
            for name in names:
                try:
                    text = Path(f"/proc/{pid}/fdinfo/{name}").read_text()
                except OSError:
                    continue
                ids.update(int(x) for x in re.findall(r"^prog_id:\s*(\d+)", text, re.M))
        found = {}
        for number in ids:
            try:
                fd = bpf.fd_by_id(self.machine.sys, "prog", number)
            except OSError:
                continue
            try:
                found[number] = bpf.prog_info(self.machine.sys, fd)
            finally:
                os.close(fd)
        return found

    def runs(self) -> int:
        return sum(p.run_count for p in self.progs().values())

    def wait_live(self, mode: str) -> float:
        """Until calls of ``mode`` make a prog run (statistics must be on); seconds since the start.

        The calls are made on each try, so that they are few.
        """
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            if self._reaped(os.WNOHANG):
                raise RuntimeError(f"{self.command.name} died: {self.told()[-400:]}")
            before = self.runs()
            self.machine.calls(mode, 200)
            if self.runs() - before >= 200:
                return time.monotonic() - self.started
        raise RuntimeError(f"{self.command.name} never traced: {self.told()[-400:]}")

    def cpu_s(self) -> float:
        """Processor time that the tracer has used so far, in seconds."""
        if self.usage is not None:
            return self.usage.ru_utime + self.usage.ru_stime
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def written(self) -> int:
        """Bytes handed to write(2) so far."""
        total = 0
        for pid in self.pids():
            try:
                text = Path(f"/proc/{pid}/io").read_text()
            except OSError:
                continue
            total += int(text.split("wchar:")[1].split()[0])
        return total

    # --- the end

    def stop(self) -> float:
        """End it as Ctrl-C does; seconds until it is gone."""
        start = time.monotonic()
        if self.usage is None:
            os.kill(self.process.pid, signal.SIGINT)
            self._reaped(0)
        return time.monotonic() - start

    def _reaped(self, flags: int) -> bool:
        if self.usage is None:
            pid, status, usage = os.wait4(self.process.pid, flags)
            if not pid:
                return False
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self.usage = usage
        return True

    def rss_mib(self) -> float:
        """Peak of an ended tracer."""
        assert self.usage is not None
        return float(self.usage.ru_maxrss) / 1024

    def told(self) -> str:
        return Path(self.messages).read_text(errors="replace")
