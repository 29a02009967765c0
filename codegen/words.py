"""Arithmetic on words. What a cpu level lacks is made of what it has."""

from __future__ import annotations

from pytrace.codegen.function import FunctionText, literal
from pytrace.codegen.memory import pointer
from pytrace.ir import nodes as ir

_PLAIN = {"add", "sub", "mul", "and", "or", "xor"}
_SHIFTS = {"shl": "shl", "lshr": "lshr", "ashr": "ashr"}
_DIVISIONS = {"udiv", "urem", "sdiv", "srem"}
OPS = frozenset(_PLAIN | set(_SHIFTS) | _DIVISIONS)
COMPARISONS = frozenset(("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge"))


def binop(f: FunctionText, node: ir.BinOp) -> str:
    op, left = node.op, f.value(node.left)
    if op in _PLAIN:
        return f.op(f"{op} i64 {left}, {f.value(node.right)}")
    if op in _SHIFTS:
        return f.op(f"{op} i64 {left}, {_shift_count(f, node.right)}")
    if op in _DIVISIONS:
        return _division(f, op, left, node.right)
    raise ValueError(f"unknown operation {op}")


def _shift_count(f: FunctionText, count: ir.Value) -> str:
    if isinstance(count, ir.Const):
        return str(count.value & 63)
    return f.op(f"and i64 {f.value(count)}, 63")


def _division(f: FunctionText, op: str, left: str, right: ir.Value) -> str:
    """Before cpu v4 (Linux 6.6) there is no signed division, and LLVM ends the process over it.

    The result is opaque: LLVM would see overflow checks in ``a * b / b == a`` and in
    ``a > -1 / b`` and make of them a 128-bit multiplication, which ends the process too.
    """
    divisor = f.value(right)
    if op[0] == "u" or f.module.target.cpu == "v4":
        return f.opaque(f.op(f"{op} i64 {left}, {divisor}"))
    sign_left = f.op(f"ashr i64 {left}, 63")
    if isinstance(right, ir.Const):
        value = right.value & ((1 << 64) - 1)
        negative = value >> 63
        sign_right = "-1" if negative else "0"
        size_right = literal((1 << 64) - value if negative else value)
    else:
        sign_right = f.op(f"ashr i64 {divisor}, 63")
        size_right = _by_sign(f, divisor, sign_right)
    op = "udiv" if op == "sdiv" else "urem"
    result = f.opaque(f.op(f"{op} i64 {_by_sign(f, left, sign_left)}, {size_right}"))
    if op == "urem":  # A remainder has the sign of what was divided.
        return _by_sign(f, result, sign_left)
    return _by_sign(f, result, f.op(f"xor i64 {sign_left}, {sign_right}"))


def _by_sign(f: FunctionText, word: str, sign: str) -> str:
    """The word, negated if ``sign`` is -1 and not 0."""
    return f.op(f"sub i64 {f.op(f'xor i64 {word}, {sign}')}, {sign}")


def compare(f: FunctionText, node: ir.Compare) -> str:
    """An i1."""
    return f.op(f"icmp {node.op} i64 {f.value(node.left)}, {f.value(node.right)}")


def extend(f: FunctionText, node: ir.Extend) -> str:
    word = f.value(node.value)
    if not node.signed:
        return f.op(f"and i64 {word}, {(1 << node.bits) - 1}")
    narrow = f.op(f"trunc i64 {word} to i{node.bits}")
    return f.op(f"sext i{node.bits} {narrow} to i64")


def select(f: FunctionText, node: ir.Select) -> str:
    chosen = f"i64 {f.value(node.then)}, i64 {f.value(node.orelse)}"
    return f.op(f"select i1 {f.condition(node.cond)}, {chosen}")


def byte_swap(f: FunctionText, node: ir.ByteSwap) -> str:
    function = f"@llvm.bswap.i{node.bits}"
    f.module.declare(function, f"declare i{node.bits} {function}(i{node.bits})")
    if node.bits == 64:
        return f.op(f"call i64 {function}(i64 {f.value(node.value)})")
    narrow = f.op(f"trunc i64 {f.value(node.value)} to i{node.bits}")
    swapped = f.op(f"call i{node.bits} {function}(i{node.bits} {narrow})")
    return f.op(f"zext i{node.bits} {swapped} to i64")


def is_null(f: FunctionText, node: ir.IsNull) -> str:
    """An i1."""
    return f.op(f"icmp eq ptr {pointer(f, node.pointer)}, null")


def address_word(f: FunctionText, node: ir.AddressWord) -> str:
    return f.op(f"ptrtoint ptr {pointer(f, node.pointer)} to i64")
