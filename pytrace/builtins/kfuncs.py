"""Functions that the kernel offers to progs by name (language 8, 9.4)."""

from __future__ import annotations

from pytrace.base.types import BOOL, Str
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

FIND: Final = "bpf_task_from_pid"
"""Gives the task of a process of the initial PID namespace, to be given back (Linux 6.2)."""

TASK_NAME: Final = 64
"""Bytes of what ``comm(pid)`` gives."""

UNSUPPORTED: Final = b"[unknown]"


# ---------------------------------------------------------------- questions


def _name(t: Typing, call: BuiltinCall) -> str | None:
    text = t.literal(call.args[0])
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    t.error("bad-argument", f"{call.name}() accepts a string literal only", call.span)
    return None


def exists(t: Typing, name: str) -> bool:
    return t.env.kernel.function(name, "vmlinux") is not None


def allowed(t: Typing, name: str) -> bool:
    """True if progs of this kind may call a function."""
    kind = t.instance.shape.prog_type
    return exists(t, name) and t.env.kernel.supports(f"kfunc:{kind}:{name}")


def _exist_type(t: Typing, call: BuiltinCall) -> Type:
    name = _name(t, call)
    t.set_literal(call.node, name is not None and exists(t, name))
    return BOOL


def _allowed_type(t: Typing, call: BuiltinCall) -> Type:
    name = _name(t, call)
    t.set_literal(call.node, name is not None and allowed(t, name))
    return BOOL


def _lower_literal(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.const(int(bool(lo.literal(call.node))))


# ---------------------------------------------------------------- names of processes


def _task_comm_type(t: Typing, call: BuiltinCall) -> Type:
    if not exists(t, FIND):
        t.set_literal(call.node, UNSUPPORTED)
    elif not allowed(t, FIND):
        return t.error(
            "not-here",
            "Syntax comm(PID) is not supported in this probe type yet. Type:"
            f" {t.context.probetype}",
            call.span,
        )
    return Str(length=TASK_NAME)


def _task_comm_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """The name of a process, empty if there is none."""
    b = lo.b
    definition = lo.env.struct("struct", "task_struct")
    field = definition.field("comm") if definition is not None else None
    assert field is not None, "a kernel with task kfuncs knows the type of tasks"
    b.zero(target, TASK_NAME)
    task = b.helper("task_from_pid", b.extend(lo.word(call.args[0]), 32, signed=False))
    with b.when(b.negate(b.is_null(task))):
        b.read("kernel", target, field.type.size, b.add(b.address_word(task), field.offset))
        b.helper("task_release", task)


KFUNC_EXIST = Builtin(
    name="kfunc_exist",
    doc="True if the kernel has a function of this name; known when compiling.",
    returns=_exist_type,
    params=(Arg(name="name"),),
    lower=_lower_literal,
)
KFUNC_ALLOWED = Builtin(
    name="kfunc_allowed",
    doc="True if probes of this kind may call a kernel function; known when compiling.",
    returns=_allowed_type,
    params=(Arg(name="name"),),
    lower=_lower_literal,
    probe_only=True,
)
TASK_COMM = Builtin(
    name="__task_comm",
    doc="Name of the process with a number, empty if there is none.",
    returns=_task_comm_type,
    params=(Arg(name="pid", kind="int"),),
    into=_task_comm_into,
    probe_only=True,
)
