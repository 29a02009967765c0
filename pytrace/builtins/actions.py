"""What a script does to the traced task (language 9.5); all of it needs --unsafe."""

from __future__ import annotations

from pytrace.base.types import BOOL, VOID, Int
from pytrace.builtins.faults import BY_ERROR
from pytrace.builtins.names import CONSTANTS
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

SIGNALLED: Final = (
    "kprobe", "kretprobe", "uprobe", "uretprobe", "usdt", "tracepoint", "profile", "fentry",
    "fexit", "rawtracepoint",
)  # fmt: skip
"""Kinds of probes whose current task is the one that is traced."""

LAST_SIGNAL: Final = 64


# ---------------------------------------------------------------- signals


def _signal_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.probetype not in SIGNALLED:
        return t.error(
            "not-here",
            f"{call.name}() can not be used for this probetype {t.context.probetype}",
            call.span,
        )
    value = t.literal(call.args[0])
    if isinstance(value, bytes):
        name = value.decode("utf-8", "replace")
        if signal_number(name) is None:
            t.error("bad-argument", f"Invalid string for signal: {name}", call.span)
    elif isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= LAST_SIGNAL:
            t.error(
                "bad-argument",
                f"{call.name}() accepts a string literal or an integer between 1 and {LAST_SIGNAL}"
                " (inclusive)",
                call.span,
            )
    elif not isinstance(t.found(call.args[0]), Int):
        t.error(
            "bad-argument", f"{call.name}() accepts a string literal or an integer", call.span
        )
    return VOID


def signal_number(name: str) -> int | None:
    """Number of ``KILL`` or ``SIGKILL``, in any case."""
    upper = name.upper()
    return CONSTANTS.get(upper if upper.startswith("SIG") else f"SIG{upper}")


def _lower_signal(lo: Lowering, call: BuiltinCall) -> None:
    value = lo.literal(call.args[0])
    if isinstance(value, bytes):
        number = signal_number(lo.text(call.args[0]))
        assert number is not None
        word = lo.b.const(number)
    else:
        word = lo.word(call.args[0])
    helper = "send_signal" if call.name == "signal" else "send_signal_thread"
    report_failure(lo, call, helper, lo.b.helper(helper, word))


def report_failure(lo: Lowering, call: BuiltinCall, helper: str, result: ir.Value) -> None:
    """Tells of a helper that failed, whatever the options are (language 14.3)."""
    result = lo.b.extend(result, 32, signed=True)
    with lo.b.when(lo.b.compare("slt", result, 0)):
        lo.fault(BY_ERROR, helper, result, call.span)


# ---------------------------------------------------------------- results and memory


def _override_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.probetype != "kprobe":
        return t.error("not-here", "override() can only be used inside kprobes", call.span)
    return VOID


def _lower_override(lo: Lowering, call: BuiltinCall) -> None:
    lo.b.helper("override_return", lo.b.context(), lo.word(call.args[0]))


def _write_type(t: Typing, call: BuiltinCall) -> Type:
    length = t.literal(call.args[2])
    room = t.found(call.args[1]).size
    if isinstance(length, int) and not 0 < length <= room:
        return t.error(
            "bad-argument",
            f"write_user() has {room} bytes to write ({length} asked for)",
            call.args[2].span,
        )
    return BOOL


def _lower_write(lo: Lowering, call: BuiltinCall) -> ir.Value:
    """The value's own bytes, ``n`` of them, to user memory of the current task; 1 if they are
    written. A number that is not known is cut to what there is."""
    b = lo.b
    target, value, length = call.args
    room = lo.type(value).size
    address = lo.word(target)
    source = b.address(b.slot("written", room))
    lo.into(value, source, lo.type(value))
    known = lo.literal(length)
    count: ir.Value | int = known if isinstance(known, int) else _limited(lo, length, room)
    return b.negate(b.extend(b.helper("probe_write_user", address, source, count), 32, signed=True))


def _limited(lo: Lowering, node: ast.Expr, most: int) -> ir.Value:
    b = lo.b
    word = lo.word(node)
    return b.select(b.compare("ult", word, most), word, most)


_SIGNAL = (Arg(name="signal"),)

SIGNAL = Builtin(
    name="signal",
    doc="Sends a signal to the current process, by name or number.",
    returns=_signal_type,
    params=_SIGNAL,
    lower=_lower_signal,
    unsafe=True,
    probe_only=True,
)
SIGNAL_THREAD = Builtin(
    name="signal_thread",
    doc="Sends a signal to the current thread, by name or number.",
    returns=_signal_type,
    params=_SIGNAL,
    lower=_lower_signal,
    unsafe=True,
    probe_only=True,
)
OVERRIDE = Builtin(
    name="override",
    doc="Makes the traced kernel function return this value at once, without being run.",
    returns=_override_type,
    params=(Arg(name="value", kind="int"),),
    lower=_lower_override,
    unsafe=True,
    probe_only=True,
)
WRITE_USER = Builtin(
    name="write_user",
    doc="Writes n bytes of a value to memory of the current process; true if they are written.",
    returns=_write_type,
    params=(
        Arg(name="address", kind="pointer"),
        Arg(name="value"),
        Arg(name="n", kind="int"),
    ),
    lower=_lower_write,
    unsafe=True,
    probe_only=True,
)
