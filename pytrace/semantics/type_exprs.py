"""Typing rules of expressions, one function for each node kind (``RULES``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrace.base.text import closest
from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    I64,
    NONE,
    U32,
    U64,
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    NoneType,
    Printable,
    Ptr,
    Record,
    Str,
    Struct,
    Tuple,
    Type,
    is_scalar,
)
from pytrace.frontend import ast
from pytrace.semantics import type_calls, type_maps, type_ops, type_stmts
from pytrace.semantics.merge import (
    FlexInt,
    is_condition,
    is_nothing,
    is_void,
    kind_name,
    merge,
    settled,
    value_type,
)
from pytrace.semantics.type_names import UNSIZED, constant_type, operand_type, resolve_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.source import Span
    from pytrace.semantics.typing import Typing


def condition(t: Typing, node: ast.Expr, span: Span) -> None:
    """Types what an ``if``, ``while``, ternary or predicate tests; ``span`` is all of that."""
    found = t.expr(node)
    if isinstance(found, NoneType) or is_condition(found) or t.is_text(node):
        return
    t.error("bad-condition", f"Invalid condition: {kind_name(found)}", span)


# ---------------------------------------------------------------- literals and names


def _int(t: Typing, node: ast.IntLit) -> Type:
    return type_ops.literal_type(node.value)


def _bool(t: Typing, node: ast.BoolLit) -> Type:
    return BOOL


def _str(t: Typing, node: ast.StrLit) -> Type:
    limit = t.env.config.max_strlen
    if len(node.value) > limit:
        text = node.value.decode("utf-8", "surrogateescape")
        t.error(
            "string-too-long", f"String is too long (over {limit} bytes): {text}", node.span
        )
    return Str(length=len(node.value) + 1)


def _param(t: Typing, node: ast.Param | ast.ParamCount) -> Type:
    raise AssertionError("parameters are literals before types are inferred")


def _ident(t: Typing, node: ast.Ident) -> Type:
    builtin = type_calls.find(t, node.name)
    if builtin is not None:
        return type_calls.bare(t, node, builtin)
    constant = t.env.enum_constant(node.name)
    if constant is not None:
        t.set_literal(node, constant[0])
        return constant_type(constant[1])
    guess = closest(node.name, type_calls.known_names(t))
    return t.error(
        "unknown-identifier",
        f"Unknown identifier: '{node.name}'",
        node.span,
        hints=[f"Did you mean {guess}?"] if guess else [],
    )


def _var(t: Typing, node: ast.Var) -> Type:
    variable = t.variable(node)
    if variable is None:
        return NONE
    found = t.variable_type(variable)
    if isinstance(found, NoneType):
        t.note_unresolved(node.span)
    return found


def _map(t: Typing, node: ast.Map) -> Type:
    type_maps.note_use(t, node, scalar=True, span=node.span)
    return type_maps.read(t, node)


def _map_access(t: Typing, node: ast.MapAccess) -> Type:
    type_maps.key(t, node)
    return type_maps.read(t, node)


# ---------------------------------------------------------------- operators


def _incdec(t: Typing, node: ast.IncDec) -> Type:
    target = node.target
    match target:
        case ast.Var():
            variable = t.variable(target)
            if variable is None:
                return NONE
            known = t.variable_type(variable)
            if isinstance(known, NoneType):
                t.note_unresolved(target.span)
                return NONE
            if variable.declared is None or not isinstance(known, (Int, Ptr)):
                t.assign_variable(variable, type_ops.stepped(node.op, known), node.span)
            found = t.variable_type(variable)
        case ast.Map():
            type_maps.note_use(t, target, scalar=True, span=target.span)
            found = type_maps.increment(t, target, node)
        case ast.MapAccess():
            type_maps.key(t, target)
            found = type_maps.increment(t, target.map, node)
        case _:
            return t.error(
                "bad-operand",
                f"The {node.op} operator must be applied to a map or variable",
                node.span,
            )
    t.types[target] = found
    return found


def _address(t: Typing, node: ast.AddressOf) -> Type:
    target = node.target
    if isinstance(target, ast.Map):
        if t.reporting and not type_maps.is_known(t, target):
            return NONE
        type_maps.note_keys(t, target, scalar=True, span=target.span)
        t.types[target] = type_maps.read(t, target)
        return Ptr(to=settled(t.types[target]), space="kernel")
    found = t.expr(node.target)
    return NONE if isinstance(found, NoneType) else Ptr(to=settled(found), space="kernel")


def _ternary(t: Typing, node: ast.Ternary) -> Type:
    condition(t, node.cond, node.span)
    then = t.types[node.cond] if node.then is None else t.expr(node.then)
    orelse = t.expr(node.orelse)
    return _branches(t, value_type(then), value_type(orelse), node)


def _branches(t: Typing, then: Type, orelse: Type, node: ast.Expr) -> Type:
    if is_void(then) and is_void(orelse):
        return then
    merged = None if is_void(then) or is_void(orelse) else merge(then, orelse)
    if merged is None:
        return t.error(
            "branch-mismatch",
            "Branches must return the same type or compatible types:"
            f" have '{settled(then)}' and '{settled(orelse)}'",
            node.span,
        )
    return merged


def _cast(t: Typing, node: ast.Cast) -> Type:
    operand = value_type(t.expr(node.operand))
    target = resolve_type(t, node.type)
    if target is None or isinstance(operand, NoneType):
        return target or NONE
    target = _sized_target(target, operand)
    if not _castable(t, operand, target, node):
        return t.error(
            "bad-cast",
            f'Cannot cast from C type "{operand}" to "{target}"'
            if isinstance(operand, Struct)
            else f'Cannot cast from "{settled(operand)}" to "{type_name(target)}"',
            node.span,
        )
    if settled(operand) == target and not isinstance(t.types[node.operand], Aggregate):
        t.warn(
            "unnecessary-cast",
            f"Unnecessary cast: expression is already of type {target}",
            node.span,
        )
    if isinstance(target, Ptr) and isinstance(operand, Ptr):
        return Ptr(to=target.to, space=operand.space)
    return target


def _sized_target(target: Type, operand: Type) -> Type:
    """``T[]`` takes its count from the operand's size, ``string`` the operand's length."""
    if isinstance(target, Array) and target.count == 0 and target.elem.size:
        return Array(elem=target.elem, count=settled(operand).size // target.elem.size)
    if isinstance(target, Str) and target.length == UNSIZED and isinstance(operand, Str):
        return operand
    return target


def _castable(t: Typing, operand: Type, target: Type, node: ast.Cast) -> bool:
    number = isinstance(operand, (Int, Bool, Enum, Ptr))
    match target:
        case Int() | Bool():
            if isinstance(operand, Array) and isinstance(operand.elem, (Int, Bool)):
                return operand.size == target.size
            return number
        case Enum():
            return isinstance(operand, (Int, Enum)) and _enum_member(t, target, node)
        case Ptr():
            return isinstance(operand, (Int, Ptr))
        case Array(elem=Int() | Bool()):
            if isinstance(operand, Str):
                return target.elem.size == 1 and target.count >= operand.length
            if isinstance(operand, Array):
                return operand.size == target.size
            size = settled(operand).size
            return number and (target.size == size or size < target.size <= 8)
        case Str():
            return isinstance(operand, Str) and target.length >= operand.length
        case Printable(kind="username_t"):
            return number
        case Printable() | Buf() | Tuple() | Record() | Struct():
            return settled(operand) == target and not isinstance(operand, Struct)
    return False


def _enum_member(t: Typing, target: Enum, node: ast.Cast) -> bool:
    value = t.literal(node.operand)
    definition = t.env.enum(target.name)
    if isinstance(value, int) and definition and definition.name_of(value) is None:
        t.error(
            "not-a-member",
            f"Enum: {target.name} doesn't contain a variant value of {value}",
            node.span,
        )
    return True


# ---------------------------------------------------------------- access


def _field(t: Typing, node: ast.FieldAccess) -> Type:
    base = t.expr(node.base)
    while isinstance(base, Ptr):
        base = base.to
    if isinstance(base, NoneType):
        return NONE
    if isinstance(base, Record):
        if node.name in base.names:
            return base.elems[base.names.index(node.name)]
        return _no_field(
            t, node, f"Record does not contain a field named '{node.name}'", base.names
        )
    if not isinstance(base, Struct):
        return t.error(
            "no-field",
            f"Can not access field '{node.name}' on expression of type '{settled(base)}'",
            node.span,
        )
    definition = struct_definition(t, base)
    if definition is None:
        return t.error("unknown-type", f'Cannot resolve unknown type "{base}"', node.span)
    field = definition.field(node.name)
    if field is None:
        if node.name.startswith("common_") and base == t.args_type():
            return t.error(
                "common-field",
                "BPF does not support accessing common tracepoint fields",
                node.span,
            )
        text = f"Struct/union of type '{base}' does not contain a field named '{node.name}'"
        if base == t.args_type() and t.context.func:
            text = f"Can't find function parameter {node.name}"
        return _no_field(t, node, text, tuple(f.name for f in definition.fields))
    if field.tag not in ("", "rcu", "user") and isinstance(field.type, Ptr):
        return t.error(
            "unsupported-tag",
            f"Attempting to access pointer field '{node.name}' with unsupported tag attribute:"
            f" {field.tag}",
            node.span,
        )
    return U64 if field.data_loc else field.type


def _no_field(t: Typing, node: ast.FieldAccess, message: str, names: tuple[str, ...]) -> Type:
    guess = closest(node.name, names)
    if guess is None and 0 < len(names) <= 12:
        return t.error("no-field", message, node.span, hints=[f"It has: {', '.join(names)}"])
    return t.error(
        "no-field", message, node.span, hints=[f"Did you mean {guess}?"] if guess else []
    )


def struct_definition(t: Typing, base: Struct) -> Any:
    """The ``StructDef`` of a struct type; the probe's ``args`` has its own."""
    args = t.context.args
    if args is not None and base == args.type:
        return args
    return t.env.struct(base.kind, base.name)


def _tuple_access(t: Typing, node: ast.TupleAccess) -> Type:
    base = t.expr(node.base)
    if isinstance(base, NoneType):
        return NONE
    if isinstance(base, Ptr):
        base = base.to
    if not isinstance(base, Tuple):
        return t.error(
            "no-field",
            f"Can not access index '{node.index}' on expression of type '{settled(base)}'",
            node.span,
        )
    if node.index >= len(base.elems):
        return t.error(
            "tuple-index",
            f"Invalid tuple index: {node.index}. Found {len(base.elems)} elements in tuple.",
            node.span,
        )
    return base.elems[node.index]


def _index(t: Typing, node: ast.Index) -> Type:
    base, index = t.expr(node.base), value_type(t.expr(node.index))
    value = t.literal(node.index)
    if isinstance(base, NoneType):
        return NONE
    if isinstance(base, Tuple):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return t.error(
                "tuple-index",
                "Array-style access for tuples only valid for integer literals",
                node.span,
            )
        if value >= len(base.elems):
            return t.error(
                "tuple-index",
                f"Invalid tuple index: {value}. Found {len(base.elems)} elements in tuple.",
                node.span,
            )
        return base.elems[value]
    match base:
        case Array():
            elem: Type = base.elem
        case Str():
            elem = I8
        case Ptr() if base.to.size > 0:
            elem = base.to
        case _:
            return t.error(
                "bad-index",
                "The array index operator [] can only be used on arrays, pointers, and tuples,"
                f" found {settled(base)}.",
                node.span,
            )
    if isinstance(index, NoneType):
        return elem
    signed = isinstance(index, Int) and index.signed and not isinstance(index, FlexInt)
    if not isinstance(index, (Int, Enum)) or signed:
        return t.error(
            "bad-index",
            "The array index operator [] only accepts non-negative integer indices."
            f" Got: {settled(index)}",
            node.span,
        )
    count = base.count if isinstance(base, Array) else 0
    if isinstance(base, Str):
        count = base.length
    if isinstance(value, int) and count and not 0 <= value < count:
        return t.error(
            "index-bounds",
            f"the index {value} is out of bounds for array of size {count}",
            node.span,
        )
    return elem


# ---------------------------------------------------------------- compound values


def _tuple(t: Typing, node: ast.TupleLit) -> Type:
    return Tuple(elems=tuple(_element(t, e) for e in node.elems))


def _record(t: Typing, node: ast.RecordLit) -> Type:
    return Record(names=node.names, elems=tuple(_element(t, e) for e in node.elems))


def _element(t: Typing, node: ast.Expr) -> Type:
    found = t.expr(node)
    if isinstance(found, Aggregate) and not found.castable:
        return t.error("bad-element", f"Map type {found} cannot exist inside a tuple.", node.span)
    if is_nothing(found):
        return t.error("bad-element", "Tuple elements must have a value.", node.span)
    return value_type(found)


def _block(t: Typing, node: ast.BlockExpr) -> Type:
    return type_stmts.valued_block(t, node.body)


def _if(t: Typing, node: ast.IfExpr) -> Type:
    condition(t, node.cond, node.span)
    then = type_stmts.valued_block(t, node.then)
    match node.orelse:
        case None:
            return then
        case ast.Block():
            orelse = type_stmts.valued_block(t, node.orelse)
        case _:
            orelse = t.expr(node.orelse)
    return _branches(t, value_type(then), value_type(orelse), node)


# ---------------------------------------------------------------- compile-time questions


def _sizeof(t: Typing, node: ast.Sizeof) -> Type:
    found = operand_type(t, node.operand)
    if found is None or isinstance(found, NoneType):
        t.note_unresolved(node.span, "Type cannot be resolved: still none")
        return U64
    size = settled(found).size
    t.set_literal(node, size)
    return type_ops.literal_type(size)


def _offsetof(t: Typing, node: ast.Offsetof) -> Type:
    found = operand_type(t, node.operand)
    offset = 0
    for name in node.path:
        while isinstance(found, Ptr):
            found = found.to
        if isinstance(found, Record) and name in found.names:
            at = found.names.index(name)
            offset, found = offset + found.offsets[at], found.elems[at]
            continue
        definition = struct_definition(t, found) if isinstance(found, Struct) else None
        field = definition.field(name) if definition is not None else None
        if field is None:
            return t.error("no-field", f"'{found}' has no field named '{name}'", node.span)
        offset, found = offset + field.offset, field.type
    t.set_literal(node, offset)
    return type_ops.literal_type(offset)


def _typeinfo(t: Typing, node: ast.Typeinfo) -> Type:
    if not type_calls.allowed(t, "typeinfo", node.span):
        return NONE
    found = operand_type(t, node.operand)
    if found is None:
        return NONE
    found = settled(found)
    t.instance.typeinfo[node] = base_name(found), str(found)
    return Record(
        names=("btf_id", "base_type", "full_type"),
        elems=(U32, Str(length=len(base_name(found)) + 1), Str(length=len(str(found)) + 1)),
    )


def type_name(found: Type) -> str:
    """A type in messages: a string whose size nobody gave has none."""
    return "string" if found == Str(length=UNSIZED) else str(found)


def base_name(found: Type) -> str:
    """The first word of a type's kind, as ``typeinfo`` gives it."""
    match found:
        case Int() | Bool():
            return "int"
        case Str():
            return "string"
        case Ptr():
            return "pointer"
        case Struct() | Record():
            return "record"
    return str(found).split("[", 1)[0]


def _comptime(t: Typing, node: ast.Comptime) -> Type:
    found = t.expr(node.operand)
    value = t.literal(node.operand)
    if value is not None:
        t.set_literal(node, value)
    elif t.reporting:
        return t.error("comptime", "Unable to resolve comptime expression", node.span)
    return found


def _type_as_value(t: Typing, node: ast.TypeExpr) -> Type:
    return t.error(
        "type-as-value",
        "When used as a call argument, `typeof` builtin only valid for macro calls that are"
        " expecting a type parameter",
        node.span,
    )


RULES: dict[type, Callable[[Typing, Any], Type]] = {
    ast.IntLit: _int,
    ast.BoolLit: _bool,
    ast.StrLit: _str,
    ast.Param: _param,
    ast.ParamCount: _param,
    ast.Ident: _ident,
    ast.Var: _var,
    ast.Map: _map,
    ast.MapAccess: _map_access,
    ast.Call: type_calls.call,
    ast.Unary: type_ops.unary,
    ast.IncDec: _incdec,
    ast.AddressOf: _address,
    ast.Binary: type_ops.binary,
    ast.Ternary: _ternary,
    ast.Cast: _cast,
    ast.FieldAccess: _field,
    ast.TupleAccess: _tuple_access,
    ast.Index: _index,
    ast.TupleLit: _tuple,
    ast.RecordLit: _record,
    ast.BlockExpr: _block,
    ast.IfExpr: _if,
    ast.Sizeof: _sizeof,
    ast.Offsetof: _offsetof,
    ast.Typeinfo: _typeinfo,
    ast.Comptime: _comptime,
    ast.TypeofType: _type_as_value,
}

__all__ = ["RULES", "condition", "is_scalar", "resolve_type", "I32", "I64"]
