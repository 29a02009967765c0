"""The LLVM function being written: lines of text, names of values, places, jumps."""

from __future__ import annotations

from collections.abc import Callable

from pytrace.base.frozen import Frozen
from pytrace.base.source import Span
from pytrace.codegen.debuginfo import DebugInfo
from pytrace.codegen.helpers import TABLE
from pytrace.ir import nodes as ir
from pytrace.ir.storage import Body, Placement
from pytrace.model.events import PARAMS_MAP, STATE_MAP, ZERO_OFFSET

MAP_SYMBOL, VALUE_SYMBOL = "map:", "value:"
"""What precedes a map's name in the symbols that stand for the map and for its only element."""

_WORD_BITS = (1 << 64) - 1


class Target(Frozen):
    """What the kernel that will run the code understands. ``cpu``: ``v2``, ``v3`` or ``v4``.

    ``arch`` is as ``uname -m`` gives it; ``features`` are names of ``kernel.info.FEATURES``.
    """

    arch: str
    cpu: str
    features: frozenset[str]


class ModuleText:
    """What the functions of one LLVM module share: externals, debug information, facts."""

    def __init__(
        self, module: ir.Module, placements: dict[str, Placement], target: Target, debug: DebugInfo
    ) -> None:
        self.module = module
        self.placements = placements
        self.target = target
        self.debug = debug
        self.functions: list[str] = []
        self.globals: set[str] = set()
        self.declarations: dict[str, str] = {}
        self.scratch_keys: dict[str, int] = {}
        self.used_features: set[str] = set()
        self.unlikely = debug.node('!{!"branch_weights", i32 1, i32 2000}')
        self.empty = debug.node("!{}")

    def map(self, name: str) -> str:
        """The operand that stands for a map, as helpers take it."""
        return self._global(MAP_SYMBOL + name)

    def value(self, name: str) -> str:
        """The operand that is the address of the only element of an ARRAY map."""
        return self._global(VALUE_SYMBOL + name)

    def _global(self, symbol: str) -> str:
        self.globals.add(symbol)
        return f'@"{symbol}"'

    def declare(self, symbol: str, text: str) -> None:
        self.declarations.setdefault(symbol, text)


class LoopTargets:
    """Where Break and Continue go in a native loop; None in a callback, which returns 1 or 0."""

    __slots__ = ("break_label", "continue_label")

    def __init__(self, break_label: str, continue_label: str) -> None:
        self.break_label = break_label
        self.continue_label = continue_label


class FunctionText:
    """One LLVM function while its body is being written.

    ``body`` is None for a function of the IR and the loop for a callback. Operands are texts
    without their LLVM type: words are i64, pointers ptr.
    """

    def __init__(
        self,
        module: ModuleText,
        function: ir.Function,
        *,
        symbol: str,
        body: Body = None,
        emit_block: Callable[[FunctionText, ir.Block], None],
    ) -> None:
        self.module = module
        self.function = function
        self.placement = module.placements[function.name]
        self.symbol = symbol
        self.body = body
        self.emit_block = emit_block
        self.values: dict[ir.Instr, str] = {}
        self.conditions: dict[ir.Instr, str] = {}
        self.element: tuple[str, str] | None = None
        self.loops: list[LoopTargets] = []
        self.returns: list[tuple[str, str]] = []
        self.ended = False
        self.here = "start"
        self.scratch: str | None = None
        self.acquire_at: ir.Instr | None = None
        self.acquire: Callable[[FunctionText], None] | None = None
        self._entry: list[str] = []
        self._lines: list[str] = []
        self._names = 0
        self._places: dict[object, str] = {}
        self._debug_node = 0
        self._dbg = ""

    # ------------------------------------------------------------ text

    def describe(self, span: Span | None, args: tuple[tuple[str, bool], ...]) -> None:
        """Give the function its debug information; done before anything is written."""
        local = self.body is not None or not self.function.prog_type
        self._debug_node = self.module.debug.function(self.symbol, span, args, local)
        self.at(span)

    def at(self, span: Span | None) -> None:
        """What follows is for ``span``."""
        node = self.module.debug.location(self._debug_node, span or self.function.span)
        self._dbg = f", !dbg !{node}"

    def name(self) -> str:
        self._names += 1
        return f"%v{self._names}"

    def op(self, text: str) -> str:
        """An instruction that yields something."""
        name = self.name()
        self._lines.append(f"  {name} = {text}{self._dbg}")
        return name

    def do(self, text: str) -> None:
        self._lines.append(f"  {text}{self._dbg}")

    def entry(self, text: str) -> str:
        """An instruction at the very start of the function, such as an alloca."""
        name = self.name()
        self._entry.append(f"  {name} = {text}{self._dbg}")
        return name

    def entry_do(self, text: str) -> None:
        self._entry.append(f"  {text}{self._dbg}")

    def label(self) -> str:
        self._names += 1
        return f"b{self._names}"

    def start(self, label: str) -> None:
        """Begin a basic block."""
        self._lines.append(f"{label}:")
        self.here = label
        self.ended = False

    def jump(self, label: str) -> None:
        """End the basic block, unless something has ended it already."""
        if not self.ended:
            self.do(f"br label %{label}")
            self.ended = True

    def branch(self, condition: str, yes: str, no: str, *, unlikely: bool = False) -> None:
        """End the basic block by an i1. ``unlikely``: ``yes`` is the rare way."""
        weights = f", !prof !{self.module.unlikely}" if unlikely else ""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}{weights}")
        self.ended = True

    def leave(self, value: str) -> None:
        """Return from the LLVM function through its only exit."""
        self.returns.append((value, self.here))
        self.jump("exit")

    def text(self, head: str, section: str = "") -> str:
        """The function; ``head`` is its linkage, name, parameters and attributes."""
        where = f' section "{section}"' if section else ""
        lines = [f"define {head} #0{where} !dbg !{self._debug_node} {{", "entry:", *self._entry]
        lines += [f"  br label %start{self._dbg}", "start:", *self._lines, "}"]
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------ values

    def value(self, value: ir.Value) -> str:
        """The operand of a word."""
        if isinstance(value, ir.Const):
            return literal(value.value)
        name = self.values.get(value)
        if name is None and isinstance(value, ir.Argument):
            return self.argument(value.index)
        if name is None and isinstance(value, ir.Param):
            return self.param(value)
        if name is None:
            raise ValueError(f"{type(value).__name__} is used before it is made")
        return name

    def argument(self, index: int) -> str:
        name = self._places.get(index)
        if name is None:
            raise ValueError(f"function {self.function.name} has no argument {index}")
        return name

    def set_argument(self, index: int, name: str) -> None:
        self._places[index] = name

    def param(self, param: ir.Param) -> str:
        spec = next(p for p in self.module.module.params if p.name == param.name)
        base = self.module.value(PARAMS_MAP)
        bits = param.size * 8
        at = f"getelementptr (i8, ptr {base}, i64 {spec.offset})" if spec.offset else base
        constant = f"!invariant.load !{self.module.empty}"
        loaded = self.op(f"load i{bits}, ptr {at}, align {param.size}, {constant}")
        return loaded if bits == 64 else self.op(f"zext i{bits} {loaded} to i64")

    def condition(self, value: ir.Value) -> str:
        """The operand of an i1 that is 1 if the word is not zero."""
        known = self.conditions.get(value)
        return known or self.op(f"icmp ne i64 {self.value(value)}, 0")

    def word_of(self, condition: str) -> str:
        return self.op(f"zext i1 {condition} to i64")

    def opaque(self, word: str) -> str:
        """The same word, of which LLVM knows nothing more. Costs no instruction.

        BPF's LLVM has no assembler here, so the barrier is an empty piece of inline assembly.
        """
        return self.op(f'call i64 asm "", "=r,0"(i64 {word})')

    def unknown_zero(self) -> str:
        """A word that is 0, of which the verifier knows nothing.

        Each is loaded anew: what the verifier learns of one copy of a loaded word, it believes of
        all of them (sync_linked_regs), and two variables are not the same.
        """
        state = self.module.value(STATE_MAP)
        at = f"getelementptr (i8, ptr {state}, i64 {ZERO_OFFSET})"
        return self.op(f"load volatile i64, ptr {at}, align 8")

    def bounded(self, word: str, limit: int) -> str:
        """The word, which is in 0 .. ``limit``, so that the verifier sees it too.

        LLVM would drop a check that it knows to hold, or check a copy in another register; what
        it cannot know it leaves alone.
        """
        word = self.opaque(word)
        if limit & (limit + 1) == 0:
            return self.opaque(self.op(f"and i64 {word}, {limit}"))
        inside = self.op(f"icmp ult i64 {word}, {limit + 1}")
        return self.opaque(self.op(f"select i1 {inside}, i64 {word}, i64 {limit}"))

    # ------------------------------------------------------------ places

    def cell(self, cell: ir.Cell) -> str:
        """Pointer to a cell's 8 bytes."""
        home = self.placement.cells.get(cell)
        if home is not None:
            return self.frame(home.at) if home.kind == "frame" else self.scratch_at(home.at)
        place = self._places.get(cell)
        if place is None:
            place = self._places[cell] = self.entry("alloca i64, align 8")
            self.entry_do(f"store i64 0, ptr {place}, align 8")
        return place

    def slot(self, slot: ir.Slot) -> str:
        """Pointer to a slot's bytes."""
        home = self.placement.slots[slot]
        if home.kind == "frame":
            return self.frame(home.at)
        if home.kind == "scratch":
            return self.scratch_at(home.at)
        area = (home.body, home.at)
        place = self._places.get(area)
        if place is None:
            size = self.placement.areas[home.body][home.at]
            place = self._places[area] = self.entry(f"alloca [{size} x i8], align 8")
        return place

    def frame(self, offset: int) -> str:
        """Pointer into the frame that the function shares with its callbacks."""
        base = self._places.get("frame")
        if base is None:
            size = self.placement.frame_size
            base = self._places["frame"] = self.entry(f"alloca [{size} x i8], align 8")
        return self.offset(base, offset)

    def set_frame(self, name: str) -> None:
        self._places["frame"] = name

    def scratch_at(self, offset: int) -> str:
        return self.offset(self.scratch_base(), self.placement.scratch_base + offset)

    def scratch_base(self) -> str:
        """Pointer to the scratch memory of the whole prog."""
        if self.scratch is None:
            if self.body is None or self.placement.scratch_pointer is None:
                raise ValueError(f"function {self.function.name} has no scratch memory here")
            at = self._places["frame"]
            pointer = self.placement.scratch_pointer
            at = self.entry(f"getelementptr i8, ptr {at}, i64 {pointer}") if pointer else at
            self.scratch = self.entry(f"load ptr, ptr {at}, align 8")
        return self.scratch

    def offset(self, pointer: str, offset: int) -> str:
        return self.op(f"getelementptr i8, ptr {pointer}, i64 {offset}") if offset else pointer

    # ------------------------------------------------------------ calls

    def helper(self, name: str, *args: str, fresh: bool = False) -> str:
        """Call a helper or kfunc. ``args`` are typed operands (``ptr %x``, ``i64 5``)."""
        spec = TABLE[name]
        kind = "ptr" if spec.pointer else "i64"
        attributes = "#1" if spec.pure and not fresh else "#2"
        if spec.number:
            callee = f"inttoptr (i64 {spec.number} to ptr)"
        else:
            callee = f"@{spec.symbol}"
            types = ", ".join(a.split(" ", 1)[0] for a in args)
            self.module.declare(spec.symbol, f"declare {kind} {callee}({types})")
        return self.op(f"call {kind} {callee}({', '.join(args)}) {attributes}")


def literal(value: int) -> str:
    """A word constant as LLVM reads an i64."""
    value &= _WORD_BITS
    return str(value - (1 << 64) if value >> 63 else value)
