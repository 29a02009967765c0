"""What `make demo` runs: three seconds of this machine, or, where rights are missing, their names
and a script compiled without them.

Usage: demo.py PYTRACE
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytrace.linux.rights import rights

SCRIPT = Path(__file__).resolve().with_name("demo.bt")

# Needs no file that only root can read, so that it compiles for everyone.
SMALL = 'interval:s:1 { @[comm] = count(); printf("%s on cpu %d\\n", comm, cpu); }'
SHOWN_LINES = 30

USES = {
    "CAP_BPF": "make maps and load programs",
    "CAP_PERFMON": "attach them to events and read kernel memory",
}

# So that a machine at rest has something to show.
LOAD = "while sleep 0.1; do cat /proc/loadavg /proc/uptime; done >/dev/null"


@contextlib.contextmanager
def some_load() -> Iterator[None]:
    """Runs a shell loop that opens and reads small files, and ends it with all its children."""
    shell = subprocess.Popen(["sh", "-c", LOAD], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()


def trace(pytrace: str) -> int:
    script = os.path.relpath(SCRIPT)
    print(f"$ pytrace --no-warnings {script}    # for three seconds", flush=True)
    with some_load():
        return subprocess.run([pytrace, "--no-warnings", script]).returncode


def compile_only(pytrace: str, missing: Sequence[str]) -> int:
    print("Tracing the kernel takes rights that this process does not have:")
    for name in missing:
        print(f"  {name:12} {USES[name]}")
    print("Root has them: sudo make demo\n")
    print("Compiling takes none. This script")
    print(f"\n  {SMALL}\n\nbecomes", flush=True)
    command = [pytrace, "--mode", "codegen", "-d", "codegen", "-e", SMALL]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    lines = run.stdout.splitlines()
    print("\n".join(lines[:SHOWN_LINES]))
    if len(lines) > SHOWN_LINES:
        print(f"... and {len(lines) - SHOWN_LINES} more lines")
    return run.returncode


def main() -> int:
    pytrace = sys.argv[1]
    missing = rights().missing
    return compile_only(pytrace, missing) if missing else trace(pytrace)


if __name__ == "__main__":
    sys.exit(main())
