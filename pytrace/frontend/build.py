"""Tree nodes of statements and of what a script consists of, made as the parser reduces."""

from __future__ import annotations

from pytrace.frontend import ast, attach_points, scan
from pytrace.frontend.build_exprs import ExpressionBuilder
from pytrace.frontend.words import KEYWORDS, TYPE_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.source import Span
    from pytrace.frontend.build_exprs import Values

IMMUTABLE: Final = (
    "Tuples and records are immutable once created. "
    "Consider creating a new value and assigning it instead."
)

# Rules that nest one level deeper: brackets, blocks and operators, and what else lets a tree grow
# without them (a chain of else-ifs, an if in the head of an if).
LEVELS: Final = frozenset(
    "block block_expr if_else_if if_value paren tuple_empty tuple_one tuple_lit record call "
    "map_access index sizeof typeinfo offsetof typeof comptime field tuple_access post_incdec "
    "pre_incdec unary address_of_var address_of_map cast binary ternary ternary_short "
    "pointer_type array_type array_type_sized".split()
)


class Builder(ExpressionBuilder):
    """A method for each rule that the grammar names."""

    # ------------------------------------------------------------ statements

    def body(self, v: Values, start: int, end: int) -> tuple[object, object]:
        """Statements and value of a block whose last item ended in ``;`` or in a block."""
        items = v[0]
        value = None
        if items and isinstance(items[-1], ast.IfExpr | ast.BlockExpr):
            value = items.pop()
        return tuple(map(as_stmt, items)), value

    def body_tail(self, v: Values, start: int, end: int) -> tuple[object, object]:
        """The same where the last item has no ``;``."""
        if isinstance(v[1], ast.Stmt):
            return (*map(as_stmt, v[0]), v[1]), None
        return tuple(map(as_stmt, v[0])), v[1]

    def simple_stmt(self, v: Values, start: int, end: int) -> ast.Stmt:
        node = v[0]
        if isinstance(node, ast.Stmt):
            return node
        last = node.span.end if self.lexer.text[start] in "$@" else end
        return ast.ExprStmt(expr=node, span=self.span(start, last))

    def closed_stmt(self, v: Values, start: int, end: int) -> ast.Stmt:
        return as_stmt(v[0])

    def assign(self, v: Values, start: int, end: int) -> ast.Stmt:
        target, op, value = v
        span = self.span(start, end)
        if not isinstance(target, ast.Var | ast.Map | ast.MapAccess):
            self._bad_target(target, op, span)
        return ast.Assign(
            target=target,
            op=self.word(op),
            value=value,
            op_span=self.token_span(op),
            span=span,
        )

    def _bad_target(self, target: ast.Expr, op: int, span: Span) -> None:
        base = target
        while isinstance(base, ast.FieldAccess | ast.TupleAccess | ast.Index):
            base = base.base
        named = isinstance(base, ast.Var | ast.Map | ast.MapAccess)
        if self.lexer.kinds[op] == "ASSIGN_OP" or not named or base is target:
            start = self.lexer.starts[op]
            self.error("expected ';'", self.span(start, start + 1))
        elif isinstance(target, ast.Index):
            self.error("invalid assignment target", span)
        else:
            self.error(IMMUTABLE, span)

    def let(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Let(var=self.var_of(v[1]), span=self.span(start, end))

    def let_value(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Let(var=self.var_of(v[1]), value=v[3], span=self.span(start, end))

    def let_type(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Let(var=self.var_of(v[1]), type=v[3], span=self.span(start, end))

    def let_type_value(self, v: Values, start: int, end: int) -> ast.Stmt:
        span = self.span(start, end)
        return ast.Let(var=self.var_of(v[1]), type=v[3], value=v[5], span=span)

    def _jump_span(self, start: int) -> Span:
        lexer = self.lexer
        semicolon = lexer.kinds[self.at] == "SEMI"
        return self.span(start, (lexer.ends if semicolon else lexer.starts)[self.at])

    def jump(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Jump(kind=self.word(v[0]), span=self._jump_span(start))

    def return_nothing(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Return(span=self._jump_span(start))

    def return_value(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Return(value=v[1], span=self._jump_span(start))

    def discard(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Discard(expr=v[2], span=self.span(start, end))

    def for_map(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return (v[0],)

    def for_range(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return v[0], v[2]

    def for_head(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self._for_head(v[0], v[2])

    def for_head_paren(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self._for_head(v[1], v[3])

    def _for_head(self, var: int, over: tuple[object, ...]) -> tuple[object, ...]:
        if len(over) == 1 and not isinstance(over[0], ast.Map):
            self.error("expected map or range in for loop", self.token_span(self.at))
        return self.var_of(var), over

    def for_stmt(self, v: Values, start: int, end: int) -> ast.Stmt:
        var, over = v[1]
        span = self.span(start, end)
        body = without_value(v[2])
        if len(over) == 1:
            return ast.ForMap(var=var, map=over[0], body=body, span=span)
        return ast.ForRange(var=var, start=over[0], end=over[1], body=body, span=span)

    def while_stmt(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.While(cond=v[1], body=without_value(v[2]), span=self.span(start, end))

    def unroll_stmt(self, v: Values, start: int, end: int) -> ast.Stmt:
        return ast.Unroll(count=v[1], body=without_value(v[2]), span=self.span(start, end))

    # ------------------------------------------------------------ probes

    def attach_first(self, v: Values, start: int, end: int) -> list[object]:
        return [self._attach_point(start, end)]

    def attach_next(self, v: Values, start: int, end: int) -> object:
        v[0].append(self._attach_point(self.lexer.starts[v[2]], end))
        return v[0]

    def _attach_point(self, start: int, end: int) -> ast.AttachPoint:
        raw = self.source.text[start:end].decode("utf-8", "surrogateescape")
        fields = attach_points.split(raw)
        return ast.AttachPoint(
            provider=fields.provider,
            parts=fields.parts,
            quoted=fields.quoted,
            text=raw[fields.label_size :],
            label=fields.label,
            location=fields.location,
            span=self.span(start, end),
        )

    def no_predicate(self, v: Values, start: int, end: int) -> tuple[object, object]:
        return None, v[0]

    def predicate(self, v: Values, start: int, end: int) -> tuple[object, object]:
        return v[1], v[3]

    def probe(self, v: Values, start: int, end: int) -> ast.Item:
        points, (predicate, body) = v[0], v[-1]
        return ast.Probe(
            attach_points=tuple(points),
            predicate=predicate,
            body=without_value(body),
            span=self.span(start, points[-1].span.end),
        )

    probe_comma = probe

    # ------------------------------------------------------------ other items

    def shebang_line(self, v: Values, start: int, end: int) -> str:
        return self._text(start, end).rstrip()

    def _text(self, start: int, end: int) -> str:
        return self.source.text[start:end].decode("utf-8", "surrogateescape")

    def cpp_line(self, v: Values, start: int, end: int) -> ast.CppLine:
        text = self._text(start, end).rstrip()
        return ast.CppLine(text=text, span=self.span(start, end))

    def c_def(self, v: Values, start: int, end: int) -> ast.CDef:
        text = self.lexer.text
        kind_end = scan.word_end(text, start)
        return ast.CDef(
            kind=text[start:kind_end],
            name=scan.definition_name(text, kind_end),
            text=self._text(start, end),
            span=self.span(start, end),
        )

    def config(self, v: Values, start: int, end: int) -> ast.Config:
        return ast.Config(entries=tuple(v[3]), span=self.span(start, end))

    def config_entry(self, v: Values, start: int, end: int) -> ast.ConfigEntry:
        value, quoted, span = v[2]
        return ast.ConfigEntry(
            key=self.word(v[0]),
            value=value,
            quoted=quoted,
            value_span=span,
            span=self.span(start, end),
        )

    def config_int(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self.integer(v[0]), False, self.span(start, end)

    def config_string(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        text = self.string(v[0]).decode("utf-8", "surrogateescape")
        return text, True, self.span(start, end)

    def config_bool(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self.word(v[0]) == "true", False, self.span(start, end)

    def config_word(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self.word(v[0]), False, self.span(start, end)

    def import_path(self, v: Values, start: int, end: int) -> ast.Import:
        path = self.string(v[1]).decode("utf-8", "surrogateescape")
        return ast.Import(path=path, span=self.span(start, self.lexer.ends[v[1]]))

    def map_decl(self, v: Values, start: int, end: int) -> ast.Item:
        return ast.MapDecl(
            map=self.map_of(v[1]),
            kind=self.word(v[3]),
            max_entries=self.integer(v[5]),
            kind_span=self.token_span(v[3]),
            span=self.span(start, end),
        )

    def macro_var(self, v: Values, start: int, end: int) -> ast.MacroParam:
        return ast.MacroParam(kind="var", name=self.word(v[0])[1:], span=self.span(start, end))

    def macro_map(self, v: Values, start: int, end: int) -> ast.MacroParam:
        return ast.MacroParam(kind="map", name=self.word(v[0]), span=self.span(start, end))

    def macro_expr(self, v: Values, start: int, end: int) -> ast.MacroParam:
        name, span = self.word(v[0]), self.span(start, end)
        for what, known in (
            ("builtin", scan.is_raw_builtin(name)),
            ("keyword", name in KEYWORDS),
            ("type", name in TYPE_NAMES),
        ):
            if known:
                self.error(f"{what} '{name}' can't be used as a macro argument", span)
        return ast.MacroParam(kind="expr", name=name, span=span)

    def macro(self, v: Values, start: int, end: int) -> ast.Item:
        return ast.Macro(
            name=self.word(v[1]),
            params=tuple(v[3]),
            body=v[5],
            doc=self._doc(start),
            span=self.span(start, self.lexer.ends[v[1]]),
        )

    def fn_param(self, v: Values, start: int, end: int) -> ast.FnParam:
        return ast.FnParam(var=self.var_of(v[0]), type=v[2], span=self.span(start, end))

    def fn(self, v: Values, start: int, end: int) -> ast.Item:
        return ast.Fn(
            name=self.word(v[1]),
            params=tuple(v[3]),
            returns=v[6],
            body=without_value(v[7]),
            doc=self._doc(start),
            span=self.span(start, self.lexer.ends[v[1]]),
        )

    def _doc(self, start: int) -> str:
        """Text of the comments right above an item, without markers and margins."""
        text = self.lexer.text
        lines: list[str] = []
        for begin, end in reversed(self.lexer.comments):
            if begin >= start:
                continue
            if text[end:start].strip(" \t\r\n") or text.count("\n", end, start) > 1:
                break
            if not _own_line(text, begin):
                break
            lines[:0] = _comment_lines(self._text(begin, end))
            start = begin
        return "\n".join(lines).strip()

    def program(self, v: Values, start: int, end: int) -> ast.Program:
        config: ast.Config | None = None
        imports = []
        for setting in v[2]:
            if isinstance(setting, ast.Import):
                imports.append(setting)
            elif config is None:
                config = setting
            else:
                begin = setting.span.start
                self.error("duplicate config block", self.span(begin, begin + len("config")))
        return ast.Program(
            shebang=v[0],
            c_parts=tuple(v[1]),
            config=config,
            imports=tuple(imports),
            items=tuple(v[3]),
            comments=self._comments(),
            span=self.span(0, self.lexer.length),
        )

    def _comments(self) -> tuple[ast.Comment, ...]:
        text = self.lexer.text
        return tuple(
            ast.Comment(
                # One that stays open ends with the text.
                text="\n".join(map(str.rstrip, self._text(start, end).rstrip().split("\n"))),
                own_line=_own_line(text, start),
                span=self.span(start, end),
            )
            for start, end in self.lexer.comments
        )


def _own_line(text: str, start: int) -> bool:
    """Whether nothing but blanks stands before ``start`` on its line."""
    while start > 0 and text[start - 1] in " \t\r":
        start -= 1
    return start == 0 or text[start - 1] == "\n"


def _comment_lines(comment: str) -> list[str]:
    """Lines of a comment without ``//``, ``/* */`` and leading stars."""
    if comment.startswith("//"):
        return [comment[2:].strip()]
    inner = comment[2:-2] if comment.endswith("*/") else comment[2:]
    return [line.strip().lstrip("*").strip() for line in inner.split("\n")]


def as_stmt(item: ast.Stmt | ast.IfExpr | ast.BlockExpr) -> ast.Stmt:
    """An item of a block that is not its value: ``if`` and ``{ }`` become statements."""
    if isinstance(item, ast.IfExpr):
        return _if_stmt(item)
    if isinstance(item, ast.BlockExpr):
        return ast.BlockStmt(body=without_value(item.body), span=item.span)
    return item


def _if_stmt(node: ast.IfExpr) -> ast.If:
    orelse = node.orelse
    return ast.If(
        cond=node.cond,
        then=without_value(node.then),
        orelse=_if_stmt(orelse)
        if isinstance(orelse, ast.IfExpr)
        else without_value(orelse)
        if orelse is not None
        else None,
        span=node.span,
    )


def without_value(block: ast.Block) -> ast.Block:
    """The block with its trailing expression as a statement."""
    value = block.value
    if value is None:
        return block
    if isinstance(value, ast.IfExpr | ast.BlockExpr):
        last = as_stmt(value)
    else:
        last = ast.ExprStmt(expr=value, span=block.span)
    return ast.Block(stmts=(*block.stmts, last), angle=block.angle, span=block.span)
