"""Tree nodes of expressions and types, made as the parser reduces.

A method is named in the grammar and called with the values of its symbols and with where the
reduced text begins and ends. The value of a token is its index; other values are what methods
return. Faults are reported and parsing goes on with some node.
"""

from __future__ import annotations

from pytrace.base.source import Span
from pytrace.frontend import ast, literals
from pytrace.frontend.lexer import TOO_DEEP, Lexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import SourceFile

    Values = list[Any]

I64_MAX: Final = (1 << 63) - 1

# More than this many syntax errors help nobody.
MAX_ERRORS: Final = 20

_new_span = Span.__new__


class ExpressionBuilder:
    """Methods for the rules of expressions, types and lists; what all rules share."""

    def __init__(self, source: SourceFile, lexer: Lexer, sink: DiagnosticSink) -> None:
        self.source = source
        self.lexer = lexer
        self.sink = sink
        self.errors = 0
        self.at = 0  # The parser's look-ahead, the token behind what is reduced.

    # ------------------------------------------------------------ shared

    def span(self, start: int, end: int) -> Span:
        # Every node has one, so this does not go through Frozen's checks.
        made = _new_span(Span)
        fields = made.__dict__
        fields["source"] = self.source
        fields["start"] = start
        fields["end"] = end
        return made

    def token_span(self, token: int) -> Span:
        return self.span(self.lexer.starts[token], self.lexer.ends[token])

    def word(self, token: int) -> str:
        lexer = self.lexer
        return lexer.text[lexer.starts[token] : lexer.ends[token]]

    def error(self, message: str, span: Span) -> None:
        self.errors += 1
        if self.errors <= MAX_ERRORS:
            self.sink.error("syntax", f"syntax: {message}", span)

    def too_deep(self, token: int) -> None:
        """Report it even where there are many errors already; they may come from the depth."""
        self.errors += 1
        self.sink.error("syntax", f"syntax: {TOO_DEEP}", self.token_span(token))

    def new_list(self, v: Values, start: int, end: int) -> list[object]:
        return []

    def one(self, v: Values, start: int, end: int) -> list[object]:
        return [v[0]]

    def first(self, v: Values, start: int, end: int) -> object:
        return v[0]

    def add(self, v: Values, start: int, end: int) -> object:
        v[0].append(v[1])
        return v[0]

    def add_after(self, v: Values, start: int, end: int) -> object:
        v[0].append(v[2])
        return v[0]

    def nothing(self, v: Values, start: int, end: int) -> None:
        return None

    # ------------------------------------------------------------ literals and names

    def integer(self, token: int) -> int:
        """Value of an INT token; 0 after a reported fault."""
        value, fault = literals.integer(self.word(token))
        if fault is not None:
            self._literal_fault(token, fault)
        return value

    def string(self, token: int) -> bytes:
        """Bytes of a STRING token."""
        value, faults = literals.string(self.word(token))
        for fault in faults:
            self._literal_fault(token, fault)
        return value

    def _literal_fault(self, token: int, fault: literals.Fault) -> None:
        message, start, end = fault
        base = self.lexer.starts[token]
        self.error(message, self.span(base + start, base + end))

    def int_lit(self, v: Values, start: int, end: int) -> ast.Expr:
        text = self.word(v[0])
        return ast.IntLit(value=self.integer(v[0]), text=text, span=self.span(start, end))

    def str_lit(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.StrLit(value=self.string(v[0]), span=self.span(start, end))

    def bool_lit(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.BoolLit(value=self.word(v[0]) == "true", span=self.span(start, end))

    def param(self, v: Values, start: int, end: int) -> ast.Expr:
        digits = self.word(v[0])[1:]
        significant = digits.lstrip("0")
        index = int(significant) if 0 < len(significant) < 20 else 0
        span = self.span(start, end)
        if not 1 <= index <= I64_MAX:
            self.error(f"param ${digits} is out of integer range [1, {I64_MAX}]", span)
        return ast.Param(index=index, span=span)

    def param_count(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.ParamCount(span=self.span(start, end))

    def ident(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Ident(name=self.word(v[0]), span=self.span(start, end))

    def var(self, v: Values, start: int, end: int) -> ast.Var:
        return self.var_of(v[0])

    def map(self, v: Values, start: int, end: int) -> ast.Map:
        return self.map_of(v[0])

    def var_of(self, token: int) -> ast.Var:
        return ast.Var(name=self.word(token)[1:], span=self.token_span(token))

    def map_of(self, token: int) -> ast.Map:
        return ast.Map(name=self.word(token), span=self.token_span(token))

    # ------------------------------------------------------------ primaries

    def map_access(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.MapAccess(map=self.map_of(v[0]), keys=tuple(v[2]), span=self.span(start, end))

    def call(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Call(
            name=self.word(v[0]),
            args=tuple(v[2]),
            name_span=self.token_span(v[0]),
            span=self.span(start, end),
        )

    def if_then(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return v[0], v[1], None

    def if_else(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return v[0], v[1], v[3]

    if_else_if = if_else

    def if_expr(self, v: Values, start: int, end: int) -> ast.Expr:
        cond, then, orelse = v[1]
        return ast.IfExpr(cond=cond, then=then, orelse=orelse, span=self.span(start, end))

    if_value = if_expr

    def block_expr(self, v: Values, start: int, end: int) -> ast.Expr:
        body = self.block(v, start, end)
        return ast.BlockExpr(body=body, span=body.span)

    def block(self, v: Values, start: int, end: int) -> ast.Block:
        stmts, value = v[1]
        return ast.Block(
            stmts=stmts,
            value=value,
            angle=self.lexer.text[start] == "<",
            span=self.span(start, end),
        )

    def paren(self, v: Values, start: int, end: int) -> object:
        return v[1]

    def tuple_empty(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.TupleLit(elems=(), span=self.span(start, end))

    def tuple_one(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.TupleLit(elems=(v[1],), span=self.span(start, end))

    def tuple_lit(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.TupleLit(elems=(v[1], *v[3]), span=self.span(start, end))

    def record_field(self, v: Values, start: int, end: int) -> tuple[object, ...]:
        return self.word(v[0]), v[2], self.span(start, end)

    def add_field(self, v: Values, start: int, end: int) -> object:
        fields, (name, _, span) = v[0], v[2]
        if any(name == other for other, _, _ in fields):
            self.error(f"Named argument list already contains name: {name}", span)
        else:
            fields.append(v[2])
        return fields

    def record(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.RecordLit(
            names=tuple(field[0] for field in v[1]),
            elems=tuple(field[1] for field in v[1]),
            span=self.span(start, end),
        )

    def sizeof(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Sizeof(operand=v[2], span=self.span(start, end))

    def typeinfo(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Typeinfo(operand=v[2], span=self.span(start, end))

    def offsetof(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Offsetof(operand=v[2], path=tuple(v[4]), span=self.span(start, end))

    def path_first(self, v: Values, start: int, end: int) -> list[str]:
        return [self.word(v[0])]

    def path_next(self, v: Values, start: int, end: int) -> object:
        v[0].append(self.word(v[2]))
        return v[0]

    def comptime(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Comptime(operand=v[1], span=self.span(start, end))

    # ------------------------------------------------------------ operators

    def field(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.FieldAccess(
            base=v[0],
            name=self.word(v[2]),
            arrow=self.word(v[1]) == "->",
            name_span=self.token_span(v[2]),
            span=self.span(v[0].span.start, end),
        )

    def tuple_access(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.TupleAccess(
            base=v[0], index=self.integer(v[2]), span=self.span(v[0].span.start, end)
        )

    def index(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Index(base=v[0], index=v[2], span=self.span(v[0].span.start, end))

    def post_incdec(self, v: Values, start: int, end: int) -> ast.Expr:
        if not isinstance(v[0], ast.Var | ast.Map | ast.MapAccess):
            self.error("increment/decrement requires a variable or map", self.token_span(v[1]))
        span = self.span(v[0].span.start, end)
        return ast.IncDec(op=self.word(v[1]), prefix=False, target=v[0], span=span)

    def pre_incdec(self, v: Values, start: int, end: int) -> ast.Expr:
        if not isinstance(v[1], ast.Var | ast.Map | ast.MapAccess):
            self.error("increment/decrement requires a variable or map", v[1].span)
        span = self.span(start, end)
        return ast.IncDec(op=self.word(v[0]), prefix=True, target=v[1], span=span)

    def unary(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Unary(op=self.word(v[0]), operand=v[1], span=self.span(start, end))

    def address_of_var(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.AddressOf(target=self.var_of(v[1]), span=self.span(start, end))

    def address_of_map(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.AddressOf(target=self.map_of(v[1]), span=self.span(start, end))

    def cast(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Cast(type=v[1], operand=v[3], span=self.span(start, self.lexer.ends[v[2]]))

    def binary(self, v: Values, start: int, end: int) -> ast.Expr:
        return ast.Binary(
            op=self.word(v[1]),
            left=v[0],
            right=v[2],
            op_span=self.token_span(v[1]),
            span=self.span(v[0].span.start, end),
        )

    def ternary(self, v: Values, start: int, end: int) -> ast.Expr:
        span = self.span(v[0].span.start, end)
        return ast.Ternary(cond=v[0], then=v[2], orelse=v[4], span=span)

    def ternary_short(self, v: Values, start: int, end: int) -> ast.Expr:
        span = self.span(v[0].span.start, end)
        return ast.Ternary(cond=v[0], then=None, orelse=v[3], span=span)

    # ------------------------------------------------------------ types

    def type_span(self, start: int) -> Span:
        return self.span(start, self.lexer.starts[self.at])

    def named_type(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.NamedType(name=self.word(v[0]), span=self.type_span(start))

    def tag_type(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.TagType(kind=self.word(v[0]), name=self.word(v[1]), span=self.type_span(start))

    def typeof(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.TypeofType(operand=v[2], span=self.span(start, end))

    def pointer_type(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.PointerType(base=v[0], span=self.type_span(start))

    def array_type(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.ArrayType(base=v[0], count=None, span=self.type_span(start))

    def array_type_sized(self, v: Values, start: int, end: int) -> ast.TypeExpr:
        return ast.ArrayType(base=v[0], count=self.integer(v[2]), span=self.type_span(start))
