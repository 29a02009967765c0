"""perf_event_open(2): tracepoints, software and hardware events, breakpoints, kprobes, uprobes."""

from __future__ import annotations

import errno
import struct

from pytrace.base.errors import NotSupported
from pytrace.linux.descriptor import Descriptor
from pytrace.linux.syscall import address_of, c_string
from pytrace.linux.uapi import (
    PERF_EVENT_IOC_DISABLE,
    PERF_EVENT_IOC_ENABLE,
    PERF_FLAG_FD_CLOEXEC,
    PERF_TYPE_BREAKPOINT,
    PERF_TYPE_TRACEPOINT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.linux.syscall import Syscalls

PMU_DIRECTORY: Final = "/sys/bus/event_source/devices"
TRACEFS_DIRECTORY: Final = "/sys/kernel/tracing"

# struct perf_event_attr up to __reserved_2 (PERF_ATTR_SIZE_VER5, 112 bytes, Linux 4.1): nothing
# newer is needed here, and kernels take shorter structures.
_ATTR = struct.Struct("=IIQQQQQIIQQQQIiQIHH")
ATTR_SIZE: Final = _ATTR.size

# Bits of the flag word at offset 40.
DISABLED: Final = 1 << 0
INHERIT: Final = 1 << 1
PINNED: Final = 1 << 2
EXCLUDE_USER: Final = 1 << 4
EXCLUDE_KERNEL: Final = 1 << 5
EXCLUDE_HV: Final = 1 << 6
FREQ: Final = 1 << 10

# The reference counter of a USDT semaphore lives in the upper half of a uprobe's config
# (kernel/events/core.c, PERF_UPROBE_REF_CTR_OFFSET_BITS).
_REF_CTR_SHIFT = 32


class PerfEvent(Descriptor):
    """An open perf event, owned through its descriptor.

    Closing it detaches a prog that was set by ioctl; a bpf link keeps the event alive by itself.
    ``slow_close`` tells whether the last close waits for the kernel (see ``closing``).
    """

    __slots__ = ("slow_close",)

    def __init__(self, sys: Syscalls, fd: int, name: str, *, slow_close: bool = False) -> None:
        super().__init__(sys, fd, name)
        self.slow_close = slow_close

    def enable(self) -> None:
        self.sys.ioctl(self.fd, PERF_EVENT_IOC_ENABLE, 0, f"enable {self.name}")

    def disable(self) -> None:
        """Stop counting. A prog on a tracepoint runs on regardless (trace_call_bpf)."""
        self.sys.ioctl(self.fd, PERF_EVENT_IOC_DISABLE, 0, f"disable {self.name}")


def pack_attr(
    *,
    event_type: int,
    config: int = 0,
    sample_period: int = 0,
    sample_freq: int = 0,
    sample_type: int = 0,
    read_format: int = 0,
    flags: int = 0,
    wakeup_events: int = 0,
    bp_type: int = 0,
    config1: int = 0,
    config2: int = 0,
    branch_sample_type: int = 0,
    clockid: int = 0,
) -> bytearray:
    """``struct perf_event_attr``, 112 bytes. Give ``sample_freq`` (per second) or a period.

    ``config1`` is also ``bp_addr``, ``kprobe_func`` and ``uprobe_path``; ``config2`` is also
    ``bp_len``, ``kprobe_addr`` and ``probe_offset``.
    """
    if sample_freq:
        flags |= FREQ
    return bytearray(
        _ATTR.pack(
            event_type,
            ATTR_SIZE,
            config,
            sample_freq or sample_period,
            sample_type,
            read_format,
            flags,
            wakeup_events,
            bp_type,
            config1,
            config2,
            branch_sample_type,
            0,
            0,
            clockid,
            0,
            0,
            0,
            0,
        )
    )


def open_event(
    sys: Syscalls, attr: bytearray, name: str, *, pid: int = -1, cpu: int = -1
) -> PerfEvent:
    """Open a packed ``attr``. ``pid`` -1 means every process and then needs a ``cpu``.

    Raises ``OSError``: EACCES and EPERM without rights, ENODEV for a CPU that is offline, ENOENT
    for hardware that this machine lacks, ESRCH for a process that is gone.
    """
    fd = sys.perf_event_open(attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC, f"open {name}")
    return PerfEvent(sys, fd, name)


def open_tracepoint(sys: Syscalls, tracepoint_id: int, name: str) -> PerfEvent:
    """A tracepoint by its id in tracefs.

    A prog attached to it runs on every CPU: the kernel keeps progs per tracepoint and not per
    event (kernel/trace/bpf_trace.c, perf_event_attach_bpf_prog), so one event on CPU 0 will do.
    CPU 0 may be offline where it can be unplugged; then the first CPU that is online serves.
    """
    attr = pack_attr(event_type=PERF_TYPE_TRACEPOINT, config=tracepoint_id, sample_period=1)
    return _open_anywhere(sys, attr, name)


def open_counter(
    sys: Syscalls,
    event_type: int,
    config: int,
    name: str,
    *,
    period: int = 0,
    freq: int = 0,
    pid: int = -1,
    cpu: int = -1,
    flags: int = 0,
) -> PerfEvent:
    """A software or hardware event on one CPU or process; it fires every ``period`` counts.

    Timer events (``PERF_COUNT_SW_CPU_CLOCK``) take the period in ns or ``freq`` per second.
    """
    attr = pack_attr(
        event_type=event_type,
        config=config,
        sample_period=period,
        sample_freq=freq,
        flags=flags,
    )
    return open_event(sys, attr, name, pid=pid, cpu=cpu)


def pack_breakpoint(address: int, length: int, bp_type: int, flags: int = 0) -> bytearray:
    """A hardware breakpoint for ``open_event``: ``length`` 1, 2, 4 or 8, HW_BREAKPOINT_* bits.

    An execution breakpoint (HW_BREAKPOINT_X) has the length of a long.
    """
    return pack_attr(
        event_type=PERF_TYPE_BREAKPOINT,
        sample_period=1,
        bp_type=bp_type,
        config1=address,
        config2=length,
        flags=flags,
    )


def open_uprobe(
    sys: Syscalls,
    path: str,
    offset: int,
    name: str,
    *,
    retprobe: bool = False,
    pid: int = -1,
    ref_ctr_offset: int = 0,
) -> PerfEvent:
    """A uprobe at a file offset of ``path`` (not a virtual address).

    ``ref_ctr_offset`` is the file offset of a USDT semaphore, 0 for none; it must fit 32 bits.
    """
    event_type, retprobe_bit = dynamic_pmu("uprobe")
    path_buffer = c_string(path)
    config = ref_ctr_offset << _REF_CTR_SHIFT | (1 << retprobe_bit if retprobe else 0)
    attr = pack_attr(
        event_type=event_type,
        config=config,
        sample_period=1,
        config1=address_of(path_buffer),
        config2=offset,
    )
    return _open_anywhere(sys, attr, name, pid)


def open_kprobe(
    sys: Syscalls, function: str, offset: int, name: str, *, retprobe: bool = False
) -> PerfEvent:
    """A kprobe at a kernel function plus ``offset``; with no ``function``, at that address."""
    event_type, retprobe_bit = dynamic_pmu("kprobe")
    function_buffer = c_string(function)
    attr = pack_attr(
        event_type=event_type,
        config=1 << retprobe_bit if retprobe else 0,
        sample_period=1,
        config1=address_of(function_buffer) if function else 0,
        config2=offset,
    )
    return _open_anywhere(sys, attr, name)


def dynamic_pmu(name: str, directory: str = PMU_DIRECTORY) -> tuple[int, int]:
    """The event type of a probe PMU (``kprobe``, ``uprobe``) and the config bit that asks for
    the return probe. Raises ``NotSupported`` where the kernel has no such PMU.
    """
    try:
        event_type = int(_read(f"{directory}/{name}/type"))
        text = _read(f"{directory}/{name}/format/retprobe")
    except FileNotFoundError:
        message = f"this kernel has no {name}s (no {directory}/{name})"
        raise NotSupported(name, message) from None
    _, _, bit = text.strip().partition("config:")
    return event_type, int(bit)


def tracepoint_id(category: str, name: str, directory: str = TRACEFS_DIRECTORY) -> int:
    """The id of a tracepoint on this boot, from tracefs. ``FileNotFoundError`` if there is none."""
    return int(_read(f"{directory}/events/{category}/{name}/id"))


def _open_anywhere(sys: Syscalls, attr: bytearray, name: str, pid: int = -1) -> PerfEvent:
    """Open an event whose prog runs on all CPUs, on whatever CPU can be had."""
    if pid != -1:
        event = open_event(sys, attr, name, pid=pid)
    else:
        try:
            event = open_event(sys, attr, name, cpu=0)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            from pytrace.linux.cpus import online_cpus

            event = open_event(sys, attr, name, cpu=online_cpus()[0])
    event.slow_close = True
    return event


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
