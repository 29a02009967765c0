"""Values larger than a word: where they are, and writing them where they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrace.base.types import (
    CONTEXT,
    Array,
    Buf,
    Field,
    Int,
    Ptr,
    Record,
    Str,
    Struct,
    Tuple,
    Type,
    int_type,
    is_scalar,
)
from pytrace.builtins.faults import OUT_OF_BOUNDS
from pytrace.builtins.registry import BuiltinCall
from pytrace.frontend import ast
from pytrace.semantics.lower import maps, places, stmts, strings, words
from pytrace.semantics.lower.places import CONTEXT_PLACE, Place
from pytrace.semantics.merge import settled

if TYPE_CHECKING:
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering

COMMON_FIELDS_SIZE = 8
"""Bytes of a tracepoint record before its own fields: ``__data_loc`` offsets count them."""


# ---------------------------------------------------------------- places


def place(lo: Lowering, node: ast.Expr) -> Place:
    """Where a value lies; what lies nowhere yet is written to a temporary slot."""
    before = lo.b.span
    lo.b.span = node.span
    found = _place(lo, node)
    lo.b.span = before
    return found


def _place(lo: Lowering, node: ast.Expr) -> Place:
    match node:
        case ast.Ident(name="args") | ast.Call(name="args"):
            return CONTEXT_PLACE
        case ast.Unary(op="*"):
            base = lo.type(node.operand)
            if isinstance(base, Struct):
                return place(lo, node.operand)
            return places.foreign(lo, lo.word(node.operand), base)
        case ast.FieldAccess():
            return _field_place(lo, node)
        case ast.TupleAccess():
            whole = settled(lo.types[node.base])
            at = _through_pointers(lo, node.base, whole)
            while isinstance(whole, Ptr):
                whole = whole.to
            assert isinstance(whole, (Tuple, Record))
            return at.at(whole.offsets[node.index])
        case ast.Index():
            return _index_place(lo, node)
        case ast.Var():
            variable = lo.instance.scopes.of[node]
            if not is_scalar(lo.variable_type(variable)):
                return Place(kind="memory", base=lo.b.address(stmts.slot_of(lo, variable)))
    return Place(kind="memory", base=_temporary(lo, node))


def _temporary(lo: Lowering, node: ast.Expr) -> ir.Value:
    wanted = lo.type(node)
    target = lo.b.address(lo.b.slot("value", wanted.size))
    into(lo, node, target, wanted)
    return target


def _through_pointers(lo: Lowering, node: ast.Expr, base: Type) -> Place:
    """The place behind any number of pointers."""
    if not isinstance(base, Ptr):
        return place(lo, node)
    if is_context(lo, node) and not lo.context.iterates:
        return CONTEXT_PLACE
    word = lo.word(node)
    while isinstance(base.to, Ptr):
        word = places.load(lo, places.foreign(lo, word, base), 8, False)
        base = base.to
    return places.foreign(lo, word, base)


def object_pointer(lo: Lowering, node: ast.Expr) -> tuple[ir.Value, int]:
    """A pointer to a kernel object, and the offset in it of what ``node`` stands for.

    The pointer stays what the verifier knows of it: it comes straight from where it is, and
    nothing is done with it.
    """
    if isinstance(lo.type(node), Ptr):
        return _object_word(lo, node), 0
    if isinstance(node, ast.FieldAccess) and isinstance(lo.type(node.base), Ptr):
        field = field_of(lo, node)
        assert field is not None
        return _object_word(lo, node.base), field.offset
    at = place(lo, node)
    assert at.base is not None
    return at.base, at.offset


def _object_word(lo: Lowering, node: ast.Expr) -> ir.Value:
    if isinstance(node, ast.FieldAccess) and is_context(lo, node.base):
        field = field_of(lo, node)
        assert field is not None
        return lo.b.load(lo.b.context(), field.offset, 8)
    return lo.word(node)


def is_context(lo: Lowering, node: ast.Expr) -> bool:
    """True for the builtin ``ctx``: the verifier translates what is loaded from it.

    An iterator's objects come as pointers that may be null, with which nothing can be computed
    before they are compared; a read by helper gives plain numbers.
    """
    found = lo.type(node)
    builtin = isinstance(node, (ast.Ident, ast.Call))
    return builtin and isinstance(found, Ptr) and found.space == CONTEXT


def _field_place(lo: Lowering, node: ast.FieldAccess) -> Place:
    base_type = settled(lo.types[node.base])
    base = _through_pointers(lo, node.base, base_type)
    while isinstance(base_type, Ptr):
        base_type = base_type.to
    if isinstance(base_type, Record):
        return base.at(base_type.offsets[base_type.names.index(node.name)])
    field = field_of(lo, node)
    assert field is not None
    return base.at(field.offset)


def field_of(lo: Lowering, node: ast.FieldAccess) -> Field | None:
    """The struct member that a field access selects; None for records."""
    base = settled(lo.types[node.base])
    while isinstance(base, Ptr):
        base = base.to
    if not isinstance(base, Struct):
        return None
    args = lo.context.args
    definition = args if args is not None and base == args.type else None
    if definition is None:
        definition = lo.env.struct(base.kind, base.name)
    assert definition is not None
    return definition.field(node.name)


def load_field(lo: Lowering, node: ast.FieldAccess, field: Field) -> ir.Value:
    """A bit field, or the address that a ``__data_loc`` member stands for."""
    b = lo.b
    at = _field_place(lo, node)
    if field.data_loc:
        word = b.binop("and", places.load(lo, at, 4, False), 0xFFFF)
        return b.add(b.address_word(b.context()), word)
    kind = int_type(field.type)
    word = places.load(lo, at, kind.size, False)
    left = 64 - field.bit_offset - field.bit_size
    word = b.binop("shl", word, left)
    return b.binop("ashr" if kind.signed else "lshr", word, 64 - field.bit_size)


def _index_place(lo: Lowering, node: ast.Index) -> Place:
    base_type = settled(lo.types[node.base])
    index = lo.literal(node.index)
    if isinstance(base_type, (Tuple, Record)):
        assert isinstance(index, int)
        return place(lo, node.base).at(base_type.offsets[index])
    if isinstance(base_type, Ptr):
        base = places.foreign(lo, lo.word(node.base), base_type)
        size = base_type.to.size
    else:
        base = place(lo, node.base)
        size = base_type.elem.size if isinstance(base_type, Array) else 1
    if isinstance(index, int):
        # Addresses are 64 bits and wrap.
        bytes_ = index * size & ((1 << 64) - 1)
        return base.at(bytes_ - (1 << 64) if bytes_ >> 63 else bytes_)
    word = lo.word(node.index)
    b = lo.b
    if isinstance(base_type, Array) and base_type.count:
        with b.when(b.compare("uge", word, base_type.count)):
            lo.fault(OUT_OF_BOUNDS, "", None, node.span)
    offset = b.binop("mul", word, size)
    if base.kind == "foreign":
        assert base.base is not None
        return Place(kind="foreign", base=b.add(base.base, offset), space=base.space,
                     offset=base.offset)  # fmt: skip
    return _bounded_index(lo, base, offset, base_type.size, size)


def _bounded_index(lo: Lowering, base: Place, offset: ir.Value, total: int, size: int) -> Place:
    """An element of a value in memory by a run-time index: outside the array reads element 0.

    The verifier must see that the access stays inside.
    """
    b = lo.b
    if base.kind == "context":
        space, address = places.address_of(lo, base)
        return Place(kind="foreign", base=b.add(address, offset), space=space)
    inside = b.compare("ule", offset, total - size)
    safe = b.select(inside, offset, 0)
    pointer = b.offset(places.pointer_to(lo, base), safe, limit=total - size)
    return Place(kind="memory", base=pointer)


def argument(lo: Lowering, node: ast.Expr) -> Place:
    """Where the bytes are that an argument of ``str`` or ``buf`` stands for."""
    found = lo.type(node)
    if isinstance(found, (Str, Array, Buf, Struct)):
        at = place(lo, node)
        return at.at(4) if isinstance(found, Buf) else at
    word = lo.word(node)
    if isinstance(found, Int):
        return Place(kind="foreign", base=word, space="kernel" if _data_loc(lo, node) else "either")
    return places.foreign(lo, word, found)


def _data_loc(lo: Lowering, node: ast.Expr) -> bool:
    if not isinstance(node, ast.FieldAccess):
        return False
    field = field_of(lo, node)
    return field is not None and field.data_loc


def address_word_of(lo: Lowering, node: ast.AddressOf) -> ir.Value:
    """``&$x`` and ``&@m``: the address of the value in memory."""
    b = lo.b
    target = node.target
    if isinstance(target, ast.Var):
        variable = lo.instance.scopes.of[target]
        kind = lo.variable_type(variable)
        if is_scalar(kind):
            slot = b.address(b.slot("addressed", 8))
            b.store(slot, 0, kind.size, b.get(stmts.cell_of(lo, variable)))
            return b.address_word(slot)
        return b.address_word(b.address(stmts.slot_of(lo, variable)))
    return b.address_word(maps.value_pointer(lo, target))


# ---------------------------------------------------------------- writing values


def address(lo: Lowering, node: ast.Expr) -> ir.Value:
    """Pointer to memory that holds the expression's value in its own type."""
    found = place(lo, node)
    if found.kind == "memory":
        return places.pointer_to(lo, found)
    return _temporary(lo, node)


def into(lo: Lowering, node: ast.Expr, target: ir.Value, wanted: Type) -> None:
    """Writes an expression's value, converted to ``wanted``, to ``target``.

    Every byte of the target is written, padding as zeros, so that equal values are equal bytes.
    """
    b = lo.b
    before, b.span = b.span, node.span
    source = lo.type(node)
    if is_scalar(wanted) and is_scalar(source):
        b.store(target, 0, wanted.size, lo.word_as(node, wanted))
    else:
        _into_memory(lo, node, source, target, wanted)
    b.span = before


def _into_memory(
    lo: Lowering, node: ast.Expr, source: Type, target: ir.Value, wanted: Type
) -> None:
    literal = lo.literal(node)
    if isinstance(literal, bytes):
        lo.store_text(target, literal, wanted.size)
        return
    match node:
        case ast.TupleLit() | ast.RecordLit():
            _elements_into(lo, node, target, wanted)
        case ast.Ternary():
            _ternary_into(lo, node, target, wanted)
        case ast.BlockExpr():
            with stmts.scope(lo, node.body):
                assert node.body.value is not None
                into(lo, node.body.value, target, wanted)
        case ast.IfExpr():
            _if_into(lo, node, target, wanted)
        case ast.Call() | ast.Ident() if node.name != "args":
            _builtin_into(lo, node, source, target, wanted)
        case ast.Map() | ast.MapAccess():
            maps.read_into(lo, node, target, wanted)
        case ast.Cast():
            _cast_into(lo, node, source, target, wanted)
        case ast.Typeinfo():
            _typeinfo_into(lo, node, target, wanted)
        case ast.Comptime():
            into(lo, node.operand, target, wanted)
        case _:
            assert isinstance(node, _PLACED), f"{type(node).__name__} has no place"
            convert_place(lo, place(lo, node), source, target, wanted)


def _elements_into(
    lo: Lowering, node: ast.TupleLit | ast.RecordLit, target: ir.Value, wanted: Type
) -> None:
    assert isinstance(wanted, (Tuple, Record))
    if sum(e.size for e in wanted.elems) != wanted.size:
        lo.b.zero(target, wanted.size)
    names = node.names if isinstance(node, ast.RecordLit) else None
    for index, elem in enumerate(node.elems):
        at = index
        if names is not None and isinstance(wanted, Record):
            at = wanted.names.index(names[index])
        into(lo, elem, lo.b.offset(target, wanted.offsets[at]), wanted.elems[at])


def _ternary_into(lo: Lowering, node: ast.Ternary, target: ir.Value, wanted: Type) -> None:
    b = lo.b
    cond = words.truth(lo, node.cond)
    with b.block() as then:
        into(lo, node.then if node.then is not None else node.cond, target, wanted)
    with b.block() as orelse:
        into(lo, node.orelse, target, wanted)
    b.if_else(cond, then[0], orelse[0])


def _if_into(lo: Lowering, node: ast.IfExpr | ast.Block, target: ir.Value, wanted: Type) -> None:
    if isinstance(node, ast.Block):
        with stmts.scope(lo, node):
            if node.value is not None:
                into(lo, node.value, target, wanted)
        return
    b = lo.b
    cond = words.truth(lo, node.cond)
    with b.block() as then:
        _if_into(lo, node.then, target, wanted)
    with b.block() as orelse:
        if node.orelse is None:
            b.zero(target, wanted.size)
        else:
            _if_into(lo, node.orelse, target, wanted)
    b.if_else(cond, then[0], orelse[0])


def _builtin_into(
    lo: Lowering, node: ast.Call | ast.Ident, source: Type, target: ir.Value, wanted: Type
) -> None:
    builtin = lo.builtin(node.name)
    assert builtin is not None and builtin.into is not None, f"{node.name} has no memory value"
    args: Any = node.args if isinstance(node, ast.Call) else ()
    call = BuiltinCall(name=node.name, args=args, span=node.span, node=node, result=source)
    if source.size == wanted.size:
        builtin.into(lo, call, target)
        return
    slot = lo.b.address(lo.b.slot("value", source.size))
    builtin.into(lo, call, slot)
    convert_place(lo, Place(kind="memory", base=slot), source, target, wanted)


def _cast_into(lo: Lowering, node: ast.Cast, source: Type, target: ir.Value, wanted: Type) -> None:
    operand = lo.type(node.operand)
    b = lo.b
    if is_scalar(operand):
        b.zero(target, wanted.size)
        _store_bytes(lo, target, min(wanted.size, 8), lo.word(node.operand))
        return
    literal = lo.literal(node.operand)
    if isinstance(literal, bytes):
        lo.store_text(target, literal, wanted.size)
        return
    size = min(operand.size, wanted.size)
    places.copy(lo, place(lo, node.operand), target, size)
    b.zero(b.offset(target, size), wanted.size - size)


def _store_bytes(lo: Lowering, target: ir.Value, size: int, word: ir.Value) -> None:
    """The low ``size`` (1 to 8) bytes of a word, in stores of whole powers of two."""
    at = 0
    while at < size:
        width = next(w for w in (8, 4, 2, 1) if at + w <= size and at % w == 0)
        lo.b.store(target, at, width, lo.b.binop("lshr", word, 8 * at) if at else word)
        at += width


_PLACED = (ast.Ident, ast.Call, ast.Unary, ast.FieldAccess, ast.TupleAccess, ast.Index, ast.Var)
"""Expressions whose value lies somewhere; ``args`` is the identifier among them."""


def _typeinfo_into(lo: Lowering, node: ast.Typeinfo, target: ir.Value, wanted: Type) -> None:
    """A record of (BTF id, kind, name); types here come from no BTF object, so the id is 0."""
    record = settled(lo.types[node])
    assert isinstance(record, Record) and isinstance(wanted, Record)
    lo.b.zero(target, wanted.size)
    texts = ("", *lo.instance.typeinfo[node])
    for index, name in enumerate(record.names[1:], 1):
        at = wanted.names.index(name)
        place = lo.b.offset(target, wanted.offsets[at])
        lo.store_text(place, texts[index].encode(), wanted.elems[at].size)


def convert_place(lo: Lowering, at: Place, source: Type, target: ir.Value, wanted: Type) -> None:
    """Copies a value of type ``source`` to ``target`` as a ``wanted``."""
    b = lo.b
    if isinstance(source, Str) and isinstance(wanted, Str):
        strings.copy_text(lo, at, source.length, target, wanted.length)
    elif isinstance(source, (Tuple, Record)) and source != wanted:
        _convert_elements(lo, at, source, target, wanted)
    elif isinstance(source, Buf) and isinstance(wanted, Buf):
        places.copy(lo, at, target, min(source.size, wanted.size))
        if wanted.size > source.size:
            b.zero(b.offset(target, source.size), wanted.size - source.size)
    elif is_scalar(source) and is_scalar(wanted):
        word = places.load(lo, at, source.size, int_type(source).signed)
        b.store(target, 0, wanted.size, lo.convert_word(word, source, wanted))
    else:
        places.copy(lo, at, target, wanted.size)


def _convert_elements(
    lo: Lowering, at: Place, source: Tuple | Record, target: ir.Value, wanted: Type
) -> None:
    assert isinstance(wanted, (Tuple, Record))
    if sum(e.size for e in wanted.elems) != wanted.size:
        lo.b.zero(target, wanted.size)
    for index, elem in enumerate(source.elems):
        to = index
        if isinstance(source, Record) and isinstance(wanted, Record):
            to = wanted.names.index(source.names[index])
        convert_place(
            lo,
            at.at(source.offsets[index]),
            elem,
            lo.b.offset(target, wanted.offsets[to]),
            wanted.elems[to],
        )


def read_bytes(
    lo: Lowering, at: Place, target: ir.Value, count: ir.Value | int, limit: int
) -> None:
    """Reads ``count`` (at most ``limit``) bytes of a place to ``target``."""
    space, address_ = places.address_of(lo, at)
    lo.read(space, target, count, address_, None if isinstance(count, int) else limit)
