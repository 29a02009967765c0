"""One guest: a QEMU process and the conversation with the agent in it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import GuestDied, Missing
from .image import ROOT_ARGUMENT
from .kernels import Kernel

QEMU = "qemu-system-x86_64"
MEMORY_MB = 2048
CPUS = 2
BOOT_SECONDS = 180
"""Until the agent says that it is there. It takes 5 to 10 s on an idle machine."""
GRACE_SECONDS = 60
"""After a command's own time, which the agent watches, until the guest counts as hung."""
OFF_SECONDS = 10
CONSOLE_LINES = 40

KERNEL_ARGUMENTS = (
    f"{ROOT_ARGUMENT} rw rootwait init=/init"
    # Printing to a serial port is slow under emulation; a fault must end the guest and not halt it.
    " console=ttyS0 quiet panic=-1"
    # Detaching waits for grace periods, which take long where little happens.
    " rcupdate.rcu_expedited=1"
)

Listener = Callable[[str, str], None]


class Result(NamedTuple):
    """What a command in a guest did. ``status`` is negative for the signal that ended it, None
    when it had to be stopped. ``reports`` are lines that it wrote for the harness."""

    status: int | None
    out: str
    err: str
    reports: list[str]


class Guest:
    """A guest that boots when it is first needed, and again after it died."""

    def __init__(self, kernel: Kernel, root: Path, volume: Path) -> None:
        """``root`` and ``volume`` are images; what the guest writes to them is dropped."""
        self.kernel = kernel
        self.boots = 0
        self._lock = threading.RLock()
        self._ended = False
        self._root = root
        self._volume = volume
        self._machine: _Machine | None = None

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        seconds: float = 60,
        listener: Listener | None = None,
    ) -> Result:
        """Run a command and wait for its end; other threads wait for their turn. ``listener`` is
        called with "out", "err" or "report" and a text, as these come; texts hold one character
        a byte.

        Raises GuestDied; the guest then boots again at the next command.
        """
        request = {
            "run": list(command),
            "cwd": cwd,
            "env": dict(env or {}),
            "files": dict(files or {}),
            "seconds": seconds,
        }
        with self._lock:
            machine = self.boot()
            try:
                machine.send(request)
                return machine.result(time.monotonic() + seconds + GRACE_SECONDS, listener)
            except BaseException:
                self._release()
                raise

    def boot(self) -> _Machine:
        """Start the guest if it is not running. Raises GuestDied when it does not come up."""
        with self._lock:
            if self._ended:
                raise GuestDied("the guest was ended", "")
            if self._machine is None:
                self.boots += 1
                self._machine = _Machine(self.kernel, self._root, self._volume)
                try:
                    self._machine.wait_until_ready()
                except BaseException:
                    self._release()
                    raise
            return self._machine

    def signal(self, number: int) -> None:
        """Send a signal to the command that runs; from a listener or a signal handler."""
        if self._machine is not None:
            self._machine.send({"signal": number})

    def console(self) -> str:
        """What the kernel has printed since it booted."""
        return self._machine.console() if self._machine else ""

    def close(self) -> None:
        """Switch the guest off for good; what runs in it ends at once, with GuestDied."""
        self._ended = True
        if not self._lock.acquire(blocking=False):
            machine = self._machine
            if machine is not None:
                machine.kill()
            self._lock.acquire()
        try:
            if self._machine is not None:
                self._machine.switch_off()
            self._release()
        finally:
            self._lock.release()

    def _release(self) -> None:
        if self._machine is not None:
            self._machine.release()
            self._machine = None


class _Machine:
    """One boot: the process, the socket to the agent, the kernel's messages."""

    def __init__(self, kernel: Kernel, root: Path, volume: Path) -> None:
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise Missing("qemu", f"{QEMU} is not installed")
        self._directory = tempfile.TemporaryDirectory(prefix="pytrace-guest-")
        self._console = Path(self._directory.name) / "console"
        self._complaints = Path(self._directory.name) / "complaints"
        self._socket, theirs = socket.socketpair()
        self._pending = b""
        with theirs, open(self._complaints, "wb") as complaints:
            self._process = subprocess.Popen(
                [qemu, *_arguments(kernel, root, volume, self._console, theirs.fileno())],
                # Where QEMU keeps what the guest writes to its disks.
                env={**os.environ, "TMPDIR": self._directory.name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        message = self._receive(time.monotonic() + BOOT_SECONDS)
        if "ready" not in message:
            raise self._died(f"the guest began with {message}")

    def send(self, message: Mapping[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def result(self, deadline: float, listener: Listener | None) -> Result:
        """Collect what a command writes, up to its end."""
        texts: dict[str, list[str]] = {"out": [], "err": [], "report": []}
        while True:
            message = self._receive(deadline)
            if "ended" in message:
                out, err = "".join(texts["out"]), "".join(texts["err"])
                return Result(message["ended"], out, err, texts["report"])
            for kind, text in message.items():
                texts[kind].append(text)
                if listener is not None:
                    listener(kind, text)

    def _receive(self, deadline: float) -> dict[str, Any]:
        """The next message. Raises GuestDied when none comes."""
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._died("the guest hangs")
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                raise self._died("the guest ended")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line.decode("latin-1"))
        return message

    def console(self) -> str:
        return self._console.read_text(encoding="utf-8", errors="replace")

    def _died(self, why: str) -> GuestDied:
        said = self._complaints.read_text(encoding="utf-8", errors="replace")
        lines = (said + (self.console() if self._console.exists() else "")).splitlines()
        return GuestDied(why, "\n".join(lines[-CONSOLE_LINES:]))

    def switch_off(self) -> None:
        """Ask the agent to end, and wait a while for the power to go."""
        try:
            self.send({"off": True})
            self._process.wait(OFF_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self) -> None:
        """End the process at once. Whoever waits for a message gets GuestDied."""
        self._process.kill()

    def release(self) -> None:
        """End the process and give up all that belonged to it."""
        self.kill()
        self._process.wait()
        self._socket.close()
        self._directory.cleanup()


def _arguments(kernel: Kernel, root: Path, volume: Path, console: Path, agent: int) -> list[str]:
    """QEMU's command line.

    Both kernels have NVMe and ext4 built in, but virtio only as modules: NVMe saves an initial RAM
    disk. One thread takes turns for all CPUs, as with one each the kernel's patching of its own
    code (static keys, kprobes) can crash it: a CPU may run translated code that is gone by then
    (seen with QEMU 7.2: "Oops: int3"). Without LA57 page tables have a level less to walk.
    """
    return [
        *("-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-smp", str(CPUS)),
        *("-m", f"{MEMORY_MB}M"),
        *("-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel.image), "-append", KERNEL_ARGUMENTS),
        *("-chardev", f"file,id=console,path={_escaped(console)}", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=agent,fd={agent}", "-serial", "chardev:agent"),
        *("-device", "nvme,id=disks,serial=disks"),
        *("-drive", _drive("root", root), "-device", "nvme-ns,drive=root,nsid=1,shared=off"),
        *("-drive", _drive("volume", volume), "-device", "nvme-ns,drive=volume,nsid=2,shared=off"),
    ]


def _drive(name: str, image: Path) -> str:
    return f"id={name},if=none,format=raw,snapshot=on,cache=unsafe,file={_escaped(image)}"


def _escaped(path: Path) -> str:
    """A path inside an option of QEMU, where a comma separates."""
    return str(path).replace(",", ",,")
