"""The syntax tree of a script, as written.

Nodes are immutable and compare by identity; findings about them live in side tables. ``Expr``,
``Stmt``, ``TypeExpr`` and ``Item`` are closed unions: match on them and end with ``case _: raise
impossible(node)`` (walk.py). At run time each is the tuple of its classes, for ``isinstance``.

A node's span is where messages about it point: its text, but for these (all as in bpftrace).
Parentheses around an expression belong to no span, and ``(a) + b`` and ``(a).b`` begin at ``a``.
``Cast``: ``(type)`` alone. ``Probe``: its attach points; ``Macro`` and ``Fn``: up to the name.
``Jump`` and ``Return`` take in their ``;``, an ``ExprStmt`` does unless it begins with ``$`` or
``@``; other statements do not. A type's span runs up to the next token.
"""

from __future__ import annotations

from pytrace.base.frozen import Frozen
from pytrace.base.source import Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias, Union


class Node(Frozen):
    span: Span


# ---------------------------------------------------------------- types


class NamedType(Node):
    """``int32``, ``string``, ``pid_t``, ``hist_t``: any name that is not a C tag."""

    name: str


class TagType(Node):
    """``struct S``, ``union U``, ``enum E``; ``kind`` is the keyword."""

    kind: str
    name: str


class TypeofType(Node):
    """``typeof(...)`` of a type or of an expression, which is not evaluated."""

    operand: Union[TypeExpr, Expr]


class PointerType(Node):
    base: TypeExpr


class ArrayType(Node):
    """``T[n]``; ``count`` is None for ``T[]``. ``string[n]`` is one too, until semantics."""

    base: TypeExpr
    count: int | None


if TYPE_CHECKING:
    TypeExpr: TypeAlias = NamedType | TagType | TypeofType | PointerType | ArrayType
else:
    TypeExpr = (NamedType, TagType, TypeofType, PointerType, ArrayType)

# ---------------------------------------------------------------- expressions


class IntLit(Node):
    """``text`` is what was written (``0x1F``, ``10ms``), empty for folded values."""

    value: int
    text: str = ""


class BoolLit(Node):
    value: bool


class StrLit(Node):
    """``value`` is the bytes after escapes."""

    value: bytes


class Param(Node):
    """A positional parameter ``$1``; ``index`` 0 is an error found later."""

    index: int


class ParamCount(Node):
    """``$#``"""


class Ident(Node):
    """A bare name: a builtin, macro, enum constant or ``#define``."""

    name: str


class Var(Node):
    """A scratch variable; ``name`` has no ``$``."""

    name: str


class Map(Node):
    """A map without key; ``name`` has its ``@`` (the anonymous map is ``@``)."""

    name: str


class MapAccess(Node):
    """``@m[k1, k2]``; at least one key."""

    map: Map
    keys: tuple[Expr, ...]


class Call(Node):
    """``name(args)``; ``name_span`` covers the name alone. ``typeof(T)`` may be an argument."""

    name: str
    args: tuple[Union[Expr, TypeExpr], ...]
    name_span: Span


class Unary(Node):
    """``op`` is one of ``- ! ~ *``."""

    op: str
    operand: Expr


class IncDec(Node):
    """``op`` is ``++`` or ``--``; the target is a variable or a map."""

    op: str
    prefix: bool
    target: Expr


class AddressOf(Node):
    target: Union[Var, Map, MapAccess]


class Binary(Node):
    """``op`` as written: arithmetic, shift, comparison, bit or logical operator."""

    op: str
    left: Expr
    right: Expr
    op_span: Span


class Ternary(Node):
    """``cond ? then : orelse``; ``then`` is None for ``cond ?: orelse``."""

    cond: Expr
    then: Expr | None
    orelse: Expr


class Cast(Node):
    type: TypeExpr
    operand: Expr


class FieldAccess(Node):
    """``x.name`` or ``x->name``; ``name_span`` covers the field name."""

    base: Expr
    name: str
    arrow: bool
    name_span: Span


class TupleAccess(Node):
    """``x.0``"""

    base: Expr
    index: int


class Index(Node):
    """``x[i]`` where x is not a map."""

    base: Expr
    index: Expr


class TupleLit(Node):
    elems: tuple[Expr, ...]


class RecordLit(Node):
    names: tuple[str, ...]
    elems: tuple[Expr, ...]


class BlockExpr(Node):
    """``{ stmts; value }`` where a value is wanted."""

    body: Block


class IfExpr(Node):
    """An ``if`` used for its value; branches end in a value."""

    cond: Expr
    then: Block
    orelse: Union[Block, IfExpr, None]


class Sizeof(Node):
    operand: Union[TypeExpr, Expr]


class Offsetof(Node):
    operand: Union[TypeExpr, Expr]
    path: tuple[str, ...]


class Typeinfo(Node):
    operand: Union[TypeExpr, Expr]


class Comptime(Node):
    operand: Expr


if TYPE_CHECKING:
    Expr: TypeAlias = (
        IntLit | BoolLit | StrLit | Param | ParamCount | Ident | Var | Map | MapAccess | Call
        | Unary | IncDec | AddressOf | Binary | Ternary | Cast | FieldAccess | TupleAccess | Index
        | TupleLit | RecordLit | BlockExpr | IfExpr | Sizeof | Offsetof | Typeinfo | Comptime
    )  # fmt: skip
else:
    Expr = (
        IntLit, BoolLit, StrLit, Param, ParamCount, Ident, Var, Map, MapAccess, Call, Unary, IncDec,
        AddressOf, Binary, Ternary, Cast, FieldAccess, TupleAccess, Index, TupleLit, RecordLit,
        BlockExpr, IfExpr, Sizeof, Offsetof, Typeinfo, Comptime,
    )  # fmt: skip

# ---------------------------------------------------------------- statements


class Block(Node):
    """Statements and, in a block whose value is wanted, the trailing expression without ``;``.

    Wanted are the values of a ``BlockExpr``, of the branches of an ``IfExpr`` and of a macro's
    body. Elsewhere (a probe's body, a loop's) a trailing expression is a statement like others,
    its ``ExprStmt`` having the block's span. ``angle`` tells ``< >`` from ``{ }``.
    """

    stmts: tuple[Stmt, ...]
    value: Expr | None = None
    angle: bool = False


class Assign(Node):
    """``target op value``; ``op`` is ``=`` or a compound operator such as ``+=``."""

    target: Union[Var, Map, MapAccess]
    op: str
    value: Expr
    op_span: Span


class Let(Node):
    var: Var
    type: TypeExpr | None = None
    value: Expr | None = None


class ExprStmt(Node):
    expr: Expr


class Discard(Node):
    """``_ = expr;``"""

    expr: Expr


class If(Node):
    """A statement; ``orelse`` is an ``If`` for ``else if``."""

    cond: Expr
    then: Block
    orelse: Union[Block, If, None] = None


class ForRange(Node):
    """``for $v : start..end``; the end is exclusive."""

    var: Var
    start: Expr
    end: Expr
    body: Block


class ForMap(Node):
    var: Var
    map: Map
    body: Block


class While(Node):
    cond: Expr
    body: Block


class Unroll(Node):
    count: Expr
    body: Block


class Jump(Node):
    """``break`` or ``continue``."""

    kind: str


class Return(Node):
    value: Expr | None = None


class BlockStmt(Node):
    body: Block


class Import(Node):
    """``import "path";`` at root, or as a statement in a block."""

    path: str


if TYPE_CHECKING:
    Stmt: TypeAlias = (
        Assign | Let | ExprStmt | Discard | If | ForRange | ForMap | While | Unroll | Jump | Return
        | BlockStmt | Import
    )  # fmt: skip
else:
    Stmt = (
        Assign, Let, ExprStmt, Discard, If, ForRange, ForMap, While, Unroll, Jump, Return,
        BlockStmt, Import,
    )  # fmt: skip

# ---------------------------------------------------------------- program


class AttachPoint(Node):
    """``[label=]provider:part:part...`` before the provider has looked at it.

    ``text`` is the raw text without the label. ``parts`` are the fields after the provider,
    split at ``:`` outside quotes with the quotes removed; ``quoted[i]`` tells whether parts[i]
    held quotes (wildcards and parameters are then literal). ``location`` is the text behind an
    unquoted ``@`` (``file:line[:col]``) or empty.
    """

    provider: str
    parts: tuple[str, ...]
    quoted: tuple[bool, ...]
    text: str
    label: str = ""
    location: str = ""


class Probe(Node):
    attach_points: tuple[AttachPoint, ...]
    predicate: Expr | None
    body: Block


class ConfigEntry(Node):
    """``value`` is int, str (also for a bare word) or bool; ``quoted`` tells "x" from x."""

    key: str
    value: Union[int, str, bool]
    quoted: bool
    value_span: Span


class Config(Node):
    entries: tuple[ConfigEntry, ...]


class CppLine(Node):
    """A preprocessor line with its continuation lines, ``#`` included."""

    text: str


class CDef(Node):
    """A struct, union or enum definition: raw C text, final ``;`` included if there was one."""

    kind: str
    name: str
    text: str


class MapDecl(Node):
    """``let @name = kind(max_entries);``"""

    map: Map
    kind: str
    max_entries: int
    kind_span: Span


class MacroParam(Node):
    """``kind`` is ``var`` ($x), ``map`` (@x) or ``expr`` (x); ``name`` as in Var, Map, Ident."""

    kind: str
    name: str


class Macro(Node):
    name: str
    params: tuple[MacroParam, ...]
    body: Block
    doc: str = ""


class FnParam(Node):
    var: Var
    type: TypeExpr


class Fn(Node):
    name: str
    params: tuple[FnParam, ...]
    returns: TypeExpr
    body: Block
    doc: str = ""


if TYPE_CHECKING:
    Item: TypeAlias = Probe | Macro | Fn | MapDecl
else:
    Item = (Probe, Macro, Fn, MapDecl)


class Comment(Node):
    """Text with its markers; ``own_line`` if nothing but layout stands before it on its line."""

    text: str
    own_line: bool


class Program(Node):
    """A whole script. ``items`` keeps probes, macros, functions and declarations in order."""

    shebang: str | None
    c_parts: tuple[Union[CppLine, CDef], ...]
    config: Config | None
    imports: tuple[Import, ...]
    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = ()

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(i for i in self.items if isinstance(i, Probe))

    @property
    def macros(self) -> tuple[Macro, ...]:
        return tuple(i for i in self.items if isinstance(i, Macro))

    @property
    def functions(self) -> tuple[Fn, ...]:
        return tuple(i for i in self.items if isinstance(i, Fn))

    @property
    def map_decls(self) -> tuple[MapDecl, ...]:
        return tuple(i for i in self.items if isinstance(i, MapDecl))
