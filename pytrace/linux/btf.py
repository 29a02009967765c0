"""Loading the BTF that describes our progs and maps."""

from __future__ import annotations

import errno
import struct

from pytrace.base.errors import LoadError
from pytrace.linux.descriptor import Descriptor
from pytrace.linux.syscall import address_of, failure
from pytrace.linux.uapi import BPF_BTF_LOAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.linux.bpf import BtfInfo
    from pytrace.linux.syscall import Syscalls

# union bpf_attr as BPF_BTF_LOAD reads it.
_LOAD = struct.Struct("=QQIIIIII")
_FIRST_LOG_SIZE = 64 << 10
_MAX_LOG_SIZE = 4 << 20


class Btf(Descriptor):
    """A BTF object of the kernel, owned through its descriptor."""

    __slots__ = ()

    def info(self) -> BtfInfo:
        from pytrace.linux import bpf

        return bpf.btf_info(self.sys, self.fd)


def load(sys: Syscalls, data: bytes | bytearray, *, name: str = "btf") -> Btf:
    """Load raw BTF. Raises ``LoadError`` with the kernel's complaint in its text."""
    raw = bytearray(data)
    log, level = bytearray(0), 0
    while True:
        log_address = address_of(log) if log else 0
        attr = bytearray(
            _LOAD.pack(address_of(raw), log_address, len(raw), len(log), level, 0, 0, 0)
        )
        fd = sys.bpf_raw(BPF_BTF_LOAD, attr)
        if fd >= 0:
            return Btf(sys, fd, name)
        if not log:
            log, level = bytearray(_FIRST_LOG_SIZE), 1
        elif fd == -errno.ENOSPC and len(log) < _MAX_LOG_SIZE:
            log = bytearray(len(log) * 8)
        else:
            break
    cause = failure(-fd, "load BTF")
    text = log[: log.find(b"\0")].decode("utf-8", "replace").strip()
    complaint = text.splitlines()[-1] if text else cause.strerror
    raise LoadError(f"cannot load BTF: {complaint}", errno=-fd) from cause
