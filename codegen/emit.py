"""Typed IR to the text of an LLVM module: one case for each node, and the frame of a function."""

from __future__ import annotations

from pytrace.codegen import events, loops, maps, memory, words
from pytrace.codegen.function import FunctionText, ModuleText
from pytrace.codegen.llvm import TRIPLE
from pytrace.codegen.scratch import Scratch
from pytrace.ir import nodes as ir
from pytrace.ir.walk import LEAVES, impossible
from pytrace.model.events import GATE_OFFSET, STATE_MAP

LAYOUT = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"

# Null is an address like others to the verifier; library calls and tables of constants do not
# exist in BPF. Group 1 is for pure helpers, 2 for all others.
_ATTRIBUTES = """\
attributes #0 = { nounwind null_pointer_is_valid "no-builtins" "no-jump-tables"="true" }
attributes #1 = { nounwind willreturn memory(none) }
attributes #2 = { nounwind }
"""

PROG_SECTION = "prog:"
"""Each prog is alone in a section of this and its name; subprograms share ``.text``."""

MAX_ARGS = 5
"""Registers that carry arguments of a call."""

_INLINE_INSTRS = 24
"""Subprograms up to this size may be inlined."""


def emit_module(text: ModuleText) -> str:
    """The whole LLVM module."""
    scratch = Scratch(text.module, text.placements, text.target)
    text.scratch_keys.update(scratch.keys)
    for function in text.module.functions:
        _emit_function(text, function, scratch)
    parts = [f'target datalayout = "{LAYOUT}"\ntarget triple = "{TRIPLE}"\n']
    parts += [f'@"{name}" = external global i8' for name in sorted(text.globals)]
    parts += text.declarations.values()
    parts += text.functions
    parts += [_ATTRIBUTES, text.debug.text()]
    return "\n".join(parts)


def _emit_function(text: ModuleText, function: ir.Function, scratch: Scratch) -> None:
    place = len(text.functions)
    text.functions.append("")
    f = FunctionText(text, function, symbol=function.name, emit_block=emit_block)
    is_prog = bool(function.prog_type)
    args = (("ctx", True),) if is_prog else _parameters(f)
    f.describe(function.span, args)
    if not is_prog:
        _take_arguments(f, args)
    elif function.gate:
        _gate(f)
    _prepare_frame(f)
    claim = scratch.plan(f) if is_prog else None
    emit_block(f, function.body)
    if not f.ended:
        f.leave("0")
    loops.finish(f, claim)
    heads = (f"{'ptr' if pointer else 'i64'} %{name}" for name, pointer in args)
    head = f'i64 @"{function.name}"({", ".join(heads)})'
    if is_prog:
        text.functions[place] = f.text(head, PROG_SECTION + function.name)
        return
    small = len(function.body.instrs) <= _INLINE_INSTRS and not f.placement.slots
    text.functions[place] = f.text(f"internal {head}" + ("" if small else " noinline"))


def _parameters(f: FunctionText) -> tuple[tuple[str, bool], ...]:
    """Names of a subprogram's parameters, and whether each is a pointer.

    There are five registers: more words than fit travel in memory, ``words`` being its address.
    """
    extra = (("scratch_memory", True),) if f.placement.scratch_needed else ()
    params = f.function.params
    if len(params) + len(extra) > MAX_ARGS:
        return (("words", True), *extra)
    return (*((name.lstrip("$"), False) for name in params), *extra)


def _take_arguments(f: FunctionText, args: tuple[tuple[str, bool], ...]) -> None:
    if f.placement.scratch_needed:
        f.scratch = "%scratch_memory"
    in_memory = args[:1] == (("words", True),)
    for number in range(len(f.function.params)):
        if in_memory:
            at = f.offset("%words", 8 * number)
            f.set_argument(number, f.op(f"load i64, ptr {at}, align 8"))
        else:
            f.set_argument(number, f"%{args[number][0]}")


def _gate(f: FunctionText) -> None:
    """Stop at once when the gate word is set."""
    closed, go = f.label(), f.label()
    state = f.offset(f.module.value(STATE_MAP), GATE_OFFSET)
    word = f.op(f"load i64, ptr {state}, align 8")
    f.branch(f.op(f"icmp ne i64 {word}, 0"), closed, go, unlikely=True)
    f.start(closed)
    f.leave("0")
    f.start(go)


def _prepare_frame(f: FunctionText) -> None:
    """Zero what the frame must hold at the start."""
    placement = f.placement
    if placement.returned is not None:
        f.do(f"store i64 0, ptr {f.frame(placement.returned)}, align 8")
    for home in placement.cells.values():
        if home.kind == "frame":
            f.do(f"store i64 {f.unknown_zero()}, ptr {f.frame(home.at)}, align 8")


def emit_block(f: FunctionText, block: ir.Block) -> None:
    """Instructions in order, up to one that jumps away."""
    for instr in block.instrs:
        if f.ended:
            return
        _before(f, instr)
        if not isinstance(instr, LEAVES):
            emit(f, instr)


def _before(f: FunctionText, instr: ir.Instruction) -> None:
    f.at(instr.span)
    if instr is f.acquire_at and f.acquire is not None:
        f.acquire(f)


def emit(f: FunctionText, instr: ir.Instruction) -> None:
    """One instruction that is not a leaf."""
    match instr:
        case ir.BinOp():
            f.values[instr] = words.binop(f, instr)
        case ir.Compare():
            _truth(f, instr, words.compare(f, instr))
        case ir.IsNull():
            _truth(f, instr, words.is_null(f, instr))
        case ir.Extend():
            f.values[instr] = words.extend(f, instr)
        case ir.Select():
            f.values[instr] = words.select(f, instr)
        case ir.ByteSwap():
            f.values[instr] = words.byte_swap(f, instr)
        case ir.AddressWord():
            f.values[instr] = words.address_word(f, instr)
        case ir.GetCell():
            f.values[instr] = f.op(f"load i64, ptr {f.cell(instr.cell)}, align 8")
        case ir.SetCell():
            _set_cell(f, instr)
        case ir.Offset():
            f.values[instr] = memory.offset(f, instr)
        case ir.Load():
            f.values[instr] = memory.load(f, instr)
        case ir.Store():
            memory.store(f, instr)
        case ir.Copy():
            memory.copy(f, instr)
        case ir.Zero():
            memory.zero(f, instr)
        case ir.AtomicAdd():
            memory.atomic_add(f, instr)
        case ir.Read() | ir.ReadString():
            f.values[instr] = memory.read(f, instr)
        case ir.MapLookup():
            f.values[instr] = maps.lookup(f, instr)
        case ir.MapLookupPercpu():
            f.values[instr] = maps.lookup_percpu(f, instr)
        case ir.MapUpdate():
            f.values[instr] = maps.update(f, instr)
        case ir.MapDelete():
            f.values[instr] = maps.delete(f, instr)
        case ir.Helper():
            args = (memory.operand(f, a) for a in instr.args)
            f.values[instr] = f.helper(instr.name, *args)
        case ir.CallFn():
            f.values[instr] = _call(f, instr)
        case ir.Reserve():
            f.values[instr] = events.reserve(f, instr)
        case ir.Submit():
            events.submit(f, instr)
        case ir.If():
            _if(f, instr)
        case ir.Loop():
            loops.loop(f, instr)
        case ir.Repeat():
            loops.repeat(f, instr)
        case ir.ForEach():
            loops.for_each(f, instr)
        case ir.Break() | ir.Continue():
            loops.jump(f, out=isinstance(instr, ir.Break))
        case ir.Return():
            loops.return_(f, instr)
        case ir.ElementKey() | ir.ElementValue():
            f.values[instr] = memory.pointer(f, instr)
        case (
            ir.Const() | ir.Param() | ir.Context() | ir.SlotAddr() | ir.StateAddr()
            | ir.MapValue() | ir.MapRef() | ir.Argument()
        ):  # fmt: skip
            raise ValueError(f"{type(instr).__name__} needs no code")
        case _:
            raise impossible(instr)


def _truth(f: FunctionText, instr: ir.Compare | ir.IsNull, condition: str) -> None:
    f.conditions[instr] = condition
    f.values[instr] = f.word_of(condition)


def _set_cell(f: FunctionText, instr: ir.SetCell) -> None:
    word, home = f.value(instr.value), f.placement.cells.get(instr.cell)
    if home is not None and home.kind == "frame" and not _counts(instr):
        # The verifier would follow a value that it knows through every round of a callback, and
        # give up after a million instructions (widen_imprecise_scalars spares precise values).
        word = f.op(f"add i64 {word}, {f.unknown_zero()}")
    elif f.loops:
        # What LLVM knows of a variable that counts, it uses to compute the end of a loop, in
        # 128-bit arithmetic that BPF does not have.
        word = f.opaque(word)
    f.do(f"store i64 {word}, ptr {f.cell(instr.cell)}, align 8")


def _counts(instr: ir.SetCell) -> bool:
    """Is a cell changed by a difference? Then it is as unknown as it was."""
    value = instr.value
    return (
        isinstance(value, ir.BinOp)
        and value.op in ("add", "sub")
        and isinstance(value.left, ir.GetCell)
        and value.left.cell is instr.cell
    )


def _if(f: FunctionText, instr: ir.If) -> None:
    """A chain of else-ifs is written in a loop: people write hundreds of them."""
    after, falls = f.label(), False
    while True:
        then = f.label()
        more = instr.orelse.instrs
        orelse = f.label() if more else after
        f.branch(f.condition(instr.cond), then, orelse)
        f.start(then)
        emit_block(f, instr.then)
        falls = falls or not f.ended or not more
        f.jump(after)
        if not more:
            break
        f.start(orelse)
        last = more[-1]
        if not isinstance(last, ir.If):
            emit_block(f, instr.orelse)
            falls = falls or not f.ended
            f.jump(after)
            break
        emit_block(f, ir.Block(instrs=more[:-1]))
        if f.ended:
            break
        _before(f, last)
        instr = last
    if falls:
        f.start(after)


def _call(f: FunctionText, instr: ir.CallFn) -> str:
    placement = f.module.placements[instr.name]
    extra = [f"ptr {f.scratch_base()}"] if placement.scratch_needed else []
    words = [f"i64 {f.value(a)}" for a in instr.args]
    if len(words) + len(extra) > MAX_ARGS:
        block = f.entry(f"alloca [{8 * len(words)} x i8], align 8")
        for number, word in enumerate(words):
            f.do(f"store {word}, ptr {f.offset(block, 8 * number)}, align 8")
        words = [f"ptr {block}"]
    return f.op(f'call i64 @"{instr.name}"({", ".join(words + extra)})')
