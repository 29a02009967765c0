"""Runs one command or script in a guest, as `make guest` does.

The command sees the checkout at its own path, with pytrace on the PATH, as root. What it prints is
passed on as it comes, and its exit status too. Ctrl-C goes to the command; twice ends the guest.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from . import kernels
from .errors import GuestDied, Missing
from .guest import Guest
from .image import ROOT, root_image, volume_image
from .pool import ENVIRONMENT

RUN_VARIABLE = "GUEST_RUN"
SCRIPT_VARIABLE = "GUEST_SCRIPT"
FOREVER_SECONDS = 7 * 86400
SCRIPTS = "/run/scripts"
USAGE = """\
Say what to run in the guest:
  make guest KERNEL=6.12 RUN="pytrace -c 'ls /' -e 'kprobe:do_sys_openat2 < @[comm] = count(); >'"
  make guest KERNEL=6.1 SCRIPT=path/to/script     # a .bt script, a shell script, or with a #! line
Kernels: """


def main(arguments: list[str] | None = None) -> int:
    """The command's exit status; 128 and the signal where one ended it; 2 without a guest."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("kernel", help=f"a series: {', '.join(kernels.SERIES)}")
    environment = os.environ.get
    help_ = "a command for bash (default: ${})"
    parser.add_argument("--run", default=environment(RUN_VARIABLE), help=help_.format(RUN_VARIABLE))
    help_ = "a script file (default: ${})"
    script = environment(SCRIPT_VARIABLE)
    parser.add_argument("--script", default=script, help=help_.format(SCRIPT_VARIABLE))
    options = parser.parse_args(arguments)
    if bool(options.run) is bool(options.script):
        print(USAGE + ", ".join(kernels.SERIES), file=sys.stderr)
        return 2
    try:
        if options.run:
            return run(options.kernel, ["bash", "-c", options.run], {})
        command, files = script_command(Path(options.script))
        return run(options.kernel, command, files)
    except Missing as missing:
        print(f"A guest needs more than this machine has: {missing.why}.", file=sys.stderr)
        print("One command installs what is missing: make test-deps", file=sys.stderr)
    except (GuestDied, OSError) as error:
        print(error, file=sys.stderr)
    return 2


def script_command(path: Path) -> tuple[list[str], dict[str, str]]:
    """What runs a script of this machine in the guest, and the files it needs there."""
    text = path.read_bytes().decode("latin-1")
    place = f"{SCRIPTS}/{path.name}"
    if text.startswith("#!"):
        command = [place]
    elif path.suffix == ".bt":
        command = ["pytrace", place]
    else:
        command = ["bash", place]
    return command, {place: text}


def run(series: str, command: list[str], files: dict[str, str]) -> int:
    """Boot, run, switch off. Raises Missing, GuestDied and OSError."""
    kernel = kernels.find(series)
    with tempfile.TemporaryDirectory(prefix="pytrace-volume-") as directory:
        volume = Path(directory) / "volume"
        volume_image(volume)
        guest = Guest(kernel, root_image(kernel), volume)
        print(f"Booting Linux {kernel.release} in QEMU", file=sys.stderr, flush=True)
        try:
            guest.boot()
            pass_signals_on(guest)
            result = guest.run(
                command,
                cwd=str(ROOT),
                env=ENVIRONMENT,
                files=files,
                seconds=FOREVER_SECONDS,
                listener=show,
            )
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        finally:
            guest.close()
    status = result.status
    if status is None:
        return 2
    return 128 - status if status < 0 else status


def show(kind: str, text: str) -> None:
    stream = {"out": sys.stdout.buffer, "err": sys.stderr.buffer}.get(kind)
    if stream is not None:
        stream.write(text.encode("latin-1"))
        stream.flush()


def pass_signals_on(guest: Guest) -> None:
    """Send SIGINT and SIGTERM to the command in the guest; the second of a kind is for us."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        guest.signal(number)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


if __name__ == "__main__":
    sys.exit(main())
