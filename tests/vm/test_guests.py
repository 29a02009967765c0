"""Guests: what runs in them comes back as it was, and pytrace answers on kernels with kprobes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Guests
from .errors import GuestDied
from .guest import Guest, Result
from .image import ROOT
from .pool import ENVIRONMENT

# A shell script's process has the script's name. The shell, busybox, opens nothing but the script.
WORKLOAD = "/run/scripts/openwork"
WORKLOAD_TEXT = "#!/usr/bin/busybox sh\n" + 5 * ": </etc/passwd\n" + 3 * ": </etc/group\n"
OPENED = {WORKLOAD: 1, "/etc/passwd": 5, "/etc/group": 3}


def trace(guest: Guest, script: str) -> Result:
    """Run a script for as long as the workload runs."""
    return guest.run(
        ["pytrace", "-c", WORKLOAD, "-e", script],
        cwd=str(ROOT),
        env=ENVIRONMENT,
        files={WORKLOAD: WORKLOAD_TEXT},
        seconds=120,
    )


def test_opened_files_by_process(guest: Guest) -> None:
    result = trace(guest, "kprobe:do_sys_openat2 < @[comm] = count(); >")
    assert result.status == 0, result.err
    assert f"\n@[openwork]: {sum(OPENED.values())}\n" in result.out


def test_opened_files_by_path_and_descriptors(guest: Guest) -> None:
    result = trace(
        guest,
        "kprobe:do_sys_openat2 { @[str(arg1)] = count(); }"
        " kretprobe:do_sys_openat2 { @ret = lhist(retval, 0, 100, 10); }",
    )
    assert result.status == 0, result.err
    counts = dict(re.findall(r"^@\[(/.*)\]: (\d+)$", result.out, re.MULTILINE))
    assert {path: int(counts.get(path, 0)) for path in OPENED} == OPENED, result.out
    low = re.search(r"^\[0, 10\) +(\d+) \|@+ *\|$", result.out, re.MULTILINE)
    assert low and int(low[1]) >= sum(OPENED.values()), result.out


def bash(guest: Guest, command: str, seconds: float = 60) -> Result:
    return guest.run(["bash", "-c", command], seconds=seconds)


def test_status_and_streams(guest: Guest) -> None:
    result = bash(guest, "echo out; echo err >&2; echo report >&$PYTRACE_REPORT_FD; exit 7")
    assert result == (7, "out\n", "err\n", ["report"])


def test_every_byte_comes_back(guest: Guest) -> None:
    program = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 99)"
    result = guest.run(["python3", "-c", program], env=ENVIRONMENT)
    assert result.out == bytes(range(256)).decode("latin-1") * 99


def test_the_end_of_a_command_is_that_of_its_first_process(guest: Guest) -> None:
    assert bash(guest, "sleep 1000 & kill -9 $$") == (-signal.SIGKILL, "", "", [])
    assert bash(guest, "sleep 1000", seconds=0.5).status is None
    assert bash(guest, "pgrep -x sleep").out == ""


def test_a_program_that_is_not_there(guest: Guest) -> None:
    assert guest.run(["/no/such/program"])[:3] == (
        127,
        "",
        "/no/such/program: No such file or directory\n",
    )


def test_a_signal_reaches_the_command(guest: Guest) -> None:
    def hear(_kind: str, text: str) -> None:
        if text == "waiting\n":
            guest.signal(signal.SIGINT)

    command = "trap 'echo caught; exit 5' INT; echo waiting; while :; do sleep 0.1; done"
    result = guest.run(["bash", "-c", command], listener=hear)
    assert (result.status, result.out) == (5, "waiting\ncaught\n")


def test_a_guest_that_dies_boots_again(guests: Guests) -> None:
    guest = guests.guest("6.12")
    guest.boot()
    boots = guest.boots
    with pytest.raises(GuestDied, match="Kernel panic - not syncing: sysrq"):
        bash(guest, "echo c > /proc/sysrq-trigger")
    assert bash(guest, "uname -r").out == guest.kernel.release + "\n"
    assert guest.boots == boots + 1


def test_the_command_of_make_guest(tmp_path: Path) -> None:
    script = tmp_path / "a script"
    script.write_text('pwd; type -p pytrace; echo "$0" >&2; exit 3\n')
    done = subprocess.run(
        [sys.executable, "-m", "tests.vm", "6.12"],
        cwd=ROOT,
        env={**os.environ, "GUEST_SCRIPT": str(script), "GUEST_RUN": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{ROOT}\n{Path(sys.executable).parent}/pytrace\n"
    booting, name = done.stderr.splitlines()
    assert re.fullmatch(r"Booting Linux 6\.12\.\S+-cloud-amd64 in QEMU", booting)
    assert name == "/run/scripts/a script"
    assert done.returncode == 3
