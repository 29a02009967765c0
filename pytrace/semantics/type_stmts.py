"""Typing rules of statements and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.base.source import Span
from pytrace.base.types import (
    I64,
    NONE,
    VOID,
    Aggregate,
    Array,
    Bool,
    Enum,
    Int,
    NoneType,
    Ptr,
    Record,
    Str,
    Struct,
    Tuple,
    Type,
    int_type,
)
from pytrace.frontend import ast
from pytrace.semantics import functions, type_calls, type_exprs, type_maps, type_ops
from pytrace.semantics.merge import ONE, FlexInt, is_nothing, is_void, merge, settled, value_type
from pytrace.semantics.type_names import UNSIZED, resolve_type

if TYPE_CHECKING:
    from pytrace.semantics.scope import Variable
    from pytrace.semantics.typing import Typing


def body(t: Typing, block: ast.Block) -> None:
    """A block whose value nobody wants: a trailing expression is a statement."""
    for stmt in block.stmts:
        if isinstance(stmt, ast.ExprStmt) and stmt is block.stmts[-1] and block.value is None:
            _expression_statement(t, stmt.expr, _call_span(stmt))
        else:
            statement(t, stmt)
    if block.value is not None:
        _expression_statement(t, block.value, block.value.span)


def _call_span(stmt: ast.ExprStmt) -> Span:
    """Span of a statement's expression: of the macro call, where it is what a macro gave."""
    span = stmt.expr.span
    while span.expanded_from is not None and span.expanded_from is not stmt.span.expanded_from:
        span = span.expanded_from
    return span


def valued_block(t: Typing, block: ast.Block) -> Type:
    """A block used for its value."""
    for stmt in block.stmts:
        statement(t, stmt)
    if block.value is None:
        return VOID
    return t.expr(block.value)


def function(t: Typing, fn: ast.Fn) -> None:
    """A ``fn``: its parameters have their declared types."""
    functions.signature(t, fn)
    body(t, fn.body)


def statement(t: Typing, stmt: ast.Stmt) -> None:
    match stmt:
        case ast.Assign():
            _assign(t, stmt)
        case ast.Let():
            _let(t, stmt)
        case ast.ExprStmt():
            _expression_statement(t, stmt.expr, stmt.span)
        case ast.Discard():
            t.expr(stmt.expr)
        case ast.If():
            _if(t, stmt)
        case ast.ForRange():
            _for_range(t, stmt)
        case ast.ForMap():
            _for_map(t, stmt)
        case ast.While():
            t.warn(
                "deprecated-while",
                "While loops are deprecated and may be removed in the future.",
                stmt.span,
                hints=[
                    "For loops support ranges (e.g. `for ($x : $start..$end) { ... }`), and can be"
                    " used in place of while. These are more easily proven to be bounded by the"
                    " verifier."
                ],
            )
            type_exprs.condition(t, stmt.cond, stmt.span)
            body(t, stmt.body)
        case ast.Unroll():
            _unroll(t, stmt)
        case ast.Return():
            _return(t, stmt)
        case ast.BlockStmt():
            body(t, stmt.body)
        case ast.Jump():
            pass


def _if(t: Typing, stmt: ast.If) -> None:
    comptime = isinstance(stmt.cond, ast.Comptime)
    if comptime:
        t.expr(stmt.cond)
        value = t.literal(stmt.cond)
        if value is not None:
            taken = stmt.then if value else stmt.orelse
            if isinstance(taken, ast.Block):
                body(t, taken)
            elif taken is not None:
                _if(t, taken)
            return
    else:
        type_exprs.condition(t, stmt.cond, stmt.span)
    body(t, stmt.then)
    if isinstance(stmt.orelse, ast.Block):
        body(t, stmt.orelse)
    elif stmt.orelse is not None:
        _if(t, stmt.orelse)


def _expression_statement(t: Typing, node: ast.Expr, span: Span) -> None:
    """``span`` is where a dropped value is reported."""
    match node:
        case ast.Call() | ast.Ident():
            builtin = type_calls.find(t, node.name)
            if builtin is not None and builtin.aggregate:
                type_calls.not_assigned(t, node, builtin)
                return
    found = t.expr(node)
    if is_void(found) or isinstance(found, NoneType) or isinstance(node, ast.IncDec):
        return
    t.warn("discarded-value", "Return value discarded.", span)


# ---------------------------------------------------------------- assignment


def _assign(t: Typing, stmt: ast.Assign) -> None:
    target = stmt.target
    match target:
        case ast.Var():
            _assign_variable(t, stmt, target)
        case ast.Map() | ast.MapAccess():
            _assign_map(t, stmt, target)
        case ast.FieldAccess() | ast.TupleAccess():
            t.expr(target.base)
            t.error(
                "immutable",
                "Tuples and records are immutable once created. Consider creating a new value and"
                " assigning it instead.",
                stmt.span,
            )
        case _:
            t.error("bad-target", "invalid assignment target", stmt.span)


def _assigned_value(t: Typing, stmt: ast.Assign, current: Type) -> Type:
    """Type of what is stored: the value, or ``target op value`` for a compound operator."""
    value = t.expr(stmt.value)
    if stmt.op == "=":
        return value
    if isinstance(value, NoneType):
        return NONE
    if isinstance(current, NoneType):
        if isinstance(stmt.target, ast.Var):
            t.note_unresolved(stmt.target.span)
            return NONE
        current = ONE
    return type_ops.arithmetic(t, stmt.op[:-1], current, value, stmt)


def _assign_variable(t: Typing, stmt: ast.Assign, target: ast.Var) -> None:
    variable = t.variable(target)
    if variable is None:
        t.expr(stmt.value)
        return
    current = t.variable_type(variable)
    value = _assigned_value(t, stmt, current)
    t.types[target] = current
    store_variable(t, variable, value, stmt.value, stmt.span)
    t.types[target] = t.variable_type(variable)


def _let(t: Typing, stmt: ast.Let) -> None:
    variable = t.variable(stmt.var)
    value = t.expr(stmt.value) if stmt.value is not None else NONE
    if variable is None:
        return
    if stmt.type is not None:
        declared = resolve_type(t, stmt.type)
        if declared is None:
            return
        if isinstance(declared, Aggregate):
            t.error(
                "bad-declaration",
                f"Invalid variable declaration type: {declared}",
                stmt.type.span,
            )
            return
        known = t.instance.variables.get(variable, NONE)
        if isinstance(known, NoneType):
            t.instance.variables[variable] = declared
            t.changed = True
    if stmt.value is not None:
        store_variable(t, variable, value, stmt.value, stmt.span)
    t.types[stmt.var] = t.variable_type(variable)


def store_variable(t: Typing, variable: Variable, value: Type, node: ast.Expr, span: Span) -> None:
    """Checks one value against a variable and merges its type in."""
    if isinstance(value, NoneType):
        return
    if isinstance(value, Aggregate):
        if not value.castable:
            t.error(
                "aggregate-value",
                f"Value '{value}' cannot be assigned to a scratch variable.",
                span,
            )
            return
        value = value_type(value)
    if _is_nothing(t, value, node, span, "scratch variable"):
        return
    if variable.declared is not None:
        _store_declared(t, variable, value, node, span)
        return
    t.assign_variable(variable, value, span)
    if t.reporting:
        type_ops.warn_lossy(t, value, t.variable_type(variable), node.span)


def _is_nothing(t: Typing, value: Type, node: ast.Expr, span: Span, target: str) -> bool:
    """Reports a value that is none: what a void call, a block or ``()`` gives."""
    if is_void(value) and not isinstance(node, (ast.BlockExpr, ast.IfExpr)):
        t.error("void-value", f"Value 'void' cannot be assigned to a {target}.", span)
    elif is_nothing(value):
        t.error("void-value", "Invalid expression for assignment", span)
    else:
        return False
    return True


def _store_declared(t: Typing, variable: Variable, value: Type, node: ast.Expr, span: Span) -> None:
    declared = t.instance.variables.get(variable, NONE)
    literal = t.literal(node)
    if isinstance(declared, Str) and isinstance(value, Str):
        if not _declared_unsized(variable):
            if value.length > declared.length:
                _declared_mismatch(t, variable, value, declared, span)
            return
        t.assign_variable(variable, value, span)
        return
    if isinstance(declared, Int) and isinstance(literal, int) and not isinstance(literal, bool):
        if not declared.low <= literal <= declared.high and isinstance(value, Int):
            _declared_mismatch(t, variable, value, declared, span)
        return
    if isinstance(declared, Ptr) and isinstance(value, Ptr):
        return
    merged = merge(declared, value)
    if merged is None:
        _declared_mismatch(t, variable, value, declared, span)
    elif isinstance(declared, Int) and isinstance(value, (Int, Enum)):
        if _may_lose(int_type(value), declared):
            t.warn(
                "lossy-cast",
                f"Expression of type: {settled(value)} being cast to type: {declared}."
                " This may cause unexpected results. Use an explicit cast to suppress this"
                " warning.",
                node.span,
            )
    elif isinstance(declared, (Tuple, Record)) and settled(merged) != declared:
        _declared_mismatch(t, variable, value, declared, span)


def _may_lose(source: Int, declared: Int) -> bool:
    """True if a declared type may not hold a value: it is smaller, or of another sign."""
    if source.bits != declared.bits or isinstance(source, FlexInt):
        return source.bits > declared.bits
    return source.signed != declared.signed


def _declared_unsized(variable: Variable) -> bool:
    declared = variable.declared
    return isinstance(declared, ast.NamedType) and declared.name == "string"


def _declared_mismatch(
    t: Typing, variable: Variable, value: Type, declared: Type, span: Span
) -> None:
    t.error(
        "type-mismatch",
        f"Type mismatch for ${variable.name.split('#')[0]}: trying to assign value of type"
        f" '{settled(value)}' when variable already has a type '{declared}'",
        span,
    )


def _assign_map(t: Typing, stmt: ast.Assign, target: ast.Map | ast.MapAccess) -> None:
    node = target if isinstance(target, ast.Map) else target.map
    blocks, call = unwrapped(stmt.value)
    builtin = type_calls.aggregate_call(t, call)
    if isinstance(target, ast.Map):
        type_maps.note_use(t, target, scalar=True, span=target.span)
    else:
        type_maps.key(t, target, call.span if builtin is not None else None)
    if builtin is not None and stmt.op == "=":
        assert isinstance(call, (ast.Call, ast.Ident))
        for block in blocks:
            for inner in block.stmts:
                statement(t, inner)
        found = type_calls.aggregate(t, call, builtin)
        t.types[call] = t.types[stmt.value] = found
        type_maps.merge_value(t, node, found, stmt.value.span)
        return
    current = t.env.map(node.name).value
    value = _assigned_value(t, stmt, current)
    t.types[target] = current
    if _is_nothing(t, value, stmt.value, stmt.span, "map"):
        return
    if isinstance(value, Aggregate):
        _copied_aggregate(t, stmt, node, value)
        return
    if stmt.op == "=" and isinstance(value, NoneType):
        info = t.env.map(node.name)
        info.assigned = True
        return
    type_maps.merge_value(t, node, value, stmt.span)
    t.types[target] = settled(t.env.map(node.name).value)
    if t.reporting:
        type_ops.warn_lossy(t, value, t.types[target], stmt.value.span)


def unwrapped(node: ast.Expr) -> tuple[list[ast.Block], ast.Expr]:
    """The expression that gives the value of block expressions, and the blocks around it."""
    blocks: list[ast.Block] = []
    while isinstance(node, ast.BlockExpr) and node.body.value is not None:
        blocks.append(node.body)
        node = node.body.value
    return blocks, node


def _copied_aggregate(t: Typing, stmt: ast.Assign, node: ast.Map, value: Aggregate) -> None:
    source = stmt.value
    name = source.name if isinstance(source, ast.Map) else "@"
    if isinstance(source, ast.MapAccess):
        name = source.map.name
    info = t.env.map(node.name)
    info.assigned = info.copied = True
    if isinstance(info.value, Int) and value.castable:
        return
    call = f"{value.kind}({_EXAMPLES.get(value.kind, 'retval')})"
    hints = []
    if value.castable:
        hints.append(
            "Add a cast to integer if you want the value of the aggregate, e.g."
            f" `{node.name} = (int64){name};`."
        )
    t.error(
        "aggregate-copy",
        f"Map value '{value}' cannot be assigned from one map to another. The function that"
        f" returns this type must be called directly e.g. `{node.name} = {call};`.",
        stmt.span,
        hints=hints,
    )


_EXAMPLES = {"count": "", "stats": "arg2", "lhist": "rand %10, 0, 10, 1"}
"""Arguments in the calls that messages show."""


# ---------------------------------------------------------------- loops


def _for_range(t: Typing, stmt: ast.ForRange) -> None:
    start, end = value_type(t.expr(stmt.start)), value_type(t.expr(stmt.end))
    for found, name in ((start, "start"), (end, "end")):
        if not isinstance(found, (Int, Bool, Enum, NoneType)):
            t.error(
                "bad-range",
                f"Loop range requires an integer for the {name} value",
                replace(stmt.span, end=stmt.end.span.end),
            )
    variable = t.variable(stmt.var)
    if variable is not None:
        merged = merge(_bound(start), _bound(end))
        if merged is not None:
            t.assign_variable(variable, merged, stmt.var.span)
        t.types[stmt.var] = t.variable_type(variable)
    _for_body(t, stmt.body)


def _bound(found: Type) -> Type:
    if isinstance(found, (Bool, Enum)):
        return int_type(found)
    return found if isinstance(found, (Int, NoneType)) else I64


def _for_map(t: Typing, stmt: ast.ForMap) -> None:
    info = t.env.map(stmt.map.name)
    if info.scalar:
        t.error(
            "scalar-iteration",
            f"{stmt.map.name} has no explicit keys (scalar map), and cannot be used for iteration",
            stmt.map.span,
        )
        return
    if t.reporting and not type_maps.is_known(t, stmt.map):
        return
    value = info.value
    if isinstance(value, Aggregate) and not value.castable:
        t.error("bad-iteration", f"Loop expression does not support type: {value}", stmt.map.span)
        return
    variable = t.variable(stmt.var)
    if variable is not None and not isinstance(info.key, NoneType):
        pair = Tuple(elems=(info.key, value_type(value)))
        if t.instance.variables.get(variable) != pair:
            t.instance.variables[variable] = pair
            t.changed = True
        t.types[stmt.var] = pair
    _for_body(t, stmt.body)


def _for_body(t: Typing, block: ast.Block) -> None:
    t.for_depth += 1
    body(t, block)
    t.for_depth -= 1


def _unroll(t: Typing, stmt: ast.Unroll) -> None:
    t.expr(stmt.count)
    count = t.literal(stmt.count)
    if not isinstance(count, int) or isinstance(count, bool):
        if t.reporting:
            t.error("unroll", "invalid unroll value", stmt.span)
    elif count > 100:
        t.error("unroll", "unroll maximum value is 100", stmt.span)
    elif count < 1:
        t.error("unroll", "unroll minimum value is 1", stmt.span)
    body(t, stmt.body)


def _return(t: Typing, stmt: ast.Return) -> None:
    found = t.expr(stmt.value) if stmt.value is not None else VOID
    probe = t.instance.probe
    if isinstance(probe, ast.Fn):
        functions.check_return(t, probe, stmt, value_type(found))
        return
    if stmt.value is None or isinstance(found, (Int, Enum, NoneType)):
        return
    t.error(
        "return-type",
        f"Probe return values can only be integers. Found {settled(found)}",
        stmt.span,
    )


__all__ = ["body", "function", "statement", "store_variable", "valued_block",
           "Array", "FlexInt", "Ptr", "Struct", "UNSIZED"]  # fmt: skip
