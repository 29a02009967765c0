"""Types of operators and what they accept (language 3.3, 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.frozen import replace
from pytrace.base.types import (
    BOOL,
    I64,
    NONE,
    U64,
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    KSym,
    NoneType,
    Ptr,
    Record,
    Stack,
    Str,
    Tuple,
    Type,
    USym,
    int_type,
    smallest_int,
)
from pytrace.frontend import ast
from pytrace.semantics.fold import fold_node
from pytrace.semantics.merge import (
    ONE,
    FlexInt,
    flexible,
    is_condition,
    loses,
    merge,
    promote,
    same_shape,
    settled,
    value_type,
)

if TYPE_CHECKING:
    from pytrace.base.source import Span
    from pytrace.semantics.typing import Typing

COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))
LOGICAL = frozenset(("&&", "||"))


def binary(t: Typing, node: ast.Binary) -> Type:
    left, right = value_type(t.expr(node.left)), value_type(t.expr(node.right))
    folded = _fold(t, node, (node.left, left), (node.right, right))
    if folded is not None:
        return folded
    if isinstance(left, NoneType) or isinstance(right, NoneType):
        if node.op in COMPARISONS or node.op in LOGICAL:
            return BOOL
        return _guess(t, node.op, left, right)
    if node.op in LOGICAL:
        return _logical(t, node, left, right)
    if node.op in COMPARISONS:
        return _comparison(t, node, left, right)
    return arithmetic(t, node.op, left, right, node)


def arithmetic(t: Typing, op: str, left: Type, right: Type, node: ast.Node) -> Type:
    """Type of ``left op right``; ``node`` is a ``Binary`` or a compound ``Assign``."""
    left, right = value_type(left), value_type(right)
    if isinstance(left, Ptr) or isinstance(right, Ptr):
        return _pointer_arithmetic(t, op, left, right, node)
    if _is_number(left) and _is_number(right):
        result = promote(op, left, right)
        signed = isinstance(result, Int) and result.signed
        if op in ("/", "%") and signed and settled(left) != settled(right):
            t.warn(
                "signed-division",
                f"signed operands for '{op}' can lead to undefined behavior"
                " (cast to unsigned to silence warning)",
                operation_span(node),
            )
        if op not in ("<<", ">>"):
            _warn_operands(t, left, right, result, node)
        return result
    if isinstance(node, ast.Assign) and not _is_number(left):
        # What is wrong is that the target holds no number: assigning the result tells so.
        return promote(op, U64, right) if _is_number(right) else U64
    if isinstance(left, Str) and isinstance(right, Str) or settled(left) == settled(right):
        return _refused(t, op, left, right, node)
    if isinstance(node, ast.Assign) or not (isinstance(left, Str) or isinstance(right, Str)):
        left, right = _widened(left), _widened(right)
    return _mismatch(t, op, left, right, node)


def _widened(t: Type) -> Type:
    """An integer as arithmetic sees it."""
    return promote("+", t, t) if isinstance(t, (Int, Enum)) else t


def stepped(op: str, known: Type) -> Type:
    """What ``++`` or ``--`` gives: as ``+ 1``, and int64 for ``- 1``; pointers stay pointers."""
    if isinstance(known, Ptr):
        return known
    if op == "--":
        return I64
    return promote("+", known, ONE) if isinstance(known, (Int, Enum)) else U64


def _fold(t: Typing, node: ast.Binary | ast.Unary, *operands: tuple[ast.Expr, Type]) -> Type | None:
    """Type of an operation whose operands became known with their types: ``sizeof(x) * 2``.

    Enumerators are known too, but an operation on them has the type of its operands.
    """
    t.literals.pop(node, None)
    values = [t.literal(operand) for operand, _ in operands]
    if any(v is None for v in values) or any(isinstance(kind, Enum) for _, kind in operands):
        return None
    made = [literal_node(operand.span, v) for (operand, _), v in zip(operands, values)]
    if isinstance(node, ast.Binary):
        changed: ast.Node = replace(node, left=made[0], right=made[1])
    else:
        changed = replace(node, operand=made[0])
    found = fold_node(changed, t.env.sink if t.reporting else DiagnosticSink())
    match found:
        case ast.IntLit() | ast.BoolLit() | ast.StrLit():
            t.set_literal(node, found.value)
            return literal_type(found.value)
    return None


def literal_node(span: Span, value: int | bytes | bool | None) -> ast.Expr:
    """A literal of a value that is known."""
    if isinstance(value, bool):
        return ast.BoolLit(span=span, value=value)
    if isinstance(value, bytes):
        return ast.StrLit(span=span, value=value)
    assert value is not None
    return ast.IntLit(span=span, value=value)


def literal_type(value: int | bytes | bool) -> Type:
    """Type of a literal (language 1.3)."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, bytes):
        return Str(length=len(value) + 1)
    return flexible(value, smallest_int(value))


def unary(t: Typing, node: ast.Unary) -> Type:
    operand = value_type(t.expr(node.operand))
    folded = _fold(t, node, (node.operand, operand))
    if folded is not None:
        return folded
    if node.op == "*":
        return dereference(t, node, operand)
    if isinstance(operand, NoneType):
        return BOOL if node.op == "!" else NONE
    if node.op == "!":
        if isinstance(operand, (Int, Bool, Enum)):
            return BOOL
    elif isinstance(operand, (Int, Enum)):
        number = int_type(operand)
        if isinstance(node.operand, ast.Cast) and t.literal(node.operand.operand) is not None:
            return number
        if node.op == "~" and isinstance(operand, FlexInt):
            return U64
        return I64 if number.signed else U64
    return t.error(
        "bad-operand",
        f"The {node.op} operator can not be used on expressions of type '{settled(operand)}'",
        node.span,
    )


def dereference(t: Typing, node: ast.Unary, operand: Type) -> Type:
    if isinstance(operand, NoneType):
        return NONE
    if isinstance(operand, Ptr):
        return operand.to
    if isinstance(operand, Int):
        return U64
    args = t.args_type()
    if args is not None and operand == args:
        return operand
    return t.error(
        "bad-operand",
        f"The * operator can not be used on expressions of type '{settled(operand)}'",
        node.span,
    )


def _logical(t: Typing, node: ast.Binary, left: Type, right: Type) -> Type:
    for operand, side in ((left, node.left), (right, node.right)):
        if not is_condition(operand) and not isinstance(t.literal(side), bytes):
            return _mismatch(t, node.op, left, right, node)
    return BOOL


def _comparison(t: Typing, node: ast.Binary, left: Type, right: Type) -> Type:
    op = node.op
    equality = op in ("==", "!=")
    if _is_number(left) and _is_number(right):
        _warn_operands(t, left, right, promote("+", left, right), node)
        return BOOL
    if isinstance(left, Ptr) and isinstance(right, Ptr):
        if not same_shape(left.to, right.to):
            t.warn(
                "distinct-pointers",
                f"comparison of distinct pointer types: {left.to}, {right.to}",
                node.span,
                labels=[
                    (f"left ({left.to})", node.left.span),
                    (f"right ({right.to})", node.right.span),
                ],
            )
        return BOOL
    if isinstance(left, Ptr) and isinstance(right, Int):
        return BOOL
    if isinstance(left, Int) and isinstance(right, Ptr):
        return BOOL
    both = (left, right)
    texts = all(isinstance(x, Str) for x in both) or all(isinstance(x, Buf) for x in both)
    if equality and (texts or _comparable(left, right)):
        return BOOL
    if isinstance(left, Array) and isinstance(right, Array):
        if equality:
            message = "Only arrays of same sized integer support comparison operators."
        else:
            message = f"The {op} operator cannot be used on arrays."
        t.error("bad-operand", message, node.span)
    elif texts or settled(left) == settled(right) or any(isinstance(x, Ptr) for x in both):
        _refused(t, op, left, right, node)
    else:
        _mismatch(t, op, left, right, node)
    return BOOL


def _comparable(left: Type, right: Type) -> bool:
    """Arrays of one shape; symbols and stacks; tuples and records whose elements merge."""
    if isinstance(left, Array) and isinstance(right, Array):
        return same_shape(left, right) and isinstance(left.elem, (Int, Bool))
    if isinstance(left, (Stack, KSym, USym)):
        return left == right
    if isinstance(left, Tuple) and isinstance(right, Tuple):
        return merge(left, right) is not None
    if isinstance(left, Record) and isinstance(right, Record):
        return merge(left, right) is not None
    return False


def _pointer_arithmetic(t: Typing, op: str, left: Type, right: Type, node: ast.Node) -> Type:
    if op in ("+", "-") and isinstance(left, Ptr) and isinstance(right, (Int, Bool)):
        return left
    if op == "+" and isinstance(right, Ptr) and isinstance(left, (Int, Bool)):
        return right
    return _refused(t, op, left, right, node)


def operation_span(node: ast.Node) -> Span:
    """Where an operation is: a compound assignment from its operator on."""
    if isinstance(node, ast.Assign):
        return replace(node.op_span, end=node.span.end)
    return node.span


def _refused(t: Typing, op: str, left: Type, right: Type, node: ast.Node) -> Type:
    return t.error(
        "bad-operand",
        f"The {op} operator can not be used on expressions of types"
        f" {settled(left)}, {settled(right)}",
        operation_span(node),
    )


def _mismatch(t: Typing, op: str, left: Type, right: Type, node: ast.Node) -> Type:
    span = operation_span(node)
    match node:
        case ast.Binary():
            sides = (node.left.span, node.right.span)
        case ast.Assign():
            sides = (node.target.span, node.value.span)
        case _:
            sides = (span, span)
    return t.error(
        "type-mismatch",
        f"Type mismatch for '{op}': comparing {settled(left)} with {settled(right)}",
        span,
        labels=[
            (f"left ({settled(left)})", sides[0]),
            (f"right ({settled(right)})", sides[1]),
        ],
    )


def _guess(t: Typing, op: str, left: Type, right: Type) -> Type:
    """The result's type while an operand's is not known: ``-`` is int64 whatever comes."""
    known = right if isinstance(left, NoneType) else left
    if isinstance(known, Ptr):
        return known
    return I64 if op == "-" and isinstance(known, Int) else NONE


def warn_lossy(t: Typing, source: Type, target: Type, span: Span) -> None:
    """The warning for an implicit cast that may lose information (language 3.2)."""
    if loses(source, target):
        t.warn(
            "lossy-cast",
            f"Expression of type: {settled(source)} being cast to type: {settled(target)}."
            " This may cause unexpected results. Use an explicit cast to suppress this warning.",
            span,
        )


def _warn_operands(t: Typing, left: Type, right: Type, result: Type, node: ast.Node) -> None:
    match node:
        case ast.Binary():
            sides = (node.left.span, node.right.span)
        case ast.Assign():
            sides = (node.target.span, node.value.span)
        case _:
            return
    for operand, span in zip((left, right), sides):
        warn_lossy(t, operand, result, span)


def _is_number(t: Type) -> bool:
    return isinstance(t, (Int, Bool, Enum)) and not isinstance(t, Aggregate)
