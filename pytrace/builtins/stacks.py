"""Stack traces of the kernel and of user space (language 8)."""

from __future__ import annotations

from pytrace.base.types import Stack
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall, TypeRule
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

DEFAULT_LIMIT: Final = 127
MAX_LIMIT: Final = 1024
MODES: Final = ("bpftrace", "perf", "raw", "build_id", "pytrace")

BPF_F_USER_STACK: Final = 1 << 8
BPF_F_USER_BUILD_ID: Final = 1 << 11


def _stack_type(*, user: bool) -> TypeRule:
    name = "ustack" if user else "kstack"

    def rule(t: Typing, call: BuiltinCall) -> Type:
        mode = str(t.env.config.stack_mode)
        limit = DEFAULT_LIMIT
        args = list(call.args)
        if args and t.literal(args[0]) is None:
            word = getattr(args[0], "name", None)
            if not isinstance(word, str):
                return t.error("bad-argument", "Expected stack mode as first argument", call.span)
            if word not in MODES:
                return t.error(
                    "bad-argument",
                    f"Error parsing stack mode: {name}: Invalid value for stack_mode: valid values"
                    " are bpftrace, raw, perf, and build_id.",
                    args[0].span,
                )
            mode = word
            args.pop(0)
        elif len(args) > 1:
            return t.error("bad-argument", "Expected stack mode as first argument", call.span)
        if args:
            value = t.literal(args[0])
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                return t.error("bad-argument", f"{name}: invalid limit value", call.span)
            if value > MAX_LIMIT:
                return t.error(
                    "bad-argument",
                    f"{name}([int limit]): limit shouldn't exceed {MAX_LIMIT}, {value} given",
                    call.span,
                )
            limit = value
        if mode == "build_id" and not user:
            return t.error(
                "bad-argument", "'build_id' stack mode can only be used for ustack", call.span
            )
        mode = "bpftrace" if mode == "pytrace" else mode
        return Stack(user=user, mode=mode, limit=limit)

    return rule


def _stack_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """The frames behind their number and the process id; what is not used is zero.

    bpf_get_stack() clears what it does not fill, also on failure.
    """
    from pytrace.builtins.process import pid_tgid

    kind = call.result
    assert isinstance(kind, Stack)
    b = lo.b
    b.zero(target, 8)
    flags = BPF_F_USER_STACK if kind.user else 0
    if kind.mode == "build_id":
        flags |= BPF_F_USER_BUILD_ID
    size = kind.frame_size * kind.limit
    if size:
        frames = b.offset(target, 8)
        taken = b.helper("get_stack", b.context(), frames, size, flags)
        count = b.cell("frames")
        b.set(count, taken)
        with b.when(b.compare("sgt", taken, 0)):
            b.set(count, b.binop("udiv", taken, kind.frame_size))
        b.store(target, 0, 4, b.get(count))
    if kind.user:
        b.store(target, 4, 4, b.binop("lshr", pid_tgid(lo, init=False), 32))


def _stack(name: str, doc: str, *, user: bool) -> Builtin:
    return Builtin(
        name=name,
        doc=doc,
        returns=_stack_type(user=user),
        params=(
            Arg(name="mode", kind="word", optional=True),
            Arg(name="limit", kind="word", optional=True),
        ),
        into=_stack_into,
        bare=True,
        in_for=False,
        probe_only=True,
    )


KSTACK = _stack("kstack", "The kernel's stack.", user=False)
USTACK = _stack("ustack", "The user space stack of the current thread.", user=True)
