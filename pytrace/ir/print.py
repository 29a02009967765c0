"""The typed IR as text, for people and golden tests.

One instruction a line, blocks indented, values numbered in the order of the text. Leaf values
(constants, addresses of slots, maps and global data, parameters) stand where they are used.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytrace.ir import nodes as ir
from pytrace.ir.walk import LEAVES, cells_of, impossible, slots_of, walk


def print_module(module: ir.Module) -> str:
    """The whole module: maps, events, parameters, then each function."""
    lines: list[str] = []
    for m in module.maps:
        sizes = f"key {m.key_size} value {m.value_size} entries {m.max_entries}"
        lines.append(
            f"map {m.name}: {m.kind} {sizes}" + (f" flags {m.flags:#x}" if m.flags else "")
        )
    for e in module.events:
        ring = "control" if e.control else "data"
        fields = ", ".join(f"{f.type} @{f.offset}" for f in e.fields)
        static = f" {e.static!r}" if e.static else ""
        lines.append(f"event {e.id}: {e.handler} {ring} size {e.size} ({fields}){static}")
    for p in module.params:
        lines.append(f"param {p.name}: {p.kind} @{p.offset} size {p.size}")
    for function in module.functions:
        lines += [""] if lines else []
        lines += print_function(function).splitlines()
    return "\n".join(lines) + "\n"


def print_function(function: ir.Function) -> str:
    """One function, ending in a newline."""
    return _Printer(function).text()


def describe(function: ir.Function, instr: ir.Instruction) -> str:
    """One line of a function's text: that of ``instr`` (its first line, if it holds blocks)."""
    printer = _Printer(function)
    return printer.line(instr)


def _unique(names: Iterable[tuple[object, str]]) -> dict[object, str]:
    """Names by object in order of appearance; the second of a name becomes ``name.2``."""
    taken: dict[str, int] = {}
    result: dict[object, str] = {}
    for thing, name in names:
        if thing not in result:
            taken[name] = taken.get(name, 0) + 1
            result[thing] = name if taken[name] == 1 else f"{name}.{taken[name]}"
    return result


class _Printer:
    def __init__(self, function: ir.Function) -> None:
        self.function = function
        everything = list(walk(function.body))
        self.slots = _unique((s, s.name) for i in everything for s in slots_of(i))
        self.cells = _unique((c, c.name) for i in everything for c in cells_of(i))
        self.numbers: dict[ir.Instr, int] = {}
        for instr in everything:
            if not isinstance(instr, (*LEAVES, *_EFFECTS)) and instr not in self.numbers:
                self.numbers[instr] = len(self.numbers) + 1
        self.lines: list[str] = []

    def text(self) -> str:
        f = self.function
        kind = "prog" if f.prog_type else "fn"
        head = f"{kind} {f.name}({', '.join(f.params)})"
        for part in (f.prog_type, f.expected_attach_type, f.attach_btf and f"on {f.attach_btf}"):
            head += f" {part}" if part else ""
        head += f" flags {f.flags:#x}" if f.flags else ""
        head += " gate" if f.gate and f.prog_type else ""
        head += f' "{f.label}"' if f.label else ""
        self.lines.append(head)
        sizes = {name: slot.size for slot, name in self.slots.items() if isinstance(slot, ir.Slot)}
        if sizes:
            self.lines.append("  slots " + ", ".join(f"{n}[{s}]" for n, s in sizes.items()))
        if self.cells:
            self.lines.append("  cells " + ", ".join(self.cells.values()))
        self.block(f.body, 1)
        return "\n".join(self.lines) + "\n"

    def block(self, block: ir.Block, depth: int) -> None:
        indent = "  " * depth
        for instr in block.instrs:
            if isinstance(instr, LEAVES):
                continue
            line = self.line(instr)
            match instr:
                case ir.If():
                    self.lines.append(f"{indent}{line} {{")
                    self.block(instr.then, depth + 1)
                    if instr.orelse.instrs:
                        self.lines.append(f"{indent}}} else {{")
                        self.block(instr.orelse, depth + 1)
                    self.lines.append(f"{indent}}}")
                case ir.Loop() | ir.Repeat() | ir.ForEach():
                    self.lines.append(f"{indent}{line} {{")
                    self.block(instr.body, depth + 1)
                    self.lines.append(f"{indent}}}")
                case _:
                    self.lines.append(indent + line)

    def line(self, instr: ir.Instruction) -> str:
        number = self.numbers.get(instr)
        return self.plain(instr) if number is None else f"%{number} = {self.plain(instr)}"

    def value(self, value: ir.Value) -> str:
        if isinstance(value, LEAVES):
            return self.plain(value)
        number = self.numbers.get(value)
        return f"%{number}" if number else f"?{type(value).__name__}"

    def place(self, pointer: ir.Value, offset: int) -> str:
        text = self.value(pointer)
        return f"{text}{offset:+d}" if offset else text

    def size(self, size: int | ir.Value, limit: int | None) -> str:
        return str(size) if isinstance(size, int) else f"{self.value(size)}<={limit}"

    def args(self, values: tuple[ir.Value, ...]) -> str:
        return "(" + ", ".join(self.value(v) for v in values) + ")"

    def plain(self, instr: ir.Instruction) -> str:
        """The instruction without the number of its value and without its blocks."""
        match instr:
            case ir.Const() | ir.Param() | ir.Context() | ir.SlotAddr() | ir.StateAddr():
                return self.leaf(instr)
            case ir.MapValue() | ir.MapRef() | ir.Argument():
                return self.leaf(instr)
            case ir.BinOp() | ir.Compare():
                return f"{instr.op} {self.value(instr.left)}, {self.value(instr.right)}"
            case ir.Extend():
                return f"{'sext' if instr.signed else 'zext'}{instr.bits} {self.value(instr.value)}"
            case ir.Select():
                values = (instr.cond, instr.then, instr.orelse)
                return "select " + ", ".join(self.value(v) for v in values)
            case ir.ByteSwap():
                return f"bswap{instr.bits} {self.value(instr.value)}"
            case ir.GetCell():
                return f"get {self.cells[instr.cell]}"
            case ir.SetCell():
                return f"set {self.cells[instr.cell]}, {self.value(instr.value)}"
            case ir.IsNull():
                return f"is_null {self.value(instr.pointer)}"
            case ir.AddressWord():
                return f"address {self.value(instr.pointer)}"
            case ir.Offset():
                return f"offset {self.value(instr.pointer)}, {self.size(instr.bytes, instr.limit)}"
            case ir.Load():
                kind = f"{'s' if instr.signed else 'u'}{instr.size * 8}"
                return f"load.{kind} {self.place(instr.pointer, instr.offset)}"
            case ir.Store():
                where = self.place(instr.pointer, instr.offset)
                return f"store.{instr.size * 8} {where}, {self.value(instr.value)}"
            case ir.Copy():
                return f"copy {self.value(instr.target)}, {self.value(instr.source)}, {instr.size}"
            case ir.Zero():
                return f"zero {self.value(instr.target)}, {instr.size}"
            case ir.AtomicAdd():
                where = self.place(instr.pointer, instr.offset)
                return f"atomic_add.{instr.size * 8} {where}, {self.value(instr.value)}"
            case ir.Read() | ir.ReadString():
                verb = "read" if isinstance(instr, ir.Read) else "read_str"
                size = self.size(instr.size, instr.limit)
                target, address = self.value(instr.target), self.value(instr.address)
                return f"{verb}.{instr.space} {target}, {size}, {address}"
            case ir.If():
                return f"if {self.value(instr.cond)}"
            case ir.Repeat():
                bounds = f"{self.value(instr.start)} .. {self.value(instr.end)}"
                return f"repeat {self.cells[instr.index]} = {bounds}"
            case ir.Return():
                return "return" if instr.value is None else f"return {self.value(instr.value)}"
            case _:
                return self.call(instr)

    def call(
        self,
        instr: ir.MapLookup | ir.MapLookupPercpu | ir.MapUpdate | ir.MapDelete | ir.Helper
        | ir.CallFn | ir.Reserve | ir.Submit | ir.Loop | ir.ForEach | ir.ElementKey
        | ir.ElementValue | ir.Break | ir.Continue,
    ) -> str:  # fmt: skip
        match instr:
            case ir.MapLookup():
                return f"lookup {instr.map}, {self.value(instr.key)}"
            case ir.MapLookupPercpu():
                key, cpu = self.value(instr.key), self.value(instr.cpu)
                return f"lookup_percpu {instr.map}, {key}, cpu {cpu}"
            case ir.MapUpdate():
                known = {0: "", 1: " if_absent", 2: " if_present"}
                flags = known.get(instr.flags, f" flags {instr.flags}")
                key, value = self.value(instr.key), self.value(instr.value)
                return f"update{flags} {instr.map}, {key}, {value}"
            case ir.MapDelete():
                return f"delete {instr.map}, {self.value(instr.key)}"
            case ir.Helper():
                return f"helper {instr.name}{self.args(instr.args)}"
            case ir.CallFn():
                return f"call {instr.name}{self.args(instr.args)}"
            case ir.Reserve():
                return f"reserve event {instr.event}"
            case ir.Submit():
                return f"submit {self.value(instr.record)}"
            case ir.Loop():
                return "loop"
            case ir.ForEach():
                return f"for_each {instr.map}"
            case ir.ElementKey():
                return "element_key"
            case ir.ElementValue():
                return "element_value"
            case ir.Break():
                return "break"
            case ir.Continue():
                return "continue"
            case _:
                raise impossible(instr)

    def leaf(
        self,
        instr: ir.Const | ir.Param | ir.Context | ir.SlotAddr | ir.StateAddr | ir.MapValue
        | ir.MapRef | ir.Argument,
    ) -> str:  # fmt: skip
        match instr:
            case ir.Const():
                return str(instr.value)
            case ir.Param():
                return f"param({instr.name})"
            case ir.Context():
                return "ctx"
            case ir.SlotAddr():
                return f"&{self.slots.get(instr.slot, instr.slot.name)}"
            case ir.StateAddr():
                return f"state({instr.offset})"
            case ir.MapValue():
                return f"value({instr.map})"
            case ir.MapRef():
                return f"map({instr.map})"
            case ir.Argument():
                params = self.function.params
                return f"arg({params[instr.index] if instr.index < len(params) else instr.index})"
            case _:
                raise impossible(instr)


_EFFECTS: tuple[type[ir.Instr], ...] = (
    ir.SetCell, ir.Store, ir.Copy, ir.Zero, ir.AtomicAdd, ir.Submit, ir.If, ir.Loop, ir.Repeat,
    ir.ForEach, ir.Break, ir.Continue, ir.Return,
)  # fmt: skip
