"""Walking over the typed IR: what an instruction uses, and every instruction of a body."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn, cast

from pytrace.ir import nodes as ir

LEAVES: tuple[type[ir.Instr], ...] = (
    ir.Const, ir.Context, ir.SlotAddr, ir.StateAddr, ir.MapValue, ir.MapRef, ir.Param, ir.Argument,
)  # fmt: skip
"""Values that need no computing: they may be used anywhere, listed in a block or not."""

LOOPS: tuple[type[ir.Instr], ...] = (ir.Loop, ir.Repeat, ir.ForEach)


def impossible(node: NoReturn) -> AssertionError:
    """For the end of a match: ``case _: raise impossible(node)``.

    A type checker reports it where a node kind is left (as ``typing.assert_never``, which Python
    3.10 lacks).
    """
    return AssertionError(f"unknown node {type(node).__name__}")


def operands(instr: ir.Instruction) -> tuple[ir.Value, ...]:
    """The values that an instruction uses itself, in order; not those of the blocks it holds."""
    find = _OPERANDS.get(type(instr))
    return find(instr) if find else ()


def blocks(instr: ir.Instruction) -> tuple[ir.Block, ...]:
    """The blocks that an instruction holds, in order."""
    if isinstance(instr, ir.If):
        return (instr.then, instr.orelse)
    if isinstance(instr, (ir.Loop, ir.Repeat, ir.ForEach)):
        return (instr.body,)
    return ()


def walk(block: ir.Block) -> Iterator[ir.Instruction]:
    """Every instruction in the order of the text, those of inner blocks included.

    An iteration, not a recursion: depth of nesting is the script's to choose.
    """
    stack = [iter(block.instrs)]
    while stack:
        for instr in stack[-1]:
            yield instr
            inner = blocks(instr)
            if inner:
                stack.extend(iter(b.instrs) for b in reversed(inner))
                break
        else:
            stack.pop()


def leaves(instr: ir.Instruction) -> Iterator[ir.Value]:
    """The leaf operands of an instruction and, if it is one, the instruction itself."""
    if isinstance(instr, LEAVES):
        yield cast("ir.Value", instr)
    for value in operands(instr):
        if isinstance(value, LEAVES):
            yield value


def slots_of(instr: ir.Instruction) -> Iterator[ir.Slot]:
    """The slots whose address an instruction takes or is."""
    for leaf in leaves(instr):
        if isinstance(leaf, ir.SlotAddr):
            yield leaf.slot


def cells_of(instr: ir.Instruction) -> Iterator[ir.Cell]:
    if isinstance(instr, (ir.GetCell, ir.SetCell)):
        yield instr.cell
    elif isinstance(instr, ir.Repeat):
        yield instr.index


def root(pointer: ir.Value) -> tuple[ir.Value, int | None]:
    """Where a pointer comes from, and its constant distance from there (None: not constant)."""
    distance: int | None = 0
    while isinstance(pointer, ir.Offset):
        step = pointer.bytes
        if isinstance(step, ir.Const):
            step = step.value
        distance = distance + step if distance is not None and isinstance(step, int) else None
        pointer = pointer.pointer
    return pointer, distance


def _sized(size: int | ir.Value) -> tuple[ir.Value, ...]:
    return () if isinstance(size, int) else (size,)


def _read(i: ir.Instruction) -> tuple[ir.Value, ...]:
    i = cast("ir.Read", i)
    return (i.target, *_sized(i.size), i.address)


def _return(i: ir.Instruction) -> tuple[ir.Value, ...]:
    value = cast("ir.Return", i).value
    return () if value is None else (value,)


def _offset(i: ir.Instruction) -> tuple[ir.Value, ...]:
    i = cast("ir.Offset", i)
    return (i.pointer, *_sized(i.bytes))


def _fields(*names: str) -> Callable[[ir.Instruction], tuple[ir.Value, ...]]:
    return lambda i: tuple(getattr(i, n) for n in names)


def _args(i: ir.Instruction) -> tuple[ir.Value, ...]:
    return cast("ir.Helper", i).args


_OPERANDS: dict[type[ir.Instr], Callable[[ir.Instruction], tuple[ir.Value, ...]]] = {
    ir.BinOp: _fields("left", "right"),
    ir.Compare: _fields("left", "right"),
    ir.Extend: _fields("value"),
    ir.Select: _fields("cond", "then", "orelse"),
    ir.ByteSwap: _fields("value"),
    ir.SetCell: _fields("value"),
    ir.IsNull: _fields("pointer"),
    ir.AddressWord: _fields("pointer"),
    ir.Offset: _offset,
    ir.Load: _fields("pointer"),
    ir.Store: _fields("pointer", "value"),
    ir.Copy: _fields("target", "source"),
    ir.Zero: _fields("target"),
    ir.AtomicAdd: _fields("pointer", "value"),
    ir.Read: _read,
    ir.ReadString: _read,
    ir.MapLookup: _fields("key"),
    ir.MapLookupPercpu: _fields("key", "cpu"),
    ir.MapUpdate: _fields("key", "value"),
    ir.MapDelete: _fields("key"),
    ir.Helper: _args,
    ir.CallFn: _args,
    ir.Submit: _fields("record"),
    ir.If: _fields("cond"),
    ir.Repeat: _fields("start", "end"),
    ir.Return: _return,
}
