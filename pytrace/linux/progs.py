"""Progs: loading with the verifier's log on failure, and test runs."""

from __future__ import annotations

import errno
import struct

from pytrace.base.errors import LoadError, VerifierError
from pytrace.linux.descriptor import Descriptor, object_name
from pytrace.linux.syscall import address_of, c_string, failure
from pytrace.linux.uapi import BPF_F_TEST_RUN_ON_CPU, BPF_PROG_LOAD, BPF_PROG_TEST_RUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.linux.bpf import ProgInfo
    from pytrace.linux.syscall import Syscalls

# union bpf_attr as BPF_PROG_LOAD reads it, up to fd_array_cnt, and as BPF_PROG_TEST_RUN does.
_LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQIIIIQQIIII")
_TEST = struct.Struct("=IIIIQQIIIIQQIIII")
_LOG_FIELDS = struct.Struct("=IIQ")
_LOG_OFFSET = 24

FUNC_INFO_SIZE = 8
LINE_INFO_SIZE = 16

_FIRST_LOG_SIZE = 256 << 10
MAX_LOG_SIZE = 64 << 20


class TestRun:
    """What a test run of a prog gave.

    ``retval`` is the prog's result (unsigned), ``duration_ns`` the mean of all repeats where the
    kind of prog measures it, ``data`` and ``context`` what the prog left in its buffers.
    """

    __slots__ = ("retval", "duration_ns", "data", "context")
    __test__ = False  # The name makes pytest look for tests in it.

    def __init__(self, retval: int, duration_ns: int, data: bytes, context: bytes) -> None:
        self.retval = retval
        self.duration_ns = duration_ns
        self.data = data
        self.context = context


class BpfProg(Descriptor):
    """A loaded prog, owned through its descriptor. ``log`` is the verifier's, where asked for."""

    __slots__ = ("prog_type", "log")

    def __init__(self, sys: Syscalls, fd: int, name: str, *, prog_type: int, log: str = "") -> None:
        super().__init__(sys, fd, name)
        self.prog_type = prog_type
        self.log = log

    def test_run(
        self,
        *,
        context: bytes = b"",
        data: bytes = b"",
        data_out_size: int = 0,
        context_out_size: int = 0,
        repeat: int = 0,
        cpu: int | None = None,
    ) -> TestRun:
        """Run the prog once, or ``repeat`` times, without attaching it.

        Raw tracepoint progs take their arguments as u64s in ``context`` (as many as the prog
        reads, at least), allow ``cpu``, and no data and no repeat (net/bpf/test_run.c,
        bpf_prog_test_run_raw_tp). XDP progs take ``data`` of at least 14 bytes and ``repeat``;
        syscall progs take a ``context`` that they may change.
        """
        data_in, context_in = bytearray(data), bytearray(context)
        data_out, context_out = bytearray(data_out_size), bytearray(context_out_size)
        attr = bytearray(
            _TEST.pack(
                self.fd,
                0,
                len(data_in),
                data_out_size,
                address_of(data_in) if data_in else 0,
                address_of(data_out) if data_out else 0,
                repeat,
                0,
                len(context_in),
                context_out_size,
                address_of(context_in) if context_in else 0,
                address_of(context_out) if context_out else 0,
                0 if cpu is None else BPF_F_TEST_RUN_ON_CPU,
                cpu or 0,
                0,
                0,
            )
        )
        self.sys.bpf(BPF_PROG_TEST_RUN, attr, f"run prog {self.name}")
        retval, _, data_length = struct.unpack_from("=III", attr, 4)
        duration_ns, _, context_length = struct.unpack_from("=III", attr, 36)
        return TestRun(
            retval,
            duration_ns,
            bytes(data_out[:data_length]),
            bytes(context_out[:context_length]) or bytes(context_in),
        )

    def info(self) -> ProgInfo:
        from pytrace.linux import bpf

        return bpf.prog_info(self.sys, self.fd)

    def xlated_insns(self) -> bytes:
        from pytrace.linux import bpf

        return bpf.xlated_insns(self.sys, self.fd)


def load(
    sys: Syscalls,
    name: str,
    *,
    prog_type: int,
    insns: bytes | bytearray,
    license_name: str = "GPL",
    expected_attach_type: int = 0,
    flags: int = 0,
    btf_fd: int = 0,
    func_info: bytes = b"",
    line_info: bytes = b"",
    attach_btf_id: int = 0,
    attach_fd: int = 0,
    fd_array: Sequence[int] = (),
    kern_version: int = 0,
    log_level: int = 0,
    max_log_size: int = MAX_LOG_SIZE,
) -> BpfProg:
    """Load a prog. ``insns`` are 8 bytes each, with map descriptors already filled in.

    ``func_info`` and ``line_info`` are arrays of ``struct bpf_func_info`` (8 bytes) and ``struct
    bpf_line_info`` (16 bytes) and need ``btf_fd``. ``attach_fd`` is the descriptor of the BTF of a
    module, or of a prog, that ``attach_btf_id`` counts in; 0 is vmlinux.

    The first try has no log, which makes it fast; on failure the same load is made again with a
    log that grows up to ``max_log_size`` bytes. ``log_level`` (1, or 2 for every instruction, +4
    for statistics) asks for the log of a success too, found in ``BpfProg.log``.

    Raises ``VerifierError`` with the log when the verifier refused, ``LoadError`` when the kernel
    refused before the verifier said anything (rights, memory, an unknown kind of prog).
    """
    code, license_text = bytearray(insns), c_string(license_name)
    functions, lines = bytearray(func_info), bytearray(line_info)
    fds = bytearray(struct.pack(f"={len(fd_array)}i", *fd_array))
    attr = bytearray(
        _LOAD.pack(
            prog_type,
            len(code) // 8,
            address_of(code) if code else 0,
            address_of(license_text),
            0,
            0,
            0,
            kern_version,
            flags,
            object_name(name),
            0,
            expected_attach_type,
            btf_fd,
            FUNC_INFO_SIZE if functions else 0,
            address_of(functions) if functions else 0,
            len(functions) // FUNC_INFO_SIZE,
            LINE_INFO_SIZE if lines else 0,
            address_of(lines) if lines else 0,
            len(lines) // LINE_INFO_SIZE,
            attach_btf_id,
            attach_fd,
            0,
            address_of(fds) if fds else 0,
            0,
            0,
            0,
            0,
            0,
        )
    )
    what = f"load prog {name}"
    if not log_level:
        fd = _try_load(sys, attr)
        if fd >= 0:
            return BpfProg(sys, fd, name, prog_type=prog_type)
    fd, log = _load_with_log(sys, attr, log_level or 1, max_log_size)
    if fd >= 0:
        return BpfProg(sys, fd, name, prog_type=prog_type, log=log)
    cause = failure(-fd, what)
    if log:
        summary = decisive_line(log)
        raise VerifierError(
            f"cannot load prog {name}: {summary or cause.strerror}",
            errno=-fd,
            prog=name,
            log=log,
            summary=summary,
        ) from cause
    raise LoadError(f"cannot load prog {name}: {cause.strerror}", errno=-fd) from cause


def decisive_line(log: str) -> str:
    """The line of a verifier log that says why: the last one that is not a statistic."""
    for line in reversed(log.splitlines()):
        text = line.strip()
        if text and not text.startswith(_STATISTICS):
            return text
    return ""


_STATISTICS = ("processed ", "verification time ", "stack depth ", "max_states", "mark_read")


def _try_load(sys: Syscalls, attr: bytearray) -> int:
    # The verifier gives up with EAGAIN when a signal is pending.
    for _ in range(8):
        fd = sys.bpf_raw(BPF_PROG_LOAD, attr)
        if fd != -errno.EAGAIN:
            break
    return fd


def _load_with_log(
    sys: Syscalls, attr: bytearray, log_level: int, max_log_size: int
) -> tuple[int, str]:
    """The result of a load (a descriptor or minus errno) and the log, cut at ``max_log_size``.

    A log that does not fit makes the load fail with ENOSPC. Up to 6.3 the buffer then holds the
    beginning, later the end of the log (kernel/bpf/log.c, "rotating log" of 6.4).
    """
    size = min(_FIRST_LOG_SIZE, max_log_size)
    while True:
        log = bytearray(size)
        _LOG_FIELDS.pack_into(attr, _LOG_OFFSET, log_level, size, address_of(log))
        fd = _try_load(sys, attr)
        if fd != -errno.ENOSPC or size >= max_log_size:
            return fd, log[: log.find(b"\0")].decode("utf-8", "replace")
        size = min(size * 8, max_log_size)
