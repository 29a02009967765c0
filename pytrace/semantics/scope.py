"""Which variable each ``$name`` means, and what may stand where in control flow.

Purely syntactic: it looks at one probe or function body and knows no types (language 5.2, 5.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.source import Span
from pytrace.base.text import closest
from pytrace.frontend import ast
from pytrace.frontend.walk import children

if TYPE_CHECKING:
    from pytrace.base.diagnostics import DiagnosticSink


class Variable:
    """A scratch variable of one body. Compared by identity."""

    __slots__ = (
        "assigned", "block", "declared", "loop", "name", "origin", "read", "span", "whole",
    )  # fmt: skip

    def __init__(self, name: str, span: Span, block: ast.Block | None) -> None:
        self.name = name
        self.span = span
        self.block = block
        self.declared: ast.TypeExpr | None = None
        self.assigned = False
        self.read = False
        self.loop = False
        self.origin = "This is the initial assignment."
        """What messages say of the place where it comes to life."""
        self.whole: ast.Node | None = None
        """The statement that gives it its first value, if that opens its life."""

    def __repr__(self) -> str:
        return f"Variable(${self.name})"


class Scopes:
    """Result of ``resolve``: the variable of every ``ast.Var`` node, by identity."""

    def __init__(self) -> None:
        self.of: dict[ast.Var, Variable] = {}
        self.locals: dict[ast.Block, list[Variable]] = {}
        self.captured: set[Variable] = set()


def resolve(
    body: ast.Block,
    sink: DiagnosticSink,
    params: tuple[ast.Var, ...] = (),
    predicate: ast.Expr | None = None,
) -> Scopes:
    """Resolves a body; ``params`` are the parameters of a function.

    A predicate sees no variable of the body, as it comes before all of them.
    """
    resolver = _Resolver(sink)
    if predicate is not None:
        resolver.predicate(predicate)
    return resolver.run(body, params)


class _Resolver:
    def __init__(self, sink: DiagnosticSink) -> None:
        self.sink = sink
        self.result = Scopes()
        self.frames: list[dict[str, Variable]] = []
        self.blocks: list[ast.Block] = []
        self.loops: list[ast.Stmt] = []
        self.for_depth = 0

    def predicate(self, expr: ast.Expr) -> None:
        self.frames.append({})
        self.expression(expr)
        self.frames.pop()

    def run(self, body: ast.Block, params: tuple[ast.Var, ...]) -> Scopes:
        self.frames.append({})
        for param in params:
            known = self._find(param.name)
            if known is not None:
                self._shadowing(param.name, param.span, known)
            variable = self._declare(param, param.span, None)
            variable.assigned = True
            variable.origin = "This is the function parameter."
        self.block(body)
        self.frames.pop()
        return self.result

    # ------------------------------------------------------------ blocks and statements

    def block(self, block: ast.Block, loop_var: ast.Var | None = None) -> None:
        self.frames.append({})
        self.blocks.append(block)
        self.result.locals.setdefault(block, [])
        if loop_var is not None:
            variable = self._declare(loop_var, loop_var.span, block)
            variable.assigned = variable.loop = True
            variable.origin = "This is the loop variable."
        ended: ast.Stmt | None = None
        for stmt in block.stmts:
            if ended is not None:
                self.sink.warn("unreachable", "Unreachable statement.", stmt.span)
                ended = None
            self.statement(stmt)
            if _leaves(stmt):
                ended = stmt
        if block.value is not None:
            if ended is not None:
                self.sink.warn("unreachable", "Unreachable statement.", block.value.span)
            self.expression(block.value)
        self.blocks.pop()
        for variable in self.frames.pop().values():
            self._judge(variable)

    def statement(self, stmt: ast.Stmt) -> None:
        match stmt:
            case ast.Assign():
                self._assign(stmt)
            case ast.Let():
                self._let(stmt)
            case ast.ForRange():
                self.expression(stmt.start)
                self.expression(stmt.end)
                self._for(stmt, stmt.var, stmt.body)
            case ast.ForMap():
                self._for(stmt, stmt.var, stmt.body)
            case ast.While():
                self.expression(stmt.cond)
                self._loop(stmt, stmt.body)
            case ast.Unroll():
                self.expression(stmt.count)
                self._loop(stmt, stmt.body)
            case ast.Jump():
                self._jump(stmt)
            case ast.If():
                self.expression(stmt.cond)
                self.block(stmt.then)
                if isinstance(stmt.orelse, ast.Block):
                    self.block(stmt.orelse)
                elif stmt.orelse is not None:
                    self.statement(stmt.orelse)
            case ast.BlockStmt():
                self.block(stmt.body)
            case ast.Return():
                if stmt.value is not None:
                    self.expression(stmt.value)
            case ast.ExprStmt() | ast.Discard():
                self.expression(stmt.expr)

    def _assign(self, stmt: ast.Assign) -> None:
        self.expression(stmt.value)
        target = stmt.target
        if not isinstance(target, ast.Var):
            self.expression(target)
            return
        variable = self._find(target.name)
        if variable is None:
            if stmt.op != "=":
                self._undefined(target)
                return
            variable = self._declare(target, stmt.span, self._here())
            variable.whole = stmt
        elif stmt.op != "=":
            self._read(target, variable)
        variable.assigned = True
        self.result.of[target] = variable

    def _let(self, stmt: ast.Let) -> None:
        if stmt.value is not None:
            self.expression(stmt.value)
        span = stmt.span
        here = Span(
            source=span.source,
            start=span.start,
            end=max(stmt.var.span.end, span.start),
            expanded_from=span.expanded_from,
        )
        known = self._find(stmt.var.name)
        if known is not None:
            self._shadowing(stmt.var.name, here, known)
            self.result.of[stmt.var] = known
            return
        variable = self._declare(stmt.var, here, self._here())
        variable.origin = "This is the initial declaration."
        variable.declared = stmt.type
        variable.assigned = stmt.value is not None
        variable.whole = stmt if stmt.value is not None else None

    def _for(self, stmt: ast.Stmt, var: ast.Var, body: ast.Block) -> None:
        known = self._find(var.name)
        if known is not None:
            self.sink.error(
                "shadowing",
                f"Loop declaration shadows existing variable: ${_shown(var.name)}",
                var.span,
                labels=[(known.origin, known.span)],
            )
        self.loops.append(stmt)
        self.for_depth += 1
        self.block(body, loop_var=var)
        self.for_depth -= 1
        self.loops.pop()

    def _loop(self, stmt: ast.Stmt, body: ast.Block) -> None:
        self.loops.append(stmt)
        self.block(body)
        self.loops.pop()

    def _jump(self, stmt: ast.Jump) -> None:
        if all(isinstance(s, ast.Unroll) for s in self.loops):
            self.sink.error(
                "jump-outside-loop",
                f"'{stmt.kind}' statement is not allowed in a probe",
                stmt.span,
                hints=[f"'{stmt.kind}' works in the body of for and while"],
            )

    # ------------------------------------------------------------ expressions

    def expression(self, node: ast.Node) -> None:
        match node:
            case ast.Var():
                variable = self._find(node.name)
                if variable is None:
                    self._undefined(node)
                else:
                    self._read(node, variable)
            case ast.BlockExpr():
                self.block(node.body)
            case ast.IfExpr():
                self.expression(node.cond)
                self.block(node.then)
                if isinstance(node.orelse, ast.Block):
                    self.block(node.orelse)
                elif node.orelse is not None:
                    self.expression(node.orelse)
            case ast.Call() if node.name == "find" and len(node.args) == 3:
                self._find_call(node)
            case _:
                for child in children(node):
                    self.expression(child)

    def _find_call(self, node: ast.Call) -> None:
        """``find(@m, k, $v)`` assigns its third argument, and declares it if need be."""
        for arg in node.args[:2]:
            self.expression(arg)
        target = node.args[2]
        if not isinstance(target, ast.Var):
            self.expression(target)
            return
        known = self._find(target.name)
        variable = known or self._declare(target, target.span, self._here())
        variable.assigned = True
        self.result.of[target] = variable

    # ------------------------------------------------------------ names

    def _here(self) -> ast.Block | None:
        return self.blocks[-1] if self.blocks else None

    def _find(self, name: str) -> Variable | None:
        for frame in reversed(self.frames):
            if name in frame:
                return frame[name]
        return None

    def _declare(self, node: ast.Var, span: Span, block: ast.Block | None) -> Variable:
        variable = Variable(node.name, span, block)
        self.frames[-1][node.name] = variable
        if block is not None:
            self.result.locals.setdefault(block, []).append(variable)
        self.result.of[node] = variable
        return variable

    def _shadowing(self, name: str, span: Span, known: Variable) -> None:
        self.sink.error(
            "shadowing",
            f"Variable ${_shown(name)} was already declared. Variable shadowing is not allowed.",
            span,
            labels=[(known.origin, known.span)],
        )

    def _read(self, node: ast.Var, variable: Variable) -> None:
        if not variable.assigned and not variable.read:
            self.sink.warn(
                "used-before-assigned",
                f"Variable used before it was assigned: ${_shown(node.name)}",
                node.span,
            )
        variable.read = True
        self.result.of[node] = variable

    def _undefined(self, node: ast.Var) -> None:
        names = {n for frame in self.frames for n in frame if not n.startswith("$")}
        guess = closest(node.name, sorted(names))
        self.sink.error(
            "undefined-variable",
            f"Undefined or undeclared variable: ${_shown(node.name)}",
            node.span,
            hints=[f"Did you mean ${guess}?"] if guess else [],
        )

    def _judge(self, variable: Variable) -> None:
        if not variable.assigned:
            self.sink.warn(
                "never-assigned",
                f"Variable ${_shown(variable.name)} was never assigned to.",
                variable.span,
            )


def _shown(name: str) -> str:
    """The name as the user wrote it; macro expansion makes names such as ``x#3``."""
    return name.split("#", 1)[0]


def _leaves(stmt: ast.Stmt) -> bool:
    """True if nothing after this statement runs."""
    match stmt:
        case ast.Return() | ast.Jump():
            return True
        case ast.ExprStmt(expr=ast.Call(name="exit")):
            return True
    return False
