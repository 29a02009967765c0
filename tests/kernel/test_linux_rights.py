"""tracefs where nobody has mounted it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("root", "tracefs")

SCRIPT = """
from pytrace.linux import rights
from pytrace.linux.syscall import Syscalls
assert rights.find_tracefs((rights.TRACEFS_PLACES[0],)) == ""
place = rights.mount_tracefs(Syscalls())
assert rights.find_tracefs() == place
assert rights.tracefs(Syscalls()) == place
print(open(place + "/events/sched/sched_switch/id").read())
"""


def test_tracefs_is_mounted_where_it_is_missing() -> None:
    """In a mount namespace of its own, so that this machine keeps what it has."""
    root = Path(__file__).parents[2]
    unmount = "while umount /sys/kernel/tracing 2>/dev/null; do :; done"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{unmount}; exec "$@"', "-", sys.executable, "-c", SCRIPT],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) > 0
