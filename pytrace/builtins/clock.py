"""Time: when something happened, by several clocks."""

from __future__ import annotations

from pytrace.base.types import U64, Printable
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.model.running import Show, ShowEnv
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

CLOCKS = {
    "boot": "ktime_get_boot_ns",
    "monotonic": "ktime_get_ns",
    "tai": "ktime_get_tai_ns",
}
"""Timestamp modes and the helper that reads each."""


def _nsecs_type(t: Typing, call: BuiltinCall) -> Type:
    mode = word_of(call, "boot")
    if not mode:
        return t.error(
            "bad-argument",
            f"nsecs() only supports timestamp_mode arguments ({t.kind(call.args[0])} provided)",
            call.span,
        )
    if mode not in CLOCKS and mode != "sw_tai":
        return t.error(
            "bad-argument",
            f"Invalid timestamp mode: {mode}",
            call.args[0].span,
            hints=["the modes are boot, monotonic, tai and sw_tai"],
        )
    return U64


def _lower_nsecs(lo: Lowering, call: BuiltinCall) -> ir.Value:
    mode = word_of(call, "boot")
    if mode == "sw_tai":
        lo.need_param("tai_offset", "tai_offset_ns")
        return lo.b.add(lo.b.helper("ktime_get_boot_ns"), lo.b.param("tai_offset"))
    return tai_ns(lo) if mode == "tai" else lo.b.helper(CLOCKS[mode])


def tai_ns(lo: Lowering) -> ir.Value:
    """International atomic time, as the kernel has it."""
    if lo.env.kernel.supports("ktime_tai"):
        return lo.b.helper(CLOCKS["tai"])
    lo.need_param("tai_offset", "tai_offset_ns")
    return lo.b.add(lo.b.helper("ktime_get_boot_ns"), lo.b.param("tai_offset"))


def word_of(call: BuiltinCall, default: str) -> str:
    """The bare word given as the first argument."""
    if not call.args:
        return default
    name = getattr(call.args[0], "name", "")
    return str(name)


def _strftime_type(t: Typing, call: BuiltinCall) -> Type:
    text = t.literal(call.args[0])
    assert isinstance(text, bytes)
    monotonic = getattr(call.args[1], "args", ())
    if any(getattr(a, "name", "") == "monotonic" for a in monotonic):
        return t.error("bad-argument", "strftime() can not take a monotonic timestamp", call.span)
    kind = "tai" if any(getattr(a, "name", "") == "tai" for a in monotonic) else "boot"
    return Printable(
        kind="timestamp",
        bytes=8,
        show="clock:timestamp",
        static=(text.decode("utf-8", "surrogateescape"), kind),
    )


def _strftime_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.b.store(target, 0, 8, lo.word(call.args[1]))


def _show_timestamp(raw: bytes, static: tuple[str, ...], env: ShowEnv) -> str:
    format_text, clock = static
    ns = int.from_bytes(raw[:8], "little")
    wall = ns - env.tai_offset_ns if clock == "tai" else ns + env.boot_epoch_ns
    try:
        return env.strftime(format_text, wall)
    except ValueError:
        return "(?)"


def _lower_start(lo: Lowering, call: BuiltinCall) -> ir.Value:
    lo.need_param("start_ns", "start_ns")
    return lo.b.param("start_ns")


NSECS = Builtin(
    name="nsecs",
    doc="Nanoseconds of a clock: boot (default), monotonic, tai or sw_tai.",
    returns=_nsecs_type,
    params=(Arg(name="mode", kind="word", optional=True),),
    lower=_lower_nsecs,
    bare=True,
)

START = Builtin(
    name="__start_ns",
    doc="Boot clock at the start of this run, in nanoseconds.",
    returns=U64,
    lower=_lower_start,
    bare=True,
)

STRFTIME = Builtin(
    name="strftime",
    doc="A time as text, by strftime(3) conversions and %f (us), %l (ms), %k (ns).",
    returns=_strftime_type,
    params=(Arg(name="format", kind="text"), Arg(name="ns", kind="int")),
    into=_strftime_into,
)

JIFFIES = Builtin(
    name="jiffies",
    doc="The kernel's jiffies counter.",
    returns=U64,
    lower=lambda lo, call: lo.b.helper("jiffies64"),
    bare=True,
)

SHOWS: Final[Mapping[str, Show]] = {"timestamp": _show_timestamp}
