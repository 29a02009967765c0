"""State of the lowering and the surface that builtins use.

``ModuleBuilder`` gathers what all functions share: maps, events, load parameters.
``Lowering`` lowers one ``Instance`` to one ``ir.Function``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import Aggregate, Bool, Enum, Int, NoneType, Ptr, Str, Type, int_type
from pytrace.frontend import ast
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.model.compiled import LoadParam, MapSpec, SourceText
from pytrace.model.events import CONTROL_HEADER, DATA_HEADER, EventSchema, RecordField, SpanRef
from pytrace.semantics.lower import bytes as bytes_
from pytrace.semantics.lower import events, maps, memory, stmts, strings, words
from pytrace.semantics.merge import settled, value_type

if TYPE_CHECKING:
    from pytrace.base.source import SourceFile, Span
    from pytrace.builtins.registry import Builtin, BuiltinCall
    from pytrace.model.probing import ProbeContext
    from pytrace.semantics.env import Env, Instance
    from pytrace.semantics.lower.places import Place
    from pytrace.semantics.scope import Variable

BPF_F_RDONLY_PROG = 1 << 7

__all__ = ["CONTROL_HEADER", "DATA_HEADER", "Lowering", "ModuleBuilder"]


class ModuleBuilder:
    """What the functions of one program share."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.maps: dict[str, MapSpec] = {}
        self.events: list[EventSchema] = []
        self.params: dict[str, LoadParam] = {}
        self.sources: list[SourceFile] = []
        self._event_ids: dict[tuple[object, ...], int] = {}

    def span_ref(self, span: Span | None) -> SpanRef | None:
        """A span as the run side knows it."""
        if span is None:
            return None
        if span.source not in self.sources:
            self.sources.append(span.source)
        return SpanRef(
            source=self.sources.index(span.source),
            start=span.start,
            end=span.end,
            expanded_from=self.span_ref(span.expanded_from),
        )

    def source_texts(self) -> tuple[SourceText, ...]:
        return tuple(SourceText(name=s.name, text=s.text) for s in self.sources)

    def add_param(self, name: str, kind: str, size: int = 8) -> None:
        if name not in self.params:
            offset = 8 * len(self.params)
            self.params[name] = LoadParam(name=name, kind=kind, offset=offset, size=size)

    def add_event(
        self,
        handler: str,
        fields: tuple[RecordField, ...],
        size: int,
        static: tuple[object, ...],
        span: Span | None,
        control: bool,
    ) -> int:
        """Id of an event kind; the same place of the script gives the same id."""
        key = (handler, fields, size, static, id(span.source) if span else 0,
               span.start if span else 0, span.end if span else 0, control)  # fmt: skip
        known = self._event_ids.get(key)
        if known is not None:
            return known
        number = len(self.events)
        self._event_ids[key] = number
        self.events.append(
            EventSchema(
                id=number,
                handler=handler,
                fields=fields,
                size=size,
                static=static,
                span=self.span_ref(span),
                control=control,
            )
        )
        return number


class Lowering:
    """Lowers one instance. ``b`` is the IR builder; ``types`` the instance's side table.

    The methods here are what builtins call; the rules themselves live beside this file:
    ``words`` (scalars), ``memory`` (larger values), ``places`` (where values are), ``maps``,
    ``strings``, ``events``, ``stmts``.
    """

    def __init__(self, module: ModuleBuilder, instance: Instance) -> None:
        self.module = module
        self.instance = instance
        self.env = module.env
        self.b: Builder = Builder()
        self.types = instance.types
        self.cells: dict[Variable, ir.Cell] = {}
        self.slots: dict[Variable, ir.Slot] = {}
        self.statement: ast.Stmt | None = None

    @property
    def context(self) -> ProbeContext:
        return self.instance.context

    def run(self) -> ir.Function:
        return stmts.function(self)

    # ------------------------------------------------------------ questions

    def type(self, node: ast.Expr) -> Type:
        """Type of an expression as a value: castable aggregates are integers here."""
        return value_type(settled(self.types[node]))

    def operand_type(self, node: ast.Expr) -> Type:
        """As ``type``, but a literal is still sign-flexible: what ``promote`` asks for."""
        return value_type(self.types[node])

    def literal(self, node: ast.Node) -> int | bytes | bool | None:
        match node:
            case ast.IntLit() | ast.BoolLit() | ast.StrLit():
                return node.value
        return self.instance.literals.get(node)

    def text(self, node: ast.Expr) -> str:
        """Text of a string literal, bytes that are not UTF-8 as surrogates."""
        value = self.literal(node)
        assert isinstance(value, bytes)
        return value.decode("utf-8", "surrogateescape")

    def size_of(self, call: BuiltinCall) -> int:
        assert call.result is not None
        return call.result.size

    def variable_type(self, variable: Variable) -> Type:
        return settled(self.instance.variables[variable])

    def is_map(self, node: ast.Node) -> bool:
        return isinstance(node, ast.Map)

    def map_name(self, node: ast.Node) -> str:
        assert isinstance(node, ast.Map)
        return node.name

    def map_spec(self, name: str) -> MapSpec:
        return maps.spec(self, name)

    def builtin(self, name: str) -> Builtin | None:
        from pytrace.semantics.type_calls import family

        return self.env.builtins.get(family(name))

    def need_param(self, name: str, kind: str) -> None:
        self.module.add_param(name, kind)

    def need_table(self, name: str, data: bytes) -> None:
        """A read-only map of one element, whose value is a table."""
        self.module.maps.setdefault(
            name,
            MapSpec(
                name=name,
                kind="ARRAY",
                key_size=4,
                value_size=len(data),
                max_entries=1,
                flags=BPF_F_RDONLY_PROG,
                data=data,
            ),
        )

    def statement_span(self, node: ast.Node) -> Span:
        """The statement that a fault of ``node`` is reported at."""
        return self.statement.span if isinstance(self.statement, ast.Assign) else node.span

    # ------------------------------------------------------------ values

    def word(self, node: ast.Expr) -> ir.Value:
        """A scalar expression as a word, extended by its own sign."""
        return words.lower(self, node)

    def word_as(self, node: ast.Expr, wanted: Type) -> ir.Value:
        """A scalar expression converted to a scalar type."""
        return self.convert_word(self.word(node), self.type(node), wanted)

    def convert_word(self, word: ir.Value, source: Type, wanted: Type) -> ir.Value:
        if isinstance(wanted, Bool):
            return word if isinstance(source, Bool) else self.b.truth(word)
        if not isinstance(wanted, (Int, Enum)) or not isinstance(source, (Int, Enum, Bool, Ptr)):
            return word
        have, want = int_type(source), int_type(wanted)
        fits = want.bits > have.bits and (want.signed or not have.signed)
        if fits or (want.bits == have.bits and want.signed == have.signed):
            return word
        return self.b.extend(word, want.bits, want.signed)

    def address(self, node: ast.Expr) -> ir.Value:
        """Pointer to memory that holds the expression's value, in its own type."""
        return memory.address(self, node)

    def into(self, node: ast.Expr, target: ir.Value, wanted: Type) -> None:
        """Writes an expression's value, converted to ``wanted``, to ``target``."""
        memory.into(self, node, target, wanted)

    def place(self, node: ast.Expr) -> Place:
        return memory.place(self, node)

    def store_text(self, target: ir.Value, text: bytes, size: int) -> None:
        strings.store_text(self, target, text, size)

    def string_into(
        self, node: ast.Expr, target: ir.Value, size: int, limit: ir.Value | int
    ) -> None:
        strings.read_into(self, node, target, size, limit)

    def string_length(self, node: ast.Expr) -> ir.Value:
        return strings.length(self, node)

    def strings_differ(self, left: ast.Expr, right: ast.Expr, count: int) -> ir.Value:
        return strings.differ(self, left, right, count)

    def find_text(self, haystack: ast.Expr, needle: ast.Expr) -> ir.Value:
        return strings.find(self, haystack, needle)

    def object_pointer(self, node: ast.Expr) -> tuple[ir.Value, int]:
        return memory.object_pointer(self, node)

    def compare_bytes(
        self, left: ast.Expr, right: ast.Expr, count: ir.Value | int, limit: int
    ) -> ir.Value:
        return bytes_.compare(self, left, right, count, limit)

    def concatenate(self, left: ast.Expr, right: ast.Expr, target: ir.Value, size: int) -> None:
        bytes_.concatenate(self, left, right, target, size)

    def memory_argument(self, node: ast.Expr) -> Place:
        """Where the bytes are that a pointer, array or string argument stands for."""
        return memory.argument(self, node)

    def read_place(self, place: Place, target: ir.Value, count: ir.Value | int, limit: int) -> None:
        memory.read_bytes(self, place, target, count, limit)

    # ------------------------------------------------------------ maps

    def key_pointer(self, name: str, keys: tuple[ast.Expr, ...]) -> ir.Value:
        return maps.key_pointer(self, name, keys)

    def has_key(self, name: str, keys: tuple[ast.Expr, ...]) -> ir.Value:
        return maps.has_key(self, name, keys)

    def delete(self, call: BuiltinCall) -> ir.Value:
        return maps.delete(self, call)

    def find(self, call: BuiltinCall) -> ir.Value:
        return maps.find(self, call)

    def count_elements(self, name: str) -> ir.Value:
        return maps.count_elements(self, name)

    # ------------------------------------------------------------ events

    def event(
        self,
        handler: str,
        args: list[ast.Expr],
        *,
        static: tuple[object, ...],
        call: BuiltinCall,
        control: bool = False,
    ) -> None:
        """Sends the values of ``args`` to user space, where ``handler`` acts on them."""
        events.send(self, handler, args, static=static, span=call.span, control=control)

    def send_join(self, call: BuiltinCall, strings: int, size: int) -> None:
        events.send_join(self, call, strings, size)

    def exit(self, call: BuiltinCall) -> None:
        events.exit_run(self, call)

    def fault(self, message: str, helper: str, retcode: ir.Value | None, span: Span | None) -> None:
        """Reports a fault inside the probe."""
        events.fault(self, message, helper, retcode, span)

    @property
    def warns(self) -> bool:
        """True if failed reads and look-ups are reported (``-k``)."""
        return self.env.settings.runtime_warnings

    def read(
        self,
        space: str,
        target: ir.Value,
        size: ir.Value | int,
        address: ir.Value,
        limit: int | None = None,
    ) -> ir.Value:
        """``ir.Read``; with ``-k`` its failure is reported at the current span."""
        taken = self.b.read(space, target, size, address, limit)
        events.read_fault(self, taken, space, address, "")
        return taken

    def read_string(
        self,
        space: str,
        target: ir.Value,
        size: ir.Value | int,
        address: ir.Value,
        limit: int | None = None,
    ) -> ir.Value:
        """``ir.ReadString``; with ``-k`` its failure is reported at the current span."""
        taken = self.b.read_string(space, target, size, address, limit)
        events.read_fault(self, taken, space, address, "_str")
        return taken

    def is_known(self, t: Type) -> bool:
        return not isinstance(t, NoneType)

    def string_size(self, t: Type) -> int:
        assert isinstance(t, Str)
        return t.length

    def aggregate_of(self, name: str) -> Aggregate | None:
        value = settled(self.env.map(name).value)
        return value if isinstance(value, Aggregate) else None
