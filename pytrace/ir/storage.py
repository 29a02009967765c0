"""Decides where slots live: on the BPF stack, in the frame that loop bodies share, or in scratch.

The BPF stack is 512 bytes for a prog, the functions it calls and the callbacks these pass to
helpers, all together (kernel/bpf/verifier.c, check_max_stack_depth: each frame is rounded up to 32
bytes). So large slots go to per-CPU *scratch* memory, and small ones too once the stack is used
up. Slots that are never live at the same time share memory.

A loop body may become a function of its own (``outlined``), which sees nothing of the stack of the
function around it but the *frame*: one piece of that stack whose address it is given. Whatever a
body shares with the outside, or keeps from one round to the next, lies there or in scratch. A cell
is kept unless the body sets it first. A slot that is used in one body only belongs to that body and
is never kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, Union

from pytrace.base.frozen import Frozen, replace
from pytrace.base.types import align_up
from pytrace.ir import nodes as ir
from pytrace.ir.walk import blocks, operands, root, walk

STACK_LIMIT = 512
SPILL_RESERVE = 64
"""Bytes of each frame left to the compiler for values that find no register."""

STACK, FRAME, SCRATCH = "stack", "frame", "scratch"

Outlined = Union[ir.Repeat, ir.ForEach]
"""A loop whose body becomes a callback."""

Body = Union[Outlined, None]
"""A function's own body (None) or an outlined loop's."""


class Home(Frozen):
    """Where a slot or a shared cell lives.

    ``stack``: area number ``at`` of ``body``. ``frame`` and ``scratch``: byte offset ``at``.
    """

    kind: str
    at: int
    body: Body = None


class Placement(Frozen):
    """Homes of everything in one function.

    ``areas[body]`` are the sizes of the pieces of stack that a body's slots share; ``cells`` has
    the cells that lie in memory. In the frame, ``starts`` holds the first index of a Repeat where
    the body needs it, ``returned`` a flag and a value (two words) for a Return inside a body,
    ``scratch_pointer`` the address of the scratch memory; None where there is no need.
    ``scratch_base`` is where the function's own scratch bytes start in those of the whole prog.
    ``chain`` is the stack needed at most, callbacks and callees included.
    """

    slots: Mapping[ir.Slot, Home]
    cells: Mapping[ir.Cell, Home]
    areas: Mapping[Body, tuple[int, ...]]
    outlined: frozenset[Outlined]
    starts: Mapping[ir.Repeat, int]
    returned: int | None
    scratch_pointer: int | None
    frame_size: int
    scratch_size: int
    chain: int
    scratch_base: int = 0
    scratch_needed: bool = False


def place_module(
    module: ir.Module,
    *,
    outlined: Callable[[Outlined, tuple[ir.Instruction, ...]], bool],
    on_stack_limit: int = 32,
    stack_budget: int = STACK_LIMIT,
) -> dict[str, Placement]:
    """Placements by function name.

    ``outlined(loop, around)`` tells whether a loop's body becomes a callback, ``around`` being the
    loops that it is in, outermost first. Slots of more than ``on_stack_limit`` bytes never lie on
    the stack; none does if ``stack_budget`` is 0.
    """
    functions = {f.name: f for f in module.functions}
    order = _callees_first(functions)
    chains: dict[str, int] = {}
    placed: dict[str, Placement] = {}
    for name in order:
        survey = _Survey(functions[name], outlined)
        placed[name] = _Placer(survey, on_stack_limit, stack_budget, chains).placement()
        chains[name] = placed[name].chain
    return _with_scratch_bases(functions, order, placed)


def callees(function: ir.Function) -> tuple[str, ...]:
    """Names of the functions that a function calls, each once, in order of appearance."""
    return tuple(dict.fromkeys(i.name for i in walk(function.body) if isinstance(i, ir.CallFn)))


def _callees_first(functions: Mapping[str, ir.Function]) -> list[str]:
    """Functions in an order in which each follows all that it calls."""
    order: list[str] = []
    state: dict[str, int] = {}

    def visit(name: str) -> None:
        if state.get(name) == 1:
            raise ValueError(f"function {name} calls itself")
        if name in state:
            return
        state[name] = 1
        for callee in callees(functions[name]):
            visit(callee)
        state[name] = 2
        order.append(name)

    for name in functions:
        visit(name)
    return order


def _with_scratch_bases(
    functions: Mapping[str, ir.Function], order: list[str], placed: Mapping[str, Placement]
) -> dict[str, Placement]:
    needed: dict[str, bool] = {}
    for name in order:
        own = placed[name].scratch_size > 0
        needed[name] = own or any(needed[c] for c in callees(functions[name]))
    base = dict.fromkeys(order, 0)
    for name in reversed(order):
        end = base[name] + placed[name].scratch_size
        for callee in callees(functions[name]):
            base[callee] = max(base[callee], end)
    return {
        n: replace(placed[n], scratch_base=base[n], scratch_needed=needed[n]) for n in functions
    }


_Key = TypeVar("_Key", ir.Slot, ir.Cell)


class _Use:
    """Where a slot or cell is used: the span of positions and the bodies around each use."""

    __slots__ = ("first", "last", "owner", "shared")

    def __init__(self, position: int, bodies: tuple[Outlined, ...], kept: bool) -> None:
        self.first = self.last = position
        self.owner = bodies
        self.shared = kept

    def add(self, position: int, bodies: tuple[Outlined, ...]) -> None:
        self.last = position
        if bodies == self.owner:
            return
        common = 0
        for a, b in zip(self.owner, bodies):
            if a is not b:
                break
            common += 1
        self.owner = bodies[:common]
        self.shared = True


class _Survey:
    """One walk over a function: uses of slots and cells, loops, calls and returns by body."""

    def __init__(
        self,
        function: ir.Function,
        outlined: Callable[[Outlined, tuple[ir.Instruction, ...]], bool],
    ) -> None:
        self.decide = outlined
        self.slots: dict[ir.Slot, _Use] = {}
        self.cells: dict[ir.Cell, _Use] = {}
        self.ranges: list[tuple[int, int, bool]] = []  # inner loops before outer; True: keeps
        self.parents: dict[Body, tuple[Outlined, ...]] = {None: ()}
        self.calls: dict[Body, set[str]] = {}
        self.returns_inside = False
        self.position = 0
        self._addresses_kept: set[ir.Slot] = set()
        self._visit(function.body, (), (), True)
        for slot in self._addresses_kept:
            self.slots[slot].first, self.slots[slot].last = 0, self.position
        for use in self.slots.values():
            self._stretch(use)

    def _visit(
        self,
        block: ir.Block,
        bodies: tuple[Outlined, ...],
        around: tuple[ir.Instruction, ...],
        always: bool,
    ) -> None:
        """``always``: the block runs in every round of the innermost body."""
        body = bodies[-1] if bodies else None
        for instr in block.instrs:
            self.position += 1
            self._use(instr, bodies, always)
            if isinstance(instr, ir.CallFn):
                self.calls.setdefault(body, set()).add(instr.name)
            elif isinstance(instr, ir.Return) and bodies:
                self.returns_inside = True
            start, inner = self.position, bodies
            if isinstance(instr, (ir.Repeat, ir.ForEach)) and self.decide(instr, around):
                inner = (*bodies, instr)
                self.parents[instr] = bodies
            if isinstance(instr, ir.Repeat):
                self._mark(self.cells, instr.index, inner)
            loop = isinstance(instr, (ir.Loop, ir.Repeat, ir.ForEach))
            for held in blocks(instr):
                inside = (*around, instr) if loop else around
                self._visit(held, inner, inside, inner is not bodies)
            if loop:
                self.position += 1
                self.ranges.append((start, self.position, isinstance(instr, ir.Loop)))

    def _use(self, instr: ir.Instruction, bodies: tuple[Outlined, ...], always: bool) -> None:
        for operand in operands(instr):
            source = root(operand)[0]
            if isinstance(source, ir.SlotAddr):
                self._mark(self.slots, source.slot, bodies)
                if isinstance(instr, ir.AddressWord):
                    self._addresses_kept.add(source.slot)
        if isinstance(instr, (ir.GetCell, ir.SetCell)):
            kept = bool(bodies) and not (always and isinstance(instr, ir.SetCell))
            self._mark(self.cells, instr.cell, bodies, kept)

    def _mark(
        self,
        table: dict[_Key, _Use],
        thing: _Key,
        bodies: tuple[Outlined, ...],
        kept: bool = False,
    ) -> None:
        use = table.get(thing)
        if use is None:
            table[thing] = _Use(self.position, bodies, kept)
        else:
            use.add(self.position, bodies)

    def _stretch(self, use: _Use) -> None:
        """Widen a use to the loops that it crosses, and to those that keep it over their rounds."""
        for start, end, keeps in self.ranges:
            inside = start <= use.first and use.last <= end
            apart = use.last < start or end < use.first
            if not apart and (keeps or not inside):
                use.first, use.last = min(use.first, start), max(use.last, end)


class _Placer:
    """Places what a survey found. Small slots come first to the stack."""

    def __init__(
        self, survey: _Survey, on_stack_limit: int, budget: int, chains: Mapping[str, int]
    ) -> None:
        self.survey = survey
        self.on_stack_limit = on_stack_limit
        self.budget = budget
        self.chains = chains
        self.areas: dict[Body, list[int]] = {body: [] for body in survey.parents}
        self.busy_until: dict[Body, list[int]] = {body: [] for body in survey.parents}
        self.slots: dict[ir.Slot, Home] = {}
        self.cells: dict[ir.Cell, Home] = {}
        self.frame_size = 0
        self.scratch_size = 0

    def placement(self) -> Placement:
        starts, returned, scratch_pointer = self._reserved()
        far_cells: list[tuple[_Use, int, ir.Cell]] = []
        far_slots: list[tuple[_Use, int, ir.Slot]] = []
        for cell, use in self.survey.cells.items():
            if use.shared:
                place = self._in_frame(8)
                if place:
                    self.cells[cell] = place
                else:
                    far_cells.append((use, 8, cell))
        uses = self.survey.slots
        for slot in sorted(uses, key=lambda s: (align_up(s.size, 8), uses[s].first)):
            use, size = uses[slot], align_up(slot.size, 8)
            place = None
            if slot.size <= self.on_stack_limit:
                place = self._in_frame(size) if use.shared else self._on_stack(size, use)
            if place:
                self.slots[slot] = place
            else:
                far_slots.append((use, size, slot))
        self._in_scratch(far_cells, self.cells)
        self._in_scratch(far_slots, self.slots)
        return Placement(
            slots=self.slots,
            cells=self.cells,
            areas={body: tuple(sizes) for body, sizes in self.areas.items()},
            outlined=frozenset(b for b in self.survey.parents if b is not None),
            starts=starts,
            returned=returned,
            scratch_pointer=scratch_pointer,
            frame_size=self.frame_size,
            scratch_size=self.scratch_size,
            chain=self._chain(None),
        )

    def _reserved(self) -> tuple[dict[ir.Repeat, int], int | None, int | None]:
        """The frame's words that loops need for themselves."""
        starts: dict[ir.Repeat, int] = {}
        for body in self.survey.parents:
            if isinstance(body, ir.Repeat) and not isinstance(body.start, ir.Const):
                starts[body] = self._extend_frame(8)
        returned = self._extend_frame(16) if self.survey.returns_inside else None
        loops = len(self.survey.parents) > 1
        return starts, returned, self._extend_frame(8) if loops else None

    def _extend_frame(self, size: int) -> int:
        at = self.frame_size
        self.frame_size = at + size
        return at

    def _in_frame(self, size: int) -> Home | None:
        """A place of the function's stack that inner bodies reach too."""
        if not self._fits(None, size):
            return None
        return Home(kind=FRAME, at=self._extend_frame(size))

    def _on_stack(self, size: int, use: _Use) -> Home | None:
        """A piece of the body's stack, shared with slots of the same size used before.

        Slots come in order of size and, within one size, of first use.
        """
        body = use.owner[-1] if use.owner else None
        areas, busy = self.areas[body], self.busy_until[body]
        for number, room in enumerate(areas):
            if room == size and busy[number] < use.first:
                break
        else:
            if not self._fits(body, size):
                return None
            number = len(areas)
            areas.append(size)
            busy.append(0)
        busy[number] = use.last
        return Home(kind=STACK, at=number, body=body)

    def _in_scratch(self, things: list[tuple[_Use, int, _Key]], homes: dict[_Key, Home]) -> None:
        """For each thing the lowest bytes that are free while it is in use, after all before."""
        base, active = self.scratch_size, list[tuple[int, int, int]]()  # start, end, last use
        for use, size, thing in sorted(things, key=lambda t: t[0].first):
            active = sorted(a for a in active if a[2] >= use.first)
            at = base
            for start, end, _ in active:
                if at + size <= start:
                    break
                at = max(at, end)
            active.append((at, at + size, use.last))
            homes[thing] = Home(kind=SCRATCH, at=at)
            self.scratch_size = max(self.scratch_size, at + size)

    def _fits(self, body: Body, extra: int) -> bool:
        self.areas[body].append(extra)
        fits = self._chain(None) <= self.budget
        self.areas[body].pop()
        return fits

    def _chain(self, body: Body) -> int:
        """Stack of a body and of the deepest that runs inside it."""
        own = sum(self.areas[body]) + SPILL_RESERVE + (self.frame_size if body is None else 0)
        inner = [0]
        inner += [self.chains[name] for name in self.survey.calls.get(body, ())]
        here = (*self.survey.parents[body], body) if body is not None else ()
        inner += [
            self._chain(b)
            for b, parents in self.survey.parents.items()
            if b is not None and parents == here
        ]
        return align_up(own, 32) + max(inner)
