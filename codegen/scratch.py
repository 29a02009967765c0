"""Per-CPU scratch memory for what is too large for the BPF stack.

``.scratch`` is a PERCPU_ARRAY with one element for each group of progs that never run at the same
time on one CPU. What the kernel promises (6.1 to 6.18):

- progs called by ``trace_call_bpf`` (kprobes, tracepoints through perf events), by
  ``bpf_overflow_handler`` (perf events: profile, interval, software, hardware) and by
  ``kprobe_multi_link_prog_run`` run only if the per-CPU counter ``bpf_prog_active`` was 0, and
  with preemption off: at most one of all of these at a time on a CPU. They share element 0;
- raw tracepoints (``__bpf_trace_run``, commit 05b24ff9b2cf) and fentry/fexit
  (``__bpf_prog_enter_recur``) have a counter of their own for each prog: one does not run inside
  itself, but another may, from an interrupt. Each has an element of its own. fentry progs may be
  preempted, but then no second run starts;
- uprobes, USDT and iterators run with migration off but preemption on and have no such counter
  (``bpf_prog_run_array_uprobe``, ``bpf_iter_run_prog``): a task that preempts one may run the same
  prog on the same CPU. Their element holds several regions behind a word for each; a run claims
  the first free one by an atomic exchange and gives it back at its end. Before Linux 6.0 uprobes
  went through ``trace_call_bpf`` too; cpu v2 stands for such kernels, and lacks the exchange.

A run that finds every region taken does nothing and is counted in ``SKIPPED_OFFSET`` of ``.state``.
The memory is taken where it is first needed: a predicate that fails pays nothing for it.
"""

from __future__ import annotations

from pytrace.base.errors import PytraceError
from pytrace.base.types import align_up
from pytrace.codegen.function import FunctionText, Target
from pytrace.codegen.memory import add
from pytrace.ir import nodes as ir
from pytrace.ir.storage import Placement, callees
from pytrace.ir.walk import blocks, operands, root
from pytrace.model.events import SCRATCH_MAP, SKIPPED_OFFSET, STATE_MAP

MAX_ELEMENT = 32768
"""PCPU_MIN_UNIT_SIZE of include/linux/percpu.h: a per-CPU map value cannot be larger."""

REGIONS = 4
"""Regions of an element whose progs may be preempted by themselves."""

_HEADER = 8 * REGIONS

GUARDED, ALONE, PREEMPTED = "guarded", "alone", "preempted"

_GUARDED_PROVIDERS = frozenset(("kprobe", "tracepoint"))


class ScratchTooLargeError(PytraceError):
    """A script's values need more per-CPU memory than a map value can have."""


def nesting(function: ir.Function, providers: frozenset[str]) -> str:
    """Which of the kernel's promises holds for a prog attached by ``providers``."""
    kind, attach = function.prog_type, function.expected_attach_type
    if kind in ("PROG_TYPE_TRACEPOINT", "PROG_TYPE_PERF_EVENT"):
        return GUARDED
    if kind == "PROG_TYPE_KPROBE":
        if attach.startswith("TRACE_KPROBE"):
            return GUARDED
        only_kernel = bool(providers) and providers <= _GUARDED_PROVIDERS and not attach
        return GUARDED if only_kernel else PREEMPTED
    if kind == "PROG_TYPE_TRACING" and attach == "TRACE_ITER":
        return PREEMPTED
    return ALONE


class Scratch:
    """Elements of ``.scratch`` for the progs of one module.

    ``keys`` has the element of each prog that needs one; ``size`` is that of an element.
    """

    def __init__(self, module: ir.Module, placements: dict[str, Placement], target: Target) -> None:
        self.keys: dict[str, int] = {}
        self.claims: dict[str, int] = {}
        self.size = 0
        self.entries = 0
        self._functions = {f.name: f for f in module.functions}
        self._placements = placements
        guarded: int | None = None
        for function in module.functions:
            if not function.prog_type or not placements[function.name].scratch_needed:
                continue
            providers = frozenset(a.provider for a in module.attach if a.prog == function.name)
            kind = nesting(function, providers)
            if kind == GUARDED and guarded is not None:
                self.keys[function.name] = guarded
            else:
                self.keys[function.name] = self.entries
                guarded = self.entries if kind == GUARDED else guarded
                self.entries += 1
            self._fit(function.name, claimed=kind == PREEMPTED and target.cpu != "v2")

    def _fit(self, name: str, *, claimed: bool) -> None:
        region = align_up(self._region(name), 8)
        size = region
        if claimed:
            count = min(REGIONS, (MAX_ELEMENT - _HEADER) // region)
            self.claims[name] = count
            size = _HEADER + max(count, 1) * region
        if size > MAX_ELEMENT:
            raise ScratchTooLargeError(
                f"the values of a probe need {size} bytes of per-CPU memory, more than the "
                f"{MAX_ELEMENT} that the kernel gives; lower max_strlen"
            )
        self.size = max(self.size, size)

    def _region(self, name: str) -> int:
        """Bytes that a prog needs, those of the functions it calls included."""
        own = self._placements[name]
        ends = [own.scratch_base + own.scratch_size]
        ends += [self._region(callee) for callee in callees(self._functions[name])]
        return max(ends)

    # ------------------------------------------------------------ code

    def plan(self, f: FunctionText) -> str | None:
        """Set where a prog takes its memory; gives the place of the claim, if there is one."""
        name = f.function.name
        if name not in self.keys:
            return None
        f.acquire_at = _first_need(f, f.function.body)
        if f.acquire_at is None:
            return None
        claim = None
        if name in self.claims:
            claim = f.entry("alloca ptr, align 8")
            f.entry_do(f"store ptr null, ptr {claim}, align 8")
        f.acquire = lambda g: self._acquire(g, claim)
        return claim

    def _acquire(self, f: FunctionText, claim: str | None) -> None:
        key = f.entry("alloca i32, align 8")
        f.do(f"store i32 {self.keys[f.function.name]}, ptr {key}, align 4")
        element = f.helper("map_lookup_elem", f"ptr {f.module.map(SCRATCH_MAP)}", f"ptr {key}")
        none, some = f.label(), f.label()
        f.branch(f.op(f"icmp eq ptr {element}, null"), none, some, unlikely=True)
        f.start(none)
        f.leave("0")
        f.start(some)
        f.scratch = element if claim is None else self._claim(f, element, claim)
        for home in f.placement.cells.values():
            if home.kind == "scratch":
                f.do(f"store i64 0, ptr {f.scratch_at(home.at)}, align 8")

    def _claim(self, f: FunctionText, element: str, claim: str) -> str:
        """Try the regions in turn; leaves the prog where all are taken."""
        name = f.function.name
        region = align_up(self._region(name), 8)
        found, ways = f.label(), []
        for number in range(self.claims[name]):
            word = f.offset(element, 8 * number)
            before = f.op(f"atomicrmw xchg ptr {word}, i64 1 monotonic, align 8")
            mine, taken = f.label(), f.label()
            f.branch(f.op(f"icmp ne i64 {before}, 0"), taken, mine, unlikely=True)
            f.start(mine)
            f.do(f"store ptr {word}, ptr {claim}, align 8")
            ways.append((f.offset(element, _HEADER + number * region), f.here))
            f.jump(found)
            f.start(taken)
        add(f, f.offset(f.module.value(STATE_MAP), SKIPPED_OFFSET), "1")
        f.leave("0")
        f.start(found)
        return f.op("phi ptr " + ", ".join(f"[ {at}, %{label} ]" for at, label in ways))


def _needs(f: FunctionText, instr: ir.Instruction) -> bool:
    """Does an instruction, or one inside it, touch scratch memory?"""
    placement = f.placement
    for operand in operands(instr):
        source = root(operand)[0]
        if isinstance(source, ir.SlotAddr) and placement.slots[source.slot].kind == "scratch":
            return True
    if isinstance(instr, (ir.GetCell, ir.SetCell)):
        home = placement.cells.get(instr.cell)
        if home is not None and home.kind == "scratch":
            return True
    if isinstance(instr, ir.CallFn) and f.module.placements[instr.name].scratch_needed:
        return True
    return any(_needs(f, inner) for block in blocks(instr) for inner in block.instrs)


def _submits(instr: ir.Instruction, record: ir.Instr) -> bool:
    """Does an instruction hand over a record, or one inside it?"""
    if isinstance(instr, ir.Submit):
        return instr.record is record
    return any(_submits(inner, record) for block in blocks(instr) for inner in block.instrs)


def _first_need(f: FunctionText, block: ir.Block) -> ir.Instr | None:
    """The instruction before which memory is taken: as deep in branches as all uses allow."""
    while True:
        needing = [i for i in block.instrs if _needs(f, i)]
        if not needing:
            return None
        first = needing[0]
        record = next((i for i in block.instrs if _submits(first, i)), None)
        if record is not None:
            # Where no memory is free the prog ends, which it may not while it holds a record.
            return record
        if len(needing) > 1 or not isinstance(first, ir.If):
            return first
        branches = [b for b in blocks(first) if any(_needs(f, i) for i in b.instrs)]
        if len(branches) != 1:
            return first
        block = branches[0]
