"""Scalar expressions: values of at most eight bytes, as words of the IR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrace.base.types import (
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    Ptr,
    Record,
    Stack,
    Str,
    Struct,
    Tuple,
    Type,
    USym,
    int_type,
    is_scalar,
)
from pytrace.builtins.faults import DIVISION_BY_ZERO
from pytrace.builtins.registry import BuiltinCall
from pytrace.frontend import ast
from pytrace.semantics.lower import maps, memory, places, stmts, strings
from pytrace.semantics.merge import merge, promote, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.source import Span
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering

ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
COMPARE = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def lower(lo: Lowering, node: ast.Expr) -> ir.Value:
    """The word of a scalar expression. Void calls give 0."""
    before = lo.b.span
    lo.b.span = node.span
    literal = lo.literal(node)
    if isinstance(literal, (int, bool)) and not isinstance(node, ast.Comptime):
        word = lo.b.const(int(literal))
    else:
        word = RULES[type(node)](lo, node)
    lo.b.span = before
    return word


# ---------------------------------------------------------------- names and places


def _ident(lo: Lowering, node: ast.Ident) -> ir.Value:
    return _builtin(lo, node.name, (), node)


def _call(lo: Lowering, node: ast.Call) -> ir.Value:
    return _builtin(lo, node.name, node.args, node)


def _builtin(lo: Lowering, name: str, args: Any, node: ast.Call | ast.Ident) -> ir.Value:
    builtin = lo.builtin(name)
    if builtin is None:
        words = tuple(lo.word(a) for a in args)
        return lo.b.call(f"fn_{name}", words)
    assert builtin.lower is not None, f"{name} has no word"
    call = BuiltinCall(
        name=name, args=args, span=node.span, node=node, result=settled(lo.types[node])
    )
    word = builtin.lower(lo, call)
    return lo.b.const(0) if word is None else word


def _var(lo: Lowering, node: ast.Var) -> ir.Value:
    variable = lo.instance.scopes.of[node]
    return lo.b.get(stmts.cell_of(lo, variable))


def _map(lo: Lowering, node: ast.Map | ast.MapAccess) -> ir.Value:
    return maps.read_word(lo, node)


def _placed(lo: Lowering, node: ast.Expr) -> ir.Value:
    """A scalar that lies somewhere: a field, an element, behind a pointer."""
    if isinstance(node, ast.FieldAccess):
        field = memory.field_of(lo, node)
        if field is not None and (field.bit_size or field.data_loc):
            return memory.load_field(lo, node, field)
    found = settled(lo.types[node])
    if isinstance(node, ast.Index):
        base = settled(lo.types[node.base])
        value = lo.literal(node.base)
        if isinstance(base, Str) and isinstance(value, bytes):
            return _literal_byte(lo, node, value)
    return places.load(lo, lo.place(node), found.size, int_type(found).signed)


def _literal_byte(lo: Lowering, node: ast.Index, text: bytes) -> ir.Value:
    index = lo.literal(node.index)
    padded = text + b"\0"
    if isinstance(index, int) and index < len(padded):
        byte = padded[index]
        return lo.b.const(byte - 256 if byte > 127 else byte)
    return places.load(lo, lo.place(node), 1, True)


# ---------------------------------------------------------------- operators


def _unary(lo: Lowering, node: ast.Unary) -> ir.Value:
    if node.op == "*":
        return _placed(lo, node)
    b = lo.b
    word = lo.word(node.operand)
    result = settled(lo.types[node])
    if node.op == "!":
        return b.negate(word)
    word = b.binop("sub", 0, word) if node.op == "-" else b.binop("xor", word, -1)
    return b.extend(word, int_type(result).bits, int_type(result).signed)


def _binary(lo: Lowering, node: ast.Binary) -> ir.Value:
    if node.op in ("&&", "||"):
        return _logical(lo, node)
    left, right = lo.operand_type(node.left), lo.operand_type(node.right)
    if node.op in COMPARE:
        if isinstance(left, (Str, Buf, Array, Tuple, Record, Stack, USym)):
            return _compare_memory(lo, node, settled(left), settled(right))
        return compare(lo, node.op, lo.word(node.left), lo.word(node.right), left, right)
    return arithmetic(lo, node.op, lo.word(node.left), lo.word(node.right), left, right, node.span)


def arithmetic(
    lo: Lowering,
    op: str,
    left: ir.Value,
    right: ir.Value,
    left_type: Type,
    right_type: Type,
    span: Span | None,
) -> ir.Value:
    """``left op right`` with the rules of language 3.3; pointers step by their pointee."""
    b = lo.b
    if isinstance(left_type, Ptr):
        right = b.binop("mul", right, max(left_type.to.size, 1))
        return b.binop(ARITHMETIC[op], left, right)
    if isinstance(right_type, Ptr):
        left = b.binop("mul", left, max(right_type.to.size, 1))
        return b.binop(ARITHMETIC[op], left, right)
    result = promote(op, left_type, right_type)
    signed = int_type(result).signed
    if op in ARITHMETIC:
        word = b.binop(ARITHMETIC[op], left, right)
    elif op == "<<":
        word = b.binop("shl", left, right)
    elif op == ">>":
        word = b.binop("ashr" if signed else "lshr", left, right)
    else:
        word = _divide(lo, op, left, right, signed, span)
    return b.truth(word) if isinstance(result, Bool) else word


def _divide(
    lo: Lowering, op: str, left: ir.Value, right: ir.Value, signed: bool, span: Span | None
) -> ir.Value:
    """Division and remainder, never by zero: that gives 1 and a warning at run time."""
    b = lo.b
    name = ("s" if signed else "u") + ("div" if op == "/" else "rem")
    divisor = getattr(right, "value", 0) if _is_constant(right) else None
    if divisor == 0:
        lo.fault(DIVISION_BY_ZERO, "", None, span)
        return b.const(1)
    if divisor not in (None, -1):
        return b.binop(name, left, right)
    result = b.cell("quotient")
    with b.block() as by_zero:
        b.set(result, 1)
        lo.fault(DIVISION_BY_ZERO, "", None, span)
    with b.block() as fine:
        if signed:
            # -2**63 / -1 overflows: dividing by -1 is a negation, its remainder 0.
            with b.block() as minus_one:
                b.set(result, b.binop("sub", 0, left) if op == "/" else 0)
            with b.block() as other:
                b.set(result, b.binop(name, left, right))
            b.if_else(b.compare("eq", right, -1), minus_one[0], other[0])
        else:
            b.set(result, b.binop(name, left, right))
    b.if_else(b.negate(right), by_zero[0], fine[0])
    return b.get(result)


def _is_constant(word: ir.Value) -> bool:
    return type(word).__name__ == "Const"


def compare(
    lo: Lowering, op: str, left: ir.Value, right: ir.Value, left_type: Type, right_type: Type
) -> ir.Value:
    """Compares two words as numbers of their merged type."""
    name = COMPARE[op]
    if name not in ("eq", "ne"):
        signed = int_type(promote("+", left_type, right_type)).signed
        name = ("s" if signed else "u") + name
    return lo.b.compare(name, left, right)


def _compare_memory(lo: Lowering, node: ast.Binary, left: Type, right: Type) -> ir.Value:
    equal = strings.equal_values(lo, node.left, node.right, left, right)
    return equal if node.op == "==" else lo.b.negate(equal)


def _logical(lo: Lowering, node: ast.Binary) -> ir.Value:
    """Short circuit: the right side runs only if it decides."""
    b = lo.b
    result = b.cell("logical")
    b.set(result, truth(lo, node.left))
    decided = b.get(result)
    with b.when(decided if node.op == "&&" else b.negate(decided)):
        b.set(result, truth(lo, node.right))
    return b.get(result)


def truth(lo: Lowering, node: ast.Expr) -> ir.Value:
    """A condition as 0 or 1; a string literal is true."""
    if isinstance(lo.literal(node), bytes):
        return lo.b.const(1)
    if isinstance(lo.type(node), Bool):
        return lo.word(node)
    return lo.b.truth(lo.word(node))


def _incdec(lo: Lowering, node: ast.IncDec) -> ir.Value:
    delta = 1 if node.op == "++" else -1
    target = node.target
    if isinstance(target, (ast.Map, ast.MapAccess)):
        return maps.increment(lo, target, delta, node)
    assert isinstance(target, ast.Var)
    b = lo.b
    variable = lo.instance.scopes.of[target]
    kind = lo.variable_type(variable)
    step = delta * (max(kind.to.size, 1) if isinstance(kind, Ptr) else 1)
    cell = stmts.cell_of(lo, variable)
    old = b.get(cell)
    new = b.add(old, step)
    if isinstance(kind, Int):
        new = b.extend(new, kind.bits, kind.signed)
    b.set(cell, new)
    return new if node.prefix else old


def _address_of(lo: Lowering, node: ast.AddressOf) -> ir.Value:
    return memory.address_word_of(lo, node)


def _ternary(lo: Lowering, node: ast.Ternary) -> ir.Value:
    b = lo.b
    result = b.cell("ternary")
    wanted = lo.type(node)
    if node.then is None:
        first = lo.word(node.cond)
        cond = b.truth(first)
        with b.block() as then:
            b.set(result, lo.convert_word(first, lo.type(node.cond), wanted))
    else:
        cond = truth(lo, node.cond)
        with b.block() as then:
            b.set(result, _branch(lo, node.then, wanted))
    with b.block() as orelse:
        b.set(result, _branch(lo, node.orelse, wanted))
    b.if_else(cond, then[0], orelse[0])
    return b.get(result)


def _branch(lo: Lowering, node: ast.Expr, wanted: Type) -> ir.Value:
    return lo.word_as(node, wanted) if is_scalar(wanted) else lo.word(node)


def _cast(lo: Lowering, node: ast.Cast) -> ir.Value:
    source, wanted = lo.type(node.operand), settled(lo.types[node])
    if isinstance(source, Array):
        place = lo.place(node.operand)
        return places.load(lo, place, wanted.size, int_type(wanted).signed)
    word = lo.word(node.operand)
    if isinstance(wanted, Ptr) and isinstance(source, Int):
        # The bits of a narrow integer, without its sign.
        return lo.b.extend(word, source.bits, signed=False)
    return lo.convert_word(word, source, wanted)


def _block(lo: Lowering, node: ast.BlockExpr) -> ir.Value:
    with stmts.scope(lo, node.body):
        if node.body.value is None:
            return lo.b.const(0)
        return lo.word(node.body.value)


def _if(lo: Lowering, node: ast.IfExpr) -> ir.Value:
    b = lo.b
    result = b.cell("if")
    wanted = lo.type(node)
    cond = truth(lo, node.cond)

    def branch(body: ast.Block | ast.IfExpr | None) -> ir.Block:
        with b.block() as block:
            if isinstance(body, ast.Block):
                with stmts.scope(lo, body):
                    if body.value is not None:
                        b.set(result, _branch(lo, body.value, wanted))
            elif body is not None:
                b.set(result, _branch(lo, body, wanted))
        return block[0]

    b.if_else(cond, branch(node.then), branch(node.orelse))
    return b.get(result)


def _comptime(lo: Lowering, node: ast.Comptime) -> ir.Value:
    return lo.word(node.operand)


RULES: dict[type, Callable[[Lowering, Any], ir.Value]] = {
    ast.Ident: _ident,
    ast.Call: _call,
    ast.Var: _var,
    ast.Map: _map,
    ast.MapAccess: _map,
    ast.FieldAccess: _placed,
    ast.TupleAccess: _placed,
    ast.Index: _placed,
    ast.Unary: _unary,
    ast.Binary: _binary,
    ast.IncDec: _incdec,
    ast.AddressOf: _address_of,
    ast.Ternary: _ternary,
    ast.Cast: _cast,
    ast.BlockExpr: _block,
    ast.IfExpr: _if,
    ast.Comptime: _comptime,
}

__all__ = ["Enum", "RULES", "Struct", "arithmetic", "compare", "lower", "merge", "truth"]
