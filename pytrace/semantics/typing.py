"""Types of expressions: one visitor that runs until nothing changes, then once more to report.

``Typing`` types one ``Instance`` against the whole program's maps. While ``reporting`` is False
faults stay silent, since types may still grow; the last run, with all types settled, reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.base.types import NONE, VOID, NoneType, Struct, StructDef, Type
from pytrace.frontend import ast
from pytrace.semantics import type_exprs, type_maps, type_names, type_stmts
from pytrace.semantics.merge import kind_name, merge, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base.source import Span
    from pytrace.model.probing import ProbeContext
    from pytrace.semantics.env import Env, Instance, MapInfo
    from pytrace.semantics.scope import Variable


class Typing:
    """One run over one instance. ``changed`` tells whether a variable or map type grew."""

    def __init__(self, env: Env, instance: Instance, *, reporting: bool) -> None:
        self.env = env
        self.instance = instance
        self.reporting = reporting
        self.changed = False
        self.for_depth = 0
        self.unresolved: list[tuple[str, Span]] = []
        self.types = instance.types
        self.literals = instance.literals

    @property
    def context(self) -> ProbeContext:
        return self.instance.context

    @property
    def provider_name(self) -> str:
        """The kind of probe in messages: ``begin``, ``kprobe``."""
        targets = self.instance.targets
        return targets[0][0].provider if targets else self.context.probetype

    @property
    def is_function(self) -> bool:
        return isinstance(self.instance.probe, ast.Fn)

    def run(self) -> None:
        probe = self.instance.probe
        if isinstance(probe, ast.Probe) and probe.predicate is not None:
            type_exprs.condition(self, probe.predicate, predicate_span(probe, probe.predicate))
        if isinstance(probe, ast.Fn):
            type_stmts.function(self, probe)
        else:
            type_stmts.body(self, probe.body)

    # ------------------------------------------------------------ faults

    def error(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        labels: Sequence[tuple[str, Span]] = (),
        hints: Sequence[str] = (),
    ) -> Type:
        """Reports and gives ``NONE``, the type of what is wrong."""
        if self.reporting:
            self.env.sink.error(code, message, span, labels=labels, hints=hints)
        return NONE

    def warn(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        labels: Sequence[tuple[str, Span]] = (),
        hints: Sequence[str] = (),
    ) -> None:
        if self.reporting:
            self.env.sink.warn(code, message, span, labels=labels, hints=hints)

    # ------------------------------------------------------------ expressions

    def expr(self, node: ast.Expr) -> Type:
        """Types an expression and everything in it."""
        found = type_exprs.RULES[type(node)](self, node)
        self.types[node] = found
        return found

    def found(self, node: ast.Expr) -> Type:
        """The type found for an argument, as a variable would have it; ``void`` if none was."""
        return settled(self.types.get(node, VOID))

    def literal(self, node: ast.Node) -> int | bytes | bool | None:
        """The value of an expression that is known now, else None."""
        match node:
            case ast.IntLit() | ast.BoolLit() | ast.StrLit():
                return node.value
        return self.literals.get(node)

    def set_literal(self, node: ast.Node, value: int | bytes | bool) -> None:
        self.literals[node] = value

    def type_name(self, node: ast.TypeExpr) -> Type | None:
        """The type that a type expression names; reports and gives None if there is none."""
        return type_exprs.resolve_type(self, node)

    def is_text(self, node: ast.Node) -> bool:
        """True for a string that is known now."""
        return isinstance(self.literal(node), bytes)

    def kind(self, node: ast.Expr) -> str:
        """The kind of an argument's type, for messages: ``int``, ``string``."""
        return kind_name(self.types.get(node, VOID))

    def type_argument(self, node: ast.Expr | ast.TypeExpr) -> Type | None:
        """The type that ``typeof(T)`` as an argument stands for."""
        return type_names.operand_type(self, node)

    def definition_of(self, t: Type) -> StructDef | None:
        found = type_exprs.struct_definition(self, t) if isinstance(t, Struct) else None
        assert found is None or isinstance(found, StructDef)
        return found

    # ------------------------------------------------------------ variables

    def variable(self, node: ast.Var) -> Variable | None:
        return self.instance.scopes.of.get(node)

    def variable_type(self, variable: Variable) -> Type:
        """Its type so far; what was only given literals still takes the sign of what it meets."""
        return self.instance.variables.get(variable, NONE)

    def fill_variable(self, node: ast.Expr, value: Type, span: Span) -> None:
        """Merges the type of a map's element into the variable that it is copied to."""
        assert isinstance(node, ast.Var)
        variable = self.variable(node)
        if variable is not None:
            type_stmts.store_variable(self, variable, value, node, span)
            self.types[node] = self.variable_type(variable)

    def note_unresolved(
        self, span: Span, message: str = "Could not resolve the type of this variable"
    ) -> None:
        """Something whose type is not known: a fault of its own if nothing else is wrong."""
        if self.reporting:
            self.unresolved.append((message, span))

    def assign_variable(self, variable: Variable, value: Type, span: Span) -> None:
        """Merges a value's type into a variable's, or reports that it cannot be."""
        known = self.instance.variables.get(variable, NONE)
        if isinstance(value, NoneType):
            return
        merged = merge(known, value)
        if merged is None:
            self.error(
                "type-mismatch",
                f"Type mismatch for ${variable.name.split('#')[0]}: trying to assign value of type"
                f" '{settled(value)}' when variable already has a type '{settled(known)}'",
                span,
            )
            return
        if merged != known:
            self.instance.variables[variable] = merged
            self.changed = True

    # ------------------------------------------------------------ maps

    def is_map(self, node: ast.Node) -> bool:
        return isinstance(node, ast.Map)

    def is_map_access(self, node: ast.Node) -> bool:
        return isinstance(node, ast.MapAccess)

    def map_node(self, node: ast.Node) -> ast.Map:
        assert isinstance(node, ast.Map)
        return node

    def map_of(self, node: ast.Node) -> MapInfo:
        """What is known of the map that an argument names."""
        return self.env.map(self.map_node(node).name)

    def use_map(self, node: ast.Map, *, scalar: bool, span: Span) -> None:
        """Notes that a builtin takes a map with or without a key."""
        type_maps.note_keys(self, node, scalar=scalar, span=span)

    def merge_key(self, node: ast.Map, found: Type, span: Span) -> None:
        type_maps.merge_key(self, node, found, span)

    # ------------------------------------------------------------ small questions

    def args_type(self) -> Struct | None:
        args = self.context.args
        return args.type if args is not None else None


def predicate_span(probe: ast.Probe, predicate: ast.Expr) -> Span:
    """A predicate with its slashes, where messages about it point."""
    text = predicate.span.source.text
    start = text.find(b"/", probe.attach_points[-1].span.end)
    end = text.rfind(b"/", 0, probe.body.span.start) + 1
    if not 0 <= start < predicate.span.start or end < predicate.span.end:
        return predicate.span
    return replace(predicate.span, start=start, end=end)
