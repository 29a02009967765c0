"""What a script does with maps besides reading and assigning them (language 9.2)."""

from __future__ import annotations

from pytrace.base.types import BOOL, I64, NONE, VOID, Stack
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.model.running import Event, Handler, SessionView
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


# ---------------------------------------------------------------- delete, has_key, find, len


def _delete_type(t: Typing, call: BuiltinCall) -> Type:
    target = call.args[0]
    if t.is_map_access(target):
        if len(call.args) > 1:
            return t.error(
                "argument-count",
                "delete() takes a map and a key: delete(@map, key)",
                call.span,
            )
        return BOOL
    info = t.map_of(target)
    if len(call.args) == 1:
        if info.scalar is False:
            return t.error(
                "map-key-use",
                "call to delete() with a single argument expects a map without explicit keys"
                " (scalar map)",
                call.span,
                hints=[f"delete({info.name}, key) removes one element, clear({info.name}) all"],
            )
        t.use_map(t.map_node(target), scalar=True, span=target.span)
        return BOOL
    return _keyed(t, call, BOOL)


def _keyed(t: Typing, call: BuiltinCall, result: Type) -> Type:
    """A map with keys and a key, as the first two arguments."""
    target = call.args[0]
    info = t.map_of(target)
    if info.scalar:
        how = "delete() with two arguments" if call.name == "delete" else f"{call.name}()"
        return t.error(
            "map-key-use",
            f"call to {how} expects a map with explicit keys (non-scalar map)",
            call.span,
        )
    t.use_map(t.map_node(target), scalar=False, span=target.span)
    t.merge_key(t.map_node(target), t.types.get(call.args[1], NONE), call.args[1].span)
    return result


def _has_key_type(t: Typing, call: BuiltinCall) -> Type:
    return _keyed(t, call, BOOL)


def _find_type(t: Typing, call: BuiltinCall) -> Type:
    target = call.args[0]
    found = _keyed(t, call, BOOL)
    t.fill_variable(call.args[2], t.map_of(target).value, call.span)
    return found


def _lower_find(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.find(call)


def _len_type(t: Typing, call: BuiltinCall) -> Type:
    target = call.args[0]
    if not t.is_map(target):
        if isinstance(t.types.get(target), Stack):
            return I64
        return t.error("bad-argument", "call to len() expects a map, ustack, or kstack", call.span)
    if t.map_of(target).scalar:
        return t.error(
            "map-key-use",
            "call to len() expects a map with explicit keys (non-scalar map)",
            call.span,
        )
    return I64


def _lower_delete(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.delete(call)


def _lower_has_key(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.has_key(lo.map_name(call.args[0]), (call.args[1],))


def _lower_len(lo: Lowering, call: BuiltinCall) -> ir.Value:
    target = call.args[0]
    if isinstance(lo.types.get(target), Stack):
        return lo.b.load(lo.address(target), 0, 4, signed=True)
    return lo.count_elements(lo.map_name(target))


def _is_scalar_type(t: Typing, call: BuiltinCall) -> Type:
    t.set_literal(call.node, bool(t.map_of(call.args[0]).scalar))
    return BOOL


# ---------------------------------------------------------------- clear and zero


def _whole_map_type(t: Typing, call: BuiltinCall) -> Type:
    return VOID


def _lower_whole_map(lo: Lowering, call: BuiltinCall) -> None:
    lo.event(f"maps:{call.name}", [], static=(lo.map_name(call.args[0]),), call=call, control=True)


def _handle_clear(event: Event, session: SessionView) -> None:
    session.clear_map(str(event.static[0]))


def _handle_zero(event: Event, session: SessionView) -> None:
    session.zero_map(str(event.static[0]))


_MAP = Arg(name="map", kind="map")

DELETE = Builtin(
    name="delete",
    doc="Removes an element: delete(@m, key), or a map without keys: delete(@m).",
    returns=_delete_type,
    params=(_MAP, Arg(name="key", optional=True)),
    lower=_lower_delete,
)
HAS_KEY = Builtin(
    name="has_key",
    doc="Tells whether a map has an element with this key.",
    returns=_has_key_type,
    params=(_MAP, Arg(name="key")),
    lower=_lower_has_key,
)
FIND = Builtin(
    name="find",
    doc="True if a map has an element with this key; its value is assigned to the variable.",
    returns=_find_type,
    params=(_MAP, Arg(name="key"), Arg(name="variable", kind="var")),
    lower=_lower_find,
)
LEN = Builtin(
    name="len",
    doc="Number of elements of a map, or of frames of a stack.",
    returns=_len_type,
    params=(Arg(name="map", kind="printable"),),
    lower=_lower_len,
)
IS_SCALAR = Builtin(
    name="is_scalar",
    doc="Tells whether a map is used without keys; known when compiling.",
    returns=_is_scalar_type,
    params=(_MAP,),
    lower=lambda lo, call: lo.b.const(int(bool(lo.literal(call.node)))),
)
CLEAR = Builtin(
    name="clear",
    doc="Removes all elements of a map, when user space comes to it.",
    returns=_whole_map_type,
    params=(_MAP,),
    lower=_lower_whole_map,
)
ZERO = Builtin(
    name="zero",
    doc="Sets all values of a map to zero, when user space comes to it.",
    returns=_whole_map_type,
    params=(_MAP,),
    lower=_lower_whole_map,
)

HANDLERS: Final[Mapping[str, Handler]] = {"clear": _handle_clear, "zero": _handle_zero}
