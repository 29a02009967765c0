"""Pointers and bytes (language 9.3)."""

from __future__ import annotations

from pytrace.base.frozen import replace
from pytrace.base.types import I64, NONE, VOID, Int, Ptr, int_type
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall, TypeRule
    from pytrace.ir import nodes as ir
    from pytrace.model.running import Event, Handler, SessionView
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


def _lower_unwatch(lo: Lowering, call: BuiltinCall) -> None:
    lo.event("memory:unwatch", [call.args[0]], static=(), call=call, control=True)


def _handle_unwatch(event: Event, session: SessionView) -> None:
    for address in event.values:
        assert isinstance(address, int)
        session.unwatch(address & (1 << 64) - 1)


def _spaced(space: str) -> TypeRule:
    def rule(t: Typing, call: BuiltinCall) -> Type:
        found = t.types.get(call.args[0], NONE)
        if isinstance(found, Ptr):
            return replace(found, space=space)
        return Ptr(to=Int(bits=8, signed=True), space=space)

    return rule


def _lower_same(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.word(call.args[0])


def _bswap_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.types.get(call.args[0], NONE)
    bits = int_type(found).bits if isinstance(found, Int) else 64
    return Int(bits=bits, signed=False)


def _lower_bswap(lo: Lowering, call: BuiltinCall) -> ir.Value:
    bits = int_type(lo.types[call.args[0]]).bits
    word = lo.word(call.args[0])
    return lo.b.extend(word, 8, signed=False) if bits == 8 else lo.b.byte_swap(word, bits)


def _container_type(t: Typing, call: BuiltinCall) -> Type:
    pointer = t.types.get(call.args[0], NONE)
    target = t.type_argument(call.args[1])
    member = getattr(call.args[2], "name", "")
    if target is None:
        return NONE
    definition = t.definition_of(target)
    field = definition.field(member) if definition is not None else None
    if field is None:
        return t.error(
            "no-field",
            f"Struct/union of type '{target}' does not contain a field named '{member}'",
            call.span,
        )
    t.set_literal(call.args[2], field.offset)
    space = pointer.space if isinstance(pointer, Ptr) else "none"
    return Ptr(to=target, space=space)


def _lower_container(lo: Lowering, call: BuiltinCall) -> ir.Value:
    offset = lo.literal(call.args[2])
    assert isinstance(offset, int)
    return lo.b.binop("sub", lo.word(call.args[0]), offset)


CONTAINER_OF = Builtin(
    name="container_of",
    doc="Pointer to the struct that holds a member: container_of(pointer, typeof(T), member).",
    returns=_container_type,
    params=(
        Arg(name="pointer", kind="pointer"),
        Arg(name="type", kind="type"),
        Arg(name="member", kind="word"),
    ),
    lower=_lower_container,
)
KPTR = Builtin(
    name="kptr",
    doc="The same pointer, into kernel memory.",
    returns=_spaced("kernel"),
    params=(Arg(name="pointer", kind="pointer"),),
    lower=_lower_same,
)
UPTR = Builtin(
    name="uptr",
    doc="The same pointer, into user memory.",
    returns=_spaced("user"),
    params=(Arg(name="pointer", kind="pointer"),),
    lower=_lower_same,
)
BSWAP = Builtin(
    name="bswap",
    doc="The number with its bytes reversed.",
    returns=_bswap_type,
    params=(Arg(name="n", kind="int"),),
    lower=_lower_bswap,
)
UNWATCH = Builtin(
    name="unwatch",
    doc="Drops the watchpoints of an address, when user space comes to it.",
    returns=VOID,
    params=(Arg(name="address", kind="int"),),
    lower=_lower_unwatch,
)

HANDLERS: Final[Mapping[str, Handler]] = {"unwatch": _handle_unwatch}

__all__ = ["I64"]
