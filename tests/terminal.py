"""A pseudo-terminal with the pytrace command on it, for tests that type."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 60.0

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")
_COMMAND = "import sys; from pytrace.cli.main import main; main()"


PROMPT = "pytrace>"
MORE = "...>"


class Terminal:
    """``pytrace WORDS`` on a terminal of its own. Text that was expected is consumed.

    The editor draws its line anew as it likes, so a prompt says little about what has been done:
    ``ask`` has an end of its own.
    """

    def __init__(self, *words: str, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.text = ""
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(
                {
                    "TERM": "xterm",
                    "HOME": str(home),
                    "PROMPT_TOOLKIT_NO_CPR": "1",
                    "PYTRACE_COLOR": "never",
                    **(env or {}),
                }
            )
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-c", _COMMAND, *words])
        self.status: int | None = None
        self._numbers = itertools.count(1)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def ask(self, text: str) -> str:
        """Type an input; gives what is shown until the next one is answered."""
        mark = f":mark{next(self._numbers)}"
        self.type(text)
        self.type(mark)
        return self.expect(f"ERROR: no command {mark}\n")

    def expect(self, text: str) -> str:
        """Wait until ``text`` is shown; gives what came before. AssertionError if it never is."""
        end = time.monotonic() + DEADLINE_S
        while text not in self.text:
            left = end - time.monotonic()
            readable = left > 0 and select.select([self.fd], [], [], left)[0]
            data = self._read() if readable else b""
            if not data:
                raise AssertionError(f"no {text!r} in {self.text!r} after {self.seen!r}")
            self.text += _ESCAPES.sub(b"", data).decode("utf-8", "replace")
        before, _, self.text = self.text.partition(text)
        self.seen += before + text
        return before

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, 65536)
        except OSError:  # EIO: the other side is closed.
            return b""

    def type(self, text: str) -> None:
        """Type text and press Enter."""
        os.write(self.fd, text.encode() + b"\r")

    def press(self, key: str) -> None:
        """Press Ctrl and a letter."""
        os.write(self.fd, bytes([ord(key.upper()) - 64]))

    def leave(self) -> int:
        """Press Ctrl-D at the next prompt; gives the exit code."""
        self.expect(PROMPT)
        self.press("d")
        return self.wait()

    def wait(self) -> int:
        """The exit code, once the command has ended; reads what it still shows."""
        while data := self._read():
            self.text += _ESCAPES.sub(b"", data).decode("utf-8", "replace")
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def close(self) -> None:
        """End the command if it runs, and give the terminal back."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = -signal.SIGKILL
        os.close(self.fd)
