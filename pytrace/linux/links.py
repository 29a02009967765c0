"""Links: what connects a prog with the place it runs at, each closed by its owner."""

from __future__ import annotations

import errno
import struct

from pytrace.linux.descriptor import Descriptor
from pytrace.linux.syscall import address_of, c_string, failure
from pytrace.linux.uapi import (
    BPF_F_KPROBE_MULTI_RETURN,
    BPF_F_REPLACE,
    BPF_F_UPROBE_MULTI_RETURN,
    BPF_ITER_CREATE,
    BPF_LINK_CREATE,
    BPF_LINK_DETACH,
    BPF_LINK_UPDATE,
    BPF_PERF_EVENT,
    BPF_RAW_TRACEPOINT_OPEN,
    BPF_TRACE_ITER,
    BPF_TRACE_KPROBE_MULTI,
    BPF_TRACE_KPROBE_SESSION,
    BPF_TRACE_UPROBE_MULTI,
    BPF_TRACE_UPROBE_SESSION,
    PERF_EVENT_IOC_SET_BPF,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.linux.bpf import LinkInfo
    from pytrace.linux.perf import PerfEvent
    from pytrace.linux.progs import BpfProg
    from pytrace.linux.syscall import Syscalls

# union bpf_attr as BPF_LINK_CREATE reads it: the part common to all kinds, then each kind's own.
_COMMON = struct.Struct("=IIII")
_PERF_EVENT = struct.Struct("=Q40x")
_TRACING = struct.Struct("=IIQ32x")
_ITER = struct.Struct("=QI36x")
_KPROBE_MULTI = struct.Struct("=IIQQQ16x")
_UPROBE_MULTI = struct.Struct("=QQQQIII4x")

# Errors of BPF_LINK_CREATE on a perf event before Linux 5.15.
_NO_PERF_LINK = (-errno.EINVAL, -errno.EBADF, -errno.EOPNOTSUPP)


class Link(Descriptor):
    """A bpf link. While its descriptor (or a pin, or a copy) is open the prog stays attached.

    ``slow_close`` tells whether the last close waits for the kernel (see ``closing``).
    """

    __slots__ = ("slow_close",)

    def __init__(self, sys: Syscalls, fd: int, name: str, *, slow_close: bool) -> None:
        super().__init__(sys, fd, name)
        self.slow_close = slow_close

    def detach(self) -> None:
        """Disconnect now, whoever else has the link open. EOPNOTSUPP for most kinds."""
        attr = bytearray(struct.pack("=I", self.fd))
        self.sys.bpf(BPF_LINK_DETACH, attr, f"detach {self.name}")

    def update(self, prog: BpfProg, old: BpfProg | None = None) -> None:
        """Replace the prog (EINVAL for kinds that cannot), if ``old`` is still the one in place."""
        flags, old_fd = (BPF_F_REPLACE, old.fd) if old else (0, 0)
        attr = bytearray(struct.pack("=IIII", self.fd, prog.fd, flags, old_fd))
        self.sys.bpf(BPF_LINK_UPDATE, attr, f"replace the prog of {self.name}")

    def info(self) -> LinkInfo:
        from pytrace.linux import bpf

        return bpf.link_info(self.sys, self.fd)

    def open_iterator(self) -> int:
        """A new descriptor, owned by the caller, that runs an iterator prog when it is read."""
        attr = bytearray(struct.pack("=II", self.fd, 0))
        return self.sys.bpf(BPF_ITER_CREATE, attr, f"start {self.name}")


class PerfLink(Link):
    """A prog on a perf event, by a bpf link that keeps the event alive (Linux 5.15)."""

    __slots__ = ()


class PerfIoctlLink(Link):
    """A prog on a perf event of an older kernel; ``fd`` is the event's own descriptor.

    Such an attachment has no cookie and no information.
    """

    __slots__ = ()


class RawTracepointLink(Link):
    """A prog on a raw tracepoint, or a tracing prog attached the old way.

    The close is fast unless another prog remains on the same tracepoint.
    """

    __slots__ = ()


class TracingLink(Link):
    """A BTF-typed prog: tp_btf, fentry, fexit, iterator."""

    __slots__ = ()


class MultiLink(Link):
    """One prog on many functions or many places of a binary."""

    __slots__ = ()


def attach_perf_event(sys: Syscalls, prog: BpfProg, event: PerfEvent, *, cookie: int = 0) -> Link:
    """Run ``prog`` at every count of ``event``; the link takes the event over, also on failure.

    ``cookie`` is what bpf_get_attach_cookie() returns. Raises ``OSError``; EINVAL also when a
    cookie is asked of a kernel without links of perf events.
    """
    name = event.name
    with event:
        special = _PERF_EVENT.pack(cookie)
        attr = bytearray(_COMMON.pack(prog.fd, event.fd, BPF_PERF_EVENT, 0) + special)
        fd = sys.bpf_raw(BPF_LINK_CREATE, attr)
        if fd >= 0:
            return PerfLink(sys, fd, name, slow_close=event.slow_close)
        if cookie or fd not in _NO_PERF_LINK:
            raise failure(-fd, f"attach {name}")
        # Either this kernel knows no such links or the prog does not fit: this call tells.
        sys.ioctl(event.fd, PERF_EVENT_IOC_SET_BPF, prog.fd, f"attach {name}")
        return PerfIoctlLink(sys, event.release(), name, slow_close=event.slow_close)


def attach_raw_tracepoint(
    sys: Syscalls, prog: BpfProg, tracepoint: str, *, cookie: int = 0
) -> RawTracepointLink:
    """Run a raw tracepoint prog at ``tracepoint`` (its bare name: ``sched_switch``).

    ENOENT if there is no such tracepoint; E2BIG for a cookie before Linux 6.10.
    """
    name = c_string(tracepoint)
    attr = bytearray(struct.pack("=QIIQ", address_of(name), prog.fd, 0, cookie))
    fd = sys.bpf(BPF_RAW_TRACEPOINT_OPEN, attr, f"attach rawtracepoint:{tracepoint}")
    return RawTracepointLink(sys, fd, f"rawtracepoint:{tracepoint}", slow_close=False)


def attach_tracing(
    sys: Syscalls, prog: BpfProg, attach_type: int, name: str, *, cookie: int = 0
) -> Link:
    """Attach a prog whose target was fixed at load (``attach_btf_id``): tp_btf, fentry, fexit.

    ``attach_type`` is what it was loaded for. Before Linux 5.18 only the raw tracepoint call can
    do this, without a cookie.
    """
    attr = bytearray(_COMMON.pack(prog.fd, 0, attach_type, 0) + _TRACING.pack(0, 0, cookie))
    fd = sys.bpf_raw(BPF_LINK_CREATE, attr)
    if fd >= 0:
        return TracingLink(sys, fd, name, slow_close=True)
    if fd != -errno.EINVAL or cookie:
        raise failure(-fd, f"attach {name}")
    attr = bytearray(struct.pack("=QIIQ", 0, prog.fd, 0, 0))
    fd = sys.bpf(BPF_RAW_TRACEPOINT_OPEN, attr, f"attach {name}")
    return RawTracepointLink(sys, fd, name, slow_close=True)


def attach_iter(
    sys: Syscalls,
    prog: BpfProg,
    name: str,
    *,
    map_fd: int = -1,
    pid: int = 0,
    tid: int = 0,
    cgroup_order: int = 0,
) -> TracingLink:
    """Attach an iterator prog: over the elements of a map, over tasks of one process, or over
    cgroups from the root in an order (BPF_CGROUP_ITER_*).

    ``union bpf_iter_link_info`` is a map descriptor, or (tid, pid, pid_fd) for task iterators
    since Linux 6.1 (a zero there means "all"), or (order, cgroup_fd, cgroup_id) since 6.1.
    """
    info = bytearray(16)
    if map_fd >= 0:
        struct.pack_into("=I", info, 0, map_fd)
    elif cgroup_order:
        struct.pack_into("=IIQ", info, 0, cgroup_order, 0, 0)
    else:
        struct.pack_into("=III", info, 0, tid, pid, 0)
    given = map_fd >= 0 or cgroup_order or pid or tid
    special = _ITER.pack(address_of(info) if given else 0, len(info) if given else 0)
    attr = bytearray(_COMMON.pack(prog.fd, 0, BPF_TRACE_ITER, 0) + special)
    fd = sys.bpf(BPF_LINK_CREATE, attr, f"attach {name}")
    return TracingLink(sys, fd, name, slow_close=False)


def attach_kprobe_multi(
    sys: Syscalls,
    prog: BpfProg,
    name: str,
    *,
    functions: Sequence[str] = (),
    addresses: Sequence[int] = (),
    cookies: Sequence[int] = (),
    retprobe: bool = False,
    session: bool = False,
) -> MultiLink:
    """One prog on many kernel functions, by names or by addresses.

    ``cookies`` has one for each function, or none. ESRCH when a name is not found exactly once.
    """
    if functions and addresses:
        raise ValueError("functions are named or given by address, not both")
    names = [c_string(function) for function in functions]
    pointers = _u64s([address_of(n) for n in names])
    places, cookie_array = _u64s(addresses), _u64s(cookies)
    special = _KPROBE_MULTI.pack(
        BPF_F_KPROBE_MULTI_RETURN if retprobe else 0,
        len(names) or len(addresses),
        address_of(pointers) if pointers else 0,
        address_of(places) if places else 0,
        address_of(cookie_array) if cookie_array else 0,
    )
    kind = BPF_TRACE_KPROBE_SESSION if session else BPF_TRACE_KPROBE_MULTI
    attr = bytearray(_COMMON.pack(prog.fd, 0, kind, 0) + special)
    fd = sys.bpf(BPF_LINK_CREATE, attr, f"attach {name}")
    return MultiLink(sys, fd, name, slow_close=True)


def attach_uprobe_multi(
    sys: Syscalls,
    prog: BpfProg,
    name: str,
    path: str,
    offsets: Sequence[int],
    *,
    ref_ctr_offsets: Sequence[int] = (),
    cookies: Sequence[int] = (),
    pid: int = 0,
    retprobe: bool = False,
    session: bool = False,
) -> MultiLink:
    """One prog on many file offsets of ``path``. ``pid`` 0 means every process.

    ``ref_ctr_offsets`` and ``cookies`` have one for each offset, or none. ESRCH when the process
    is gone, EBADF when the path is no file.
    """
    path_buffer = c_string(path)
    places, counters, cookie_array = _u64s(offsets), _u64s(ref_ctr_offsets), _u64s(cookies)
    special = _UPROBE_MULTI.pack(
        address_of(path_buffer),
        address_of(places) if places else 0,
        address_of(counters) if counters else 0,
        address_of(cookie_array) if cookie_array else 0,
        len(offsets),
        BPF_F_UPROBE_MULTI_RETURN if retprobe else 0,
        pid,
    )
    kind = BPF_TRACE_UPROBE_SESSION if session else BPF_TRACE_UPROBE_MULTI
    attr = bytearray(_COMMON.pack(prog.fd, 0, kind, 0) + special)
    fd = sys.bpf(BPF_LINK_CREATE, attr, f"attach {name}")
    return MultiLink(sys, fd, name, slow_close=True)


def _u64s(values: Sequence[int]) -> bytearray:
    return bytearray(struct.pack(f"={len(values)}Q", *values))
