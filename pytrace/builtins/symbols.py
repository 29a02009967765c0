"""Addresses as names, and names as addresses (language 9.4)."""

from __future__ import annotations

from pytrace.base.types import KSYM, NONE, U64, USER, USYM, Int, Ptr
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.kernel.info import SymbolInfo
    from pytrace.model.probing import UserPlace
    from pytrace.semantics.env import Env
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


# ---------------------------------------------------------------- uaddr


_PAGE_MASK: Final = 4095


def _uaddr_type(t: Typing, call: BuiltinCall) -> Type:
    place = t.context.place
    if place is None:
        return t.error(
            "not-here", f'uaddr can not be used with "{t.provider_name}" probes', call.span
        )
    name = t.literal(call.args[0])
    assert isinstance(name, bytes)
    text = name.decode("utf-8", "replace")
    symbol = _user_symbol(t.env, place, text)
    if symbol is None:
        return t.error(
            "no-symbol", f"Could not resolve symbol: {place.path}:{text}", call.span
        )
    bits = 8 * symbol.size if symbol.size in (1, 2, 4, 8) else 64
    return Ptr(to=Int(bits=bits, signed=False), space=USER)


def _user_symbol(env: Env, place: UserPlace, name: str) -> SymbolInfo | None:
    binary = env.kernel.binary(place.path)
    return binary.symbol(name) if binary is not None else None


def _lower_uaddr(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """The symbol's address in the file plus what the file was moved by in this process.

    How far it was moved shows from where the probe fired: code and data move together.
    """
    b = lo.b
    place = lo.context.place
    assert place is not None
    binary = lo.env.kernel.binary(place.path)
    symbol = _user_symbol(lo.env, place, lo.text(call.args[0]))
    assert binary is not None and symbol is not None
    static = b.const(symbol.address)
    if binary.kind == "exec":
        return static
    # Functions lie in the segment that holds the probe too.
    shift = next((s.address - s.offset for s in binary.symbols if s.function), 0)
    here = _place_word(lo, place)
    moved = b.cell("moved")
    b.set(moved, 0)
    for offset in place.offsets:
        distance = b.add(here, -(offset + shift))
        fits = b.negate(b.binop("and", distance, _PAGE_MASK))
        b.set(moved, b.select(fits, distance, b.get(moved)))
    return b.select(b.truth(here), b.add(b.get(moved), symbol.address), static)


def _place_word(lo: Lowering, place: UserPlace) -> ir.Value:
    """The address of the instruction that was probed; 0 where the kernel cannot tell."""
    registers = dict(lo.context.registers)
    pointer = registers.get("ip") or registers.get("pc")
    if place.returned or pointer is None:
        if not lo.env.kernel.supports("get_func_ip"):
            return lo.b.const(0)
        return lo.b.helper("get_func_ip", lo.b.context())
    return lo.b.load(lo.b.context(), pointer.offset, 8)


# ---------------------------------------------------------------- percpu_kaddr


PERCPU_TABLE: Final = "__per_cpu_offset"
"""What each CPU's copy of a variable is moved by (include/asm-generic/percpu.h)."""


def _percpu_type(t: Typing, call: BuiltinCall) -> Type:
    name = t.literal(call.args[0])
    assert isinstance(name, bytes)
    text = name.decode("utf-8", "replace")
    kernel = t.env.kernel
    if t.reporting and not (kernel.has_symbol(text) and kernel.has_symbol(PERCPU_TABLE)):
        return t.error("no-symbol", f'Could not resolve variable "{text}" from BTF', call.span)
    return U64


def _lower_percpu(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """0 for a CPU that there is not."""
    b = lo.b
    name = lo.text(call.args[0])
    for symbol in (name, PERCPU_TABLE):
        lo.need_param(f"kaddr:{symbol}", "kaddr")
    lo.need_param("ncpus", "ncpus")
    if len(call.args) > 1:
        cpu = lo.word(call.args[1])
    else:
        cpu = b.extend(b.helper("get_smp_processor_id"), 32, signed=False)
    slot = b.address(b.slot("percpu", 8))
    table = b.param(f"kaddr:{PERCPU_TABLE}")
    known = b.compare("ult", cpu, b.param("ncpus"))
    lo.read("kernel", slot, 8, b.add(table, b.binop("shl", b.select(known, cpu, 0), 3)))
    address = b.add(b.param(f"kaddr:{name}"), b.load(slot, 0, 8))
    return b.select(known, address, 0)


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
UADDR = Builtin(
    name="uaddr",
    doc="Address of a symbol of the traced file in the current process.",
    returns=_uaddr_type,
    params=(Arg(name="symbol", kind="text"),),
    lower=_lower_uaddr,
    in_for=False,
    per_target=True,
    probe_only=True,
)
PERCPU_KADDR = Builtin(
    name="percpu_kaddr",
    doc="Address of a kernel variable's copy for this CPU, or for one that is given.",
    returns=_percpu_type,
    params=(Arg(name="symbol", kind="text"), Arg(name="cpu", kind="int", optional=True)),
    lower=_lower_percpu,
)
KADDR = Builtin(
    name="kaddr",
    doc="Address of a kernel symbol.",
    returns=_kaddr_type,
    params=(Arg(name="symbol", kind="text"),),
    lower=_lower_kaddr,
)
