"""Runs commands in the guest for the host. Started by init; needs no package, runs with -I -S.

Both sides write lines of JSON on a serial port, in Latin-1: a byte of output is one character, and
each takes its time there:

    guest  {"ready": RELEASE}
    host   {"run": [ARGUMENT...], "cwd": PATH, "env": {NAME: VALUE}, "files": {PATH: TEXT},
            "seconds": N}
    guest  {"out": TEXT}, {"err": TEXT}   what the command writes, as it comes
    guest  {"report": LINE}               what it writes to the descriptor in PYTRACE_REPORT_FD
    host   {"signal": N}                  to the command's process group
    guest  {"ended": STATUS}              negative: ended by that signal; null: not in time
    host   {"off": true}
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import termios
import time
import tty
from typing import Any

Message = dict[str, Any]

TERM_SECONDS = 5
DRAIN_SECONDS = 1
"""How long output is waited for that a process in the background may still hold open."""


class Port:
    """The serial port, as lines of JSON."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)
        attributes = termios.tcgetattr(self.fd)
        attributes[4] = attributes[5] = termios.B115200
        termios.tcsetattr(self.fd, termios.TCSANOW, attributes)
        self.buffer = b""

    def send(self, **message: Any) -> None:
        data = json.dumps(message, ensure_ascii=False).encode("latin-1") + b"\n"
        while data:
            data = data[os.write(self.fd, data) :]

    def receive(self) -> list[Message]:
        """The messages that are there; waits for bytes, not for a whole line."""
        self.buffer += os.read(self.fd, 1 << 16)
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines if line]


class Command:
    """One command as it runs: its process and the pipes that it writes to."""

    def __init__(self, request: Message) -> None:
        for path, text in request["files"].items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="latin-1") as file:
                file.write(text)
            os.chmod(path, 0o755)
        # Read ends, by what they carry; this side's alone.
        self.pipes: dict[int, str] = {}
        self.report = b""
        ends = []
        for kind in ("out", "err", "report"):
            ours, theirs = os.pipe()
            self.pipes[ours] = kind
            ends.append(theirs)
        try:
            self.process = subprocess.Popen(
                request["run"],
                cwd=request["cwd"],
                env={**os.environ, **request["env"], "PYTRACE_REPORT_FD": str(ends[2])},
                stdin=subprocess.DEVNULL,
                stdout=ends[0],
                stderr=ends[1],
                pass_fds=ends[2:],
                start_new_session=True,
            )
        except OSError:
            self.close()
            raise
        finally:
            for end in ends:
                os.close(end)

    def close(self) -> None:
        for fd in list(self.pipes):
            self.drop(fd)

    def drop(self, fd: int) -> None:
        del self.pipes[fd]
        os.close(fd)

    def read(self, fd: int, port: Port) -> bool:
        """Pass on what is in one of the pipes; false at its end."""
        kind = self.pipes[fd]
        data = os.read(fd, 1 << 16)
        if not data:
            self.drop(fd)
        elif kind == "report":
            *lines, self.report = (self.report + data).split(b"\n")
            for line in lines:
                port.send(report=line.decode("latin-1"))
        else:
            port.send(**{kind: data.decode("latin-1")})
        return bool(data)

    def signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


def run(port: Port, request: Message) -> int | None:
    """Run a command to its end or its time's, and return its status for the host."""
    try:
        command = Command(request)
    except OSError as error:
        port.send(err=f"{request['run'][0]}: {error.strerror}\n")
        return 127
    deadline = time.monotonic() + request["seconds"]
    status = follow(port, command, deadline)
    if status is None:
        command.signal(signal.SIGTERM)
        follow(port, command, time.monotonic() + TERM_SECONDS)
    command.signal(signal.SIGKILL)
    command.process.wait()
    command.close()
    return status


def follow(port: Port, command: Command, deadline: float) -> int | None:
    """Pass on output and signals. Returns the exit status, None when time ran out first."""
    selector = selectors.DefaultSelector()
    for fd in (port.fd, *command.pipes):
        selector.register(fd, selectors.EVENT_READ)
    # Readable once the process has ended: its pipes may be held by others for longer.
    ended = os.pidfd_open(command.process.pid)
    selector.register(ended, selectors.EVENT_READ)
    status = None
    try:
        while time.monotonic() < deadline:
            if status is not None and not command.pipes:
                break
            for key, _ in selector.select(deadline - time.monotonic()):
                if key.fd == port.fd:
                    for message in port.receive():
                        command.signal(message["signal"])
                elif key.fd == ended:
                    status = command.process.wait()
                    selector.unregister(ended)
                    deadline = min(deadline, time.monotonic() + DRAIN_SECONDS)
                elif not command.read(key.fd, port):
                    selector.unregister(key.fd)
    finally:
        os.close(ended)
        selector.close()
    return status


def main() -> None:
    port = Port(sys.argv[1])
    port.send(ready=os.uname().release)
    while True:
        for message in port.receive():
            if "off" in message:
                return
            if "run" in message:
                port.send(ended=run(port, message))


main()
