"""Where registers lie in ``struct pt_regs`` (arch/*/include/asm/ptrace.h)."""

from __future__ import annotations

from pytrace.base.types import (
    CONTEXT,
    U8,
    U64,
    Array,
    Field,
    Ptr,
    Struct,
    StructDef,
    Type,
    is_scalar,
)
from pytrace.model.probing import CtxValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from pytrace.kernel.info import FuncProto

SLOT: Final = 8
"""Bytes of a register."""

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


def register_arguments(
    name: str, proto: FuncProto, arch: str, find: Callable[[Struct], StructDef | None]
) -> StructDef:
    """A function's arguments as members of ``struct pt_regs``, as the calling convention passes
    them at its entry. What is passed otherwise (in memory, in other registers) is left out.

    x86_64: System V ABI, 3.2.3; aarch64: AAPCS64, 6.4. Large results are written to memory whose
    address is passed first (on aarch64 in a register of its own). ``find`` gives definitions of
    the program's structs.
    """
    places = [value.offset for _, value in arguments(arch)]
    arm = arch == "aarch64"
    used = 1 if not arm and _is_large(proto.returns) else 0
    fields = []
    for label, kind in proto.params:
        needed = 1 if arm and _is_large(kind) else _registers_of(kind, find)
        if needed < 0:
            break  # Where this one and those behind it are, its type does not tell.
        if needed == 1 and used < len(places) and not _is_large(kind):
            fields.append(Field(name=label, type=kind, offset=places[used]))
        if used + needed <= len(places):
            used += needed
    end = max((f.offset + SLOT for f in fields), default=SLOT)
    return StructDef(kind="struct", name=name, size=end, fields=tuple(fields))


def _registers_of(kind: Type, find: Callable[[Struct], StructDef | None]) -> int:
    """How many of these registers a value is passed in; -1 if its type does not tell.

    Numbers with a fraction, which are arrays of bytes here, have registers of their own.
    """
    if isinstance(kind, Array):
        return 0 if kind.size in (4, 8) else -1
    if isinstance(kind, Struct):
        definition = find(kind)
        fractions = definition is None or any(_fraction(f.type) for f in definition.fields)
        if kind.size > 2 * SLOT:
            return 0
        return -(-kind.size // SLOT) if kind.size and not fractions else -1
    return 1 if is_scalar(kind) else -1


def _fraction(kind: Type) -> bool:
    return isinstance(kind, Array) and kind.elem == U8 and kind.count in (4, 8, 16)


def _is_large(kind: Type) -> bool:
    return isinstance(kind, Struct) and kind.size > 2 * SLOT


def _at(offset: int) -> CtxValue:
    return CtxValue(type=U64, offset=offset, size=8)
