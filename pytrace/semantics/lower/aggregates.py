"""Aggregates: adding a value in a probe, and reading one back in an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import Aggregate, align_up
from pytrace.frontend import ast
from pytrace.semantics.lower import maps, series

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.ir import nodes as ir
    from pytrace.model.compiled import MapSpec
    from pytrace.semantics.lower.core import Lowering


def assign(lo: Lowering, target: ast.Map | ast.MapAccess, call: ast.Call | ast.Ident) -> None:
    """``@m[k] = count()`` and its like: one more value joins the aggregate."""
    name, keys = maps.parts(target)
    made = lo.map_spec(name)
    kind = made.value
    assert isinstance(kind, Aggregate)
    b = lo.b
    args = call.args if isinstance(call, ast.Call) else ()
    number = lo.word(args[0]) if args else b.const(1)  # type: ignore[arg-type]
    if kind.kind == "tseries":
        series.assign(lo, made, keys, number, call.span)
        return
    if kind.kind in ("hist", "lhist"):
        bucket = (
            _hist_bucket(lo, number, kind.params[0])
            if kind.kind == "hist"
            else (_lhist_bucket(lo, number, *kind.params))
        )

        def change(pointer: ir.Value) -> None:
            b.atomic_add(_bucket_at(lo, pointer, bucket, kind), 0, 1)

        def fresh(pointer: ir.Value) -> None:
            b.store(_bucket_at(lo, pointer, bucket, kind), 0, 8, 1)
    else:

        def change(pointer: ir.Value) -> None:
            _CHANGES[kind.kind](lo, pointer, number, kind)

        def fresh(pointer: ir.Value) -> None:
            b.store(pointer, 0, 8, number)
            if kind.words > 1:
                b.store(pointer, 8, 8, 1)

    key = maps.key_pointer(lo, name, keys)
    if made.presence:
        pointer = b.lookup(name, key)
        with b.when(b.negate(b.is_null(pointer))):
            change(pointer)
            b.store(pointer, maps.presence_offset(made), 8, 1)
        return
    maps.upsert(lo, made, key, change, fresh, call.span)


# ---------------------------------------------------------------- changing one element


def _count(lo: Lowering, pointer: ir.Value, number: ir.Value, kind: Aggregate) -> None:
    lo.b.atomic_add(pointer, 0, number)


def _total_and_calls(lo: Lowering, pointer: ir.Value, number: ir.Value, kind: Aggregate) -> None:
    lo.b.atomic_add(pointer, 0, number)
    lo.b.atomic_add(pointer, 8, 1)


def _extreme(lo: Lowering, pointer: ir.Value, number: ir.Value, kind: Aggregate) -> None:
    """The first value is always taken; the second word tells that there was one."""
    b = lo.b
    op = ("s" if kind.signed else "u") + ("lt" if kind.kind == "min" else "gt")
    better = b.compare(op, number, b.load(pointer, 0, 8))
    unset = b.negate(b.load(pointer, 8, 8))
    with b.when(b.binop("or", better, unset)):
        b.store(pointer, 0, 8, number)
        b.store(pointer, 8, 8, 1)


_CHANGES: dict[str, Callable[[Lowering, ir.Value, ir.Value, Aggregate], None]] = {
    "count": _count,
    "sum": _count,
    "avg": _total_and_calls,
    "stats": _total_and_calls,
    "min": _extreme,
    "max": _extreme,
}


def _bucket_at(lo: Lowering, pointer: ir.Value, bucket: ir.Value, kind: Aggregate) -> ir.Value:
    """Pointer to a bucket's word; no number has a bucket past the last."""
    return lo.b.offset(pointer, lo.b.binop("shl", bucket, 3), limit=8 * (kind.words - 1))


def _hist_bucket(lo: Lowering, number: ir.Value, bits: int) -> ir.Value:
    """Bucket of a number in ``hist(n, bits)`` (language 10): v < 0 is 0, small values are exact,
    then each power of two is cut in 2**bits parts."""
    b = lo.b
    parts = 1 << bits
    result = b.cell("bucket")
    b.set(result, 0)
    with b.when(b.compare("sge", number, 0)):
        with b.block() as small:
            b.set(result, b.add(number, 1))
        with b.block() as large:
            power = b.add(_log2(lo, number), -bits)
            cut = b.binop("lshr", number, power)
            base = b.binop("shl", b.add(power, 1), bits)
            b.set(result, b.add(b.add(base, cut), 1 - parts))
        b.if_else(b.compare("slt", number, 2 * parts), small[0], large[0])
    return b.get(result)


def _log2(lo: Lowering, number: ir.Value) -> ir.Value:
    """Position of the highest bit of a word above 0, by halves."""
    b = lo.b
    rest, result = b.cell("rest"), b.cell("log2")
    b.set(rest, number)
    b.set(result, 0)
    for step in (32, 16, 8, 4, 2, 1):
        with b.when(b.compare("uge", b.get(rest), 1 << step)):
            b.set(rest, b.binop("lshr", b.get(rest), step))
            b.set(result, b.add(b.get(result), step))
    return b.get(result)


def _lhist_bucket(lo: Lowering, number: ir.Value, low: int, high: int, step: int) -> ir.Value:
    """Bucket 0 is below ``low``, the last one is all from the last whole step on."""
    b = lo.b
    last = 1 + (high - low) // step
    result = b.cell("bucket")
    b.set(result, 0)
    with b.when(b.compare("sge", number, low)):
        index = b.add(b.binop("udiv", b.add(number, -low), step), 1)
        b.set(result, b.select(b.compare("ult", index, last), index, last))
    return b.get(result)


# ---------------------------------------------------------------- reading back


def each_cpu(
    lo: Lowering,
    made: MapSpec,
    act: Callable[[ir.Value], None],
    key: ir.Value | None = None,
) -> None:
    """Runs code on a pointer to each CPU's part of an element; the key is copied for the loop."""
    b = lo.b
    lo.need_param("ncpus", "ncpus")
    shared = b.slot("cpu_key", align_up(made.key_size, 8))
    at = b.address(shared)
    if key is None:
        b.zero(at, made.key_size)
    else:
        b.copy(at, key, made.key_size)
    cpu = b.cell("cpu")
    with b.block() as body:
        pointer = b.lookup_percpu(made.name, b.address(shared), b.get(cpu))
        with b.when(b.negate(b.is_null(pointer))):
            act(pointer)
    b.repeat(cpu, 0, b.param("ncpus"), body[0])


def reduce(lo: Lowering, made: MapSpec, key: ir.Value) -> ir.Value:
    """A castable aggregate as one number, over all CPUs (language 6.2)."""
    kind = made.value
    assert isinstance(kind, Aggregate)
    total, calls = _sums(lo, made, kind, key)
    if kind.kind != "avg":
        return total
    return _average(lo, total, calls, kind.signed)


def _average(lo: Lowering, total: ir.Value, calls: ir.Value, signed: bool) -> ir.Value:
    b = lo.b
    result = b.cell("average")
    b.set(result, 0)
    with b.when(b.truth(calls)):
        b.set(result, b.binop("sdiv" if signed else "udiv", total, calls))
    return b.get(result)


def reduce_into(lo: Lowering, made: MapSpec, key: ir.Value, target: ir.Value) -> None:
    """``stats`` as its two words, total and calls."""
    kind = made.value
    assert isinstance(kind, Aggregate)
    total, calls = _sums(lo, made, kind, key)
    lo.b.store(target, 0, 8, total)
    lo.b.store(target, 8, 8, calls)


def _sums(lo: Lowering, made: MapSpec, kind: Aggregate, key: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The first and second word over all CPUs: added, or the extreme and whether there is one."""
    b = lo.b
    first, second = b.cell("first"), b.cell("second")
    b.set(first, 0)
    b.set(second, 0)
    two_words = kind.words > 1

    def add(pointer: ir.Value) -> None:
        b.set(first, b.add(b.get(first), b.load(pointer, 0, 8)))
        if two_words:
            b.set(second, b.add(b.get(second), b.load(pointer, 8, 8)))

    def pick(pointer: ir.Value) -> None:
        op = ("s" if kind.signed else "u") + ("lt" if kind.kind == "min" else "gt")
        with b.when(b.truth(b.load(pointer, 8, 8))):
            value = b.load(pointer, 0, 8)
            better = b.compare(op, value, b.get(first))
            with b.when(b.binop("or", better, b.negate(b.get(second)))):
                b.set(first, value)
                b.set(second, 1)

    act = pick if kind.kind in ("min", "max") else add
    if made.percpu:
        each_cpu(lo, made, act, key)
    else:
        pointer = b.lookup(made.name, key)
        with b.when(b.negate(b.is_null(pointer))):
            act(pointer)
    return b.get(first), b.get(second)
