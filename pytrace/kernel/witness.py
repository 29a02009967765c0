"""Cheap facts that tell whether what a compilation learnt of this machine still holds.

``check_witness`` gives the present value of one; ``record.RecordingKernel`` names the ones that a
compilation rests on. On the run path of every cached program: tens of microseconds each, no BTF,
kallsyms or format file is opened, and nothing heavier than ``os`` is imported.
"""

from __future__ import annotations

import os
from _blake2 import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

KERNEL: Final = "kernel"
"""Build id, release and loaded modules: types, functions, formats. Subject: empty."""
BOOT: Final = "boot"
"""Boot id, effective capabilities and uid: what the kernel lets us do. Subject: empty."""
FILE: Final = "file"
"""Identity and times of a file or directory, or that there is none. Subject: its path."""
ENVIRONMENT: Final = "environment"
"""An environment variable. Subject: its name."""
PROCESS: Final = "process"
"""That a process is still the same one. Subject: its id."""
EVENTS: Final = "events"
"""Whether tracefs is open to us, and the events that users defined in it. Subject: empty."""
MAPS: Final = "maps"
"""The files that a process has mapped as code. Subject: its id."""
UNSTABLE: Final = "unstable"
"""What no cheap fact vouches for: never the same as before. Subject: what it is."""

ABSENT: Final = "absent"
TRACEFS: Final = "/sys/kernel/tracing"
_NOTES: Final = "/sys/kernel/notes"


def check_witness(kind: str, subject: str) -> str:
    """The present value of a witness: equal values mean equal facts. Raises no ``OSError``.

    An unstable one is empty here and recorded as something else. ``ValueError`` for a kind that is
    not one of this module's.
    """
    if kind == FILE:
        return _file(subject)
    if kind == KERNEL:
        uname = os.uname()
        notes = blake2b(_read(_NOTES), digest_size=20).hexdigest()
        return f"{uname.release} {uname.version} {uname.machine} {notes} {_modules()}"
    if kind == BOOT:
        boot = _read("/proc/sys/kernel/random/boot_id").decode().strip()
        return f"{boot} {_capabilities()} {os.geteuid()}"
    if kind == ENVIRONMENT:
        value = os.environ.get(subject)
        return ABSENT if value is None else f"={value}"
    if kind == PROCESS:
        return _process(subject)
    if kind == EVENTS:
        return _events()
    if kind == MAPS:
        return _mapped(subject)
    if kind == UNSTABLE:
        return ""
    raise ValueError(f"no kind of witness: {kind!r}")


def _file(path: str) -> str:
    try:
        s = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL byte in the path
        return ABSENT
    return f"{s.st_dev}:{s.st_ino}:{s.st_size}:{s.st_mtime_ns}:{s.st_ctime_ns}"


def _events() -> str:
    try:
        os.stat(f"{TRACEFS}/events")
    except OSError as error:
        return f"errno {error.errno}"
    return blake2b(_read(f"{TRACEFS}/dynamic_events"), digest_size=16).hexdigest()


def _mapped(pid: str) -> str:
    rows = [line.split(None, 5) for line in _read(f"/proc/{pid}/maps").split(b"\n")]
    files = {row[5] for row in rows if len(row) == 6 and b"x" in row[1]}
    return blake2b(b"\n".join(sorted(files)), digest_size=16).hexdigest()


def _modules() -> str:
    """A digest of the names and sizes of loaded modules; empty for a kernel without any."""
    lines = _read("/proc/modules").split(b"\n")
    if len(lines) < 2:
        return ""
    rows = sorted(b" ".join(line.split(b" ", 2)[:2]) for line in lines)
    return blake2b(b"\n".join(rows), digest_size=16).hexdigest()


def _capabilities() -> str:
    """Effective capabilities in hex, as /proc/self/status gives them."""
    status = _read("/proc/self/status")
    at = status.find(b"\nCapEff:")
    return status[at + 8 : status.find(b"\n", at + 1)].decode().strip() if at >= 0 else ""


def _process(pid: str) -> str:
    """When a process started (clock ticks since boot) and which program it runs."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat[stat.rfind(b")") + 1 :].split()
    if len(fields) < 20:
        return ABSENT
    # proc(5): starttime is field 22, the 20th after the command's name in parentheses.
    return f"{fields[19].decode()} {_file(f'/proc/{pid}/exe')}"


def _read(path: str) -> bytes:
    """A file's bytes, nothing if it cannot be read: that too is a fact that may change."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        pieces = []
        while piece := os.read(fd, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:
        return b""
    finally:
        os.close(fd)
