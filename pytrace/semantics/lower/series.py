"""Time series: one value for each interval of time (language 10).

A key's intervals are elements of their own, so that only those that saw a value take memory: the
key of the BPF map is the script's key, padded to 8 bytes, and the interval's number modulo the
number of intervals kept. An element is a cell of three u64, each CPU's its own:

======== ====================================================================
value    the last value, the sum, or the extreme
meta     clock of the last value (no function), number of values (``avg``)
epoch    the interval: clock / length. A cell of another epoch is out of date
======== ====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import Aggregate, align_up
from pytrace.builtins.clock import tai_ns
from pytrace.semantics.lower import maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.source import Span
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.model.compiled import MapSpec
    from pytrace.semantics.lower.core import Lowering

VALUE, META, EPOCH = 0, 8, 16

BUCKETS = 1 << 20
"""Most elements of one map: its table takes 16 bytes for each, whether it is used or not."""

NO_PREALLOC = 1
PREALLOCATED = 1 << 16


def key_size(key_bytes: int) -> int:
    """Bytes of the BPF map's key for a script's key; a scalar series has a key of 0 bytes."""
    return align_up(key_bytes, 8) + 8


def entries(kind: Aggregate, keys: int) -> int:
    """Elements that a number of keys needs, within reason."""
    count = kind.params[1]
    return min(keys * count, max(BUCKETS, count))


def flags(count: int) -> int:
    return NO_PREALLOC if count > PREALLOCATED else 0


def assign(
    lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...], number: ir.Value, span: Span
) -> None:
    """``@m[k] = tseries(number, ...)``."""
    kind = made.value
    assert isinstance(kind, Aggregate)
    b = lo.b
    interval, count, function = kind.params
    now = _clock(lo)
    epoch = b.binop("udiv", now, interval)
    key = _key(lo, made, keys)
    b.store(key, made.key_size - 8, 8, b.binop("urem", epoch, count))

    def begin(pointer: ir.Value) -> None:
        b.store(pointer, VALUE, 8, number)
        b.store(pointer, META, 8, b.const(1) if function else now)
        b.store(pointer, EPOCH, 8, epoch)

    def change(pointer: ir.Value) -> None:
        with b.block() as fresh:
            begin(pointer)
        with b.block() as join:
            _CHANGES[function](lo, pointer, number, now, kind)
        b.if_else(b.compare("ne", b.load(pointer, EPOCH, 8), epoch), fresh[0], join[0])

    maps.upsert(lo, made, key, change, begin, span)


def _clock(lo: Lowering) -> ir.Value:
    """TAI, or the scalar map that stands for it where a test wants to choose the times."""
    name = lo.env.settings.clock_map
    if not name:
        return tai_ns(lo)
    made = lo.map_spec(name)
    return lo.b.load(lo.b.map_value(name), 0, made.value.size if made.value else 8)


def _key(lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...]) -> ir.Value:
    """A key with room for the number of an interval behind it."""
    key = maps.key_pointer(lo, made.name, keys)
    size = made.key.size if made.key is not None else 0
    lo.b.zero(lo.b.offset(key, size), made.key_size - size)
    return key


# ---------------------------------------------------------------- joining a value to its interval


def _last(lo: Lowering, cell: ir.Value, number: ir.Value, now: ir.Value, kind: Aggregate) -> None:
    lo.b.store(cell, VALUE, 8, number)
    lo.b.store(cell, META, 8, now)


def _add(lo: Lowering, cell: ir.Value, number: ir.Value, now: ir.Value, kind: Aggregate) -> None:
    lo.b.atomic_add(cell, VALUE, number)
    lo.b.atomic_add(cell, META, 1)


def _extreme(op: str) -> Callable[[Lowering, ir.Value, ir.Value, ir.Value, Aggregate], None]:
    def change(
        lo: Lowering, cell: ir.Value, number: ir.Value, now: ir.Value, kind: Aggregate
    ) -> None:
        b = lo.b
        name = ("s" if kind.signed else "u") + op
        with b.when(b.compare(name, number, b.load(cell, VALUE, 8))):
            b.store(cell, VALUE, 8, number)

    return change


_CHANGES = (_last, _add, _extreme("gt"), _extreme("lt"), _add)
"""By index into ``builtins.aggregates.SERIES_FUNCTIONS``."""


# ---------------------------------------------------------------- all intervals of a key


def any_interval(
    lo: Lowering,
    made: MapSpec,
    keys: tuple[ast.Expr, ...],
    act: Callable[[ir.Value], ir.Value],
) -> ir.Value:
    """Does something with the element of each interval of a key; 1 if ``act`` gave a word that
    is not zero for one of them."""
    kind = made.value
    assert isinstance(kind, Aggregate)
    b = lo.b
    shared = b.slot("series_key", made.key_size)
    b.copy(b.address(shared), _key(lo, made, keys), made.key_size)
    hit, index = b.cell("hit"), b.cell("interval")
    b.set(hit, 0)
    with b.block() as body:
        at = b.address(shared)
        b.store(at, made.key_size - 8, 8, b.get(index))
        b.set(hit, b.binop("or", b.get(hit), act(at)))
    b.repeat(index, 0, kind.params[1], body[0])
    return b.get(hit)


def delete(lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...]) -> ir.Value:
    """1 if there was an interval of the key."""
    return any_interval(lo, made, keys, lambda key: lo.b.negate(lo.b.delete(made.name, key)))


def has_key(lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...]) -> ir.Value:
    b = lo.b
    return any_interval(
        lo, made, keys, lambda key: b.negate(b.is_null(b.lookup(made.name, key)))
    )
