"""Types of maps: one key type and one value type for the whole program (language 3.2, 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import (
    I64,
    NONE,
    Aggregate,
    NoneType,
    Ptr,
    Tuple,
    Type,
    Void,
)
from pytrace.frontend import ast
from pytrace.semantics.merge import FlexInt, merge, settled, value_type

if TYPE_CHECKING:
    from pytrace.base.source import Span
    from pytrace.semantics.env import MapInfo
    from pytrace.semantics.typing import Typing


def note_use(t: Typing, node: ast.Map, *, scalar: bool, span: Span) -> None:
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


def key(t: Typing, node: ast.MapAccess, blamed: Span | None = None) -> None:
    """Types the keys of ``@m[k1, k2]`` and merges them into the map's key type.

    ``blamed`` is the text that a key of the wrong type is reported at, if not the access.
    """
    note_use(t, node.map, scalar=False, span=node.span)
    parts = [t.expr(k) for k in node.keys]
    found = parts[0] if len(parts) == 1 else Tuple(elems=tuple(parts))
    merge_key(t, node.map, found, blamed or node.span)


def merge_key(t: Typing, node: ast.Map, found: Type, span: Span) -> None:
    """Merges a key's type into the map's."""
    info = t.env.map(node.name)
    found = key_type(found)
    if _unusable(found):
        if not isinstance(found, NoneType):
            t.error("bad-key", f"{settled(found)} cannot be used as a map key", span)
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


def read(t: Typing, node: ast.Map | ast.MapAccess) -> Type:
    """Type of a map's value read in an expression; aggregates keep their type here."""
    name = node.name if isinstance(node, ast.Map) else node.map.name
    info = t.env.map(name)
    if not info.assigned and t.reporting:
        t.error("undefined-map", f"Undefined map: {name}", node.span)
        return NONE
    return settled(info.value)


def increment(t: Typing, node: ast.Map, span: Span) -> Type:
    """``@m++``: an integer map; its value type is int64 if nothing else is assigned."""
    info = t.env.map(node.name)
    merge_value(t, node, info.value if isinstance(info.value, Ptr) else I64, span)
    return NONE if isinstance(info.value, Aggregate) else settled(info.value)


def settle(info: MapInfo) -> tuple[Type, Type]:
    """Key and value type that the compiled map has."""
    value = settled(info.value)
    return settled(info.key), I64 if isinstance(value, NoneType) else value


def _unusable(t: Type) -> bool:
    if isinstance(t, (Void, NoneType)):
        return True
    if isinstance(t, Aggregate):
        return not t.castable
    return isinstance(t, Tuple) and any(
        isinstance(e, Aggregate) and not e.castable for e in t.elems
    )


def _has_none(t: Type) -> bool:
    return isinstance(t, NoneType) or (isinstance(t, Tuple) and any(_has_none(e) for e in t.elems))


__all__ = [
    "FlexInt", "increment", "key", "key_type", "merge_key", "merge_value", "note_use", "read",
    "settle",
]  # fmt: skip
