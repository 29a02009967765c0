"""How types meet: merging for variables and maps, promotion in arithmetic (language 3.2, 3.3)."""

from __future__ import annotations

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
    NoneType,
    Opaque,
    Printable,
    Ptr,
    Record,
    Stack,
    Str,
    Struct,
    Tuple,
    Type,
    Void,
    int_type,
)


class FlexInt(Int):
    """The type of a non-negative integer literal: it takes the sign of what it meets."""


def flexible(value: int, plain: Int) -> Int:
    """``plain``, sign-flexible if a literal of this value is."""
    return FlexInt(bits=plain.bits, signed=plain.signed) if value >= 0 else plain


ONE = FlexInt(bits=8, signed=True)
"""Type of the literal 1."""


def settled(t: Type) -> Type:
    """The type that a variable or map keeps: a literal's flexibility is over once stored."""
    match t:
        case FlexInt():
            return Int(bits=t.bits, signed=t.signed)
        case Tuple():
            return Tuple(elems=tuple(settled(e) for e in t.elems))
        case Record():
            return Record(names=t.names, elems=tuple(settled(e) for e in t.elems))
        case _:
            return t


def merge(a: Type, b: Type) -> Type | None:
    """The one type that holds values of both, or None if there is none.

    ``NONE`` is what is not known yet and merges with everything.
    """
    if isinstance(a, NoneType):
        return b
    if isinstance(b, NoneType):
        return a
    if a == b:
        return a
    match a, b:
        case (Int(), Int()):
            return merge_ints(a, b)
        case (Enum(), Enum()) if a.name == b.name:
            return a if a.bits >= b.bits else b
        case (Enum() | Int(), Enum() | Int()):
            return merge_ints(_plain(a), _plain(b))
        case (Str(), Str()):
            return a if a.length >= b.length else b
        case (Buf(), Buf()):
            return a if a.length >= b.length else b
        case (Tuple(), Tuple()):
            return _merge_tuples(a, b)
        case (Record(), Record()):
            return _merge_records(a, b)
        case (Aggregate(), Int()) if a.castable:
            return b
        case (Int(), Aggregate()) if b.castable:
            return a
        case (Aggregate(), Aggregate()) if a.kind == b.kind and a.params == b.params:
            return a if a.signed else b
        case (Ptr(), Ptr()):
            return _merge_pointers(a, b)
        case (Stack(), Stack()) if a.user == b.user and a.mode == b.mode:
            return a if a.limit >= b.limit else b
        case (Printable(), Printable()) if a.kind == b.kind:
            return a if a.bytes >= b.bytes else b
        case (Array(), Array()) if a.count == b.count and same_shape(a.elem, b.elem):
            return a
    return None


def merge_ints(a: Int, b: Int) -> Int:
    bits = max(a.bits, b.bits)
    if isinstance(a, FlexInt) and isinstance(b, FlexInt):
        # Two literals: uint64 only if one of them needs it.
        return FlexInt(bits=bits, signed=a.signed and b.signed)
    if isinstance(a, FlexInt) or isinstance(b, FlexInt):
        literal, other = (a, b) if isinstance(a, FlexInt) else (b, a)
        if not literal.signed and other.signed:
            return I64
        return Int(bits=bits, signed=other.signed)
    if a.signed == b.signed:
        return Int(bits=bits, signed=a.signed)
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return Int(bits=min(64, 2 * bits), signed=True)


def loses(source: Type, target: Type) -> bool:
    """True if an implicit cast between these integers may lose information and must warn."""
    if not isinstance(source, Int) or not isinstance(target, Int) or isinstance(source, FlexInt):
        return False
    return not source.signed and target.signed and source.bits >= target.bits


def promote(op: str, a: Type, b: Type) -> Int | Bool:
    """Type of ``a op b`` for integers and bools: int64 if either is signed, else uint64.

    Two bools give a bool: the truth of the 64-bit result.
    """
    if isinstance(a, Bool) and isinstance(b, Bool):
        return BOOL
    if op == "-":
        return I64
    left, right = int_type(a), int_type(b)
    if op in ("<<", ">>"):
        adapts = isinstance(left, FlexInt) and not right.signed
        return I64 if left.signed and not adapts else U64
    if isinstance(left, FlexInt) and isinstance(right, FlexInt):
        return I64 if left.signed and right.signed else U64
    left_signed, right_signed = left.signed, right.signed
    if isinstance(left, FlexInt) and left.signed:
        left_signed = right_signed
    elif isinstance(right, FlexInt) and right.signed:
        right_signed = left_signed
    return I64 if left_signed or right_signed else U64


def same_shape(a: Type, b: Type) -> bool:
    """True for equal types, literals' flexibility aside."""
    return settled(a) == settled(b)


def is_void(t: Type) -> bool:
    return isinstance(t, Void)


def is_nothing(t: Type) -> bool:
    """True for what cannot be kept: no value, or one that the language cannot hold."""
    return isinstance(t, (Void, Opaque)) or t == Tuple(elems=())


def is_condition(t: Type) -> bool:
    """True for what an ``if``, a predicate or ``&&`` takes."""
    return isinstance(t, (Int, Bool, Ptr, Enum)) or (isinstance(t, Aggregate) and t.castable)


def value_type(t: Type) -> Type:
    """The type of a map element when it is read as a value: castable aggregates are integers."""
    if isinstance(t, Aggregate) and t.castable:
        return I64 if t.signed else U64
    return t


def kind_name(t: Type) -> str:
    """The kind of a type in messages about what a function or condition takes: ``int``."""
    if isinstance(t, Stack):
        return "ustack" if t.user else "kstack"
    if isinstance(t, Printable):
        return t.kind
    if isinstance(t, Tuple) and not t.elems:
        return "none"
    return next((name for kind, name in _KIND_NAMES if isinstance(t, kind)), str(t))


_KIND_NAMES: tuple[tuple[type[Type], str], ...] = (
    (Int, "int"), (Enum, "int"), (Bool, "bool"), (Str, "string"), (Buf, "buffer"),
    (Ptr, "pointer"), (Array, "array"), (Tuple, "tuple"), (Record, "record"), (Struct, "c_type"),
)  # fmt: skip


def _plain(t: Int | Enum) -> Int:
    return t if isinstance(t, Int) else int_type(t)


def _merge_tuples(a: Tuple, b: Tuple) -> Tuple | None:
    if len(a.elems) != len(b.elems):
        return None
    merged = [merge(x, y) for x, y in zip(a.elems, b.elems)]
    if any(m is None for m in merged):
        return None
    return Tuple(elems=tuple(m or NONE for m in merged))


def _merge_records(a: Record, b: Record) -> Record | None:
    if sorted(a.names) != sorted(b.names):
        return None
    other = dict(zip(b.names, b.elems))
    merged = [merge(t, other[n]) for n, t in zip(a.names, a.elems)]
    if any(m is None for m in merged):
        return None
    return Record(names=a.names, elems=tuple(m or NONE for m in merged))


def _merge_pointers(a: Ptr, b: Ptr) -> Ptr | None:
    if settled(a.to) != settled(b.to):
        return a if isinstance(b.to, Void) else b if isinstance(a.to, Void) else None
    return a
