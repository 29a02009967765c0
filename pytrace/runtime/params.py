"""Values of the constants that a program learns at load (``model.compiled.LoadParam``)."""

from __future__ import annotations

import os
import sys
import time

from pytrace.base.errors import LoadError
from pytrace.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from pytrace.model.compiled import LoadParam

KALLSYMS: Final = "/proc/kallsyms"
PID_NAMESPACE: Final = "/proc/self/ns/pid"
INITIAL_PID_NAMESPACE: Final = 0xEFFFFFFC
"""Inode of the initial PID namespace (include/linux/proc_ns.h, PROC_PID_INIT_INO)."""


class RunParams(Frozen):
    """What differs from run to run of one program: pid of ``-c`` and ``-p``, 0 without."""

    child_pid: int = 0
    filter_pid: int = 0


def fill(params: Iterable[LoadParam], data: bytearray, run: RunParams) -> None:
    """Write each constant into ``data``, the value of the map of constants.

    Raises ``LoadError`` for a kernel symbol that does not exist or a kind that is not known.
    """
    for param in params:
        value = _value(param, run)
        end = param.offset + param.size
        data[param.offset : end] = (value & (1 << 8 * param.size) - 1).to_bytes(
            param.size, _BYTE_ORDER
        )


def _value(param: LoadParam, run: RunParams) -> int:
    _, _, subject = param.name.partition(":")
    if param.kind == "kaddr":
        return kernel_address(subject)
    if param.kind == "cgroupid":
        return os.stat(subject).st_ino
    make = _KINDS.get(param.kind)
    if make is None:
        raise LoadError(f"constant {param.name} is of unknown kind {param.kind}")
    return make(run)


def kernel_address(name: str) -> int:
    """Address of a kernel symbol on this boot."""
    from pytrace.kernel.kallsyms import Kallsyms

    with open(KALLSYMS, "rb") as file:
        address = Kallsyms(file.read()).address(name)
    if not address:
        raise LoadError(f"Failed to resolve kernel symbol: {name}")
    return address


def _own_pid_namespace() -> int:
    """Inode of the tracer's PID namespace, 0 if it is the initial one: progs then skip the
    translation of ids."""
    inode = os.stat(PID_NAMESPACE).st_ino
    return 0 if inode == INITIAL_PID_NAMESPACE else inode


def _possible_cpus() -> int:
    from pytrace.linux.cpus import possible_cpu_count

    return possible_cpu_count()


_BYTE_ORDER: Final = sys.byteorder

_KINDS: Final[dict[str, Callable[[RunParams], int]]] = {
    "start_ns": lambda run: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
    "tai_offset_ns": lambda run: (
        time.clock_gettime_ns(time.CLOCK_TAI) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    ),
    "pid_ns_dev": lambda run: os.stat(PID_NAMESPACE).st_dev,
    "pid_ns_ino": lambda run: _own_pid_namespace(),
    "child_pid": lambda run: run.child_pid,
    "has_child": lambda run: int(bool(run.child_pid)),
    "filter_pid": lambda run: run.filter_pid,
    "ncpus": lambda run: _possible_cpus(),
}
