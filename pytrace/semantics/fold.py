"""Folding of literals: ``1 + 2`` is ``3`` before types are inferred (language 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.frontend import ast
from pytrace.frontend.walk import transform
from pytrace.model.values import divide

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import Span

LOW, HIGH = -(1 << 63), (1 << 64) - 1

_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "/": divide,
    "%": lambda a, b: a - divide(a, b) * b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
}
_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
}


def fold(program: ast.Program, sink: DiagnosticSink) -> ast.Program:
    """Folds all probes and functions."""
    items: list[ast.Item] = []
    for item in program.items:
        if isinstance(item, (ast.Probe, ast.Fn)):
            folded = transform(item, lambda node: fold_node(node, sink))
            assert isinstance(folded, (ast.Probe, ast.Fn))
            items.append(folded)
        else:
            items.append(item)
    return replace(program, items=tuple(items))


def fold_node(node: ast.Node, sink: DiagnosticSink) -> ast.Node:
    """The literal that a node with literal operands is, or the node itself."""
    match node:
        case ast.Binary():
            return _binary(node, sink)
        case ast.Unary():
            return _unary(node, sink)
        case ast.Ternary(cond=ast.BoolLit() | ast.IntLit() | ast.StrLit() as cond):
            return (node.then or cond) if _holds(cond) else node.orelse
        case ast.IfExpr(cond=ast.BoolLit() | ast.IntLit() | ast.StrLit() as cond):
            branch = node.then if _holds(cond) else node.orelse
            if isinstance(branch, ast.Block):
                return ast.BlockExpr(span=branch.span, body=branch)
            return branch or node
    return node


def _holds(cond: ast.BoolLit | ast.IntLit | ast.StrLit) -> bool:
    return bool(cond.value) or isinstance(cond, ast.StrLit)


def _binary(node: ast.Binary, sink: DiagnosticSink) -> ast.Node:
    left, right = node.left, node.right
    match left, right:
        case (ast.IntLit() | ast.BoolLit(), ast.IntLit() | ast.BoolLit()):
            return _numbers(node, left, right, sink)
        case (ast.StrLit(), ast.StrLit()):
            if node.op == "+":
                return ast.StrLit(span=node.span, value=left.value + right.value)
            if node.op in _COMPARE:
                return ast.BoolLit(span=node.span, value=_COMPARE[node.op](left.value, right.value))
            if node.op not in ("&&", "||"):
                sink.error("bad-operand", "illegal literal operation with strings", node.span)
        case (ast.StrLit() as text, ast.IntLit() as skip) | (
            ast.IntLit() as skip,
            ast.StrLit() as text,
        ) if node.op == "+" and skip.value >= 0:
            return skipped(text.value, skip.value, node.span, sink)
    return node


def skipped(text: bytes, count: int, span: Span, sink: DiagnosticSink) -> ast.StrLit:
    """A literal string without its first bytes."""
    if count >= len(text):
        sink.warn("empty-string", "literal string will always be empty", span)
    return ast.StrLit(span=span, value=text[count:])


def _numbers(
    node: ast.Binary,
    left: ast.IntLit | ast.BoolLit,
    right: ast.IntLit | ast.BoolLit,
    sink: DiagnosticSink,
) -> ast.Node:
    op, a, b = node.op, int(left.value), int(right.value)
    # No 64-bit type holds both a negative number and one that only uint64 holds.
    apart = min(a, b) < 0 and max(a, b) > HIGH >> 1
    if apart and (op in _COMPARE or op in ("/", "%")):
        return _overflow(node, sink)
    if op in _COMPARE:
        return ast.BoolLit(span=node.span, value=_COMPARE[op](a, b))
    if op == "&&":
        return ast.BoolLit(span=node.span, value=bool(a and b))
    if op == "||":
        return ast.BoolLit(span=node.span, value=bool(a or b))
    bad = (op in ("/", "%") and b == 0) or (op in ("<<", ">>") and not 0 <= b < 64)
    value = 0 if bad else _ARITHMETIC[op](a, b)
    if op == "<<" and not bad:
        value = _wrapped(value, signed=a < 0)
    if bad or not LOW <= value <= HIGH or (value > HIGH >> 1 and min(a, b) < 0 and op != "-"):
        return _overflow(node, sink)
    if isinstance(left, ast.BoolLit) and isinstance(right, ast.BoolLit):
        return ast.BoolLit(span=node.span, value=bool(value))
    return ast.IntLit(span=node.span, value=value)


def _overflow(node: ast.Binary, sink: DiagnosticSink) -> ast.Node:
    sink.error(
        "literal-overflow", "unable to fold literals due to overflow or underflow", node.span
    )
    return ast.IntLit(span=node.span, value=0)


def _wrapped(value: int, *, signed: bool) -> int:
    value &= HIGH
    return value - (1 << 64) if signed and value >> 63 else value


def _unary(node: ast.Unary, sink: DiagnosticSink) -> ast.Node:
    operand = node.operand
    if isinstance(operand, ast.BoolLit) and node.op == "!":
        return ast.BoolLit(span=node.span, value=not operand.value)
    if not isinstance(operand, ast.IntLit):
        return node
    value = operand.value
    match node.op:
        case "!":
            return ast.BoolLit(span=node.span, value=value == 0)
        case "-" if value <= 1 << 63:
            return ast.IntLit(span=node.span, value=-value)
        case "-":
            sink.error("literal-overflow", "negative value will underflow", node.span)
            return ast.IntLit(span=node.span, value=0)
        case "~" if value >= 0:
            return ast.IntLit(span=node.span, value=~value & HIGH)
        case "~":
            return ast.IntLit(span=node.span, value=~value)
    return node
