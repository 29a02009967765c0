"""Which type of the kernel's a BTF-typed prog is loaded for."""

from __future__ import annotations

import os

from pytrace.base.errors import LoadError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from pytrace.linux.syscall import Syscalls

VMLINUX: Final = "vmlinux"

# include/uapi/linux/btf.h
_FUNC: Final = 12


class BtfTarget:
    """A type's id and the descriptor (owned, 0 for vmlinux) of the BTF that it counts in."""

    __slots__ = ("fd", "id")

    def __init__(self, number: int, fd: int = 0) -> None:
        self.id = number
        self.fd = fd

    def close(self) -> None:
        if self.fd:
            os.close(self.fd)
            self.fd = 0


def find_target(sys: Syscalls, text: str, find_function: Callable[[str], int]) -> BtfTarget:
    """What ``ProgSpec.attach_btf`` names: ``name``, ``module:name`` or ``module:name:id``.

    Raises ``LoadError`` if there is no such function, ``OSError`` if the kernel does not let its
    BTF objects be listed.
    """
    words = text.split(":")
    module, name = (VMLINUX, words[0]) if len(words) == 1 else (words[0], words[1])
    if module == VMLINUX:
        return BtfTarget(int(words[2]) if len(words) > 2 else find_function(name))
    from pytrace.kernel.live_types import LiveTypes

    types = LiveTypes("", "", "").module(module)
    number = types.find(name, (_FUNC,)) if types is not None else None
    if types is None or number is None or number < types.first_id:
        raise LoadError(f"the type information of module {module} has no function {name}")
    return BtfTarget(number, _module_btf(sys, module))


def _module_btf(sys: Syscalls, module: str) -> int:
    """A new descriptor of a module's BTF. ``LoadError`` if it is not loaded."""
    from pytrace.linux import bpf

    for number in bpf.ids(sys, "btf"):
        try:
            fd = bpf.fd_by_id(sys, "btf", number)
        except FileNotFoundError:
            continue  # It went away in between.
        if bpf.btf_name(sys, fd) == module:
            return fd
        os.close(fd)
    raise LoadError(f"module {module} is not loaded")
