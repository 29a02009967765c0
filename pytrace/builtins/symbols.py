"""Addresses as names, and names as addresses (language 9.4)."""

from __future__ import annotations

from pytrace.base.types import KSYM, NONE, U64, USYM
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


def _usym_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    store_user_symbol(lo, lo.word(call.args[0]), target)


def store_user_symbol(lo: Lowering, address: ir.Value, target: ir.Value) -> None:
    """The address and the process that it is of (``types.USym``)."""
    from pytrace.builtins.process import pid_tgid

    b = lo.b
    b.store(target, 0, 8, address)
    b.store(target, 8, 8, b.binop("lshr", pid_tgid(lo, init=False), 32))


def _func_type(t: Typing, call: BuiltinCall) -> Type:
    if not t.context.func:
        return t.error(
            "not-here",
            f"The func builtin can not be used with '{t.provider_name}' probes",
            call.span,
        )
    return KSYM if t.context.func == "kernel" else USYM


def _lower_func(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.helper("get_func_ip", lo.b.context())


def _func_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    store_user_symbol(lo, _lower_func(lo, call), target)


def _kaddr_type(t: Typing, call: BuiltinCall) -> Type:
    name = t.literal(call.args[0])
    assert isinstance(name, bytes)
    if t.reporting and not t.env.kernel.has_symbol(name.decode("utf-8", "replace")):
        t.error("no-symbol", f"Failed to resolve kernel symbol: {name.decode()}", call.span)
        return NONE
    return U64


def _lower_kaddr(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """The address differs with each boot: it is filled in at load."""
    name = lo.text(call.args[0])
    lo.need_param(f"kaddr:{name}", "kaddr")
    return lo.b.param(f"kaddr:{name}")


KSYM_CALL = Builtin(
    name="ksym",
    doc="The kernel symbol of an address, when printed.",
    returns=KSYM,
    params=(Arg(name="address", kind="address"),),
    lower=lambda lo, call: lo.word(call.args[0]),
)
USYM_CALL = Builtin(
    name="usym",
    doc="The user space symbol of an address in the current process, when printed.",
    returns=USYM,
    params=(Arg(name="address", kind="address"),),
    into=_usym_into,
)
FUNC = Builtin(
    name="func",
    doc="The traced function.",
    returns=_func_type,
    lower=_lower_func,
    into=_func_into,
    bare=True,
    in_for=False,
    probe_only=True,
)
KADDR = Builtin(
    name="kaddr",
    doc="Address of a kernel symbol.",
    returns=_kaddr_type,
    params=(Arg(name="symbol", kind="text"),),
    lower=_lower_kaddr,
)
