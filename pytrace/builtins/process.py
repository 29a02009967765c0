"""Who is running: process, thread, user, CPU."""

from __future__ import annotations

from pytrace.base.types import BOOL, COMM, U32, U64, Printable
from pytrace.builtins.clock import word_of
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall, LowerRule
    from pytrace.ir import nodes as ir
    from pytrace.ir.build import Builder
    from pytrace.model.running import Show, ShowEnv
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


def _id_type(t: Typing, call: BuiltinCall) -> Type:
    if word_of(call, "curr_ns") not in ("curr_ns", "init"):
        return t.error(
            "bad-argument",
            f"Invalid PID namespace mode: {word_of(call, '')} (expects: curr_ns or init)",
            call.args[0].span,
        )
    return U32


def pid_tgid(lo: Lowering, *, init: bool) -> ir.Value:
    """A word of (process id << 32 | thread id), in the tracer's PID namespace unless ``init``.

    ``pid_ns_ino`` is 0 at load if the tracer is in the initial namespace: the verifier then drops
    the slower branch.
    """
    b = lo.b
    if init or not lo.env.kernel.supports("ns_pid_tgid"):
        return b.helper("get_current_pid_tgid")
    lo.need_param("pid_ns_dev", "pid_ns_dev")
    lo.need_param("pid_ns_ino", "pid_ns_ino")
    return b.once("pid_tgid", lambda: _pid_tgid_here(b))


def _pid_tgid_here(b: Builder) -> ir.Value:
    result = b.cell("pid_tgid")
    inode = b.param("pid_ns_ino")
    with b.block() as initial:
        b.set(result, b.helper("get_current_pid_tgid"))
    with b.block() as inner:
        info = b.slot("pidns_info", 8)
        at = b.address(info)
        b.zero(at, 8)
        b.helper("get_ns_current_pid_tgid", b.param("pid_ns_dev"), inode, at, 8)
        # struct bpf_pidns_info { u32 pid (the thread's), tgid }: the same word, little endian.
        b.set(result, b.load(at, 0, 8))
    b.if_else(b.negate(inode), initial[0], inner[0])
    return b.get(result)


def _lower_pid(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.binop("lshr", pid_tgid(lo, init=word_of(call, "") == "init"), 32)


def _lower_tid(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.extend(pid_tgid(lo, init=word_of(call, "") == "init"), 32, signed=False)


def _comm_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    b = lo.b
    at = _padded_comm(lo)
    if at is not None:
        b.copy(target, b.offset(b.helper("get_current_task_btf"), at), COMM.size)
        return
    # The helper may leave what is behind the NUL as it was, and equal map keys would differ.
    b.zero(target, COMM.size)
    b.helper("get_current_comm", target, COMM.size)


def _padded_comm(lo: Lowering) -> int | None:
    """Offset of ``task_struct.comm`` where it is certainly zero behind its NUL; None elsewhere.

    A load takes 16 ns, the helper 55. A name is padded when it is set since 5.17 (fs/exec.c,
    __set_task_comm, commit 503471ac36b4), which no trial shows, so that this once the release
    decides; bpf_loop, of the same release, stands for the typed pointers (5.11).
    """
    kernel = lo.env.kernel
    release = kernel.identity().release.partition("-")[0].split(".")[:2]
    if not all(part.isdigit() for part in release) or [*map(int, release)] < [5, 17]:
        return None
    if not kernel.supports("loop"):
        return None
    task = kernel.struct("struct", "task_struct")
    field = task.field("comm") if task is not None else None
    return field.offset if field is not None and field.type.size == COMM.size else None


def _lower_cpu(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.extend(lo.b.helper("get_smp_processor_id"), 32, signed=False)


def _lower_has_cpid(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.const(int(lo.env.settings.has_child))


def _lower_rand(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.extend(lo.b.helper("get_prandom_u32"), 32, signed=False)


def _param(name: str, kind: str) -> LowerRule:
    def lower(lo: Lowering, call: BuiltinCall) -> ir.Value:
        lo.need_param(name, kind)
        return lo.b.param(name)

    return lower


PID = Builtin(
    name="pid",
    doc="Process id (thread group id) in the tracer's PID namespace; pid(init) in the initial one.",
    returns=_id_type,
    params=(Arg(name="namespace", kind="word", optional=True),),
    lower=_lower_pid,
    bare=True,
)

TID = Builtin(
    name="tid",
    doc="Thread id in the tracer's PID namespace; tid(init) in the initial one.",
    returns=_id_type,
    params=(Arg(name="namespace", kind="word", optional=True),),
    lower=_lower_tid,
    bare=True,
)

COMM_NAME = Builtin(
    name="comm",
    doc="Name of the current thread.",
    returns=COMM,
    into=_comm_into,
    bare=True,
)

UID_GID = Builtin(
    name="__uid_gid",
    doc="User id in the low, group id in the high 32 bits, both of the initial user namespace.",
    returns=U64,
    lower=lambda lo, call: lo.b.helper("get_current_uid_gid"),
    bare=True,
)

USERNAME = Builtin(
    name="username",
    doc="Name of the current user, looked up when printed.",
    returns=Printable(kind="username_t", bytes=8, show="process:username"),
    into=lambda lo, call, target: lo.b.store(
        target, 0, 8, lo.b.extend(lo.b.helper("get_current_uid_gid"), 32, signed=False)
    ),
    bare=True,
)

HAS_CPID = Builtin(
    name="has_cpid",
    doc="True if a command was started with -c.",
    returns=BOOL,
    lower=_lower_has_cpid,
    bare=True,
)

CGROUP = Builtin(
    name="cgroup",
    doc="Id of the current cgroup (version 2).",
    returns=U64,
    lower=lambda lo, call: lo.b.helper("get_current_cgroup_id"),
    bare=True,
)

CPU = Builtin(
    name="cpu",
    doc="The CPU that this runs on.",
    returns=U64,
    lower=_lower_cpu,
    bare=True,
)

NCPUS = Builtin(
    name="ncpus",
    doc="Number of possible CPUs.",
    returns=U64,
    lower=_param("ncpus", "ncpus"),
    bare=True,
)

NUMAID = Builtin(
    name="numaid",
    doc="NUMA node of the current CPU.",
    returns=U64,
    lower=lambda lo, call: lo.b.extend(lo.b.helper("get_numa_node_id"), 32, signed=False),
    bare=True,
)

RAND = Builtin(
    name="rand",
    doc="A pseudo-random number of 32 bits.",
    returns=U32,
    lower=_lower_rand,
    bare=True,
)

CPID = Builtin(
    name="cpid",
    doc="Process id of the command started with -c; 0 without one.",
    returns=U64,
    lower=_param("child_pid", "child_pid"),
    bare=True,
)


def _show_username(raw: bytes, static: tuple[str, ...], env: ShowEnv) -> str:
    return env.user_name(int.from_bytes(raw[:4], "little"))


SHOWS: Final[Mapping[str, Show]] = {"username": _show_username}
