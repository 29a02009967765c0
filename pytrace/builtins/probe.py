"""What the probe itself offers: arguments, return value, registers, its own name."""

from __future__ import annotations

from pytrace.base.types import I64, U8, U64, Str, int_type, is_integer
from pytrace.builtins.registry import Arg, Builtin
from pytrace.model.probing import UserOperand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


def _args_type(t: Typing, call: BuiltinCall) -> Type:
    args = t.args_type()
    if args is None:
        return t.error(
            "not-here",
            "The args builtin can only be used with tracepoint, rawtracepoint, fentry/fexit, and"
            f" uprobe probes ({t.context.probetype} used here)",
            call.span,
        )
    return args


def _arg_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.context.value(_plain(call.name))
    if found is None and t.context.missing_args:
        return I64
    if found is None:
        if t.context.value("arg0") is not None:
            return t.error(
                "not-here",
                f"{t.env.kernel.identity().arch} doesn't support {call.name}",
                call.span,
            )
        return t.error(
            "not-here",
            f"The {call.name} builtin can only be used with 'kprobes', 'uprobes' and 'usdt' probes",
            call.span,
            hints=["tracepoints name their arguments: args.<field>"]
            if t.context.args is not None
            else [],
        )
    return found.type


def _retval_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.retval is None:
        more = " (try to use args.ret instead)" if t.context.probetype == "tracepoint" else ""
        return t.error(
            "not-here",
            "The retval builtin can only be used with 'kretprobe' and 'uretprobe' and 'fentry'"
            f" probes{more}",
            call.span,
        )
    return t.context.retval.type


def _ctx_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.ctx is None:
        if t.context.probetype in ("tracepoint", "rawtracepoint"):
            return t.error("not-here", "Use args instead of ctx in tracepoint", call.span)
        return t.error(
            "not-here",
            f"The ctx builtin can not be used with '{t.provider_name}' probes",
            call.span,
        )
    return t.context.ctx


def _lower_value(lo: Lowering, call: BuiltinCall) -> ir.Value:
    found = lo.context.value(_plain(call.name))
    if found is None:
        return lo.b.const(0)
    if isinstance(found, UserOperand):
        return _operand(lo, found)
    return lo.b.load(lo.b.context(), found.offset, found.size, found.signed)


def _operand(lo: Lowering, operand: UserOperand) -> ir.Value:
    """A USDT argument from where its note says that it is."""
    b = lo.b
    word: ir.Value = b.const(operand.constant)
    if operand.base is not None:
        word = b.load(b.context(), operand.base.offset, 8)
        word = b.add(word, operand.displacement)
    if operand.index is not None:
        index = b.load(b.context(), operand.index.offset, 8)
        word = b.add(word, b.binop("mul", index, operand.scale))
    if operand.deref:
        slot = b.address(b.slot("operand", 8))
        lo.read("user", slot, operand.size, word)
        return b.load(slot, 0, operand.size, operand.signed)
    return b.extend(word, 8 * operand.size, operand.signed)


def _plain(name: str) -> str:
    return name.removeprefix("__builtin_")


def _lower_retval(lo: Lowering, call: BuiltinCall) -> ir.Value:
    found = lo.context.retval
    assert found is not None
    word = lo.b.load(lo.b.context(), found.offset, found.size, found.signed)
    if is_integer(found.type) and found.type.size < found.size:
        kind = int_type(found.type)
        return lo.b.extend(word, kind.bits, kind.signed)
    return word


def _lower_ctx(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.address_word(lo.b.context())


def _probe_type(t: Typing, call: BuiltinCall) -> Type:
    return Str(length=len(_name(t.instance.targets).encode()) + 1)


def _probe_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.store_text(target, _name(lo.instance.targets).encode(), lo.size_of(call))


def _name(targets) -> str:  # type: ignore[no-untyped-def]
    return str(targets[0][0].name) if targets else ""


def _probetype_type(t: Typing, call: BuiltinCall) -> Type:
    return Str(length=len(t.context.probetype) + 1)


def _probetype_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.store_text(target, lo.context.probetype.encode(), lo.size_of(call))


def _reg_type(t: Typing, call: BuiltinCall) -> Type:
    name = t.literal(call.args[0])
    assert isinstance(name, bytes)
    registers = t.context.registers
    if not registers:
        return t.error(
            "not-here",
            f'reg can not be used with "{t.provider_name}" probes',
            call.span,
        )
    if name.decode() not in dict(registers):
        arch = t.env.kernel.identity().arch
        return t.error(
            "bad-register",
            f"'{name.decode()}' is not a valid register on this architecture ({arch})",
            call.span,
            hints=["the registers are " + " ".join(sorted(n for n, _ in registers))],
        )
    return U64


def _lower_reg(lo: Lowering, call: BuiltinCall) -> ir.Value:
    name = lo.literal(call.args[0])
    assert isinstance(name, bytes)
    found = dict(lo.context.registers)[name.decode()]
    return lo.b.load(lo.b.context(), found.offset, found.size)


def _usermode_type(t: Typing, call: BuiltinCall) -> Type:
    if not t.context.registers and t.context.probetype not in ("special", "fentry", "fexit"):
        return t.error(
            "not-here",
            f'usermode can not be used with "{t.provider_name}" probes',
            call.span,
        )
    return U8


def _lower_usermode(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """The two low bits of the code segment are the privilege level: 3 is user space."""
    found = dict(lo.context.registers).get("cs")
    if found is None:
        # begin, end and signal probes run because the tracer, a user process, asked for it; a
        # kernel function's own probe interrupts the kernel.
        return lo.b.const(1 if lo.context.probetype == "special" else 0)
    level = lo.b.binop("and", lo.b.load(lo.b.context(), found.offset, 8), 3)
    return lo.b.compare("eq", level, 3)


USERMODE = Builtin(
    name="usermode",
    doc="1 if user code was interrupted, 0 if the kernel was (x86_64).",
    returns=_usermode_type,
    lower=_lower_usermode,
    bare=True,
    in_for=False,
    probe_only=True,
)

ARGS = Builtin(
    name="args",
    doc="The probe's arguments by name.",
    returns=_args_type,
    bare=True,
    per_target=True,
    in_for=False,
    probe_only=True,
)

ARG_N = Builtin(
    name="argN",
    doc="Argument N of the traced function, or of the USDT probe.",
    returns=_arg_type,
    lower=_lower_value,
    bare=True,
    in_for=False,
    probe_only=True,
)

RETVAL = Builtin(
    name="retval",
    doc="What the traced function returned.",
    returns=_retval_type,
    lower=_lower_retval,
    bare=True,
    in_for=False,
    probe_only=True,
)

CTX = Builtin(
    name="ctx",
    doc="The prog's raw context.",
    returns=_ctx_type,
    lower=_lower_ctx,
    bare=True,
    in_for=False,
    probe_only=True,
)

PROBE = Builtin(
    name="probe",
    doc="Full name of the attach point that fired.",
    returns=_probe_type,
    into=_probe_into,
    bare=True,
    per_target=True,
    probe_only=True,
)

PROBETYPE = Builtin(
    name="probetype",
    doc="Kind of the probe: kprobe, tracepoint ...",
    returns=_probetype_type,
    into=_probetype_into,
    bare=True,
    probe_only=True,
)

REG = Builtin(
    name="reg",
    doc="Value of a CPU register when the probe fired.",
    returns=_reg_type,
    params=(Arg(name="name", kind="text"),),
    lower=_lower_reg,
    in_for=False,
    probe_only=True,
)
