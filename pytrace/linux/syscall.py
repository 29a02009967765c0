"""System calls that Python's standard library does not offer, made without ``ctypes``.

``import ctypes`` takes 8 ms, its C half ``_ctypes`` 3 ms, and that half is enough: one foreign
function object for the C library's ``syscall(2)``.

Buffers travel as addresses. ``address_of`` takes a ``bytearray`` (or another writable buffer) and
the caller keeps that object alive, at its size, until the call returns.
"""

from __future__ import annotations

import _ctypes
import errno
import os

from pytrace.linux.uapi import ENOTSUPP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from _typeshed import WriteableBuffer

    _LongBase = _ctypes._SimpleCData[int]
    _CharBase = _ctypes._SimpleCData[bytes]
else:
    _LongBase = _CharBase = _ctypes._SimpleCData

# Calls newer than Linux 5.0 have one number on all architectures.
PIDFD_SEND_SIGNAL = 424
PIDFD_OPEN = 434

# The verifier gives up with EAGAIN when a signal is pending (kernel/bpf/verifier.c, do_check).
_AGAIN_TRIES = 8


class _Long(_LongBase):
    _type_ = "l"


class _Char(_CharBase):
    _type_ = "c"


class _SyscallFunction(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Long
    _argtypes_ = (_Long,) * 7


class Numbers:
    """System call numbers of one architecture (``asm/unistd_64.h``, ``asm-generic/unistd.h``)."""

    __slots__ = ("bpf", "ioctl", "mount", "perf_event_open", "ptrace")

    def __init__(
        self, *, bpf: int, ioctl: int, mount: int, perf_event_open: int, ptrace: int
    ) -> None:
        self.bpf = bpf
        self.ioctl = ioctl
        self.mount = mount
        self.perf_event_open = perf_event_open
        self.ptrace = ptrace


def numbers_for(machine: str) -> Numbers:
    """The system call numbers of a machine as ``uname -m`` names it.

    Raises ``OSError(ENOSYS)`` for an architecture that pytrace does not know.
    """
    if machine == "x86_64":
        return Numbers(bpf=321, ioctl=16, mount=165, perf_event_open=298, ptrace=101)
    if machine in ("aarch64", "riscv64", "loongarch64"):
        return Numbers(bpf=280, ioctl=29, mount=40, perf_event_open=241, ptrace=117)
    raise OSError(errno.ENOSYS, f"system call numbers of {machine} are not known")


def address_of(buffer: WriteableBuffer) -> int:
    """The address of a writable buffer of at least one byte.

    Valid while the caller keeps the buffer alive and does not change its size.
    """
    return _ctypes.addressof(_Char.from_buffer(buffer))


def read_memory(address: int, size: int) -> bytes:
    """``size`` bytes of this process's own memory. The caller vouches for the address."""
    return bytes(memoryview((_Char * size).from_address(address))) if size else b""


def c_string(text: str | bytes) -> bytearray:
    """A zero-terminated copy of ``text`` whose address a system call can take."""
    raw = text if isinstance(text, bytes) else os.fsencode(text)
    if b"\0" in raw:
        raise ValueError(f"a zero byte in {raw!r}")
    return bytearray(raw + b"\0")


class Syscalls:
    """The system calls of this room. Every failure is an ``OSError`` that says what was tried.

    ``trace.TracedSyscalls`` is the variant that prints each call; nothing here pays for it.
    """

    __slots__ = ("_function", "numbers")

    def __init__(self) -> None:
        self.numbers = numbers_for(os.uname().machine)
        library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        self._function: Any = _SyscallFunction(_ctypes.dlsym(library, "syscall"))

    def raw(
        self, number: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, f: int = 0
    ) -> int:
        """The result of one system call, or minus its errno. Raises nothing."""
        result: int = self._function(number, a, b, c, d, e, f)
        return -_ctypes.get_errno() if result == -1 else result

    def bpf_raw(self, command: int, attr: bytearray) -> int:
        """bpf(2) with ``attr`` (a ``union bpf_attr``, changed in place). Minus errno on failure."""
        result: int = self._function(
            self.numbers.bpf, command, address_of(attr), len(attr), 0, 0, 0
        )
        return -_ctypes.get_errno() if result == -1 else result

    def bpf(self, command: int, attr: bytearray, what: str) -> int:
        """bpf(2); ``what`` is the text of the error: "create map @x".

        A longer ``attr`` than the kernel knows is fine as long as the excess is zero
        (kernel/bpf/syscall.c, bpf_check_uarg_tail_zero).
        """
        for _ in range(_AGAIN_TRIES):
            result = self.bpf_raw(command, attr)
            if result != -errno.EAGAIN:
                break
        if result < 0:
            raise failure(-result, what)
        return result

    def perf_event_open(
        self, attr: bytearray, pid: int, cpu: int, group_fd: int, flags: int, what: str
    ) -> int:
        """perf_event_open(2): a new descriptor. -1 is every process and every CPU."""
        result = self.raw(self.numbers.perf_event_open, address_of(attr), pid, cpu, group_fd, flags)
        if result < 0:
            raise failure(-result, what)
        return result

    def ioctl(self, fd: int, request: int, argument: int, what: str) -> int:
        """ioctl(2) on a perf event, with an integer argument."""
        result = self.raw(self.numbers.ioctl, fd, request, argument)
        if result < 0:
            raise failure(-result, what)
        return result


def failure(number: int, what: str) -> OSError:
    """The ``OSError`` of a failed call: ``[Errno 1] Operation not permitted: 'create map @x'``."""
    if number == ENOTSUPP:  # no C library has a text for it
        return OSError(number, "Operation not supported by this kind of object", what)
    return OSError(number, os.strerror(number), what)


def is_weakly_ordered() -> bool:
    """Whether loads may pass each other on this machine, so that ring buffers need fences."""
    return os.uname().machine not in ("x86_64", "i686", "s390x")
