"""Expansion of macros on the syntax tree, before types (language 2.3).

Every use gets nodes of its own, whose spans remember the call in ``expanded_from``; variables of
the macro's body are renamed (``x`` becomes ``x#3``), so that they cannot meet the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.base.source import Span
from pytrace.frontend import ast
from pytrace.frontend.walk import children, transform, walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytrace.base.diagnostics import DiagnosticSink

    Library = Mapping[str, Sequence[ast.Macro]]

RAW_PREFIX = "__builtin_"
"""Scripts may name a builtin so that no macro of theirs comes between."""


def collect(macros: Sequence[ast.Macro], library: Library) -> Library:
    """Macros by name: the script's own before those of the library."""
    found: dict[str, list[ast.Macro]] = {}
    for macro in macros:
        found.setdefault(macro.name, []).append(macro)
    for name, known in library.items():
        own = found.setdefault(name, [])
        own.extend(m for m in known if not any(_same_signature(m, o) for o in own))
    return found


def check(macros: Sequence[ast.Macro], sink: DiagnosticSink) -> None:
    """What is wrong with macros whoever calls them: one defined twice, jumps out of one."""
    for number, macro in enumerate(macros):
        twin = next(
            (m for m in macros[:number] if m.name == macro.name and _same_signature(m, macro)), None
        )
        if twin is not None:
            sink.error(
                "macro-redefined",
                f"Redefinition of macro: {macro.name}",
                macro.span,
                labels=[("This is the original definition.", twin.span)],
            )
        _check_parameters(macro, sink)
        _check_jumps(macro.body, sink)


_PARAMETERS = {"var": "Variable", "map": "Map", "expr": "Ident"}


def _check_parameters(macro: ast.Macro, sink: DiagnosticSink) -> None:
    seen = set()
    for param in macro.params:
        if (param.kind, param.name) in seen:
            sink.error(
                "macro-parameter",
                f"{_PARAMETERS[param.kind]} for macro argument has already been used:"
                f" {'$' if param.kind == 'var' else ''}{param.name}",
                param.span,
            )
        seen.add((param.kind, param.name))


def _check_jumps(node: ast.Node, sink: DiagnosticSink) -> None:
    """Reports ``return``, and ``break`` and ``continue`` that stand outside of loops."""
    match node:
        case ast.Return() | ast.Jump():
            kind = node.kind if isinstance(node, ast.Jump) else "return"
            sink.error(
                f"{kind}-in-macro", f"'{kind}' statement is not allowed in a macro", node.span
            )
        case ast.ForRange() | ast.ForMap() | ast.While():
            for inner in walk(node.body):
                if isinstance(inner, ast.Return):
                    _check_jumps(inner, sink)
        case _:
            for child in children(node):
                _check_jumps(child, sink)


def expand_defines(program: ast.Program, defines: Mapping[str, ast.Expr]) -> ast.Program:
    """Puts the expressions of ``#define`` where their names stand."""
    if not defines:
        return program

    def visit(node: ast.Node) -> ast.Node:
        chain: list[str] = []
        while isinstance(node, ast.Ident) and node.name in defines and node.name not in chain:
            chain.append(node.name)
            node = _placed(defines[node.name], node.span)
        return node

    items: list[ast.Item] = []
    for item in program.items:
        if isinstance(item, (ast.Probe, ast.Fn, ast.Macro)):
            changed = transform(transform(item, visit), visit)
            assert isinstance(changed, (ast.Probe, ast.Fn, ast.Macro))
            items.append(changed)
        else:
            items.append(item)
    return replace(program, items=tuple(items))


def _placed(node: ast.Node, span: Span) -> ast.Node:
    """A fresh copy whose text is where it is used: messages point there."""
    values: dict[str, object] = {}
    for name in node.__fields__:
        value = getattr(node, name)
        if isinstance(value, Span):
            value = span
        elif isinstance(value, ast.Node):
            value = _placed(value, span)
        elif isinstance(value, tuple):
            value = tuple(_placed(v, span) if isinstance(v, ast.Node) else v for v in value)
        values[name] = value
    return type(node)(**values)  # type: ignore[arg-type]


class Expander:
    """Expands the macro calls of one program.

    A call that fits no macro but names one of ``builtins`` is left to them. Macros of the library
    see none of the script's.
    """

    def __init__(
        self,
        macros: Sequence[ast.Macro],
        library: Library,
        sink: DiagnosticSink,
        builtins: Mapping[str, object],
    ) -> None:
        self.macros: Library = collect(macros, library)
        self.library = library
        self.own = {id(m) for m in macros}
        self.sink = sink
        self.builtins = builtins
        self.count = 0
        self.used: set[str] = set()

    def program(self, program: ast.Program) -> ast.Program:
        items: list[ast.Item] = []
        for item in program.items:
            match item:
                case ast.Macro():
                    continue
                case ast.Probe() | ast.Fn():
                    expanded = self.expand(item, ())
                    assert isinstance(expanded, (ast.Probe, ast.Fn))
                    items.append(expanded)
                case _:
                    items.append(item)
        return replace(program, items=tuple(items))

    def expand(self, node: ast.Node, chain: tuple[ast.Macro, ...]) -> ast.Node:
        known = self.macros if not chain or id(chain[-1]) in self.own else self.library

        def visit(found: ast.Node) -> ast.Node:
            if isinstance(found, (ast.Call, ast.Ident)):
                name = found.name.removeprefix(RAW_PREFIX)
                raw = name != found.name
                meant = (self.library if raw else known).get(name)
                if meant and not (raw and name in self.builtins):
                    args = found.args if isinstance(found, ast.Call) else ()
                    return self._call(found, meant, args, chain)
            return found

        return transform(node, visit)

    # ------------------------------------------------------------ one call

    def _call(
        self,
        node: ast.Call | ast.Ident,
        meant: Sequence[ast.Macro],
        args: Sequence[ast.Expr | ast.TypeExpr],
        chain: tuple[ast.Macro, ...],
    ) -> ast.Node:
        name = meant[0].name
        fitting = [m for m in meant if _fits(m, args)]
        if not fitting:
            return node if name in self.builtins else self._no_match(node, meant, args)
        macro = max(fitting, key=_specificity)
        if macro in chain:
            calls = " > ".join(m.name for m in (*chain[chain.index(macro) :], macro))
            self.sink.error(
                "macro-recursion",
                f"Recursive macro call detected. Call chain: {calls}",
                node.span,
            )
            return ast.IntLit(span=node.span, value=0)
        self.used.add(name)
        self.count += 1
        body = _Instantiation(macro, args, node.span, self.count, self.sink).body()
        expanded = self.expand(body, (*chain, macro))
        assert isinstance(expanded, ast.Block)
        if not expanded.stmts and expanded.value is not None:
            return expanded.value
        return ast.BlockExpr(span=node.span, body=expanded)

    def _no_match(
        self,
        node: ast.Call | ast.Ident,
        meant: Sequence[ast.Macro],
        args: Sequence[ast.Expr | ast.TypeExpr],
    ) -> ast.Node:
        closest = min(meant, key=lambda m: _distance(m, args))
        labels = _why_not(closest, args)
        self.sink.error(
            "macro-arguments",
            f"Call to {closest.name}() has arguments that do not match any definition.",
            node.span,
            labels=labels,
        )
        return ast.IntLit(span=node.span, value=0)


class _Instantiation:
    """One macro body with its parameters replaced."""

    def __init__(
        self,
        macro: ast.Macro,
        args: Sequence[ast.Expr | ast.TypeExpr],
        call: Span,
        number: int,
        sink: DiagnosticSink,
    ) -> None:
        self.sink = sink
        self.macro = macro
        self.call = call
        self.number = number
        self.exprs = {p.name: a for p, a in zip(macro.params, args) if p.kind == "expr"}
        self.variables = {p.name: a for p, a in zip(macro.params, args) if p.kind == "var"}
        self.maps = {p.name: a for p, a in zip(macro.params, args) if p.kind == "map"}

    def body(self) -> ast.Node:
        return self.copy(self.macro.body)

    def copy(self, node: ast.Node) -> ast.Node:
        """A fresh copy of a node of the body; arguments come from where their parameter stands."""
        match node:
            case ast.Ident() if node.name in self.exprs:
                return _fresh(self.exprs[node.name], self.span(node.span))
            case ast.NamedType() if node.name in self.exprs:
                argument = _fresh(self.exprs[node.name], self.span(node.span))
                if isinstance(argument, ast.TypeofType):
                    return argument
                return ast.TypeofType(span=self.span(node.span), operand=argument)  # type: ignore[arg-type]
            case ast.Var() if node.name in self.variables:
                return replace(self.variables[node.name], span=self.span(node.span))
            case ast.Var():
                return ast.Var(span=self.span(node.span), name=f"{node.name}#{self.number}")
            case ast.Map() if node.name in self.maps:
                return replace(self.maps[node.name], span=self.span(node.span))
            case ast.Map():
                self.sink.error(
                    "unhygienic",
                    f"Unhygienic access to map: {node.name}. Maps must be passed into the macro"
                    " as arguments.",
                    self.span(node.span),
                )
            case ast.Cast():
                node = replace(node, type=self._type(node.type, node.type))
            case ast.Let() if node.type is not None and node.var.name not in self.variables:
                node = replace(node, type=self._type(node.type, node.type))
            case ast.Let() if node.var.name in self.variables:
                self.sink.error(
                    "shadowing",
                    f"Variable declaration shadows macro arg ${node.var.name}",
                    self.span(replace(node.span, end=node.var.span.end)),
                )
        values: dict[str, object] = {}
        for name in node.__fields__:
            value = getattr(node, name)
            if isinstance(value, Span):
                value = self.span(value)
            elif isinstance(value, ast.Node):
                value = self.copy(value)
            elif isinstance(value, tuple):
                value = tuple(self.copy(v) if isinstance(v, ast.Node) else v for v in value)
            values[name] = value
        return type(node)(**values)  # type: ignore[arg-type]

    def _type(self, node: ast.TypeExpr, whole: ast.TypeExpr) -> ast.TypeExpr:
        """A type of a cast or declaration: parameters in it take the names of types as well."""
        if isinstance(node, (ast.PointerType, ast.ArrayType)):
            return replace(node, base=self._type(node.base, whole))
        if not isinstance(node, ast.NamedType):
            return node
        given = self.exprs.get(node.name)
        if isinstance(given, ast.Ident):
            return replace(node, name=given.name)
        if given is not None and not isinstance(given, ast.TypeofType):
            self.sink.error(
                "macro-type",
                f"Invalid replacement for macro '{self.macro.name}' type parameter '{node.name}'"
                f" which makes up the type '{whole.span.text.strip()}'",
                given.span,
            )
        return node

    def span(self, span: Span) -> Span:
        return replace(span, expanded_from=self.call)


def _fresh(node: ast.Node, use: Span) -> ast.Node:
    """A copy of an argument for one use of its parameter, as a node stands only once in a tree."""
    values: dict[str, object] = {}
    for name in node.__fields__:
        value = getattr(node, name)
        if isinstance(value, Span):
            value = replace(value, expanded_from=use)
        elif isinstance(value, ast.Node):
            value = _fresh(value, use)
        elif isinstance(value, tuple):
            value = tuple(_fresh(v, use) if isinstance(v, ast.Node) else v for v in value)
        values[name] = value
    return type(node)(**values)  # type: ignore[arg-type]


def _fits(macro: ast.Macro, args: Sequence[ast.Expr | ast.TypeExpr]) -> bool:
    if len(macro.params) != len(args):
        return False
    return all(_accepts(p, a) for p, a in zip(macro.params, args))


def _accepts(param: ast.MacroParam, arg: ast.Expr | ast.TypeExpr) -> bool:
    if param.kind == "var":
        return isinstance(arg, ast.Var)
    if param.kind == "map":
        return isinstance(arg, ast.Map)
    return True


def _specificity(macro: ast.Macro) -> int:
    return sum(1 for p in macro.params if p.kind != "expr")


def _same_signature(a: ast.Macro, b: ast.Macro) -> bool:
    return [p.kind for p in a.params] == [p.kind for p in b.params]


def _distance(macro: ast.Macro, args: Sequence[ast.Expr | ast.TypeExpr]) -> tuple[int, int]:
    """How far a definition is from fitting a call: parameters too few or many, then misfits."""
    misfits = sum(1 for p, a in zip(macro.params, args) if not _accepts(p, a))
    return abs(len(macro.params) - len(args)), misfits


def _why_not(
    macro: ast.Macro, args: Sequence[ast.Expr | ast.TypeExpr]
) -> list[tuple[str, Span]]:
    """What keeps a definition from fitting a call."""
    if len(macro.params) != len(args):
        text = (
            f"The closest definition of {macro.name}() has a different number of arguments."
            f" Expected: {len(macro.params)} but got {len(args)}"
        )
        return [(text, macro.span)]
    labels = []
    for param, arg in zip(macro.params, args):
        if not _accepts(param, arg):
            wanted = "map for arg " if param.kind == "map" else "variable for arg $"
            kinds = {ast.Var: "a variable", ast.Map: "a map"}
            text = (
                f"Mismatched arg. {macro.name}() expects a {wanted}{param.name}"
                f" but got {kinds.get(type(arg), 'an expression')}."
            )
            labels.append((text, arg.span))
            labels.append(("This is the argument in the closest definition.", param.span))
    return labels
