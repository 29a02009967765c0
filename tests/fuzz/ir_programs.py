"""Random typed IR with a known answer: a generator and an evaluator in Python.

The evaluator is what the IR's docstrings say, in the plainest way; the kernel must agree with it.
"""

from __future__ import annotations

import random

from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder

MASK = (1 << 64) - 1
RESULTS = 16
"""Words of the result map that a program fills."""

OPS = ("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr")
DIVISIONS = ("udiv", "urem", "sdiv", "srem")
COMPARISONS = ("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge")
CONSTANTS = (0, 1, 2, 3, 7, 8, 63, 64, 255, 4096, 65535, -1, -2, -8, 1 << 31, -(1 << 31), 1 << 32,
             (1 << 63) - 1, -(1 << 63), 0x0123456789ABCDEF)  # fmt: skip


class Generator:
    """Writes one function's body.

    ``short``: for native loops only, each round of which the verifier walks through.
    """

    def __init__(self, seed: int, result: str, *, short: bool = False) -> None:
        self.short = short
        self.random = random.Random(seed)
        self.b = Builder()
        self.result = result
        self.cells = [self.b.cell(f"c{n}") for n in range(5)]
        self.slots = [self.b.slot(f"s{n}", size) for n, size in enumerate((8, 24, 40, 72))]
        self.budget = 40

    def function(self) -> ir.Block:
        b = self.b
        for slot in self.slots:
            b.zero(b.address(slot), slot.size)
        for number, cell in enumerate(self.cells[:3]):
            b.set(cell, b.load(b.context(), 8 * number, 8))
        self.statements(0, in_loop=False)
        for number, cell in enumerate(self.cells):
            b.store(b.map_value(self.result), 8 * number, 8, b.get(cell))
        for number, slot in enumerate(self.slots):
            at = b.map_value(self.result)
            b.store(at, 40 + 8 * number, 8, self.sum_of(slot))
        return b.finish()

    def sum_of(self, slot: ir.Slot) -> ir.Value:
        b = self.b
        total: ir.Value = b.const(0)
        for at in range(0, slot.size, 8):
            total = b.binop("add", b.binop("mul", total, 31), b.load(b.address(slot), at, 8))
        return total

    def statements(self, depth: int, *, in_loop: bool) -> None:
        for _ in range(self.random.randint(1, 6)):
            if self.budget <= 0:
                return
            self.budget -= 1
            self.statement(depth, in_loop=in_loop)

    def statement(self, depth: int, *, in_loop: bool) -> None:
        pick, b = self.random.random(), self.b
        if depth < 4 and pick < 0.12:
            self.branch(depth, in_loop=in_loop)
        elif depth < 3 and pick < 0.22:
            self.loop(depth)
        elif pick < 0.26 and in_loop:
            with b.when(self.condition()):
                b.jump(self.random.choice(("break", "continue")))
        elif pick < 0.27:
            with b.when(self.condition()):
                b.ret(self.word())
        elif pick < 0.5:
            self.memory()
        else:
            b.set(self.random.choice(self.cells), self.word())

    def branch(self, depth: int, *, in_loop: bool) -> None:
        b, condition = self.b, self.condition()
        with b.block() as then:
            self.statements(depth + 1, in_loop=in_loop)
        with b.block() as orelse:
            if self.random.random() < 0.5:
                self.statements(depth + 1, in_loop=in_loop)
        b.if_else(condition, then[0], orelse[0])

    def loop(self, depth: int) -> None:
        b, kind = self.b, self.random.random()
        rounds = self.random.choice((0, 1, 2, 3) if self.short else (0, 1, 3, 5, 40))
        if kind < 0.25 and depth == 0:
            counter = b.cell("n")
            with b.block() as body:
                with b.when(b.compare("uge", b.get(counter), min(rounds, 6))):
                    b.jump("break")
                b.set(counter, b.binop("add", b.get(counter), 1))
                # No loop inside: the verifier would walk through it once for each round.
                self.statements(3, in_loop=True)
            b.loop(body[0])
            return
        index, start = b.cell("i"), self.random.choice((0, 0, -3, 1 << 40))
        first, last = b.const(start), b.const(start + rounds)
        if kind < 0.6 and not self.short:
            # The argument is 0, which neither LLVM nor the verifier knows.
            unknown = b.get(self.unknown)
            last = b.binop("add", last, unknown)
            first = b.binop("add", first, unknown) if kind < 0.4 else first
        with b.block() as body:
            b.set(self.random.choice(self.cells), b.get(index))
            self.statements(depth + 1, in_loop=True)
        b.repeat(index, first, last, body[0])

    @property
    def unknown(self) -> ir.Cell:
        if not hasattr(self, "_unknown"):
            self._unknown = self.b.cell("zero")
        return self._unknown

    def memory(self) -> None:
        b, r = self.b, self.random
        slot, size = r.choice(self.slots), r.choice((1, 2, 4, 8))
        at = r.randint(0, slot.size - size)
        if r.random() < 0.6:
            at -= at % size
        pick, pointer = r.random(), b.address(slot)
        if pick < 0.3:
            b.store(pointer, at, size, self.word())
        elif pick < 0.55:
            b.set(r.choice(self.cells), b.load(pointer, at, size, signed=r.random() < 0.5))
        elif pick < 0.7:
            step = r.choice((1, 2, 4, 8))
            limit = slot.size - 8
            index = b.binop("urem", self.leaf(), limit // step + 1)
            place = b.offset(pointer, b.binop("mul", index, step), limit)
            if r.random() < 0.5:
                b.store(place, 0, min(step, 8), self.word())
            else:
                b.set(r.choice(self.cells), b.load(place, 0, min(step, 8)))
        elif pick < 0.8:
            b.zero(b.offset(pointer, at), size)
        elif pick < 0.9:
            b.atomic_add(pointer, at - at % 8, self.word())
        else:
            other = r.choice([s for s in self.slots if s is not slot])
            count = r.randint(1, min(slot.size, other.size))
            b.copy(b.address(other), pointer, count)

    def condition(self) -> ir.Value:
        return self.b.compare(self.random.choice(COMPARISONS), self.leaf(), self.word())

    def leaf(self) -> ir.Value:
        if self.random.random() < 0.35:
            return self.b.const(self.random.choice(CONSTANTS))
        return self.b.get(self.random.choice(self.cells))

    def word(self, depth: int = 0) -> ir.Value:
        b, r = self.b, self.random
        if depth > 2 or r.random() < 0.3:
            return self.leaf()
        pick = r.random()
        if pick < 0.55:
            return b.binop(r.choice(OPS), self.word(depth + 1), self.word(depth + 1))
        if pick < 0.65:
            # An odd divisor is not 0, and one with bit 1 set is not -1 or the least number's.
            divisor = b.binop("or", b.binop("and", self.word(depth + 1), -3), 1)
            return b.binop(r.choice(DIVISIONS), self.word(depth + 1), divisor)
        if pick < 0.75:
            return b.compare(r.choice(COMPARISONS), self.word(depth + 1), self.word(depth + 1))
        if pick < 0.85:
            return b.extend(self.word(depth + 1), r.choice((8, 16, 32)), r.random() < 0.5)
        if pick < 0.92:
            return b.byte_swap(self.word(depth + 1), r.choice((16, 32, 64)))
        return b.select(self.condition(), self.leaf(), self.leaf())


def signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


class _Left(Exception):
    """Control leaves a block."""

    def __init__(self, kind: str, value: int = 0) -> None:
        self.kind, self.value = kind, value


class Evaluator:
    """Runs a function of the kind that ``Generator`` writes."""

    def __init__(self, args: tuple[int, ...]) -> None:
        self.args = b"".join(a.to_bytes(8, "little") for a in args).ljust(96, b"\0")
        self.result = bytearray(8 * 64)
        self.cells: dict[ir.Cell, int] = {}
        self.slots: dict[ir.Slot, bytearray] = {}
        self.values: dict[ir.Instr, int] = {}

    def run(self, body: ir.Block) -> tuple[int, bytes]:
        """The prog's 32-bit result and the result map's first words."""
        value = 0
        try:
            self.block(body)
        except _Left as left:
            value = left.value
        return value & 0xFFFFFFFF, bytes(self.result[: 8 * RESULTS])

    def block(self, block: ir.Block) -> None:
        for instr in block.instrs:
            self.instr(instr)

    def value(self, value: ir.Value) -> int:
        return value.value & MASK if isinstance(value, ir.Const) else self.values[value]

    def place(self, pointer: ir.Value, at: int) -> tuple[bytearray, int]:
        while isinstance(pointer, ir.Offset):
            step = pointer.bytes
            at += step if isinstance(step, int) else self.value(step)
            pointer = pointer.pointer
        if isinstance(pointer, ir.SlotAddr):
            return self.slots.setdefault(pointer.slot, bytearray(pointer.slot.size)), at
        return (self.result if isinstance(pointer, ir.MapValue) else bytearray(self.args)), at

    def load(self, pointer: ir.Value, at: int, size: int) -> int:
        memory, at = self.place(pointer, at)
        assert 0 <= at <= len(memory) - size
        return int.from_bytes(memory[at : at + size], "little")

    def store(self, pointer: ir.Value, at: int, size: int, value: int) -> None:
        memory, at = self.place(pointer, at)
        assert 0 <= at <= len(memory) - size
        memory[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def instr(self, i: ir.Instruction) -> None:
        match i:
            case ir.BinOp():
                self.values[i] = binary(i.op, self.value(i.left), self.value(i.right))
            case ir.Compare():
                self.values[i] = comparison(i.op, self.value(i.left), self.value(i.right))
            case ir.Extend():
                self.values[i] = extended(self.value(i.value), i.bits, i.signed)
            case ir.Select():
                self.values[i] = self.value(i.then if self.value(i.cond) else i.orelse)
            case ir.ByteSwap():
                low = self.value(i.value) & ((1 << i.bits) - 1)
                swapped = low.to_bytes(i.bits // 8, "little")
                self.values[i] = int.from_bytes(swapped, "big")
            case ir.GetCell():
                self.values[i] = self.cells.get(i.cell, 0)
            case ir.SetCell():
                self.cells[i.cell] = self.value(i.value)
            case ir.Load():
                loaded = self.load(i.pointer, i.offset, i.size)
                self.values[i] = extended(loaded, 8 * i.size, i.signed)
            case ir.Store():
                self.store(i.pointer, i.offset, i.size, self.value(i.value))
            case ir.AtomicAdd():
                before = self.load(i.pointer, i.offset, i.size)
                self.store(i.pointer, i.offset, i.size, before + self.value(i.value))
            case ir.Zero():
                self.store(i.target, 0, i.size, 0)
            case ir.Copy():
                self.store(i.target, 0, i.size, self.load(i.source, 0, i.size))
            case ir.If():
                self.block(i.then if self.value(i.cond) else i.orelse)
            case ir.Break() | ir.Continue():
                raise _Left(type(i).__name__)
            case ir.Return():
                raise _Left("Return", 0 if i.value is None else self.value(i.value))
            case ir.Loop():
                self.rounds(i.body, None, range(1 << 20))
            case ir.Repeat():
                bounds = range(signed(self.value(i.start)), signed(self.value(i.end)))
                self.rounds(i.body, i.index, bounds)

    def rounds(self, body: ir.Block, index: ir.Cell | None, bounds: range) -> None:
        for number in bounds:
            if index is not None:
                self.cells[index] = number & MASK
            try:
                self.block(body)
            except _Left as left:
                if left.kind == "Return":
                    raise
                if left.kind == "Break":
                    return


def binary(op: str, a: int, b: int) -> int:
    if op in ("sdiv", "srem"):
        x, y = signed(a), signed(b)
        q = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return (q if op == "sdiv" else x - q * y) & MASK
    return {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "and": lambda: a & b,
        "or": lambda: a | b,
        "xor": lambda: a ^ b,
        "shl": lambda: a << (b & 63),
        "lshr": lambda: a >> (b & 63),
        "ashr": lambda: signed(a) >> (b & 63),
        "udiv": lambda: a // b,
        "urem": lambda: a % b,
    }[op]() & MASK


def comparison(op: str, a: int, b: int) -> int:
    if op[0] == "s":
        a, b = signed(a), signed(b)
    kind = op[-2:]
    return int(
        {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b}.get(kind, a >= b)
    )


def extended(value: int, bits: int, is_signed: bool) -> int:
    low = value & ((1 << bits) - 1)
    return (low - (1 << bits) if is_signed and low >> (bits - 1) else low) & MASK
