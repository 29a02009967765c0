"""The typed IR: what a script does, with nothing implicit.

A ``Module`` holds functions; a function's body is a ``Block``: instructions in order, some of which
hold blocks (``If``, ``Loop``, ``Repeat``, ``ForEach``). An instruction that yields something *is*
its value; others refer to it by identity.

Two kinds of values exist:

- **words**: 64 bits. The bits of a narrower type are always sign- or zero-extended by its own
  sign, so arithmetic is 64-bit arithmetic and ``Extend`` is the only conversion. Booleans are 0/1.
- **pointers** to memory that a prog may touch directly: slots, map values, records, the context,
  global data. Everything else is foreign memory: its address is a word and only ``Read`` and
  ``ReadString`` look at it.

Memory is made of ``Slot``s (a place for a value larger than a word, or one whose address is
needed) and mutable words are ``Cell``s (a scratch variable that holds a number). ``storage``
decides where a slot lives.

The body of ``Repeat`` and ``ForEach`` may use only values made inside the body: what crosses its
border goes through slots and cells. So a back end may turn such a body into a function of its own
(a callback of bpf_loop) that is given the frame. A ``Loop`` is native: its body sees the values
around it. ``check`` holds this rule and the others.
"""

from __future__ import annotations

from typing import TypeAlias, Union

from pytrace.base.frozen import Frozen
from pytrace.base.source import Span
from pytrace.model.compiled import AttachSpec, LoadParam, MapSpec, SourceText
from pytrace.model.events import EventSchema


class Cell:
    """A mutable word, such as a scratch variable; zero at the start of the function."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Slot:
    """Memory of ``size`` bytes, 8-byte aligned, undefined at the start.

    The lowering zeroes what must be zero. Two slots never overlap.
    """

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size


class Instr(Frozen):
    """Base of instructions. ``span`` is the script text that it is for."""

    span: Span | None = None


# ---------------------------------------------------------------- words


class Const(Instr):
    """``value`` in -2**63 .. 2**64 - 1."""

    value: int


class BinOp(Instr):
    """64-bit arithmetic that wraps: add sub mul and or xor shl lshr ashr udiv sdiv urem srem.

    Divisors are never zero and, for signed division, the pair -2**63 / -1 never occurs: the
    lowering guards both. Shift counts are taken modulo 64.
    """

    op: str
    left: Value
    right: Value


class Compare(Instr):
    """0 or 1: eq ne ult ule ugt uge slt sle sgt sge on words."""

    op: str
    left: Value
    right: Value


class Extend(Instr):
    """The low ``bits`` (8, 16, 32) of a word, extended by sign or zeros."""

    value: Value
    bits: int
    signed: bool


class Select(Instr):
    """``then`` if ``cond`` is not zero, else ``orelse``; all are words, all already computed."""

    cond: Value
    then: Value
    orelse: Value


class ByteSwap(Instr):
    """The low ``bits`` (16, 32, 64) of a word with their bytes reversed, zero-extended."""

    value: Value
    bits: int


class GetCell(Instr):
    cell: Cell


class SetCell(Instr):
    cell: Cell
    value: Value


class Param(Instr):
    """The read-only constant of a ``LoadParam``, as an unsigned word."""

    name: str
    size: int = 8


class IsNull(Instr):
    """1 if a pointer is null."""

    pointer: Value


class AddressWord(Instr):
    """A pointer's address as a word (for ``&$x`` and printing)."""

    pointer: Value


# ---------------------------------------------------------------- pointers and memory


class Context(Instr):
    """Pointer to the prog's context."""


class SlotAddr(Instr):
    slot: Slot


class StateAddr(Instr):
    """Pointer to byte ``offset`` of the global data shared with user space (``.state``)."""

    offset: int


class MapValue(Instr):
    """Pointer to the only element of an ARRAY map; never null, no look-up."""

    map: str


class Offset(Instr):
    """``pointer`` plus a number of bytes: a constant, or a word known to stay inside.

    For a word, ``limit`` is the largest offset possible (the verifier must be able to see it);
    None for constants.
    """

    pointer: Value
    bytes: Union[int, Value]
    limit: int | None = None


class Load(Instr):
    """Word of ``size`` (1, 2, 4, 8) bytes at ``pointer`` + ``offset``, extended by ``signed``."""

    pointer: Value
    offset: int
    size: int
    signed: bool = False


class Store(Instr):
    """The low ``size`` bytes of a word to ``pointer`` + ``offset``."""

    pointer: Value
    offset: int
    size: int
    value: Value


class Copy(Instr):
    """``size`` bytes (constant) from ``source`` to ``target``; they do not overlap."""

    target: Value
    source: Value
    size: int


class Zero(Instr):
    """``size`` bytes (constant) at ``target`` become zero."""

    target: Value
    size: int


class AtomicAdd(Instr):
    """Adds a word to ``size`` (4, 8) bytes at ``pointer`` + ``offset``, atomically."""

    pointer: Value
    offset: int
    size: int
    value: Value


class Read(Instr):
    """Copies ``size`` bytes of foreign memory at the word ``address`` to ``target``.

    ``space``: ``kernel``, ``user``, or ``either`` (the address's half decides, where the
    architecture splits them). ``size`` is a constant, or a word at most ``limit``. Yields 0 or
    a negative errno; on failure the target's bytes are zero.
    """

    space: str
    target: Value
    size: Union[int, Value]
    address: Value
    limit: int | None = None


class ReadString(Instr):
    """Copies a zero-terminated string of at most ``size`` bytes, its zero included.

    Yields the bytes copied with the zero, or a negative errno. What follows the zero in the
    target is left as it was. ``size`` as in ``Read``.
    """

    space: str
    target: Value
    size: Union[int, Value]
    address: Value
    limit: int | None = None


# ---------------------------------------------------------------- maps, helpers, events


class MapLookup(Instr):
    """Pointer to the element's value, null if there is none. ``key`` points to key_size bytes."""

    map: str
    key: Value


class MapLookupPercpu(Instr):
    """As ``MapLookup`` for the element of CPU ``cpu`` (a word); null also past the last CPU."""

    map: str
    key: Value
    cpu: Value


class MapUpdate(Instr):
    """Inserts or replaces; ``flags``: 0 any, 1 only if absent, 2 only if present.

    Yields 0 or a negative errno. ``value`` never points into what a look-up returned.
    """

    map: str
    key: Value
    value: Value
    flags: int = 0


class MapDelete(Instr):
    """Yields 0 or a negative errno."""

    map: str
    key: Value


class MapRef(Instr):
    """The map itself, as a helper's argument."""

    map: str


class Helper(Instr):
    """Calls a BPF helper by its kernel name without ``bpf_``, at most five arguments.

    Whether it yields a word or a pointer is in ``codegen.helpers``.
    """

    name: str
    args: tuple[Value, ...]


class CallFn(Instr):
    """Calls a function of the module with words; yields a word."""

    name: str
    args: tuple[Value, ...]


class Argument(Instr):
    """Argument ``index`` of the function being executed."""

    index: int


class Reserve(Instr):
    """Room for one record of event ``event``, its header filled in; null if the ring is full.

    What null costs is counted by the back end (``.state`` counters of the event's id), so the
    lowering only skips the stores.
    """

    event: int


class Submit(Instr):
    """Hands a reserved record over to user space."""

    record: Value


# ---------------------------------------------------------------- control flow


class If(Instr):
    cond: Value
    then: Block
    orelse: Block


class Loop(Instr):
    """Runs ``body`` until ``Break``; the verifier must be able to see that it ends."""

    body: Block


class Repeat(Instr):
    """Runs ``body`` with ``index`` = ``start`` .. ``end`` - 1 (signed words, read once).

    ``index`` is a cell that the body may assign without effect on the iteration. ``Break``,
    ``Continue`` and ``Return`` work in the body.
    """

    index: Cell
    start: Value
    end: Value
    body: Block


class ForEach(Instr):
    """Runs ``body`` for each element of a hash map; ``ElementKey`` and ``ElementValue`` inside."""

    map: str
    body: Block


class ElementKey(Instr):
    """Pointer to the key of the innermost ``ForEach`` (read only)."""


class ElementValue(Instr):
    """Pointer to the value of the innermost ``ForEach``; per-CPU maps: this CPU's."""


class Break(Instr):
    pass


class Continue(Instr):
    pass


class Return(Instr):
    """Leaves the function (a prog's result is 0 where ``value`` is None)."""

    value: Value | None = None


Value: TypeAlias = Union[
    Const, BinOp, Compare, Extend, Select, ByteSwap, GetCell, Param, IsNull, AddressWord, Context,
    SlotAddr, StateAddr, MapValue, Offset, Load, Read, ReadString, MapLookup, MapLookupPercpu,
    MapUpdate, MapDelete, MapRef, Helper, CallFn, Argument, Reserve, ElementKey, ElementValue,
]  # fmt: skip

Effect: TypeAlias = Union[
    SetCell, Store, Copy, Zero, AtomicAdd, Submit, If, Loop, Repeat, ForEach, Break, Continue,
    Return,
]  # fmt: skip

Instruction: TypeAlias = Union[Value, Effect]


class Block(Frozen):
    instrs: tuple[Instruction, ...]


class Function(Frozen):
    """A prog (``shape`` fields set) or a subprogram (``params`` words, ``prog_type`` empty).

    ``name`` is a C identifier. ``gate``: whether the prog starts by looking at the gate word.
    ``label`` is what people call it (the attach point's name).
    """

    name: str
    body: Block
    span: Span | None = None
    params: tuple[str, ...] = ()
    prog_type: str = ""
    expected_attach_type: str = ""
    attach_btf: str = ""
    flags: int = 0
    gate: bool = True
    label: str = ""


class Module(Frozen):
    """A whole program before code generation. ``sources`` as in ``CompiledProgram``."""

    functions: tuple[Function, ...]
    maps: tuple[MapSpec, ...]
    events: tuple[EventSchema, ...]
    params: tuple[LoadParam, ...]
    attach: tuple[AttachSpec, ...]
    sources: tuple[SourceText, ...]
    license: str = "GPL"

    def map(self, name: str) -> MapSpec:
        return next(m for m in self.maps if m.name == name)


POINTERS: tuple[type[Instr], ...] = (
    Context, SlotAddr, StateAddr, MapValue, Offset, MapLookup, MapLookupPercpu, MapRef, Reserve,
    ElementKey, ElementValue,
)  # fmt: skip
"""Instructions that yield a pointer; ``Helper`` depends on the helper, all others yield words."""

KERNEL_BIT = {"x86_64": 63, "aarch64": 55, "riscv64": 63, "loongarch64": 63}
"""The bit that kernel addresses have and user addresses have not, by architecture; others tell
them apart by other means, and read ``either`` as kernel memory."""
