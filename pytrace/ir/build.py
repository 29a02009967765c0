"""Builds blocks of the typed IR, one instruction after the other."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

from pytrace.ir import nodes as ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytrace.base.source import Span

Operand = Union[ir.Value, int]


class Builder:
    """Appends instructions to the block being built.

    ``span`` is stamped on every instruction; the lowering moves it from construct to construct.
    Methods that take an ``Operand`` accept a Python int for a constant. Constants are folded
    where both operands are known, so that lowering code need not.
    """

    def __init__(self) -> None:
        self.span: Span | None = None
        self._blocks: list[list[ir.Instruction]] = [[]]
        self._names: dict[str, int] = {}
        self._once: dict[str, tuple[list[ir.Instruction], ir.Cell]] = {}
        self._open_loops = 0

    # ------------------------------------------------------------ blocks

    def finish(self) -> ir.Block:
        """The outermost block; the builder is done."""
        assert len(self._blocks) == 1, "a block is still open"
        return ir.Block(instrs=tuple(self._blocks[0]))

    def emit(self, instr: ir.Instruction) -> ir.Instruction:
        self._blocks[-1].append(instr)
        return instr

    @contextmanager
    def block(self) -> Iterator[list[ir.Block]]:
        """Collects instructions in a block of their own; the yielded list then holds it."""
        result: list[ir.Block] = []
        self._blocks.append([])
        yield result
        result.append(ir.Block(instrs=tuple(self._blocks.pop())))

    @contextmanager
    def when(self, cond: ir.Value) -> Iterator[None]:
        """``if cond`` without ``else``."""
        span = self.span
        with self.block() as body:
            yield
        self.emit(ir.If(span=span, cond=cond, then=body[0], orelse=EMPTY))

    def if_else(self, cond: ir.Value, then: ir.Block, orelse: ir.Block) -> None:
        self.emit(ir.If(span=self.span, cond=cond, then=then, orelse=orelse))

    def once(self, stem: str, make: Callable[[], ir.Value]) -> ir.Value:
        """A word that stays the same during a run: computed where it is first needed, and again
        only where that place may not have been passed."""
        block, cell = self._once.get(stem, (None, None))
        if cell is not None and any(block is open_block for open_block in self._blocks):
            return self.get(cell)
        value = make()
        if isinstance(value, ir.GetCell):
            cell = value.cell
        else:
            cell = self.cell(stem)
            self.set(cell, value)
        self._once[stem] = (self._blocks[-1], cell)
        return value

    def unique(self, stem: str) -> str:
        """A name not given out before: ``stem``, ``stem.1``, ``stem.2``..."""
        count = self._names.get(stem, 0)
        self._names[stem] = count + 1
        return f"{stem}.{count}" if count else stem

    def cell(self, stem: str) -> ir.Cell:
        return ir.Cell(self.unique(stem))

    def slot(self, stem: str, size: int) -> ir.Slot:
        return ir.Slot(self.unique(stem), max(size, 1))

    # ------------------------------------------------------------ words

    def const(self, value: int) -> ir.Value:
        return self._add(ir.Const(span=self.span, value=value))

    def word(self, value: Operand) -> ir.Value:
        return self.const(value) if isinstance(value, int) else value

    def binop(self, op: str, left: Operand, right: Operand) -> ir.Value:
        return self._add(
            ir.BinOp(span=self.span, op=op, left=self.word(left), right=self.word(right))
        )

    def add(self, left: Operand, right: Operand) -> ir.Value:
        if isinstance(right, int) and right == 0:
            return self.word(left)
        return self.binop("add", left, right)

    def compare(self, op: str, left: Operand, right: Operand) -> ir.Value:
        return self._add(
            ir.Compare(span=self.span, op=op, left=self.word(left), right=self.word(right))
        )

    def extend(self, value: ir.Value, bits: int, signed: bool) -> ir.Value:
        if bits >= 64:
            return value
        if isinstance(value, ir.Const):
            low = value.value & ((1 << bits) - 1)
            return self.const(low - (1 << bits) if signed and low >> (bits - 1) else low)
        return self._add(ir.Extend(span=self.span, value=value, bits=bits, signed=signed))

    def truth(self, value: ir.Value) -> ir.Value:
        """1 if the word is not zero."""
        if isinstance(value, (ir.Compare, ir.IsNull)):
            return value
        return self.compare("ne", value, 0)

    def negate(self, value: ir.Value) -> ir.Value:
        """Logical not: 1 if the word is zero."""
        return self.compare("eq", value, 0)

    def select(self, cond: ir.Value, then: Operand, orelse: Operand) -> ir.Value:
        return self._add(
            ir.Select(span=self.span, cond=cond, then=self.word(then), orelse=self.word(orelse))
        )

    def byte_swap(self, value: ir.Value, bits: int) -> ir.Value:
        return self._add(ir.ByteSwap(span=self.span, value=value, bits=bits))

    def get(self, cell: ir.Cell) -> ir.Value:
        return self._add(ir.GetCell(span=self.span, cell=cell))

    def set(self, cell: ir.Cell, value: Operand) -> None:
        self.emit(ir.SetCell(span=self.span, cell=cell, value=self.word(value)))

    def param(self, name: str) -> ir.Value:
        return self._add(ir.Param(span=self.span, name=name))

    # ------------------------------------------------------------ memory

    def context(self) -> ir.Value:
        return self._add(ir.Context(span=self.span))

    def address(self, slot: ir.Slot) -> ir.Value:
        return self._add(ir.SlotAddr(span=self.span, slot=slot))

    def state(self, offset: int) -> ir.Value:
        return self._add(ir.StateAddr(span=self.span, offset=offset))

    def map_value(self, name: str) -> ir.Value:
        return self._add(ir.MapValue(span=self.span, map=name))

    def offset(self, pointer: ir.Value, count: Operand, limit: int | None = None) -> ir.Value:
        if isinstance(count, int) and count == 0:
            return pointer
        return self._add(ir.Offset(span=self.span, pointer=pointer, bytes=count, limit=limit))

    def load(self, pointer: ir.Value, offset: int, size: int, signed: bool = False) -> ir.Value:
        return self._add(
            ir.Load(span=self.span, pointer=pointer, offset=offset, size=size, signed=signed)
        )

    def store(self, pointer: ir.Value, offset: int, size: int, value: Operand) -> None:
        self.emit(
            ir.Store(
                span=self.span, pointer=pointer, offset=offset, size=size, value=self.word(value)
            )
        )

    def copy(self, target: ir.Value, source: ir.Value, size: int) -> None:
        if size:
            self.emit(ir.Copy(span=self.span, target=target, source=source, size=size))

    def zero(self, target: ir.Value, size: int) -> None:
        if size:
            self.emit(ir.Zero(span=self.span, target=target, size=size))

    def atomic_add(self, pointer: ir.Value, offset: int, value: Operand, size: int = 8) -> None:
        self.emit(
            ir.AtomicAdd(
                span=self.span, pointer=pointer, offset=offset, size=size, value=self.word(value)
            )
        )

    def read(
        self,
        space: str,
        target: ir.Value,
        size: Operand,
        address: ir.Value,
        limit: int | None = None,
    ) -> ir.Value:
        return self._add(
            ir.Read(
                span=self.span, space=space, target=target, size=size, address=address, limit=limit
            )
        )

    def read_string(
        self,
        space: str,
        target: ir.Value,
        size: Operand,
        address: ir.Value,
        limit: int | None = None,
    ) -> ir.Value:
        return self._add(
            ir.ReadString(
                span=self.span, space=space, target=target, size=size, address=address, limit=limit
            )
        )

    def is_null(self, pointer: ir.Value) -> ir.Value:
        return self._add(ir.IsNull(span=self.span, pointer=pointer))

    def address_word(self, pointer: ir.Value) -> ir.Value:
        return self._add(ir.AddressWord(span=self.span, pointer=pointer))

    # ------------------------------------------------------------ maps, helpers, events

    def lookup(self, map_name: str, key: ir.Value) -> ir.Value:
        return self._add(ir.MapLookup(span=self.span, map=map_name, key=key))

    def lookup_percpu(self, map_name: str, key: ir.Value, cpu: ir.Value) -> ir.Value:
        return self._add(ir.MapLookupPercpu(span=self.span, map=map_name, key=key, cpu=cpu))

    def update(self, map_name: str, key: ir.Value, value: ir.Value, flags: int = 0) -> ir.Value:
        return self._add(
            ir.MapUpdate(span=self.span, map=map_name, key=key, value=value, flags=flags)
        )

    def delete(self, map_name: str, key: ir.Value) -> ir.Value:
        return self._add(ir.MapDelete(span=self.span, map=map_name, key=key))

    def helper(self, name: str, *args: Operand) -> ir.Value:
        words = tuple(self.word(a) for a in args)
        return self._add(ir.Helper(span=self.span, name=name, args=words))

    def call(self, name: str, args: tuple[ir.Value, ...]) -> ir.Value:
        return self._add(ir.CallFn(span=self.span, name=name, args=args))

    def argument(self, index: int) -> ir.Value:
        return self._add(ir.Argument(span=self.span, index=index))

    def map_ref(self, name: str) -> ir.Value:
        return self._add(ir.MapRef(span=self.span, map=name))

    def reserve(self, event: int) -> ir.Value:
        return self._add(ir.Reserve(span=self.span, event=event))

    def submit(self, record: ir.Value) -> None:
        self.emit(ir.Submit(span=self.span, record=record))

    # ------------------------------------------------------------ control flow

    def loop(self, body: ir.Block) -> None:
        self.emit(ir.Loop(span=self.span, body=body))

    def repeat(self, index: ir.Cell, start: Operand, end: Operand, body: ir.Block) -> None:
        self.emit(
            ir.Repeat(
                span=self.span, index=index, start=self.word(start), end=self.word(end), body=body
            )
        )

    def for_each(self, map_name: str, body: ir.Block) -> None:
        self.emit(ir.ForEach(span=self.span, map=map_name, body=body))

    def element_key(self) -> ir.Value:
        return self._add(ir.ElementKey(span=self.span))

    def element_value(self) -> ir.Value:
        return self._add(ir.ElementValue(span=self.span))

    def jump(self, kind: str) -> None:
        self.emit(ir.Break(span=self.span) if kind == "break" else ir.Continue(span=self.span))

    def ret(self, value: ir.Value | None = None) -> None:
        self.emit(ir.Return(span=self.span, value=value))

    def _add(self, instr: ir.Value) -> ir.Value:
        self._blocks[-1].append(instr)
        return instr


EMPTY = ir.Block(instrs=())
