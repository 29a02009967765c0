"""Maps: their specs, keys, elements and aggregates (language 2.5, 6, 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import (
    I64,
    Aggregate,
    Int,
    NoneType,
    Ptr,
    Tuple,
    Type,
    align_up,
    int_type,
    is_scalar,
)
from pytrace.builtins.faults import MAP_FULL, NO_ELEMENT, NOT_DELETED
from pytrace.frontend import ast
from pytrace.model.compiled import MapSpec
from pytrace.semantics.lower import aggregates, places, series
from pytrace.semantics.lower.places import Place
from pytrace.semantics.merge import settled, value_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.source import Span
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.env import MapInfo
    from pytrace.semantics.lower.core import Lowering

DECLARED_KINDS = {
    "hash": "HASH",
    "lruhash": "LRU_HASH",
    "percpuhash": "PERCPU_HASH",
    "percpulruhash": "LRU_PERCPU_HASH",
}
NOEXIST = 1
ENOENT = 2
EEXIST = 17

LARGE_ELEMENT = 2048
"""Aggregates above this size are not kept once for each CPU: that would cost memory by the CPU."""

NO_PREALLOC = 1
PREALLOCATED_BYTES = 64 << 20


# ---------------------------------------------------------------- specs


def spec(lo: Lowering, name: str) -> MapSpec:
    """The BPF map of a script's map, made on first use."""
    known = lo.module.maps.get(name)
    if known is None:
        known = lo.module.maps[name] = _make_spec(lo, name)
    return known


def _make_spec(lo: Lowering, name: str) -> MapSpec:
    info = lo.env.map(name)
    value = settled(info.value)
    if isinstance(value, NoneType):
        value = I64
    aggregate = isinstance(value, Aggregate)
    if isinstance(value, Aggregate) and value.kind == "tseries":
        return _series_spec(lo, info, value)
    if info.decl is not None:
        kind, entries = DECLARED_KINDS[info.decl.kind], info.decl.max_entries
        key = I64 if info.scalar else settled(info.key)
        return MapSpec(
            name=name, kind=kind, key_size=key.size, value_size=align_up(value.size, 8),
            max_entries=entries, key=None if info.scalar else key, value=value,
            scalar=bool(info.scalar),
        )  # fmt: skip
    if info.scalar is not False:
        return MapSpec(
            name=name, kind="PERCPU_ARRAY" if aggregate else "ARRAY", key_size=4,
            value_size=align_up(value.size, 8) + 8, max_entries=1, value=value, scalar=True,
            presence=True,
        )  # fmt: skip
    key = settled(info.key)
    large = aggregate and value.size > LARGE_ELEMENT
    entries = lo.env.config.max_map_keys
    big = large and entries * value.size > PREALLOCATED_BYTES
    return MapSpec(
        name=name, kind="PERCPU_HASH" if aggregate and not large else "HASH", key_size=key.size,
        value_size=align_up(value.size, 8) if aggregate else value.size, max_entries=entries,
        flags=NO_PREALLOC if big else 0, key=key, value=value,
    )  # fmt: skip


def _series_spec(lo: Lowering, info: MapInfo, kind: Aggregate) -> MapSpec:
    key = None if info.scalar is not False else settled(info.key)
    name, flags = "PERCPU_HASH", 0
    if info.decl is not None:
        name, count = DECLARED_KINDS[info.decl.kind], info.decl.max_entries
    else:
        count = series.entries(kind, 1 if key is None else lo.env.config.max_map_keys)
        flags = series.flags(count)
    return MapSpec(
        name=info.name, kind=name, key_size=series.key_size(key.size if key else 0),
        value_size=kind.size, max_entries=count, flags=flags, key=key, value=kind,
        scalar=key is None,
    )  # fmt: skip


def presence_offset(made: MapSpec) -> int:
    """Where the word is that tells whether the only element was set."""
    return made.value_size - 8


# ---------------------------------------------------------------- keys


def key_pointer(lo: Lowering, name: str, keys: tuple[ast.Expr, ...]) -> ir.Value:
    """Pointer to a key built on the stack; scalar maps have the key 0."""
    b = lo.b
    made = spec(lo, name)
    slot = b.address(b.slot("key", made.key_size))
    if made.key is None:
        b.store(slot, 0, made.key_size, 0)
        return slot
    if len(keys) == 1:
        lo.into(keys[0], slot, made.key)
        return slot
    assert isinstance(made.key, Tuple)
    if sum(e.size for e in made.key.elems) != made.key.size:
        b.zero(slot, made.key.size)
    for node, offset, kind in zip(keys, made.key.offsets, made.key.elems):
        lo.into(node, b.offset(slot, offset), kind)
    return slot


def parts(node: ast.Map | ast.MapAccess) -> tuple[str, tuple[ast.Expr, ...]]:
    """Name and keys of a map as it stands in the script."""
    if isinstance(node, ast.Map):
        return node.name, ()
    return node.map.name, node.keys


def _element(lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...]) -> ir.Value:
    """Pointer to an element's value, null if there is none."""
    return lo.b.lookup(made.name, key_pointer(lo, made.name, keys))


# ---------------------------------------------------------------- reading


def read_word(lo: Lowering, node: ast.Map | ast.MapAccess) -> ir.Value:
    """The value of a scalar element: 0 if it is missing; aggregates are reduced over CPUs."""
    name, keys = parts(node)
    made = spec(lo, name)
    value = made.value
    assert value is not None
    b = lo.b
    if isinstance(value, Aggregate):
        key = key_pointer(lo, name, keys)
        _warn_of_missing_aggregate(lo, made, key, node)
        return aggregates.reduce(lo, made, key)
    number = int_type(value)
    if made.kind == "ARRAY":
        _warn_of_unset(lo, made, node)
        return b.load(b.map_value(name), 0, value.size, number.signed)
    result = b.cell("element")
    pointer = _element(lo, made, keys)
    b.set(result, 0)
    with b.block() as missing:
        _warn_of_missing(lo, node)
    with b.block() as found:
        b.set(result, b.load(pointer, 0, value.size, number.signed))
    b.if_else(b.is_null(pointer), missing[0], found[0])
    return b.get(result)


def read_into(lo: Lowering, node: ast.Map | ast.MapAccess, target: ir.Value, wanted: Type) -> None:
    """Copies an element's value to ``target``; zero bytes if it is missing."""
    from pytrace.semantics.lower.memory import convert_place

    name, keys = parts(node)
    made = spec(lo, name)
    value = made.value
    assert value is not None
    b = lo.b
    if isinstance(value, Aggregate):
        key = key_pointer(lo, name, keys)
        _warn_of_missing_aggregate(lo, made, key, node)
        aggregates.reduce_into(lo, made, key, target)
        return
    if made.kind == "ARRAY":
        _warn_of_unset(lo, made, node)
        place = Place(kind="memory", base=b.map_value(name))
        convert_place(lo, place, value, target, wanted)
        return
    pointer = _element(lo, made, keys)
    with b.block() as missing:
        b.zero(target, wanted.size)
        _warn_of_missing(lo, node)
    with b.block() as found:
        convert_place(lo, Place(kind="memory", base=pointer), value, target, wanted)
    b.if_else(b.is_null(pointer), missing[0], found[0])


def _warn_of_missing(lo: Lowering, node: ast.Expr, helper: str = "map_lookup_elem") -> None:
    """With ``-k``: reports that an element read at ``node`` is not there."""
    if lo.warns:
        lo.fault(NO_ELEMENT, helper, None, node.span)


def _warn_of_unset(lo: Lowering, made: MapSpec, node: ast.Expr) -> None:
    """The only element of an array is always there: its presence word tells."""
    if lo.warns:
        b = lo.b
        with b.when(b.negate(b.load(b.map_value(made.name), presence_offset(made), 8))):
            _warn_of_missing(lo, node)


def _warn_of_missing_aggregate(
    lo: Lowering, made: MapSpec, key: ir.Value, node: ast.Expr
) -> None:
    """An element that is there is there for every CPU, this one too."""
    if not lo.warns or made.presence:
        return
    helper = "map_lookup_percpu_elem" if made.percpu else "map_lookup_elem"
    with lo.b.when(lo.b.is_null(lo.b.lookup(made.name, key))):
        _warn_of_missing(lo, node, helper)


def value_pointer(lo: Lowering, node: ast.Map | ast.MapAccess) -> ir.Value:
    """Pointer to an element's value for ``&@m``; for a missing one to zeros on the stack."""
    name, keys = parts(node)
    made = spec(lo, name)
    if made.kind == "ARRAY":
        return lo.b.map_value(name)
    return lo.address(node)


# ---------------------------------------------------------------- writing


def assign(lo: Lowering, node: ast.Map | ast.MapAccess, value: ast.Expr) -> None:
    """``@m[k] = value``."""
    name, keys = parts(node)
    made = spec(lo, name)
    kind = made.value
    assert kind is not None
    b = lo.b
    if made.kind == "ARRAY":
        if is_scalar(kind):
            word = lo.word_as(value, kind)
            b.store(b.map_value(name), 0, kind.size, word)
        else:
            # The value may read the map itself: it is complete before it is stored.
            slot = b.address(b.slot("value", kind.size))
            lo.into(value, slot, kind)
            b.copy(b.map_value(name), slot, kind.size)
        b.store(b.map_value(name), presence_offset(made), 8, 1)
        return
    if is_scalar(kind):
        word = lo.word_as(value, kind)
        _store_word(lo, made, keys, word, node)
        return
    slot = b.address(b.slot("value", made.value_size))
    if made.value_size > kind.size:
        b.zero(slot, made.value_size)
    lo.into(value, slot, kind)
    _update(lo, made, key_pointer(lo, name, keys), slot, node)


def assign_word(lo: Lowering, node: ast.Map | ast.MapAccess, word: ir.Value) -> None:
    """Stores a word that already has the map's value type."""
    name, keys = parts(node)
    made = spec(lo, name)
    assert made.value is not None
    if made.kind == "ARRAY":
        lo.b.store(lo.b.map_value(name), 0, made.value.size, word)
        lo.b.store(lo.b.map_value(name), presence_offset(made), 8, 1)
        return
    _store_word(lo, made, keys, word, node)


def _store_word(
    lo: Lowering, made: MapSpec, keys: tuple[ast.Expr, ...], word: ir.Value, node: ast.Expr
) -> None:
    """In place where the element exists: a third of the price of an update."""
    b = lo.b
    assert made.value is not None
    size = made.value.size
    key = key_pointer(lo, made.name, keys)
    if "LRU" in made.kind:
        # An LRU map learns of the use from the update.
        _insert_word(lo, made, key, word, size, node)
        return
    pointer = b.lookup(made.name, key)
    with b.block() as missing:
        _insert_word(lo, made, key, word, size, node)
    with b.block() as found:
        b.store(pointer, 0, size, word)
    b.if_else(b.is_null(pointer), missing[0], found[0])


def _insert_word(
    lo: Lowering, made: MapSpec, key: ir.Value, word: ir.Value, size: int, node: ast.Expr
) -> None:
    b = lo.b
    slot = b.address(b.slot("value", max(made.value_size, 8)))
    if made.value_size > size:
        b.zero(slot, made.value_size)
    b.store(slot, 0, size, word)
    _update(lo, made, key, slot, node)


def _update(lo: Lowering, made: MapSpec, key: ir.Value, value: ir.Value, node: ast.Expr) -> None:
    result = lo.b.update(made.name, key, value)
    report_full(lo, made, result, node)


def report_full(lo: Lowering, made: MapSpec, result: ir.Value, node: ast.Expr) -> None:
    """A failed insertion is told to the user (always on, language 6.1)."""
    b = lo.b
    with b.when(b.compare("slt", result, 0)):
        lo.fault(MAP_FULL, "map_update_elem", result, lo.statement_span(node))


def increment(
    lo: Lowering, node: ast.Map | ast.MapAccess, delta: int, step: ast.IncDec
) -> ir.Value:
    """``@m++``: in place and atomic where the element exists; the old or the new value."""
    prefix = step.prefix
    name, keys = parts(node)
    made = spec(lo, name)
    kind = made.value
    assert kind is not None
    b = lo.b
    number = int_type(kind)
    if isinstance(kind, Ptr):
        delta *= max(kind.to.size, 1)
    if made.kind == "ARRAY":
        _warn_of_unset(lo, made, step)
        old = b.load(b.map_value(name), 0, kind.size, number.signed)
        _add_in_place(lo, b.map_value(name), kind, old, delta)
        b.store(b.map_value(name), presence_offset(made), 8, 1)
        return b.extend(b.add(old, delta), number.bits, number.signed) if prefix else old
    key = key_pointer(lo, name, keys)
    result = b.cell("old")

    def in_place(pointer: ir.Value) -> None:
        b.set(result, b.load(pointer, 0, kind.size, number.signed))
        _add_in_place(lo, pointer, kind, b.get(result), delta)

    def fresh(slot: ir.Value) -> None:
        _warn_of_missing(lo, step)
        b.store(slot, 0, kind.size, delta)

    b.set(result, 0)
    upsert(lo, made, key, in_place, fresh, step.span)
    old = b.get(result)
    return b.extend(b.add(old, delta), number.bits, number.signed) if prefix else old


def _add_in_place(lo: Lowering, pointer: ir.Value, kind: Type, old: ir.Value, delta: int) -> None:
    """Atomic for 4 and 8 bytes, which is all that the machine offers."""
    if kind.size >= 4:
        lo.b.atomic_add(pointer, 0, delta, kind.size)
    else:
        lo.b.store(pointer, 0, kind.size, lo.b.add(old, delta))


def upsert(
    lo: Lowering,
    made: MapSpec,
    key: ir.Value,
    in_place: Callable[[ir.Value], None],
    fresh: Callable[[ir.Value], None],
    span: Span,
) -> None:
    """Changes an element in place, or inserts a zeroed one that ``fresh`` has filled.

    Another CPU may insert the element between the look-up and the insertion: then it is there,
    and is changed in place after all, so that no increment is lost.
    """
    b = lo.b
    pointer = b.lookup(made.name, key)
    with b.block() as missing:
        slot = b.address(b.slot("value", made.value_size))
        b.zero(slot, made.value_size)
        fresh(slot)
        result = b.update(made.name, key, slot, NOEXIST)
        with b.when(b.compare("slt", result, 0)):
            with b.block() as raced:
                again = b.lookup(made.name, key)
                with b.when(b.negate(b.is_null(again))):
                    in_place(again)
            with b.block() as full:
                lo.fault(MAP_FULL, "map_update_elem", result, span)
            b.if_else(b.compare("eq", result, -EEXIST), raced[0], full[0])
    with b.block() as found:
        in_place(pointer)
    b.if_else(b.is_null(pointer), missing[0], found[0])


def delete(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """``delete(@m, k)``, ``delete(@scalar)``, ``delete(@m[k])``: 1 if the element existed."""
    b = lo.b
    target = call.args[0]
    assert isinstance(target, (ast.Map, ast.MapAccess))
    name, keys = parts(target)
    if len(call.args) > 1:
        keys = (call.args[1],)
    made = spec(lo, name)
    if made.series:
        return series.delete(lo, made, keys)
    if made.presence:
        existed = _unset(lo, made)
        if lo.warns:
            with b.when(b.negate(existed)):
                lo.fault(NOT_DELETED, "map_delete_elem", b.const(-ENOENT), call.span)
        return existed
    result = b.delete(name, key_pointer(lo, name, keys))
    if lo.warns:
        with b.when(b.truth(result)):
            lo.fault(NOT_DELETED, "map_delete_elem", result, call.span)
    return b.negate(result)


def _unset(lo: Lowering, made: MapSpec) -> ir.Value:
    """Array elements cannot be deleted: their value becomes zero, their presence too.

    A per-CPU element is cleared on every CPU by user space's rule: here on each in turn.
    """
    b = lo.b
    existed = b.cell("existed")
    if made.kind == "ARRAY":
        b.set(existed, b.load(b.map_value(made.name), presence_offset(made), 8))
        b.zero(b.map_value(made.name), made.value_size)
        return b.truth(b.get(existed))

    def clear(pointer: ir.Value) -> None:
        was = b.load(pointer, presence_offset(made), 8)
        b.set(existed, b.binop("or", b.get(existed), was))
        b.zero(pointer, made.value_size)

    b.set(existed, 0)
    aggregates.each_cpu(lo, made, clear)
    return b.truth(b.get(existed))


def find(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """``find(@m, k, $v)``: 1 if the element exists; its value is copied to ``$v``."""
    from pytrace.semantics.lower import memory, stmts

    b = lo.b
    node, key, target = call.args
    assert isinstance(node, ast.Map) and isinstance(target, ast.Var)
    made = spec(lo, node.name)
    assert made.value is not None
    variable = lo.instance.scopes.of[target]
    wanted = lo.variable_type(variable)
    pointer_to_key = key_pointer(lo, node.name, (key,))
    pointer = b.lookup(node.name, pointer_to_key)
    found = b.cell("found")
    b.set(found, b.negate(b.is_null(pointer)))
    with b.when(b.get(found)):
        if isinstance(made.value, Aggregate):
            word = aggregates.reduce(lo, made, pointer_to_key)
            word = lo.convert_word(word, value_type(made.value), wanted)
            b.set(stmts.cell_of(lo, variable), word)
        elif is_scalar(wanted):
            number = int_type(made.value)
            word = b.load(pointer, 0, made.value.size, number.signed)
            b.set(stmts.cell_of(lo, variable), lo.convert_word(word, made.value, wanted))
        else:
            slot = b.address(stmts.slot_of(lo, variable))
            place = Place(kind="memory", base=pointer)
            memory.convert_place(lo, place, made.value, slot, wanted)
    return b.get(found)


def has_key(lo: Lowering, name: str, keys: tuple[ast.Expr, ...]) -> ir.Value:
    """1 if there is an element with the key."""
    made = spec(lo, name)
    if made.series:
        return series.has_key(lo, made, keys)
    return lo.b.negate(lo.b.is_null(lo.b.lookup(name, key_pointer(lo, name, keys))))


def count_elements(lo: Lowering, name: str) -> ir.Value:
    """``len(@m)``: counts by walking the map."""
    b = lo.b
    spec(lo, name)
    count = b.cell("length")
    b.set(count, 0)
    with b.block() as body:
        b.set(count, b.add(b.get(count), 1))
    b.for_each(name, body[0])
    return b.get(count)


__all__ = ["Int", "places", "value_type"]
