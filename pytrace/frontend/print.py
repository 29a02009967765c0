"""Syntax tree to text in house style, comments included.

Two spaces of indent, one statement a line, heads without needless parentheses, blank lines kept
(one at most). The text parses to the same tree with the same comments, and printing it again
changes nothing.
"""

from __future__ import annotations

import sys

from pytrace.frontend import ast
from pytrace.frontend.parser import parse
from pytrace.frontend.print_exprs import WIDTH, ExpressionPrinter, quoted
from pytrace.frontend.walk import impossible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import SourceFile

# A tree of the greatest depth takes about six frames a level.
FRAMES: Final = 256 * 8


def format_source(source: SourceFile, sink: DiagnosticSink) -> str | None:
    """A script in house style, or None after syntax errors. Bytes that are no UTF-8 come back as
    surrogates, see ``surrogateescape``."""
    program = parse(source, sink)
    return None if program is None else program_text(program)


def program_text(program: ast.Program, *, comments: bool = True) -> str:
    """The text of a tree; without comments where its nodes come from several sources."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, FRAMES))
    try:
        return _Printer(program, comments).program()
    finally:
        sys.setrecursionlimit(limit)


class _Printer(ExpressionPrinter):
    """``indent`` is that of the statements being printed, in characters."""

    def __init__(self, program: ast.Program, comments: bool) -> None:
        super().__init__()
        self.tree = program
        self.text = program.span.source.text if comments else b""
        self.pending = list(reversed(program.comments)) if comments else []
        self.angle = False

    # ------------------------------------------------------------ comments and blank lines

    def comments_before(self, node: ast.Node) -> str:
        return self._inline(node.span.start)

    def _inline(self, offset: int) -> str:
        """Comments before ``offset`` within a line that goes on."""
        margin = "\n" + " " * (self.indent + 4)
        text = ""
        while self.pending and self.pending[-1].span.start < offset:
            comment = self.pending.pop()
            alone = comment.own_line or text.endswith(margin)
            if alone and not text.endswith(margin):
                text = text.rstrip(" ") + margin
            text += comment.text + (margin if alone or comment.text.startswith("//") else " ")
        return text

    def _own_lines(self, lines: list[str], offset: int) -> None:
        """Comments before ``offset`` between statements: behind the last line or on their own."""
        behind = bool(lines)
        while self.pending and self.pending[-1].span.start < offset:
            comment = self.pending.pop()
            if behind and not comment.own_line:
                lines[-1] += " " + comment.text
            else:
                self._blank_line(lines, comment.span.start)
                lines.append(" " * self.indent + comment.text)
            behind = not comment.text.startswith("//")

    def _blank_line(self, lines: list[str], offset: int) -> None:
        """An empty line if the script has one before ``offset`` and something was printed."""
        before = self.text[:offset]
        gap = before[len(before.rstrip(b" \t\r\n(")) :]
        if gap.count(b"\n") > 1 and lines and lines[-1]:
            lines.append("")

    # ------------------------------------------------------------ the script

    def program(self) -> str:
        tree = self.tree
        lines: list[str] = []
        if tree.shebang is not None:
            lines.append(tree.shebang.rstrip())
        settings: list[ast.Config | ast.Import] = [*tree.imports]
        if tree.config is not None:
            settings.append(tree.config)
        settings.sort(key=lambda node: node.span.start)
        last = 0
        for node in (*tree.c_parts, *settings, *tree.items):
            start = node.span.start
            self._own_lines(lines, start)
            self._blank_line(lines, start)
            if isinstance(node, ast.Item) and b"\n" not in self.text[last:start] and last:
                lines.append("")
            if isinstance(node, ast.CppLine | ast.CDef):
                lines.append(node.text)
            else:
                lines.append(_trimmed(self._item(node)))
            last = _end(node)
        self._own_lines(lines, len(self.text))
        return "".join(f"{line}\n" for line in lines)

    def _item(self, node: ast.Config | ast.Import | ast.Item) -> str:
        match node:
            case ast.Config():
                return self._config(node)
            case ast.Import():
                return f"import {_quoted_text(node.path)};"
            case ast.MapDecl():
                return f"let {node.map.name} = {node.kind}({node.max_entries});"
            case ast.Macro():
                params = [self.comments_before(p) + _param(p) for p in node.params]
                body = self.block(node.body, wanted=True, short=False)
                return f"macro {node.name}({', '.join(params)}) {body}"
            case ast.Fn():
                typed = [f"${p.var.name} : {self.type(p.type)}" for p in node.params]
                returns = self.type(node.returns)
                return f"fn {node.name}({', '.join(typed)}) : {returns} {self._body(node.body)}"
            case ast.Probe():
                return self._probe(node)
            case _:
                raise impossible(node)

    def _config(self, node: ast.Config) -> str:
        lines = ["config = {"]
        self.indent = 2
        for entry in node.entries:
            self._own_lines(lines, entry.span.start)
            value = entry.value
            if isinstance(value, bool):
                text = "true" if value else "false"
            elif isinstance(value, int):
                text = str(value)
            else:
                text = _quoted_text(value) if entry.quoted else value
            lines.append(f"  {entry.key} = {text};")
        self._own_lines(lines, node.span.end)
        self.indent = 0
        return "\n".join([*lines, "}"]) if len(lines) > 1 else f"{lines[0]} }}"

    def _probe(self, node: ast.Probe) -> str:
        lines: list[str] = []
        for point in node.attach_points:
            if lines:
                lines[-1] += ","
            self._own_lines(lines, point.span.start)
            lines.append(f"{point.label}={point.text}" if point.label else point.text)
        if node.predicate is not None:
            predicate = f"/ {self.expr(node.predicate)} /"
            if len(lines) == 1 and len(lines[0]) + len(predicate) < WIDTH - 2:
                lines[0] += f" {predicate}"
            else:
                lines.append(predicate)
        head = list(lines)
        self._own_lines(lines, node.body.span.start)
        body = self._body(node.body)
        if len(head) == 1 and lines == head and "\n" not in lines[0]:
            return f"{lines[0]} {body}"
        return "\n".join([*lines, body])

    # ------------------------------------------------------------ blocks

    def _body(self, node: ast.Block) -> str:
        """The block of an item, a loop or an ``if`` that is a statement."""
        return self.block(node, wanted=False)

    def block(self, node: ast.Block, *, wanted: bool, short: bool = True) -> str:
        opener, closer = ("<", ">") if node.angle else ("{", "}")
        before = self._inline(node.span.start)
        outer = self.angle
        self.angle = node.angle
        self.indent += 2
        lines = [opener]
        for stmt in node.stmts:
            start = _start(stmt)
            self._own_lines(lines, start)
            if len(lines) > 1:
                self._blank_line(lines, start)
            lines.append(self._line(stmt))
        if node.value is not None:
            self._own_lines(lines, node.value.span.start)
            lines.append(self._value(node.value))
        elif wanted and node.stmts and isinstance(node.stmts[-1], ast.If | ast.BlockStmt):
            lines[-1] += ";"  # Without it that statement would be the block's value.
        self._own_lines(lines, node.span.end)
        self.indent -= 2
        self.angle = outer
        return before + self._closed(lines, closer, short=short and not node.stmts)

    def _closed(self, lines: Sequence[str], closer: str, *, short: bool) -> str:
        if len(lines) == 1 and "\n" not in lines[0] and "//" not in lines[0]:
            return f"{lines[0]} {closer}"
        if short and len(lines) == 2 and "\n" not in lines[1] and "//" not in "".join(lines):
            return f"{lines[0]} {lines[1].strip()} {closer}"
        return "\n".join([*lines, " " * self.indent + closer])

    def _line(self, stmt: ast.Stmt) -> str:
        return " " * self.indent + self._stmt(stmt)

    def _value(self, node: ast.Expr) -> str:
        if isinstance(node, ast.IfExpr | ast.BlockExpr):
            return " " * self.indent + self.expr(node)
        return " " * self.indent + self.statement_expr(node, self.angle)

    # ------------------------------------------------------------ statements

    def _stmt(self, stmt: ast.Stmt) -> str:
        angle = self.angle
        match stmt:
            case ast.Assign():
                target = self.expr(stmt.target)
                return f"{target} {stmt.op} {self.expr(stmt.value, angle=angle)};"
            case ast.Let():
                return self._let(stmt)
            case ast.ExprStmt():
                return self.statement_expr(stmt.expr, angle) + ";"
            case ast.Discard():
                return f"_ = {self.expr(stmt.expr, angle=angle)};"
            case ast.Jump():
                return f"{stmt.kind};"
            case ast.Return():
                value = "" if stmt.value is None else " " + self.expr(stmt.value, angle=angle)
                return f"return{value};"
            case ast.Import():
                return f"import {_quoted_text(stmt.path)};"
            case ast.If():
                return self._if_stmt(stmt)
            case ast.ForRange():
                bounds = f"{self.bound(stmt.start)}..{self.bound(stmt.end)}"
                return f"for ${stmt.var.name} : {bounds} {self._body(stmt.body)}"
            case ast.ForMap():
                return f"for ${stmt.var.name} : {stmt.map.name} {self._body(stmt.body)}"
            case ast.While():
                return f"while {self.head(stmt.cond)} {self._body(stmt.body)}"
            case ast.Unroll():
                return f"unroll {self.head(stmt.count)} {self._body(stmt.body)}"
            case ast.BlockStmt():
                return self._body(stmt.body)
            case _:
                raise impossible(stmt)

    def _let(self, stmt: ast.Let) -> str:
        text = f"let ${stmt.var.name}"
        if stmt.type is not None:
            text += f" : {self.type(stmt.type)}"
        if stmt.value is not None:
            text += f" = {self.expr(stmt.value, angle=self.angle)}"
        return text + ";"

    def _if_stmt(self, stmt: ast.If) -> str:
        text = f"if {self.head(stmt.cond)} {self._body(stmt.then)}"
        if stmt.orelse is None:
            return text
        lines = [text]
        self._own_lines(lines, stmt.orelse.span.start)
        if isinstance(stmt.orelse, ast.If):
            other = self._if_stmt(stmt.orelse)
        else:
            other = self._body(stmt.orelse)
        if lines == [text]:
            return f"{text} else {other}"
        return "\n".join([*lines, " " * self.indent + f"else {other}"])


def _start(stmt: ast.Stmt) -> int:
    """Where a statement's text begins; a trailing expression has the span of its block."""
    return (stmt.expr if isinstance(stmt, ast.ExprStmt) else stmt).span.start


def _end(node: ast.Node) -> int:
    if isinstance(node, ast.Probe | ast.Macro | ast.Fn):
        return node.body.span.end
    return node.span.end


def _trimmed(text: str) -> str:
    """Lines without blanks at their ends; no string literal holds a newline."""
    return "\n".join(line.rstrip(" ") for line in text.split("\n"))


def _param(node: ast.MacroParam) -> str:
    return f"${node.name}" if node.kind == "var" else node.name


def _quoted_text(text: str) -> str:
    return quoted(text.encode("utf-8", "surrogateescape"))
