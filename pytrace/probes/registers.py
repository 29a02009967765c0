"""Where registers lie in ``struct pt_regs`` (arch/*/include/asm/ptrace.h)."""

from __future__ import annotations

from pytrace.base.types import CONTEXT, U64, Ptr, Struct
from pytrace.model.probing import CtxValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

X86_64: Final = (
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si",
    "di", "orig_rax", "ip", "cs", "flags", "sp", "ss",
)  # fmt: skip
X86_64_ARGUMENTS: Final = ("di", "si", "dx", "cx", "r8", "r9")

AARCH64: Final = (*(f"r{n}" for n in range(31)), "sp", "pc", "pstate")
AARCH64_ARGUMENTS: Final = tuple(f"r{n}" for n in range(8))

PT_REGS: Final = Ptr(to=Struct(kind="struct", name="pt_regs", bytes=0), space=CONTEXT)
"""Type of ``ctx`` in probes of the kprobe family: ``struct pt_regs *``."""


def registers(arch: str) -> tuple[tuple[str, CtxValue], ...]:
    """Every register by the name that ``reg()`` takes; aliases included."""
    names = AARCH64 if arch == "aarch64" else X86_64
    found = [(name, _at(8 * index)) for index, name in enumerate(names)]
    if arch != "aarch64":
        found.append(("pc", _at(8 * X86_64.index("ip"))))
    return tuple(found)


def arguments(arch: str) -> tuple[tuple[str, CtxValue], ...]:
    """``arg0`` ... of the calling convention's registers."""
    order = AARCH64_ARGUMENTS if arch == "aarch64" else X86_64_ARGUMENTS
    known = dict(registers(arch))
    return tuple((f"arg{n}", known[name]) for n, name in enumerate(order))


def return_value(arch: str) -> CtxValue:
    return dict(registers(arch))["r0" if arch == "aarch64" else "ax"]


def _at(offset: int) -> CtxValue:
    return CtxValue(type=U64, offset=offset, size=8)
