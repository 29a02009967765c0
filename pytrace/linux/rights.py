"""What this process may do, and where the kernel keeps its tracing files."""

from __future__ import annotations

import errno
import os

from pytrace.base.frozen import FrozenValue
from pytrace.linux.syscall import address_of, c_string, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.linux.syscall import Syscalls

# Bits of include/uapi/linux/capability.h.
CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21
CAP_PERFMON: Final = 38
CAP_BPF: Final = 39

_NAMES = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}

TRACEFS_PLACES: Final = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
LOCKDOWN_FILE: Final = "/sys/kernel/security/lockdown"


class Rights(FrozenValue):
    """Effective user and capabilities. ``capabilities`` is the bit set of /proc/self/status."""

    uid: int
    capabilities: int

    def has(self, capability: int) -> bool:
        return bool(self.capabilities >> capability & 1)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the capabilities that tracing needs and this process lacks.

        CAP_BPF and CAP_PERFMON are enough since Linux 5.8; CAP_SYS_ADMIN includes both.
        """
        if self.has(CAP_SYS_ADMIN):
            return ()
        return tuple(n for n in ("CAP_BPF", "CAP_PERFMON") if not self.has(_NAMES[n]))


def rights() -> Rights:
    """Rights of this process now."""
    with open("/proc/self/status") as file:
        text = file.read()
    return Rights(uid=os.geteuid(), capabilities=parse_capabilities(text))


def parse_capabilities(status: str) -> int:
    """The effective capability set of the text of a /proc/PID/status file."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line[7:], 16)
    raise ValueError("no CapEff line in a status file")


def lockdown(path: str = LOCKDOWN_FILE) -> str:
    """``none``, ``integrity`` or ``confidentiality``; ``none`` also where there is no lockdown.

    Integrity forbids kprobes and writing user memory, confidentiality also reading the kernel's
    memory from BPF (include/linux/security.h, enum lockdown_reason).
    """
    try:
        with open(path) as file:
            text = file.read()
    except OSError:
        return "none"  # No such module in this kernel, or securityfs is not mounted.
    _, _, rest = text.partition("[")
    chosen, _, _ = rest.partition("]")
    return chosen or "none"


def find_tracefs(places: tuple[str, ...] = TRACEFS_PLACES) -> str:
    """The directory where tracefs is mounted, or an empty string. Looks, and changes nothing.

    Looking below /sys/kernel/debug/tracing makes the kernel mount it there by itself.
    ``PermissionError`` where it is mounted and this user may not enter.
    """
    for place in places:
        try:
            os.stat(f"{place}/events")
        except PermissionError as error:
            raise failure(
                error.errno or errno.EACCES, f"read the tracing files in {place}"
            ) from None
        except OSError:
            continue
        return place
    return ""


def mount_tracefs(sys: Syscalls, place: str = TRACEFS_PLACES[0]) -> str:
    """Mount tracefs at ``place`` and return it. ``OSError`` if that may not be done."""
    source, target, kind = c_string("nodev"), c_string(place), c_string("tracefs")
    result = sys.raw(
        sys.numbers.mount, address_of(source), address_of(target), address_of(kind), 0, 0
    )
    if result < 0 and result != -errno.EBUSY:
        raise failure(-result, f"mount tracefs at {place}")
    return place


def tracefs(sys: Syscalls) -> str:
    """The directory of tracefs, mounted if it was not and this process may. ``OSError`` if not."""
    return find_tracefs() or mount_tracefs(sys)
