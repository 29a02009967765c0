"""Expressions and types as text, with as few parentheses as the tree allows."""

from __future__ import annotations

from pytrace.frontend import ast, scan
from pytrace.frontend.walk import impossible
from pytrace.frontend.words import STATEMENT_WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

WIDTH: Final = 100

# How tightly things bind; what binds less than its place wants is put in parentheses.
TERNARY, OR, PRODUCT, UNARY, POSTFIX, PRIMARY = 0, 1, 10, 11, 12, 13

BINARY_LEVELS: Final[Mapping[str, int]] = {
    "||": OR,
    "&&": 2,
    "|": 3,
    "^": 4,
    "&": 5,
    **dict.fromkeys(("==", "!="), 6),
    **dict.fromkeys(("<", "<=", ">", ">="), 7),
    **dict.fromkeys(("<<", ">>"), 8),
    **dict.fromkeys(("+", "-"), 9),
    **dict.fromkeys(("*", "/", "%"), PRODUCT),
}

ESCAPES: Final[Mapping[str, str]] = {
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
}


def quoted(value: bytes) -> str:
    """A string literal; bytes that are no UTF-8 and control characters become ``\\xHH``."""
    text = value.decode("utf-8", "surrogateescape")
    return '"' + "".join(map(_quoted_char, text)) + '"'


def _quoted_char(char: str) -> str:
    if char in ESCAPES:
        return ESCAPES[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return char if code >= 32 and code != 127 else f"\\x{code:02x}"


def type_text(node: ast.TypeExpr) -> str:
    """A type whose ``typeof`` holds no expression, for messages and plain types."""
    return ExpressionPrinter().type(node)


class ExpressionPrinter:
    """Expressions; a subclass knows blocks and comments.

    ``angle`` is true at depth 0 of an angle block, where ``>`` and ``>>`` need parentheses.
    """

    def __init__(self) -> None:
        self.indent = 0

    def comments_before(self, node: ast.Node) -> str:
        """Text of the comments that stand before a node and are not yet printed."""
        return ""

    def block(self, node: ast.Block, *, wanted: bool) -> str:
        """A block; ``wanted`` if its trailing expression is its value."""
        raise NotImplementedError

    # ------------------------------------------------------------ expressions

    def expr(self, node: ast.Expr | ast.TypeExpr, least: int = TERNARY, angle: bool = False) -> str:
        """Text of a node, in parentheses if it binds less tightly than ``least``."""
        if isinstance(node, ast.TypeExpr):
            return self.type(node)
        level = _level(node)
        if level < least or (angle and isinstance(node, ast.Binary) and node.op in (">", ">>")):
            return f"{self.comments_before(node)}({self._expr(node, False)})"
        return self.comments_before(node) + self._expr(node, angle)

    def _expr(self, node: ast.Expr, angle: bool) -> str:
        match node:
            case ast.IntLit():
                return node.text or str(node.value)
            case ast.BoolLit():
                return "true" if node.value else "false"
            case ast.StrLit():
                return quoted(node.value)
            case ast.Param():
                return f"${node.index}"
            case ast.ParamCount():
                return "$#"
            case ast.Ident() | ast.Map():
                return node.name
            case ast.Var():
                return f"${node.name}"
            case ast.MapAccess():
                return f"{node.map.name}[{self._list(node.keys)}]"
            case ast.Call():
                return self._call(node)
            case ast.Unary():
                return self._prefix(node.op, self.expr(node.operand, UNARY, angle))
            case ast.IncDec():
                target = self.expr(node.target, PRIMARY)
                return node.op + target if node.prefix else target + node.op
            case ast.AddressOf():
                return "&" + self.expr(node.target, PRIMARY)
            case ast.Binary():
                return self._binary(node, angle)
            case ast.Ternary():
                return self._ternary(node, angle)
            case ast.Cast():
                return self._cast(node, angle)
            case ast.Comptime():
                return "comptime " + self.expr(node.operand, UNARY, angle)
            case ast.IfExpr():
                return self._if(node)
            case ast.BlockExpr():
                return self.block(node.body, wanted=True)
            case _:
                return self._bracketed(node)

    def _bracketed(
        self,
        node: ast.FieldAccess
        | ast.TupleAccess
        | ast.Index
        | ast.TupleLit
        | ast.RecordLit
        | ast.Sizeof
        | ast.Typeinfo
        | ast.Offsetof,
    ) -> str:
        match node:
            case ast.FieldAccess():
                return f"{self.expr(node.base, POSTFIX)}{'->' if node.arrow else '.'}{node.name}"
            case ast.TupleAccess():
                return f"{self.expr(node.base, POSTFIX)}.{node.index}"
            case ast.Index():
                base = self.expr(node.base, POSTFIX)
                if isinstance(node.base, ast.Map):
                    base = f"({base})"
                return f"{base}[{self.expr(node.index)}]"
            case ast.TupleLit():
                return f"({self._list(node.elems)}{',' if len(node.elems) == 1 else ''})"
            case ast.RecordLit():
                fields = zip(node.names, node.elems, strict=True)
                return f"({', '.join(f'{name}={self.expr(elem)}' for name, elem in fields)})"
            case ast.Sizeof():
                return f"sizeof({self._operand(node.operand)})"
            case ast.Typeinfo():
                return f"typeinfo({self._operand(node.operand)})"
            case ast.Offsetof():
                return f"offsetof({self._operand(node.operand)}, {'.'.join(node.path)})"
            case _:
                raise impossible(node)

    def _list(self, nodes: Sequence[ast.Expr]) -> str:
        return ", ".join(self.expr(node) for node in nodes)

    def _call(self, node: ast.Call) -> str:
        args = [self.expr(arg) for arg in node.args]
        pieces = [arg + "," for arg in args[:-1]] + [arg + ")" for arg in args[-1:]]
        return node.name + "(" + (self._filled(pieces) if pieces else ")")

    def _prefix(self, op: str, operand: str) -> str:
        return f"{op} {operand}" if op[-1] == operand[:1] and op[-1] in "-&" else op + operand

    def _binary(self, node: ast.Binary, angle: bool) -> str:
        # Chains lean to the left and may be long: the left spine is walked, not recursed into.
        spine = [node]
        while isinstance(left := spine[-1].left, ast.Binary) and (
            BINARY_LEVELS[left.op] >= BINARY_LEVELS[spine[-1].op]
            and not (angle and left.op in (">", ">>"))
        ):
            spine.append(left)
        pieces = [self.expr(spine[-1].left, BINARY_LEVELS[spine[-1].op], angle)]
        for part in reversed(spine):
            before = self.comments_before(part.right)
            right = self.expr(part.right, BINARY_LEVELS[part.op] + 1, angle)
            if part.op == "/" and right.startswith("{"):
                right = f"({right})"  # The slash would end a predicate.
            pieces[-1] += f" {part.op}"
            pieces.append(before + right)
        return self._filled(pieces)

    def _filled(self, pieces: Sequence[str]) -> str:
        """Pieces on one line if they fit, else on as few as they need."""
        one_line = " ".join(pieces)
        if self.indent + len(one_line) <= WIDTH - 12 or any("\n" in piece for piece in pieces):
            return one_line
        lines = [pieces[0]]
        for piece in pieces[1:]:
            # A comment at the begin of a line would count as one on its own line.
            full = self.indent + 4 + len(lines[-1]) + len(piece) > WIDTH - 12
            if full and not piece.startswith("/"):
                lines.append(piece)
            else:
                lines[-1] += " " + piece
        return ("\n" + " " * (self.indent + 4)).join(lines)

    def _ternary(self, node: ast.Ternary, angle: bool) -> str:
        cond = self.expr(node.cond, OR, angle)
        if node.then is None:
            return f"{cond} ?: {self.expr(node.orelse, TERNARY, angle)}"
        then = self.expr(node.then, TERNARY, angle)
        return f"{cond} ? {then} : {self.expr(node.orelse, TERNARY, angle)}"

    def _cast(self, node: ast.Cast, angle: bool) -> str:
        type_ = self.type(node.type)
        before = self.comments_before(node.operand)
        operand = self.expr(node.operand, UNARY, angle)
        if operand[:1] in ("+", "{"):
            operand = f"({operand})"  # What begins so is not taken for the operand of a cast.
        return f"({type_}){before}{operand}"

    def _if(self, node: ast.IfExpr) -> str:
        text = f"if {self.head(node.cond)} {self.block(node.then, wanted=True)}"
        if node.orelse is None:
            return text
        if isinstance(node.orelse, ast.IfExpr):
            return f"{text} else {self._if(node.orelse)}"
        return f"{text} else {self.block(node.orelse, wanted=True)}"

    def head(self, node: ast.Expr) -> str:
        """The condition of an ``if`` or ``while``: parentheses only where they are needed."""
        before = self.comments_before(node)
        text = self.expr(node)
        bare = _level(node) >= UNARY and not isinstance(node, ast.IfExpr) and text[0] not in "({"
        return before + (text if bare else f"({text})")

    def bound(self, node: ast.Expr) -> str:
        """A bound of a range."""
        if isinstance(node, ast.Cast | ast.Comptime):
            return self.expr(node)
        return self.expr(node, PRIMARY)

    def statement_expr(self, node: ast.Expr, angle: bool) -> str:
        """An expression that must not be taken for another kind of statement."""
        before = self.comments_before(node)
        text = self.expr(node, angle=angle)
        if text.startswith("{") or text[: scan.word_end(text + "\0", 0)] in STATEMENT_WORDS:
            text = f"({text})"
        return before + text

    def _operand(self, node: ast.Expr | ast.TypeExpr) -> str:
        """What stands in sizeof and its like: a value that looks like a type needs parentheses."""
        text = self.expr(node)
        if isinstance(node, ast.TypeExpr) or scan.type_end(text + "\0", 0) != len(text):
            return text
        return f"({text})"

    # ------------------------------------------------------------ types

    def type(self, node: ast.TypeExpr) -> str:
        """``struct s *``, ``int8[4]``, ``typeof($x)``."""
        suffixes: list[str] = []
        while isinstance(node, ast.PointerType | ast.ArrayType):
            if isinstance(node, ast.PointerType):
                below = isinstance(node.base, ast.PointerType)
                suffixes.append("*" if below else " *")
            else:
                suffixes.append(f"[{'' if node.count is None else node.count}]")
            node = node.base
        match node:
            case ast.NamedType():
                text = node.name
            case ast.TagType():
                text = f"{node.kind} {node.name}"
            case ast.TypeofType():
                text = f"typeof({self._operand(node.operand)})"
            case _:
                raise impossible(node)
        return self.comments_before(node) + text + "".join(reversed(suffixes))


def _level(node: ast.Expr) -> int:
    match node:
        case ast.Ternary():
            return TERNARY
        case ast.Binary():
            return BINARY_LEVELS[node.op]
        case ast.Unary() | ast.AddressOf() | ast.Cast() | ast.Comptime():
            return UNARY
        case ast.IncDec():
            return UNARY if node.prefix else POSTFIX
        case ast.FieldAccess() | ast.TupleAccess() | ast.Index():
            return POSTFIX
        case ast.IntLit():
            return PRIMARY if node.value >= 0 else UNARY
        case _:
            return PRIMARY
