"""Loops: native ones, and bodies that become callbacks of bpf_loop and bpf_for_each_map_elem.

A native loop is verified round by round, so only short ones are; a callback is verified once or
a few times. A callback gets the address of the function's frame as its context and returns 1 to
end the loop, 0 to go on. What it shares with the outside lies in the frame or in scratch.
"""

from __future__ import annotations

from pytrace.codegen.function import FunctionText, LoopTargets, literal
from pytrace.ir import nodes as ir
from pytrace.ir.storage import Outlined
from pytrace.ir.walk import walk

MAX_ROUNDS = 1 << 23
"""BPF_MAX_LOOPS of include/linux/bpf_verifier.h: what one bpf_loop does at most."""

MAX_NATIVE_ROUNDS = 32
"""Rounds, those of loops around multiplied in, that are left to a native loop."""

MAX_FALLBACK_ROUNDS = 1000
"""Where there is no bpf_loop and the number of rounds is not known, it is cut to this."""


def rounds(loop: ir.Repeat) -> int | None:
    """How often a loop's body runs, where both bounds are constant."""
    if isinstance(loop.start, ir.Const) and isinstance(loop.end, ir.Const):
        return max(0, loop.end.value - loop.start.value)
    return None


class Outlining:
    """Decides which loop bodies become callbacks."""

    def __init__(self, features: frozenset[str]) -> None:
        self.loop = "loop" in features

    def __call__(self, loop: Outlined, around: tuple[ir.Instruction, ...]) -> bool:
        if isinstance(loop, ir.ForEach):
            return True
        total = rounds(loop)
        if not self.loop or total is None:
            return self.loop
        for outer in around:
            if isinstance(outer, ir.Repeat):
                total *= min(rounds(outer) or 1, MAX_NATIVE_ROUNDS)
            elif isinstance(outer, ir.Loop):
                total *= 4
        return total > MAX_NATIVE_ROUNDS


def loop(f: FunctionText, node: ir.Loop) -> None:
    head, after = f.label(), f.label()
    f.jump(head)
    f.start(head)
    f.loops.append(LoopTargets(after, head))
    f.emit_block(f, node.body)
    f.loops.pop()
    f.jump(head)
    f.start(after)


def jump(f: FunctionText, *, out: bool) -> None:
    """Break (``out``) or Continue of the innermost loop."""
    if f.loops:
        f.jump(f.loops[-1].break_label if out else f.loops[-1].continue_label)
    else:
        f.leave("1" if out else "0")


def repeat(f: FunctionText, node: ir.Repeat) -> None:
    if node in f.placement.outlined:
        _repeat_by_helper(f, node)
    else:
        _repeat_natively(f, node)


def _repeat_natively(f: FunctionText, node: ir.Repeat) -> None:
    """Count rounds from 0, so that the verifier sees the end whatever the first index is."""
    start, known = f.value(node.start), rounds(node)
    count = str(known)
    if known is None:
        count = f.bounded(_count(f, start, f.value(node.end)), MAX_FALLBACK_ROUNDS)
    place = f.entry("alloca i64, align 8")
    head, body, step, after = (f.label() for _ in range(4))
    f.do(f"store i64 0, ptr {place}, align 8")
    f.jump(head)
    f.start(head)
    # LLVM must not know the round: it would work out sums in 128 bits, or make calls of memset.
    done = f.opaque(f.op(f"load i64, ptr {place}, align 8"))
    f.branch(f.op(f"icmp ult i64 {done}, {count}"), body, after)
    f.start(body)
    index = done if start == "0" else f.op(f"add i64 {start}, {done}")
    f.do(f"store i64 {index}, ptr {f.cell(node.index)}, align 8")
    f.loops.append(LoopTargets(after, step))
    f.emit_block(f, node.body)
    f.loops.pop()
    f.jump(step)
    f.start(step)
    f.do(f"store i64 {f.op(f'add i64 {done}, 1')}, ptr {place}, align 8")
    f.jump(head)
    f.start(after)


def _count(f: FunctionText, start: str, end: str) -> str:
    """Rounds from ``start`` to ``end``, 0 where there are none; an unsigned word."""
    any_rounds = f.op(f"icmp slt i64 {start}, {end}")
    return f.op(f"select i1 {any_rounds}, i64 {f.op(f'sub i64 {end}, {start}')}, i64 0")


def _repeat_by_helper(f: FunctionText, node: ir.Repeat) -> None:
    f.module.used_features.add("loop")
    known, after = rounds(node), f.label()
    start = f.value(node.start)
    if known is None:
        count = _count(f, start, f.value(node.end))
        few = f.op(f"icmp ult i64 {count}, {MAX_ROUNDS}")
        count = f.op(f"select i1 {few}, i64 {count}, i64 {MAX_ROUNDS}")
        # Where the verifier knows that there is no round it drops the callback as dead code but
        # not its address, and then fails to compile (seen in Linux 6.18).
        some = f.label()
        f.branch(f.op(f"icmp eq i64 {count}, 0"), after, some)
        f.start(some)
    else:
        count = str(min(known, MAX_ROUNDS))
    if node in f.placement.starts:
        f.do(f"store i64 {start}, ptr {f.frame(f.placement.starts[node])}, align 8")
    callback = _callback(f, node, "loop", (("index", False), ("frame", True)))
    _store_scratch(f)
    f.helper("loop", f"i64 {count}", f"ptr @{callback}", f"ptr {f.frame(0)}", "i64 0")
    _return_from_inside(f, node)
    f.jump(after)
    f.start(after)


def for_each(f: FunctionText, node: ir.ForEach) -> None:
    f.module.used_features.add("for_each_map_elem")
    args = (("map", True), ("key", True), ("value", True), ("frame", True))
    callback = _callback(f, node, "each", args)
    _store_scratch(f)
    map_operand = f"ptr {f.module.map(node.map)}"
    frame = f"ptr {f.frame(0)}"
    f.helper("for_each_map_elem", map_operand, f"ptr @{callback}", frame, "i64 0")
    _return_from_inside(f, node)


def _store_scratch(f: FunctionText) -> None:
    """Leave the address of the scratch memory where the callbacks find it."""
    if f.body is None and f.scratch is not None and f.placement.scratch_pointer is not None:
        at = f.frame(f.placement.scratch_pointer)
        f.do(f"store ptr {f.scratch}, ptr {at}, align 8")


def _return_from_inside(f: FunctionText, node: Outlined) -> None:
    """After a loop by callbacks: a Return in its body ends this function too."""
    at = f.placement.returned
    if at is None or not any(isinstance(i, ir.Return) for i in walk(node.body)):
        return
    leave, stay = f.label(), f.label()
    flag = f.op(f"load i64, ptr {f.frame(at)}, align 8")
    f.branch(f.op(f"icmp ne i64 {flag}, 0"), leave, stay, unlikely=True)
    f.start(leave)
    if f.body is None:
        value = f.op(f"load i64, ptr {f.frame(at + 8)}, align 8")
        f.leave(value)
    else:
        f.leave("1")
    f.start(stay)


def return_(f: FunctionText, node: ir.Return) -> None:
    value = "0" if node.value is None else f.value(node.value)
    if f.body is None:
        f.leave(value)
        return
    at = f.placement.returned
    if at is None:
        raise ValueError("a Return in a loop was not planned for")
    f.do(f"store i64 {value}, ptr {f.frame(at + 8)}, align 8")
    f.do(f"store i64 1, ptr {f.frame(at)}, align 8")
    f.leave("1")


def _callback(
    f: FunctionText, node: Outlined, kind: str, args: tuple[tuple[str, bool], ...]
) -> str:
    """Write a loop's body as a function of its own; gives its symbol."""
    symbol = f"{f.function.name}_{kind}{len(f.module.functions)}"
    # The number is taken before the body is written: bodies inside it take the next ones.
    place = len(f.module.functions)
    f.module.functions.append("")
    inner = FunctionText(f.module, f.function, symbol=symbol, body=node, emit_block=f.emit_block)
    inner.describe(node.span, args)
    inner.set_frame("%frame")
    if isinstance(node, ir.Repeat):
        index = "%index"
        if node in f.placement.starts:
            first = inner.op(f"load i64, ptr {inner.frame(f.placement.starts[node])}, align 8")
            index = inner.op(f"add i64 {index}, {first}")
        elif isinstance(node.start, ir.Const) and node.start.value:
            index = inner.op(f"add i64 {index}, {literal(node.start.value)}")
        inner.do(f"store i64 {index}, ptr {inner.cell(node.index)}, align 8")
    else:
        inner.element = ("%key", "%value")
    inner.emit_block(inner, node.body)
    if not inner.ended:
        inner.leave("0")
    head = ", ".join(f"{'ptr' if is_pointer else 'i64'} %{name}" for name, is_pointer in args)
    finish(inner)
    f.module.functions[place] = inner.text(f"internal i64 @{symbol}({head})")
    return symbol


def finish(f: FunctionText, claim: str | None = None) -> None:
    """Write the only exit of a function.

    ``claim`` is the place of the address of a word to clear (null: none was claimed).
    """
    f.start("exit")
    incoming = ", ".join(f"[ {value}, %{label} ]" for value, label in f.returns)
    result = f.op(f"phi i64 {incoming}") if f.returns else "0"
    if claim is not None:
        give, done = f.label(), f.label()
        word = f.op(f"load ptr, ptr {claim}, align 8")
        f.branch(f.op(f"icmp eq ptr {word}, null"), done, give)
        f.start(give)
        f.do('call void asm sideeffect "", "~{memory}"()')
        f.do(f"store volatile i64 0, ptr {word}, align 8")
        f.jump(done)
        f.start(done)
    f.do(f"ret i64 {result}")
