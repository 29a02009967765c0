"""Positional parameters ``$1`` and ``$#`` become literals (language 2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.frontend import ast, literals
from pytrace.frontend.walk import transform
from pytrace.semantics.fold import skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import Span


class _Parameters:
    def __init__(self, values: Sequence[str], sink: DiagnosticSink) -> None:
        self.values = values
        self.sink = sink

    def text(self, index: int) -> str:
        return self.values[index - 1] if 1 <= index <= len(self.values) else ""

    def check(self, index: int, span: Span) -> None:
        if index == 0:
            self.sink.error(
                "bad-parameter", f"param ${index} is out of integer range [1, ...]", span
            )
        elif not self.text(index):
            self.sink.warn(
                "missing-parameter",
                f"Positional parameter ${index} is empty or not provided. ",
                span,
            )

    def expr(self, node: ast.Node) -> ast.Node:
        match node:
            case ast.ParamCount():
                return ast.IntLit(span=node.span, value=len(self.values))
            case ast.Param():
                self.check(node.index, node.span)
                return self.literal(node)
        return node

    def literal(self, node: ast.Param) -> ast.Node:
        text = self.text(node.index)
        raw = text.encode("utf-8", "surrogateescape")
        number = integer(text) if text else 0
        if number is None:
            return ast.StrLit(span=node.span, value=raw)
        if number < 0:
            return ast.IntLit(span=node.span, value=number)
        return ast.IntLit(span=node.span, value=number, text=text)


def substitute(program: ast.Program, values: Sequence[str], sink: DiagnosticSink) -> ast.Program:
    """Replaces parameters in bodies and in the unquoted parts of attach points."""
    parameters = _Parameters(values, sink)
    items: list[ast.Item] = []
    for item in program.items:
        if isinstance(item, (ast.Probe, ast.Fn, ast.Macro)):
            changed = _string_parameters(item, parameters)
            changed = transform(changed, parameters.expr)
            if isinstance(changed, ast.Probe):
                points = tuple(attach_point(a, parameters) for a in changed.attach_points)
                changed = replace(changed, attach_points=points)
            assert isinstance(changed, (ast.Probe, ast.Fn, ast.Macro))
            items.append(changed)
        else:
            items.append(item)
    return replace(program, items=tuple(items))


def _string_parameters(item: ast.Node, parameters: _Parameters) -> ast.Node:
    """``str($1)`` is the parameter's text, ``str($1 + k)`` without its first k characters."""

    def visit(node: ast.Node) -> ast.Node:
        match node:
            case ast.Call(name="str") if node.args:
                text = _text_of(node.args[0], parameters)
                if text is not None:
                    literal = ast.StrLit(span=node.args[0].span, value=text)
                    return replace(node, args=(literal, *node.args[1:]))
        return node

    return transform(item, visit)


def _text_of(node: ast.Node, parameters: _Parameters) -> bytes | None:
    match node:
        case ast.Param():
            if node.index == 0:
                parameters.check(0, node.span)
            return parameters.text(node.index).encode("utf-8", "surrogateescape")
        case ast.Binary(op="+", left=ast.Param() as param, right=ast.IntLit() as skip):
            raw = parameters.text(param.index).encode("utf-8", "surrogateescape")
            return skipped(raw, skip.value, node.span, parameters.sink).value
    return None


def attach_point(point: ast.AttachPoint, parameters: _Parameters) -> ast.AttachPoint:
    if "$" not in point.text:
        return point
    parts = tuple(
        part if quoted else _in_text(part, parameters, point.span)
        for part, quoted in zip(point.parts, point.quoted)
    )
    return replace(
        point,
        parts=parts,
        provider=_in_text(point.provider, parameters, point.span),
        text=_in_text(point.text, parameters, point.span),
        location=_in_text(point.location, parameters, point.span),
    )


def _in_text(text: str, parameters: _Parameters, span: Span) -> str:
    """Replaces ``$N`` and ``$#`` within a text."""
    out: list[str] = []
    at = 0
    while True:
        dollar = text.find("$", at)
        if dollar < 0:
            return "".join(out) + text[at:]
        out.append(text[at:dollar])
        end = dollar + 1
        if text[end : end + 1] == "#":
            out.append(str(len(parameters.values)))
            at = end + 1
            continue
        while end < len(text) and text[end].isdigit():
            end += 1
        if end == dollar + 1:
            out.append("$")
        else:
            index = int(text[dollar + 1 : end])
            parameters.check(index, span)
            out.append(parameters.text(index))
        at = end


def integer(text: str) -> int | None:
    """The number that a parameter is in any literal form of the language, else None."""
    negative = text.startswith("-")
    digits = text[1:] if negative else text
    if not digits[:1].isdigit():
        return None
    value, fault = literals.integer(digits)
    if fault is not None:
        return None
    return -value if negative else value
