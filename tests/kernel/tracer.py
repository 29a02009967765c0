"""Runs the command as a person does, and workloads whose doings are counted exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (str(ROOT / "bin" / "pytrace"),)
ATTACHED = "__PYTRACE_NOTIFY_PROBES_ATTACHED"
DEADLINE = 60.0


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: this Python first, nothing of pytrace's own variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTRACE_", "BPFTRACE_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
    return {**kept, "PYTHONDONTWRITEBYTECODE": "", **more}


def run(*words: str, stdin: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs pytrace to its end, which the script must bring about."""
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=DEADLINE,
        env=environment(**env),
        check=False,
    )


class Tracer:
    """A running pytrace whose probes are attached; leaving the block ends it.

    ``stop`` sends a signal and gives what was printed after attaching.
    """

    def __init__(self, *words: str, **env: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**{ATTACHED: "1"}, **env),
        )
        self.lines: list[str] = []
        self._attached = threading.Event()
        self._arrived = threading.Condition()
        self._stderr: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Tracer:
        if not self._attached.wait(DEADLINE) or self.process.poll() not in (None, 0):
            self.process.kill()
            raise AssertionError(f"never attached: {self.stderr}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    @property
    def stderr(self) -> str:
        return "".join(self._stderr)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.rstrip("\n") == ATTACHED:
                self._attached.set()
                continue
            with self._arrived:
                self.lines.append(line)
                self._arrived.notify_all()
        self._attached.set()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._stderr.append(line)

    def wait_for(self, text: str) -> None:
        """Waits until a line holds ``text``."""
        with self._arrived:
            seen = self._arrived.wait_for(lambda: any(text in x for x in self.lines), DEADLINE)
        assert seen, f"no {text!r} in {self.output!r}; {self.stderr}"

    def stop(self, number: int = signal.SIGINT) -> str:
        """Ends the run by a signal; its whole output."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> str:
        """Waits for the run to end by itself; its whole output."""
        self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join()
        return self.output


class Workload:
    """A Python process that waits, does something exactly as often as told, and waits again.

    ``do("os.getppid()", 100)`` returns when it has been done a hundred times.
    """

    def __init__(self) -> None:
        program = (
            "import os, sys\n"
            "for line in sys.stdin:\n"
            "    count, code = line.split(' ', 1)\n"
            "    body = compile(code, 'work', 'exec')\n"
            "    for _ in range(int(count)): exec(body)\n"
            "    os.write(1, b'done\\n')\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def do(self, code: str, count: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count} {code}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def __enter__(self) -> Workload:
        self.do("pass", 1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
