"""The rules of the typed IR as code: what every module holds before code is made of it.

``check`` looks at structure only: it does not follow values, so what the verifier proves (null
checks, initialised memory, ends of loops) is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pytrace.ir import nodes as ir
from pytrace.ir.print import describe
from pytrace.ir.walk import LEAVES, blocks, operands, root, walk
from pytrace.model.events import CONTROL_HEADER, DATA_HEADER, state_size

BINARY = frozenset("add sub mul and or xor shl lshr ashr udiv sdiv urem srem".split())
COMPARISONS = frozenset("eq ne ult ule ugt uge slt sle sgt sge".split())
SPACES = frozenset(("kernel", "user", "either"))
WIDTHS = (1, 2, 4, 8)

MAX_RECORD = 1 << 20
"""Larger records make no sense in a ring; the kernel's own limit is far above."""

_ITERABLE = frozenset(
    ("HASH", "PERCPU_HASH", "LRU_HASH", "LRU_PERCPU_HASH", "ARRAY", "PERCPU_ARRAY")
)


class HelperShape(Protocol):
    """What ``check`` wants to know of a helper (``codegen.helpers.HelperSpec`` has it).

    ``args`` has a letter an argument: word, pointer, map, or a for either.
    """

    @property
    def args(self) -> str: ...
    @property
    def pointer(self) -> bool: ...


def check(module: ir.Module, helpers: Mapping[str, HelperShape] | None = None) -> list[str]:
    """Everything wrong with a module: function, instruction and fault in a line each.

    Without ``helpers`` calls of helpers are not looked at (their results count as both kinds).
    """
    problems = list(_check_module(module))
    for function in module.functions:
        problems += _FunctionCheck(module, function, helpers).run()
    return problems


def _check_module(module: ir.Module) -> Iterator[str]:
    names = [f.name for f in module.functions]
    yield from (f"function {n}: the name is given twice" for n in _twice(names))
    yield from (f"function {n}: not a C identifier" for n in names if not n.isidentifier())
    yield from (f"map {n}: the name is given twice" for n in _twice([m.name for m in module.maps]))
    for number, event in enumerate(module.events):
        if event.id != number:
            yield f"event {number}: its id is {event.id}"
        header = CONTROL_HEADER if event.control else DATA_HEADER
        if not header <= event.size <= MAX_RECORD:
            yield f"event {number}: size {event.size}"
        for field in event.fields:
            if field.offset < header or field.offset + field.type.size > event.size:
                yield f"event {number}: field at {field.offset} lies outside of the record"
    yield from _check_recursion(module)


def _check_recursion(module: ir.Module) -> Iterator[str]:
    calls = {
        f.name: {i.name for i in walk(f.body) if isinstance(i, ir.CallFn)}
        for f in module.functions
        if not f.prog_type
    }
    for name in calls:
        seen: set[str] = set()
        waiting = list(calls[name])
        while waiting:
            callee = waiting.pop()
            if callee not in seen:
                seen.add(callee)
                waiting += calls.get(callee, ())
        if name in seen:
            yield f"function {name}: calls itself"


def _twice(names: list[str]) -> list[str]:
    return sorted({n for n in names if names.count(n) > 1})


class _Scope:
    """The loops around an instruction, from the innermost body outwards."""

    __slots__ = ("element", "in_body", "in_loop")

    def __init__(self, in_loop: bool, in_body: bool, element: bool) -> None:
        self.in_loop = in_loop  # Break and Continue have a target
        self.in_body = in_body  # the body of a Repeat or ForEach, which may be a callback
        self.element = element  # the innermost such body is a ForEach's


class _FunctionCheck:
    def __init__(
        self,
        module: ir.Module,
        function: ir.Function,
        helpers: Mapping[str, HelperShape] | None,
    ) -> None:
        self.module = module
        self.function = function
        self.helpers = helpers
        self.maps = {m.name: m for m in module.maps}
        self.functions = {f.name: f for f in module.functions}
        self.params = {p.name: p for p in module.params}
        self.problems: list[str] = []
        self.placed: set[ir.Instr] = set()
        self.leaves: set[ir.Instr] = set()

    def run(self) -> list[str]:
        if self.function.prog_type and self.function.params:
            self.problems.append(f"{self.function.name}: a prog has no parameters")
        self.block(self.function.body, set(), _Scope(False, False, False))
        return self.problems

    def fault(self, instr: ir.Instruction, text: str) -> None:
        where = describe(self.function, instr)
        self.problems.append(f"{self.function.name}: {where}: {text}")

    def block(self, block: ir.Block, known: set[ir.Instr], scope: _Scope) -> None:
        """Check a block; ``known`` are the values made before it, and the same after it."""
        here: list[ir.Instr] = []
        for instr in block.instrs:
            if not isinstance(instr, LEAVES):
                if instr in self.placed:
                    self.fault(instr, "stands in two places")
                self.placed.add(instr)
            self.uses(instr, known, scope)
            self.rules(instr, scope)
            for inner in blocks(instr):
                self.inner(instr, inner, known, scope)
            if instr not in known:
                known.add(instr)
                here.append(instr)
        known.difference_update(here)

    def inner(
        self, holder: ir.Instruction, block: ir.Block, known: set[ir.Instr], scope: _Scope
    ) -> None:
        match holder:
            case ir.Loop():
                self.block(block, set(), _Scope(True, scope.in_body, scope.element))
            case ir.Repeat() | ir.ForEach():
                self.block(block, set(), _Scope(True, True, isinstance(holder, ir.ForEach)))
            case _:
                self.block(block, known, scope)

    # ------------------------------------------------------------ values

    def uses(self, instr: ir.Instruction, known: set[ir.Instr], scope: _Scope) -> None:
        for value in operands(instr):
            if isinstance(value, LEAVES):
                self.leaf(instr, value, scope)
            elif value not in known:
                self.fault(instr, f"uses a {type(value).__name__} that is not made before it here")
        if isinstance(instr, LEAVES):
            self.leaf(instr, instr, scope)
        for field, pointer in _KINDS.get(type(instr), ()):
            value = getattr(instr, field)
            if isinstance(value, ir.Instr):
                self.kind(instr, field, value, pointer)

    def kind(self, instr: ir.Instruction, field: str, value: ir.Instr, pointer: bool) -> None:
        found = self.is_pointer(value)
        if isinstance(value, ir.MapRef):
            self.fault(instr, f"{field} is a map, which only helpers take")
        elif found is not None and found != pointer:
            wanted = "pointer" if pointer else "word"
            self.fault(instr, f"{field} is a {'pointer' if found else 'word'}, not a {wanted}")

    def is_pointer(self, value: ir.Instr) -> bool | None:
        if isinstance(value, ir.Helper):
            shape = self.helpers.get(value.name) if self.helpers is not None else None
            return shape.pointer if shape else None
        return isinstance(value, ir.POINTERS)

    def leaf(self, instr: ir.Instruction, leaf: ir.Instruction, scope: _Scope) -> None:
        if leaf in self.leaves and not (scope.in_body and isinstance(leaf, ir.Context)):
            return
        self.leaves.add(leaf)
        match leaf:
            case ir.Const() if not -(1 << 63) <= leaf.value < 1 << 64:
                self.fault(instr, f"constant {leaf.value} does not fit 64 bits")
            case ir.Context() if not self.function.prog_type:
                self.fault(instr, "a function has no context")
            case ir.Context() if scope.in_body:
                self.fault(instr, "the context cannot be reached in the body of a loop")
            case ir.MapValue() | ir.MapRef() if leaf.map not in self.maps:
                self.fault(instr, f"there is no map {leaf.map}")
            case ir.MapValue() if self.maps[leaf.map].kind != "ARRAY":
                self.fault(instr, f"map {leaf.map} is no array")
            case ir.MapValue() if self.maps[leaf.map].max_entries != 1:
                self.fault(instr, f"map {leaf.map} has more than one element")
            case ir.SlotAddr() if leaf.slot.size <= 0:
                self.fault(instr, f"slot {leaf.slot.name} has no size")
            case ir.StateAddr() if not 0 <= leaf.offset < state_size(len(self.module.events)):
                self.fault(instr, "lies outside of the state")
            case ir.Param():
                spec = self.params.get(leaf.name)
                if spec is None:
                    self.fault(instr, f"there is no parameter {leaf.name}")
                elif leaf.size not in WIDTHS or leaf.size > spec.size:
                    self.fault(instr, f"parameter {leaf.name} has {spec.size} bytes")
            case ir.Argument() if not 0 <= leaf.index < len(self.function.params):
                self.fault(instr, f"there is no argument {leaf.index}")

    # ------------------------------------------------------------ rules of each kind

    def rules(self, instr: ir.Instruction, scope: _Scope) -> None:
        match instr:
            case ir.BinOp() if instr.op not in BINARY:
                self.fault(instr, f"unknown operation {instr.op}")
            case ir.BinOp() if instr.op[1:] in ("div", "rem"):
                if isinstance(instr.right, ir.Const) and instr.right.value == 0:
                    self.fault(instr, "divides by zero")
            case ir.Compare() if instr.op not in COMPARISONS:
                self.fault(instr, f"unknown comparison {instr.op}")
            case ir.Extend() if instr.bits not in (8, 16, 32):
                self.fault(instr, f"extends {instr.bits} bits")
            case ir.ByteSwap() if instr.bits not in (16, 32, 64):
                self.fault(instr, f"swaps {instr.bits} bits")
            case ir.Offset():
                self.offset(instr)
            case ir.Load() | ir.Store():
                self.width(instr, instr.size, WIDTHS)
                self.inside(instr, instr.pointer, instr.offset, instr.size)
            case ir.AtomicAdd():
                self.width(instr, instr.size, (4, 8))
                self.inside(instr, instr.pointer, instr.offset, instr.size)
            case ir.Copy():
                self.block_size(instr, instr.size)
                self.inside(instr, instr.target, 0, instr.size)
                self.inside(instr, instr.source, 0, instr.size)
            case ir.Zero():
                self.block_size(instr, instr.size)
                self.inside(instr, instr.target, 0, instr.size)
            case ir.Read() | ir.ReadString():
                self.read(instr)
            case ir.If() | ir.Select():
                pass
            case _:
                self.more_rules(instr, scope)

    def more_rules(self, instr: ir.Instruction, scope: _Scope) -> None:
        match instr:
            case ir.MapLookup() | ir.MapLookupPercpu() | ir.MapUpdate() | ir.MapDelete():
                self.map_access(instr)
            case ir.ForEach() if instr.map not in self.maps:
                self.fault(instr, f"there is no map {instr.map}")
            case ir.ForEach() if self.maps[instr.map].kind not in _ITERABLE:
                self.fault(instr, f"nothing can loop over map {instr.map}")
            case ir.Helper():
                self.helper(instr)
            case ir.CallFn():
                self.call(instr)
            case ir.Reserve() if not 0 <= instr.event < len(self.module.events):
                self.fault(instr, f"there is no event {instr.event}")
            case ir.Submit() if not isinstance(instr.record, ir.Reserve):
                self.fault(instr, "what is submitted was not reserved")
            case ir.Break() | ir.Continue() if not scope.in_loop:
                self.fault(instr, "stands outside of any loop")
            case ir.ElementKey() | ir.ElementValue() if not scope.element:
                self.fault(instr, "stands outside of a ForEach, or in a loop inside it")
            case ir.Loop() if not _leaves(instr.body):
                self.fault(instr, "never ends")

    def width(self, instr: ir.Instruction, size: int, allowed: tuple[int, ...]) -> None:
        if size not in allowed:
            self.fault(instr, f"accesses {size} bytes")

    def block_size(self, instr: ir.Instruction, size: int) -> None:
        if size <= 0:
            self.fault(instr, f"has a size of {size}")

    def offset(self, instr: ir.Offset) -> None:
        if isinstance(instr.bytes, (int, ir.Const)):
            return
        if instr.limit is None or instr.limit < 0:
            self.fault(instr, "an offset by a word needs a limit")
        if isinstance(root(instr)[0], ir.Context):
            self.fault(instr, "the context is only read at constant offsets")

    def read(self, instr: ir.Read | ir.ReadString) -> None:
        if instr.space not in SPACES:
            self.fault(instr, f"unknown address space {instr.space}")
        if isinstance(instr.size, int):
            self.block_size(instr, instr.size)
            self.inside(instr, instr.target, 0, instr.size)
        elif instr.limit is None or instr.limit <= 0:
            self.fault(instr, "a variable size needs a limit")
        else:
            self.inside(instr, instr.target, 0, instr.limit)

    def inside(self, instr: ir.Instruction, pointer: ir.Value, at: int, size: int) -> None:
        """An access to memory of a known size stays in it, as far as offsets are constant."""
        source, distance = root(pointer)
        room = self.room(source)
        if room is not None and distance is not None:
            start = distance + at
            if start < 0 or start + size > room:
                self.fault(instr, f"bytes {start} to {start + size} of {room} are accessed")

    def room(self, source: ir.Value) -> int | None:
        match source:
            case ir.SlotAddr():
                return source.slot.size
            case ir.MapValue() | ir.MapLookup() | ir.MapLookupPercpu():
                spec = self.maps.get(source.map)
                return spec.value_size if spec else None
            case ir.Reserve() if 0 <= source.event < len(self.module.events):
                return self.module.events[source.event].size
            case ir.StateAddr() if 0 <= source.offset < state_size(len(self.module.events)):
                return state_size(len(self.module.events)) - source.offset
            case _:
                return None

    def map_access(
        self, instr: ir.MapLookup | ir.MapLookupPercpu | ir.MapUpdate | ir.MapDelete
    ) -> None:
        spec = self.maps.get(instr.map)
        if spec is None:
            self.fault(instr, f"there is no map {instr.map}")
            return
        self.inside(instr, instr.key, 0, spec.key_size)
        if isinstance(instr, ir.MapLookupPercpu) and not spec.percpu:
            self.fault(instr, f"map {instr.map} is not per CPU")
        if isinstance(instr, ir.MapUpdate):
            self.inside(instr, instr.value, 0, spec.value_size)
            if not 0 <= instr.flags <= 2:
                self.fault(instr, f"unknown flags {instr.flags}")
            if isinstance(root(instr.value)[0], (ir.MapLookup, ir.MapLookupPercpu)):
                self.fault(instr, "its value points into what a look-up returned")

    def helper(self, instr: ir.Helper) -> None:
        if self.helpers is None:
            return
        shape = self.helpers.get(instr.name)
        if shape is None:
            self.fault(instr, f"unknown helper {instr.name}")
            return
        if len(instr.args) != len(shape.args):
            self.fault(instr, f"takes {len(shape.args)} arguments")
            return
        for number, (value, wanted) in enumerate(zip(instr.args, shape.args), 1):
            is_map = isinstance(value, ir.MapRef)
            fits = {"w": not self.is_pointer(value), "p": self.is_pointer(value) is not False}
            fits["p"] = fits["p"] and not is_map
            if not (is_map if wanted == "m" else fits.get(wanted, not is_map)):
                self.fault(instr, f"argument {number} is of the wrong kind")

    def call(self, instr: ir.CallFn) -> None:
        function = self.functions.get(instr.name)
        if function is None or function.prog_type:
            self.fault(instr, f"there is no function {instr.name}")
            return
        if len(instr.args) != len(function.params):
            self.fault(instr, f"takes {len(function.params)} arguments")
        for value in instr.args:
            if self.is_pointer(value):
                self.fault(instr, "functions take words only")


def _leaves(block: ir.Block) -> bool:
    """Does a loop's body hold a Break of its own, or a Return?"""
    for instr in block.instrs:
        if isinstance(instr, (ir.Break, ir.Return)):
            return True
        if isinstance(instr, ir.If) and any(_leaves(b) for b in blocks(instr)):
            return True
        if isinstance(instr, (ir.Loop, ir.Repeat, ir.ForEach)) and any(
            isinstance(i, ir.Return) for i in walk(instr.body)
        ):
            return True
    return False


# Fields that are values, and whether they are pointers.
_WORD, _POINTER = False, True
_KINDS: dict[type[ir.Instr], tuple[tuple[str, bool], ...]] = {
    ir.BinOp: (("left", _WORD), ("right", _WORD)),
    ir.Compare: (("left", _WORD), ("right", _WORD)),
    ir.Extend: (("value", _WORD),),
    ir.Select: (("cond", _WORD), ("then", _WORD), ("orelse", _WORD)),
    ir.ByteSwap: (("value", _WORD),),
    ir.SetCell: (("value", _WORD),),
    ir.IsNull: (("pointer", _POINTER),),
    ir.AddressWord: (("pointer", _POINTER),),
    ir.Offset: (("pointer", _POINTER), ("bytes", _WORD)),
    ir.Load: (("pointer", _POINTER),),
    ir.Store: (("pointer", _POINTER), ("value", _WORD)),
    ir.Copy: (("target", _POINTER), ("source", _POINTER)),
    ir.Zero: (("target", _POINTER),),
    ir.AtomicAdd: (("pointer", _POINTER), ("value", _WORD)),
    ir.Read: (("target", _POINTER), ("size", _WORD), ("address", _WORD)),
    ir.ReadString: (("target", _POINTER), ("size", _WORD), ("address", _WORD)),
    ir.MapLookup: (("key", _POINTER),),
    ir.MapLookupPercpu: (("key", _POINTER), ("cpu", _WORD)),
    ir.MapUpdate: (("key", _POINTER), ("value", _POINTER)),
    ir.MapDelete: (("key", _POINTER),),
    ir.Submit: (("record", _POINTER),),
    ir.If: (("cond", _WORD),),
    ir.Repeat: (("start", _WORD), ("end", _WORD)),
    ir.Return: (("value", _WORD),),
}
