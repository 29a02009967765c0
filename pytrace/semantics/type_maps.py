"""Types of maps: one key type and one value type for the whole program (language 3.2, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.text import closest
from pytrace.base.types import (
    I64,
    NONE,
    Aggregate,
    NoneType,
    Tuple,
    Type,
    Void,
)
from pytrace.frontend import ast
from pytrace.semantics import type_ops
from pytrace.semantics.merge import FlexInt, is_nothing, merge, settled, value_type

if TYPE_CHECKING:
    from pytrace.base.source import Span
    from pytrace.semantics.env import MapInfo
    from pytrace.semantics.typing import Typing


def note_use(t: Typing, node: ast.Map, *, scalar: bool, span: Span) -> None:
    """Notes the use of an element."""
    info = t.env.map(node.name)
    if not info.used:
        info.used = True
        t.changed = True
    note_keys(t, node, scalar=scalar, span=span)


def is_known(t: Typing, node: ast.Map) -> bool:
    """Reports a map of which no element is used anywhere."""
    known = t.env.maps
    if node.name in known and known[node.name].used:
        return True
    guess = closest(node.name, sorted(i.name for i in known.values() if i.used))
    t.error(
        "undefined-map",
        f"Undefined map: {node.name}",
        node.span,
        hints=[f"Did you mean {guess}?"] if guess else [],
    )
    return False


def note_keys(t: Typing, node: ast.Map, *, scalar: bool, span: Span) -> None:
    """Remembers whether a map is used with keys; a program may not do both."""
    info = t.env.map(node.name)
    if info.first is None:
        info.first = node.span
    if info.scalar is None:
        info.scalar = scalar
        t.changed = True
    elif info.scalar != scalar:
        now, before = ("without", "with") if scalar else ("with", "without")
        kind = {True: "scalar map", False: "non-scalar map"}
        t.error(
            "map-key-use",
            f"{node.name} used as a map {now} an explicit key ({kind[scalar]}),"
            f" previously used {before} an explicit key ({kind[not scalar]})",
            span,
        )


def key(
    t: Typing, node: ast.MapAccess, blamed: Span | None = None, *, used: bool = True
) -> None:
    """Types the keys of ``@m[k1, k2]`` and merges them into the map's key type.

    ``blamed`` is the text that a key of the wrong type is reported at, if not the access.
    ``used`` is False where the element is not read or assigned (``delete``).
    """
    note = note_use if used else note_keys
    note(t, node.map, scalar=False, span=node.span)
    parts = [t.expr(k) for k in node.keys]
    found = parts[0] if len(parts) == 1 else Tuple(elems=tuple(parts))
    merge_key(t, node.map, found, blamed or node.span)
    if t.reporting:
        whole = t.env.map(node.map.name).key
        wanted = whole.elems if isinstance(whole, Tuple) and len(parts) > 1 else (whole,)
        for part, source, kind in zip(node.keys, parts, wanted):
            type_ops.warn_lossy(t, source, settled(kind), part.span)


def merge_key(t: Typing, node: ast.Map, found: Type, span: Span) -> None:
    """Merges a key's type into the map's."""
    info = t.env.map(node.name)
    found = key_type(found)
    if _unusable(found):
        t.error("bad-key", f"Value '{settled(found)}' cannot be used as a map key.", span)
        return
    if _has_none(found):
        return
    merged = merge(info.key, found)
    if merged is None:
        t.error(
            "key-mismatch",
            f"Argument mismatch for {node.name}: trying to access with arguments:"
            f" '{settled(found)}' when map expects arguments: '{settled(info.key)}'",
            span,
        )
        return
    if merged != info.key:
        info.key = merged
        t.changed = True


def key_type(found: Type) -> Type:
    """What a key of this type is stored as: castable aggregates are integers."""
    if isinstance(found, Tuple):
        return Tuple(elems=tuple(key_type(e) for e in found.elems))
    return value_type(found)


def merge_value(t: Typing, node: ast.Map, found: Type, span: Span) -> None:
    """Merges an assigned value's type into the map's."""
    info = t.env.map(node.name)
    if not info.assigned:
        info.assigned = True
        t.changed = True
    if isinstance(found, (NoneType, Void)) or _has_none(found):
        return
    merged = _merge_value_types(info.value, found)
    if merged is None and _same_table(info.value, found):
        t.error("type-mismatch", _OTHER_BUCKETS[str(found)], span)
        return
    if merged is None:
        t.error(
            "type-mismatch",
            f"Type mismatch for {node.name}: trying to assign value of type '{settled(found)}'"
            f" when map already has a type '{settled(info.value)}'",
            span,
        )
        return
    if merged != info.value:
        info.value = merged
        t.changed = True


def _merge_value_types(known: Type, found: Type) -> Type | None:
    """As ``merge``, but an aggregate map takes nothing but its own kind."""
    if isinstance(known, NoneType):
        return found
    if isinstance(known, Aggregate) != isinstance(found, Aggregate):
        return None
    return merge(known, found)


def _same_table(known: Type, found: Type) -> bool:
    """Two histograms of one kind, which then differ in their buckets."""
    both = isinstance(known, Aggregate) and isinstance(found, Aggregate)
    return both and str(known) == str(found) and str(found) in _OTHER_BUCKETS


_OTHER_BUCKETS = {
    "hist_t": "Different bits in a single hist unsupported",
    "lhist_t": "Different lhist bounds in a single map unsupported",
    "tseries_t": "Different tseries bounds in a single map unsupported",
}


def read(t: Typing, node: ast.Map | ast.MapAccess) -> Type:
    """Type of a map's value read in an expression; aggregates keep their type here."""
    return t.env.map(node.name if isinstance(node, ast.Map) else node.map.name).value


def increment(t: Typing, node: ast.Map, step: ast.IncDec) -> Type:
    """``@m++``: an integer map; its value type is int64 if nothing else is assigned."""
    info = t.env.map(node.name)
    if step.op == "++" and isinstance(info.value, NoneType):
        info.incremented = True
        return NONE
    merge_value(t, node, type_ops.stepped(step.op, info.value), step.span)
    return NONE if isinstance(info.value, Aggregate) else info.value


def settle(info: MapInfo) -> tuple[Type, Type]:
    """Key and value type that the compiled map has."""
    value = settled(info.value)
    return settled(info.key), I64 if isinstance(value, NoneType) else value


def _unusable(t: Type) -> bool:
    if is_nothing(t):
        return True
    if isinstance(t, Aggregate):
        return not t.castable
    return isinstance(t, Tuple) and any(_unusable(e) for e in t.elems)


def _has_none(t: Type) -> bool:
    return isinstance(t, NoneType) or (isinstance(t, Tuple) and any(_has_none(e) for e in t.elems))


__all__ = [
    "FlexInt", "increment", "key", "key_type", "merge_key", "merge_value", "note_use", "read",
    "settle",
]  # fmt: skip
