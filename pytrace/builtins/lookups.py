"""Numbers as text: errors, signals and system calls, looked up while the probe runs."""

from __future__ import annotations

from pytrace.base.types import Str
from pytrace.builtins import names
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering

ENTRY: Final = 64
"""Bytes of one text, padded with zeros."""


def _table(texts: tuple[str, ...], missing: str) -> bytes:
    """All texts, and behind them the one for numbers that have none."""
    rows = [text or missing for text in texts] + [missing]
    return b"".join(row.encode()[: ENTRY - 1].ljust(ENTRY, b"\0") for row in rows)


def _from_table(
    lo: Lowering, name: str, data: bytes, number: ir.Value, target: ir.Value
) -> None:
    """Copies entry ``number`` of a read-only table, or the last one if there is none."""
    b = lo.b
    last = len(data) // ENTRY - 1
    lo.need_table(name, data)
    index = b.select(b.compare("ult", number, last), number, last)
    offset = b.binop("shl", index, 6)
    entry = b.offset(b.map_value(name), offset, limit=last * ENTRY)
    b.copy(target, entry, ENTRY)


def _strerror_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """Takes either sign: helpers and system calls return errors as negative numbers."""
    b = lo.b
    number = lo.word(call.args[0])
    positive = b.select(b.compare("slt", number, 0), b.binop("sub", 0, number), number)
    _from_table(lo, ".errors", _table(names.errors(), "Unknown error"), positive, target)


def _signal_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    number = lo.word(call.args[0])
    _from_table(lo, ".signals", _table(names.signals(), "N/A"), number, target)


def _syscall_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    texts = names.syscalls(lo.env.kernel.identity().arch)
    number = lo.word(call.args[0])
    _from_table(lo, ".syscalls", _table(texts, "Unknown syscall"), number, target)


_NUMBER = (Arg(name="number", kind="int"),)

STRERROR = Builtin(
    name="strerror",
    doc="Text of an error number, of either sign.",
    returns=Str(length=ENTRY),
    params=_NUMBER,
    into=_strerror_into,
)
SIGNAL_NAME = Builtin(
    name="signal_name",
    doc="Text of a signal number.",
    returns=Str(length=ENTRY),
    params=_NUMBER,
    into=_signal_into,
)
SYSCALL_NAME = Builtin(
    name="syscall_name",
    doc="Name of a system call number.",
    returns=Str(length=ENTRY),
    params=_NUMBER,
    into=_syscall_into,
)

