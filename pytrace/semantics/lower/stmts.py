"""Statements and whole functions."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pytrace.base.types import Aggregate, Int, Tuple, int_type, is_scalar
from pytrace.frontend import ast
from pytrace.ir import nodes as ir
from pytrace.semantics.lower import aggregates, maps, words
from pytrace.semantics.merge import settled
from pytrace.semantics.type_stmts import unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytrace.semantics.lower.core import Lowering
    from pytrace.semantics.scope import Variable


def function(lo: Lowering) -> ir.Function:
    """The whole body of an instance."""
    probe = lo.instance.probe
    b = lo.b
    b.span = probe.span
    if isinstance(probe, ast.Fn):
        return _subprogram(lo, probe)
    filter_pid(lo)
    if lo.context.iterates:
        with b.when(b.compare("eq", b.load(b.context(), 8, 8), 0)):
            b.ret()
    if probe.predicate is not None:
        b.span = probe.predicate.span
        with b.when(b.negate(words.truth(lo, probe.predicate))):
            b.ret()
    body(lo, probe.body)
    shape = lo.instance.shape
    targets = lo.instance.targets
    return ir.Function(
        name=lo.instance.name,
        body=b.finish(),
        span=targets[0][1].span if targets else probe.span,
        prog_type=shape.prog_type,
        expected_attach_type=shape.expected_attach_type,
        attach_btf=shape.attach_btf,
        flags=shape.flags,
        gate=lo.context.probetype != "special",
        label=targets[0][0].name if targets else lo.instance.name,
    )


def filter_pid(lo: Lowering) -> None:
    """``-p`` where the kernel does not filter by itself (language 7.6)."""
    from pytrace.builtins.process import pid_tgid

    if lo.env.settings.pid is None or not lo.instance.shape.filter_pid:
        return
    b = lo.b
    lo.need_param("filter_pid", "filter_pid")
    pid = b.binop("lshr", pid_tgid(lo, init=False), 32)
    with b.when(b.compare("ne", pid, b.param("filter_pid"))):
        b.ret()


def _subprogram(lo: Lowering, fn: ast.Fn) -> ir.Function:
    b = lo.b
    for index, param in enumerate(fn.params):
        variable = lo.instance.scopes.of[param.var]
        kind = lo.variable_type(variable)
        word = b.argument(index)
        if is_scalar(kind):
            word = b.extend(word, int_type(kind).bits, int_type(kind).signed)
        b.set(cell_of(lo, variable), word)
    body(lo, fn.body)
    return ir.Function(
        name=lo.instance.name,
        body=b.finish(),
        span=fn.span,
        params=tuple(p.var.name for p in fn.params),
        label=fn.name,
    )


# ---------------------------------------------------------------- variables


def cell_of(lo: Lowering, variable: Variable) -> ir.Cell:
    cell = lo.cells.get(variable)
    if cell is None:
        cell = lo.cells[variable] = lo.b.cell(f"${variable.name}")
    return cell


def slot_of(lo: Lowering, variable: Variable) -> ir.Slot:
    slot = lo.slots.get(variable)
    if slot is None:
        size = lo.variable_type(variable).size
        slot = lo.slots[variable] = lo.b.slot(f"${variable.name}", size)
    return slot


def _begin_life(lo: Lowering, block: ast.Block) -> None:
    """Variables of a block start as zero, unless a whole assignment opens their life."""
    first = set(block.stmts)
    for variable in lo.instance.scopes.locals.get(block, ()):
        if variable.loop or variable not in lo.instance.variables:
            continue
        if variable.whole in first:
            continue
        if is_scalar(lo.variable_type(variable)):
            lo.b.set(cell_of(lo, variable), 0)
        else:
            slot = slot_of(lo, variable)
            lo.b.zero(lo.b.address(slot), slot.size)


def assign_variable(lo: Lowering, variable: Variable, value: ast.Expr) -> None:
    kind = lo.variable_type(variable)
    b = lo.b
    if is_scalar(kind):
        b.set(cell_of(lo, variable), lo.word_as(value, kind))
        return
    if _mentions(lo, value, variable):
        slot = b.address(b.slot("value", kind.size))
        lo.into(value, slot, kind)
        b.copy(b.address(slot_of(lo, variable)), slot, kind.size)
        return
    lo.into(value, b.address(slot_of(lo, variable)), kind)


def _mentions(lo: Lowering, node: ast.Expr, variable: Variable) -> bool:
    """True if computing the value reads the variable that it is for."""
    from pytrace.frontend.walk import walk

    of = lo.instance.scopes.of
    return any(isinstance(n, ast.Var) and of.get(n) is variable for n in walk(node))


# ---------------------------------------------------------------- blocks


def body(lo: Lowering, block: ast.Block) -> None:
    """A block whose value nobody wants."""
    with scope(lo, block):
        if block.value is not None:
            _expression(lo, block.value)


@contextmanager
def scope(lo: Lowering, block: ast.Block) -> Iterator[None]:
    """Lowers the statements of a block; its value is lowered in the body of the ``with``."""
    _begin_life(lo, block)
    for stmt in block.stmts:
        statement(lo, stmt)
    yield


def statement(lo: Lowering, stmt: ast.Stmt) -> None:
    lo.b.span = stmt.span
    lo.statement = stmt
    match stmt:
        case ast.Assign():
            _assign(lo, stmt)
        case ast.Let():
            variable = lo.instance.scopes.of[stmt.var]
            if stmt.value is not None:
                assign_variable(lo, variable, stmt.value)
        case ast.ExprStmt() | ast.Discard():
            _expression(lo, stmt.expr)
        case ast.If():
            _if(lo, stmt)
        case ast.ForRange():
            _for_range(lo, stmt)
        case ast.ForMap():
            _for_map(lo, stmt)
        case ast.While():
            _while(lo, stmt)
        case ast.Unroll():
            count = lo.literal(stmt.count)
            assert isinstance(count, int)
            for _ in range(count):
                body(lo, stmt.body)
        case ast.Jump():
            lo.b.jump(stmt.kind)
        case ast.Return():
            _return(lo, stmt)
        case ast.BlockStmt():
            body(lo, stmt.body)


def _return(lo: Lowering, stmt: ast.Return) -> None:
    if stmt.value is None:
        lo.b.ret()
        return
    word = lo.word(stmt.value)
    if isinstance(lo.instance.probe, ast.Fn):
        word = lo.convert_word(word, lo.type(stmt.value), lo.instance.returns)
    lo.b.ret(word)


def _expression(lo: Lowering, node: ast.Expr) -> None:
    """An expression for its effects."""
    kind = lo.type(node)
    if is_scalar(kind) or not kind.size:
        match node:
            case ast.Ternary() if not kind.size:
                _void_ternary(lo, node)
            case ast.TupleLit(elems=()):
                pass
            case ast.IfExpr() | ast.BlockExpr() if not kind.size:
                _void_block(lo, node)
            case _:
                lo.word(node)
        return
    lo.address(node)


def _void_ternary(lo: Lowering, node: ast.Ternary) -> None:
    b = lo.b
    cond = words.truth(lo, node.cond)
    with b.block() as then:
        if node.then is not None:
            _expression(lo, node.then)
    with b.block() as orelse:
        _expression(lo, node.orelse)
    b.if_else(cond, then[0], orelse[0])


def _void_block(lo: Lowering, node: ast.BlockExpr | ast.IfExpr | ast.Block | None) -> None:
    if node is None:
        return
    if isinstance(node, (ast.BlockExpr, ast.Block)):
        body(lo, node.body if isinstance(node, ast.BlockExpr) else node)
        return
    b = lo.b
    cond = words.truth(lo, node.cond)
    with b.block() as then:
        body(lo, node.then)
    with b.block() as orelse:
        _void_block(lo, node.orelse)
    b.if_else(cond, then[0], orelse[0])


def _if(lo: Lowering, stmt: ast.If) -> None:
    known = lo.literal(stmt.cond) if isinstance(stmt.cond, ast.Comptime) else None
    if known is not None:
        _if_branch(lo, stmt.then if known else stmt.orelse)
        return
    b = lo.b
    cond = words.truth(lo, stmt.cond)
    with b.block() as then:
        body(lo, stmt.then)
    with b.block() as orelse:
        _if_branch(lo, stmt.orelse)
    b.if_else(cond, then[0], orelse[0])


def _if_branch(lo: Lowering, branch: ast.Block | ast.If | None) -> None:
    if isinstance(branch, ast.Block):
        body(lo, branch)
    elif branch is not None:
        _if(lo, branch)


# ---------------------------------------------------------------- assignment


def _assign(lo: Lowering, stmt: ast.Assign) -> None:
    target = stmt.target
    if isinstance(target, ast.Var):
        variable = lo.instance.scopes.of[target]
        if stmt.op == "=":
            assign_variable(lo, variable, stmt.value)
            return
        kind = lo.variable_type(variable)
        old = lo.b.get(cell_of(lo, variable))
        word = words.arithmetic(
            lo, stmt.op[:-1], old, lo.word(stmt.value), kind, lo.operand_type(stmt.value), stmt.span
        )
        if isinstance(kind, Int):
            word = lo.b.extend(word, kind.bits, kind.signed)
        lo.b.set(cell_of(lo, variable), word)
        return
    assert isinstance(target, (ast.Map, ast.MapAccess))
    _assign_map(lo, stmt, target)


def _assign_map(lo: Lowering, stmt: ast.Assign, target: ast.Map | ast.MapAccess) -> None:
    name, _ = maps.parts(target)
    made = lo.map_spec(name)
    value = stmt.value
    if isinstance(made.value, Aggregate):
        blocks, call = unwrapped(value)
        assert isinstance(call, (ast.Call, ast.Ident))
        with ExitStack() as scopes:
            for block in blocks:
                scopes.enter_context(scope(lo, block))
            aggregates.assign(lo, target, call)
        return
    if stmt.op == "=":
        maps.assign(lo, target, value)
        return
    kind = made.value
    assert kind is not None
    old = maps.read_word(lo, target)
    word = words.arithmetic(
        lo, stmt.op[:-1], old, lo.word(value), kind, lo.operand_type(value), stmt.span
    )
    if isinstance(kind, Int):
        word = lo.b.extend(word, kind.bits, kind.signed)
    maps.assign_word(lo, target, word)


# ---------------------------------------------------------------- loops


def _for_range(lo: Lowering, stmt: ast.ForRange) -> None:
    b = lo.b
    start, end = lo.word(stmt.start), lo.word(stmt.end)
    variable = lo.instance.scopes.of[stmt.var]
    index = b.cell("index")
    with b.block() as inner:
        # The script may change its variable; the iteration goes on by its own.
        b.set(cell_of(lo, variable), b.get(index))
        body(lo, stmt.body)
    b.span = stmt.span
    b.repeat(index, start, end, inner[0])


def _for_map(lo: Lowering, stmt: ast.ForMap) -> None:
    b = lo.b
    name = stmt.map.name
    made = lo.map_spec(name)
    variable = lo.instance.scopes.of[stmt.var]
    pair = lo.variable_type(variable)
    assert isinstance(pair, Tuple) and made.value is not None
    with b.block() as inner:
        slot = b.address(slot_of(lo, variable))
        if sum(e.size for e in pair.elems) != pair.size:
            b.zero(slot, pair.size)
        b.copy(slot, b.element_key(), pair.elems[0].size)
        target = b.offset(slot, pair.offsets[1])
        if isinstance(made.value, Aggregate):
            word = aggregates.reduce(lo, made, slot)
            b.store(target, 0, 8, word)
        else:
            b.copy(target, b.element_value(), pair.elems[1].size)
        body(lo, stmt.body)
    b.span = stmt.span
    b.for_each(name, inner[0])


def _while(lo: Lowering, stmt: ast.While) -> None:
    b = lo.b
    with b.block() as inner:
        with b.when(b.negate(words.truth(lo, stmt.cond))):
            b.jump("break")
        body(lo, stmt.body)
    b.span = stmt.span
    b.loop(inner[0])


__all__ = ["body", "cell_of", "function", "scope", "settled", "slot_of", "statement"]
