"""What this kernel can do, found by doing the smallest real thing: load it, attach it, run it.

Kernel releases say little: distributions add and remove, configurations and policies refuse. Names
are those of ``kernel.info.FEATURES``. Programs are assembled by hand and load in some 0.1 ms each;
attaching uses places that never run (a file that nobody has mapped, a disabled event).
"""

from __future__ import annotations

import os
import struct

from pytrace.base.errors import LoadError, NotSupported, VerifierError
from pytrace.linux import btf, closing, links, maps, perf, progs
from pytrace.linux import uapi as u

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.linux.links import Link
    from pytrace.linux.progs import BpfProg
    from pytrace.linux.syscall import Syscalls

    # (works, why not): the reason is empty when it works.
    Support = tuple[bool, str]

# enum bpf_func_id
_PROBE_READ_KERNEL = 113
_SEND_SIGNAL_THREAD = 117
_GET_NS_CURRENT_PID_TGID = 120
_KTIME_GET_BOOT_NS = 125
_D_PATH = 147
_FOR_EACH_MAP_ELEM = 164
_GET_FUNC_IP = 173
_LOOP = 181
_MAP_LOOKUP_PERCPU_ELEM = 195
_KTIME_GET_TAI_NS = 208

# Functions of any kernel, rarely called, that may be probed.
_QUIET_FUNCTIONS = ("vfs_fallocate", "vfs_truncate", "do_truncate", "filp_close")
_NO_SUCH_FILE = "/proc/self/no-such-file"
_VMLINUX_BTF = "/sys/kernel/btf/vmlinux"


def _insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, offset, immediate)


def _set(register: int, value: int) -> bytes:
    return _insn(0xB7, register, immediate=value)


def _copy(register: int, source: int) -> bytes:
    return _insn(0xBF, register, source)


def _call(helper: int) -> bytes:
    return _insn(0x85, immediate=helper)


def _map(register: int, fd: int) -> bytes:
    return _insn(0x18, register, 1, immediate=fd) + _insn(0)


def _stack(register: int, below: int) -> bytes:
    """register = address of zeroed stack memory, ``below`` (8 or 16) bytes of it"""
    clear = b"".join(_insn(0x7A, 10, offset=-n) for n in range(8, below + 1, 8))
    return clear + _copy(register, 10) + _insn(0x07, register, immediate=-below)


_EXIT = _insn(0x95)
_RETURN_0 = _set(0, 0) + _EXIT


class Features:
    """Answers by name, each found out once and kept in ``cache``, which the caller may save.

    ``find_function`` gives the BTF id of a vmlinux function, 0 if there is none; without it,
    what needs an id counts as missing.
    """

    def __init__(
        self,
        sys: Syscalls,
        cache: dict[str, Support] | None = None,
        find_function: Callable[[str], int] | None = None,
    ) -> None:
        self.sys = sys
        self.cache: dict[str, Support] = {} if cache is None else cache
        self._find_function = find_function
        self._children: list[int] = []

    def supports(self, feature: str) -> bool:
        """Whether a feature works here. ``KeyError`` for a name that nobody declared."""
        return self.check(feature)[0]

    def check(self, feature: str) -> Support:
        """Whether it works and, if not, the kernel's reason in words."""
        known = self.cache.get(feature)
        if known is None:
            trial = TRIALS.get(feature) or _parametric(feature)
            known = self.cache[feature] = self._try(trial)
        return known

    def leave(self, link: Link) -> None:
        """Close a link that was only tried, without waiting (100 ms for a kprobe)."""
        pid = closing.leave_links([link])
        self._children = [p for p in self._children if os.waitpid(p, os.WNOHANG)[0] == 0]
        if pid:
            self._children.append(pid)

    def close(self) -> None:
        """Wait for the children that close links. Only a long-lived process needs to."""
        while self._children:
            os.waitpid(self._children.pop(), 0)

    def _try(self, trial: Callable[[Features], None]) -> Support:
        try:
            trial(self)
        except (LoadError, NotSupported) as error:
            return False, str(error)
        except OSError as error:
            return False, f"{error.filename}: {error.strerror}"
        return True, ""

    def function_id(self, *names: str) -> tuple[str, int]:
        """Name and BTF id of the first of these functions that the kernel has."""
        if self._find_function is None:
            raise NotSupported("btf", "no BTF of this kernel was given")
        for name in names:
            number = self._find_function(name)
            if number:
                return name, number
        raise NotSupported("btf", f"the kernel's BTF has no function {' or '.join(names)}")

    def load(
        self,
        insns: bytes,
        prog_type: int = u.BPF_PROG_TYPE_TRACEPOINT,
        attach_type: int = 0,
        attach_btf_id: int = 0,
    ) -> BpfProg:
        return progs.load(
            self.sys,
            "feature",
            prog_type=prog_type,
            insns=insns,
            expected_attach_type=attach_type,
            attach_btf_id=attach_btf_id,
        )


def _loads(insns: bytes, prog_type: int = u.BPF_PROG_TYPE_TRACEPOINT) -> Callable[[Features], None]:
    def trial(features: Features) -> None:
        features.load(insns, prog_type).close()

    return trial


def _raw_tp_test_run(features: Features) -> None:
    with features.load(_set(0, 7) + _EXIT, u.BPF_PROG_TYPE_RAW_TRACEPOINT) as prog:
        if prog.test_run().retval != 7:
            raise NotSupported("raw_tp_test_run", "a test run gave another result than the prog")


def _ringbuf(features: Features) -> None:
    maps.create(
        features.sys,
        "feature",
        kind=u.BPF_MAP_TYPE_RINGBUF,
        key_size=0,
        value_size=0,
        max_entries=os.sysconf("SC_PAGE_SIZE"),
    ).close()


def _small_map(features: Features, kind: int) -> maps.BpfMap:
    return maps.create(features.sys, "feature", kind=kind, key_size=4, value_size=8, max_entries=1)


def _lookup_percpu_elem(features: Features) -> None:
    with _small_map(features, u.BPF_MAP_TYPE_PERCPU_ARRAY) as table:
        code = _stack(2, 8) + _map(1, table.fd) + _set(3, 0) + _call(_MAP_LOOKUP_PERCPU_ELEM)
        features.load(code + _RETURN_0).close()


def _map_batch(features: Features) -> None:
    with _small_map(features, u.BPF_MAP_TYPE_HASH) as table:
        table.update(b"\1\0\0\0", b"\2" * 8)
        list(table.batches(fallback=False))


def _callback_btf() -> bytes:
    """BTF of two functions that take a context pointer: type 4 is ``prog``, 5 static ``step``."""
    strings = b"\0int\0c\0prog\0step\0"
    types = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)  # 1: int
    types += struct.pack("=III", 0, 2 << 24, 0)  # 2: void *
    types += struct.pack("=IIIII", 0, 13 << 24 | 1, 1, 5, 2)  # 3: int (void *c)
    types += struct.pack("=III", 7, 12 << 24 | 1, 3)  # 4: global function
    types += struct.pack("=III", 12, 12 << 24, 3)  # 5: static function
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


def _load_with_callback(features: Features, before: bytes, register: int, after: bytes) -> None:
    """Load ``before``, ``register = step``, ``after`` and a function ``step`` that returns 0."""
    step = (len(before) + 16 + len(after)) // 8
    here = len(before) // 8
    # BPF_PSEUDO_FUNC: the immediate counts instructions from the one after this one.
    address = _insn(0x18, register, 4, immediate=step - here - 1) + _insn(0)
    with btf.load(features.sys, _callback_btf()) as types:
        progs.load(
            features.sys,
            "feature",
            prog_type=u.BPF_PROG_TYPE_TRACEPOINT,
            insns=before + address + after + _RETURN_0,
            btf_fd=types.fd,
            func_info=struct.pack("=IIII", 0, 4, step, 5),
        ).close()


def _loop(features: Features) -> None:
    after = _set(3, 0) + _set(4, 0) + _call(_LOOP) + _RETURN_0
    _load_with_callback(features, _set(1, 2), 2, after)


def _for_each_map_elem(features: Features) -> None:
    with _small_map(features, u.BPF_MAP_TYPE_HASH) as table:
        after = _set(3, 0) + _set(4, 0) + _call(_FOR_EACH_MAP_ELEM) + _RETURN_0
        _load_with_callback(features, _map(1, table.fd), 2, after)


def _kernel_function(features: Features, attach: Callable[[str], Link]) -> None:
    """Attach to the first quiet function that can be had."""
    failure: OSError | None = None
    for function in _QUIET_FUNCTIONS:
        try:
            features.leave(attach(function))
        except OSError as error:
            failure = error
        else:
            return
    assert failure is not None
    raise failure


def _kprobe(features: Features) -> None:
    with features.load(_RETURN_0, u.BPF_PROG_TYPE_KPROBE) as prog:

        def attach(function: str) -> Link:
            event = perf.open_kprobe(features.sys, function, 0, f"kprobe:{function}")
            return links.attach_perf_event(features.sys, prog, event)

        _kernel_function(features, attach)


def _kprobe_many(features: Features, session: bool) -> None:
    attach_type = u.BPF_TRACE_KPROBE_SESSION if session else u.BPF_TRACE_KPROBE_MULTI
    with features.load(_RETURN_0, u.BPF_PROG_TYPE_KPROBE, attach_type) as prog:

        def attach(function: str) -> Link:
            return links.attach_kprobe_multi(
                features.sys,
                prog,
                f"kprobe:{function}",
                functions=[function],
                session=session,
            )

        _kernel_function(features, attach)


def _uprobe(features: Features, ref_ctr_offset: int = 0) -> None:
    """Rights are checked before the path (kernel/events/core.c, perf_uprobe_event_init), so that a
    path which is not there tells as much as a probe, whose removal would take 100 ms."""
    features.load(_RETURN_0, u.BPF_PROG_TYPE_KPROBE).close()
    try:
        perf.open_uprobe(
            features.sys, _NO_SUCH_FILE, 0, "uprobe", ref_ctr_offset=ref_ctr_offset
        ).close()
    except FileNotFoundError:
        pass


def _uprobe_ref_ctr(features: Features) -> None:
    # Older kernels ignore the bits of the configuration that they do not know.
    if not os.path.exists(f"{perf.PMU_DIRECTORY}/uprobe/format/ref_ctr_offset"):
        raise NotSupported("uprobe_ref_ctr", "uprobes of this kernel know no semaphores")
    _uprobe(features, ref_ctr_offset=64)


def _uprobe_multi(features: Features) -> None:
    """A missing file is noticed after the kind of link was (kernel/trace/bpf_trace.c,
    bpf_uprobe_multi_link_attach); removing a real link would take 40 ms."""
    attach_type = u.BPF_TRACE_UPROBE_MULTI
    with features.load(_RETURN_0, u.BPF_PROG_TYPE_KPROBE, attach_type) as prog:
        try:
            links.attach_uprobe_multi(features.sys, prog, "uprobe", _NO_SUCH_FILE, [0]).close()
        except FileNotFoundError:
            pass


def _perf_link(features: Features) -> None:
    event = perf.open_counter(
        features.sys,
        u.PERF_TYPE_SOFTWARE,
        u.PERF_COUNT_SW_CPU_CLOCK,
        "software:cpu-clock",
        period=1_000_000_000,
        pid=os.getpid(),
        flags=perf.DISABLED,
    )
    with (
        features.load(_RETURN_0, u.BPF_PROG_TYPE_PERF_EVENT) as prog,
        links.attach_perf_event(features.sys, prog, event) as link,
    ):
        if not isinstance(link, links.PerfLink):
            raise NotSupported("perf_link", "perf events have no links here", kernel="5.15")


def _fentry(features: Features) -> None:
    function, number = features.function_id(*_QUIET_FUNCTIONS)
    with features.load(_RETURN_0, u.BPF_PROG_TYPE_TRACING, u.BPF_TRACE_FENTRY, number) as prog:
        name = f"fentry:{function}"
        link = links.attach_tracing(features.sys, prog, u.BPF_TRACE_FENTRY, name)
        features.leave(link)


def _d_path(features: Features) -> None:
    """Iterators may always call the helper; refusing its argument, 0, shows that it is there."""
    _, number = features.function_id("bpf_iter_task")
    code = _stack(2, 16) + _set(1, 0) + _set(3, 16) + _call(_D_PATH) + _RETURN_0
    try:
        features.load(code, u.BPF_PROG_TYPE_TRACING, u.BPF_TRACE_ITER, number).close()
    except LoadError as error:
        if "R1 type=" not in str(error):
            raise


def _iter(features: Features) -> None:
    _, number = features.function_id("bpf_iter_task")
    with (
        features.load(_RETURN_0, u.BPF_PROG_TYPE_TRACING, u.BPF_TRACE_ITER, number) as prog,
        links.attach_iter(features.sys, prog, "iter:task") as link,
    ):
        fd = link.open_iterator()
        try:
            os.read(fd, 64)
        finally:
            os.close(fd)


def _task_kfuncs(features: Features) -> None:
    _, find = features.function_id("bpf_task_from_pid")
    _, release = features.function_id("bpf_task_release")

    def kfunc(number: int) -> bytes:
        return _insn(0x85, src=2, immediate=number)

    drop = _copy(1, 0) + kfunc(release)
    code = _set(1, 1) + kfunc(find) + _insn(0x15, 0, offset=len(drop) // 8) + drop + _RETURN_0
    features.load(code).close()


_NOT_ALLOWED = ("is not allowed", "invalid kernel function call")
"""What the verifier says of a function that a kind of prog may not call (kernel/bpf/verifier.c,
fetch_kfunc_meta, check_kfunc_call); arguments are looked at later."""


def _parametric(feature: str) -> Callable[[Features], None]:
    """``kfunc:PROG_TYPE_X:name``: progs of that type may call that kernel function."""
    kind, _, rest = feature.partition(":")
    prog_type, _, name = rest.partition(":")
    if kind != "kfunc" or not name:
        raise KeyError(feature)

    def trial(features: Features) -> None:
        _, number = features.function_id(name)
        call = _insn(0x85, src=2, immediate=number)
        try:
            features.load(call + _RETURN_0, getattr(u, f"BPF_{prog_type}")).close()
        except VerifierError as error:
            if any(text in error.log for text in _NOT_ALLOWED):
                raise

    return trial


def _btf(features: Features) -> None:
    del features
    os.close(os.open(_VMLINUX_BTF, os.O_RDONLY | os.O_CLOEXEC))


_CPU_V3 = _set(0, 0) + _insn(0x16, 0, offset=0, immediate=1) + _EXIT
# r1 = 8; r0 = (s8)r1; r0 s/= r1; gotol +0
_CPU_V4 = _set(1, 8) + _insn(0xBF, 0, 1, 8) + _insn(0x3F, 0, 1, 1) + _insn(0x06) + _EXIT

TRIALS: dict[str, Callable[[Features], None]] = {
    "raw_tp_test_run": _raw_tp_test_run,
    "ringbuf": _ringbuf,
    "loop": _loop,
    "for_each_map_elem": _for_each_map_elem,
    "ns_pid_tgid": _loads(
        _stack(3, 8)
        + _set(1, 1)
        + _set(2, 1)
        + _set(4, 8)
        + _call(_GET_NS_CURRENT_PID_TGID)
        + _EXIT
    ),
    "ktime_boot": _loads(_call(_KTIME_GET_BOOT_NS) + _RETURN_0),
    "ktime_tai": _loads(_call(_KTIME_GET_TAI_NS) + _RETURN_0),
    "lookup_percpu_elem": _lookup_percpu_elem,
    "get_func_ip": _loads(_call(_GET_FUNC_IP) + _RETURN_0, u.BPF_PROG_TYPE_KPROBE),
    "d_path": _d_path,
    "btf": _btf,
    "kprobe": _kprobe,
    "kprobe_multi": lambda features: _kprobe_many(features, False),
    "kprobe_session": lambda features: _kprobe_many(features, True),
    "fentry": _fentry,
    "uprobe": _uprobe,
    "uprobe_multi": _uprobe_multi,
    "uprobe_ref_ctr": _uprobe_ref_ctr,
    "iter": _iter,
    "perf_link": _perf_link,
    "map_batch": _map_batch,
    "cpu_v4": _loads(_CPU_V4),
    "cpu_v3": _loads(_CPU_V3),
    "probe_read_kernel": _loads(
        _stack(1, 8) + _set(2, 8) + _set(3, 0) + _call(_PROBE_READ_KERNEL) + _RETURN_0
    ),
    "task_kfuncs": _task_kfuncs,
    "signal_thread": _loads(_set(1, 0) + _call(_SEND_SIGNAL_THREAD) + _RETURN_0),
}
"""One trial for each name of ``kernel.info.FEATURES``; it raises when the kernel refuses."""
