"""Records for user space: printf and its kin, faults, exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import I64, Aggregate, Str, Type, align_up
from pytrace.builtins.faults import BY_ERROR
from pytrace.ir.nodes import KERNEL_BIT
from pytrace.model.events import (
    CONTROL_HEADER,
    DATA_HEADER,
    EXIT_CODE_OFFSET,
    EXIT_OFFSET,
    GATE_OFFSET,
    RecordField,
)
from pytrace.semantics.lower import memory, places
from pytrace.semantics.merge import settled, value_type

if TYPE_CHECKING:
    from pytrace.base.source import Span
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering


def lay_out(types: list[Type], header: int) -> tuple[tuple[RecordField, ...], int]:
    """Fields one after the other at their own alignment, and the record's size."""
    fields = []
    at = header
    for t in types:
        at = align_up(at, t.align)
        fields.append(RecordField(type=t, offset=at))
        at += t.size
    return tuple(fields), align_up(at, 8)


def send(
    lo: Lowering,
    handler: str,
    args: list[ast.Expr],
    *,
    static: tuple[object, ...],
    span: Span | None,
    control: bool,
) -> None:
    """One record with the values of ``args``.

    Scalars and what has effects or may fail is computed before the record is reserved: nothing
    but stores, copies and reads stands between reserving and submitting.
    """
    b = lo.b
    b.span = span
    types = [_event_type(lo, a) for a in args]
    fields, size = lay_out(types, CONTROL_HEADER if control else DATA_HEADER)
    event = lo.module.add_event(handler, fields, size, static, span, control)
    ready = [_prepare(lo, a, t) for a, t in zip(args, types)]
    record = b.reserve(event)
    with b.when(b.negate(b.is_null(record))):
        for node, field, early in zip(args, fields, ready):
            target = b.offset(record, field.offset)
            if isinstance(early, _Word):
                b.store(record, field.offset, field.type.size, early.value)
            elif isinstance(early, _Memory):
                b.copy(target, early.pointer, field.type.size)
            else:
                lo.into(node, target, field.type)
        b.submit(record)


class _Word:
    def __init__(self, value: ir.Value) -> None:
        self.value = value


class _Memory:
    def __init__(self, pointer: ir.Value) -> None:
        self.pointer = pointer


def _event_type(lo: Lowering, node: ast.Expr) -> Type:
    found = settled(lo.types[node])
    if isinstance(found, Aggregate) and not found.castable:
        return found
    return value_type(found)


def _prepare(lo: Lowering, node: ast.Expr, t: Type) -> _Word | _Memory | None:
    """What must be computed before the record is reserved; None: written straight into it."""
    from pytrace.base.types import is_scalar

    if is_scalar(t):
        return _Word(lo.word_as(node, t))
    if _direct(lo, node):
        return None
    return _Memory(lo.address(node))


def _direct(lo: Lowering, node: ast.Expr) -> bool:
    """True for values that are written into the record by reads and stores alone. A read that
    may report its failure comes before the record, as its message must."""
    from pytrace.frontend import ast as syntax

    match node:
        case syntax.StrLit() | syntax.Var():
            return True
        case syntax.Ident() | syntax.Call() if not lo.warns:
            return all(_simple(lo, a) for a in getattr(node, "args", ()))
    return False


def _simple(lo: Lowering, node: ast.Node) -> bool:
    """True if computing it makes no record of its own (division may report a zero)."""
    from pytrace.frontend.walk import walk

    return not any(
        type(n).__name__ in ("Map", "MapAccess", "IncDec", "IfExpr", "BlockExpr", "Ternary")
        or (type(n).__name__ == "Binary" and getattr(n, "op", "") in ("/", "%", "&&", "||"))
        for n in walk(node)
    )


def fault(
    lo: Lowering, message: str, helper: str, retcode: ir.Value | None, span: Span | None
) -> None:
    """A fault record: its place is the span, its texts are static."""
    b = lo.b
    before, b.span = b.span, span
    types: list[Type] = [I64]
    fields, size = lay_out(types, DATA_HEADER)
    event = lo.module.add_event("faults:fault", fields, size, (message, helper), span, False)
    record = b.reserve(event)
    with b.when(b.negate(b.is_null(record))):
        b.store(record, fields[0].offset, 8, 0 if retcode is None else retcode)
        b.submit(record)
    b.span = before


def read_fault(
    lo: Lowering, taken: ir.Value, space: str, address: ir.Value, suffix: str
) -> None:
    """With ``-k``: reports a read that gave ``taken``, by the helper that the address chose."""
    if not lo.warns:
        return
    b = lo.b
    span = b.span

    def report(side: str) -> None:
        fault(lo, BY_ERROR, f"probe_read_{side}{suffix}", taken, span)

    with b.when(b.compare("slt", taken, 0)):
        bit = KERNEL_BIT.get(lo.env.kernel.identity().arch)
        if space != "either" or bit is None:
            report("user" if space == "user" else "kernel")
            return
        with b.block() as upper:
            report("kernel")
        with b.block() as lower:
            report("user")
        b.if_else(b.compare("slt", b.binop("shl", address, 63 - bit), 0), upper[0], lower[0])


def send_join(lo: Lowering, call: BuiltinCall, strings: int, size: int) -> None:
    """Up to ``strings`` texts of an array of pointers that ends with a null pointer."""
    b = lo.b
    b.span = call.span
    separator = lo.text(call.args[1]) if len(call.args) > 1 else " "
    types: list[Type] = [I64, *([Str(length=size)] * strings)]
    fields, total = lay_out(types, DATA_HEADER)
    event = lo.module.add_event("system:join", fields, total, (separator,), call.span, False)
    at = memory.argument(lo, call.args[0])
    space, address = places.address_of(lo, at)
    record = b.reserve(event)
    count, done = b.cell("count"), b.cell("done")
    with b.when(b.negate(b.is_null(record))):
        b.set(count, 0)
        b.set(done, 0)
        for index in range(strings):
            with b.when(b.negate(b.get(done))):
                slot = b.address(b.slot("pointer", 8))
                lo.read(space, slot, 8, b.add(address, 8 * index))
                text = b.load(slot, 0, 8)
                with b.block() as last:
                    b.set(done, 1)
                with b.block() as more:
                    target = b.offset(record, fields[1 + index].offset)
                    lo.read_string(space, target, size, text)
                    b.set(count, index + 1)
                b.if_else(b.negate(text), last[0], more[0])
        b.store(record, fields[0].offset, 8, b.get(count))
        b.submit(record)


def exit_run(lo: Lowering, call: BuiltinCall) -> None:
    """``exit(code)``: closes the gate, tells user space, leaves the probe.

    The code and a flag also go to the shared state, where no storm of events can hide them.
    """
    b = lo.b
    code = lo.word(call.args[0]) if call.args else b.const(0)
    state = b.state(0)
    b.store(state, EXIT_CODE_OFFSET, 8, code)
    b.store(state, EXIT_OFFSET, 8, 1)
    types: list[Type] = [I64]
    fields, size = lay_out(types, CONTROL_HEADER)
    event = lo.module.add_event("printing:exit", fields, size, (), call.span, True)
    record = b.reserve(event)
    with b.when(b.negate(b.is_null(record))):
        b.store(record, fields[0].offset, 8, code)
        b.submit(record)
    b.store(state, GATE_OFFSET, 8, 1)
    b.ret()
