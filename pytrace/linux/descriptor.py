"""The base of everything here that owns a file descriptor, and the names of kernel objects."""

from __future__ import annotations

import os

from pytrace.linux.uapi import BPF_OBJ_NAME_LEN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from pytrace.linux.syscall import Syscalls

# The characters bpf_obj_name_cpy() of kernel/bpf/syscall.c lets through.
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")


def object_name(text: str) -> bytes:
    """``text`` as the kernel takes it for a name: up to 15 bytes of [A-Za-z0-9_.]."""
    kept = bytes(c if c in _NAME_BYTES else 0x5F for c in text.encode())
    return kept.lstrip(b"_")[: BPF_OBJ_NAME_LEN - 1] or b"_"


class Descriptor:
    """Owns ``fd`` until ``close`` or ``release``; usable in a ``with`` statement.

    ``fd`` is -1 afterwards. There is no ``__del__``: an owner that forgets to close keeps the
    kernel object until the process ends, and a test that counts descriptors finds it.
    """

    __slots__ = ("sys", "fd", "name")

    def __init__(self, sys: Syscalls, fd: int, name: str) -> None:
        self.sys = sys
        self.fd = fd
        self.name = name

    def close(self) -> None:
        """Give the descriptor back to the kernel. Closing twice is fine."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def release(self) -> int:
        """Hand the descriptor over: the caller owns it from now on."""
        fd, self.fd = self.fd, -1
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, fd={self.fd})"
