"""What touches the rest of the system: files, commands, cgroups (language 9.1, 9.4)."""

from __future__ import annotations

from pytrace.base.text import matches
from pytrace.base.types import NONE, U64, VOID, Array, Buf, Int, Printable, Ptr, Str
from pytrace.builtins.printing import printf_type
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.model.running import Event, Handler, SessionView, Show, ShowEnv
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

JOIN_STRINGS: Final = 16
JOIN_BYTES: Final = 1024

# ---------------------------------------------------------------- cat and system


def _lower_format(lo: Lowering, call: BuiltinCall) -> None:
    lo.event(f"system:{call.name}", list(call.args[1:]), static=(lo.text(call.args[0]),), call=call)


def _handle_cat(event: Event, session: SessionView) -> None:
    limit = session.config["max_cat_bytes"]
    assert isinstance(limit, int)
    path = event.text
    try:
        text = session.read_file(path, limit)
    except OSError as error:
        session.sink.message("ERROR", f"failed to open file '{path}' ({error.strerror})")
        return
    session.sink.cat(text)


def _handle_system(event: Event, session: SessionView) -> None:
    _, output = session.run_shell(event.text)
    session.sink.syscall(output)


# ---------------------------------------------------------------- join


def _join_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.types.get(call.args[0], NONE)
    if not isinstance(found, (Ptr, Int)):
        return t.error(
            "bad-argument",
            f"join() only supports integer or pointer arguments ({found} provided)",
            call.span,
        )
    return VOID


def _lower_join(lo: Lowering, call: BuiltinCall) -> None:
    lo.send_join(call, JOIN_STRINGS, JOIN_BYTES)


def _handle_join(event: Event, session: SessionView) -> None:
    separator = event.static[0]
    assert isinstance(separator, str)
    count = event.values[0]
    assert isinstance(count, int)
    texts = [str(v) for v in event.values[1 : 1 + count]]
    session.sink.join(separator.join(texts))


# ---------------------------------------------------------------- cgroups


def _cgroupid_type(t: Typing, call: BuiltinCall) -> Type:
    return U64


def _lower_cgroupid(lo: Lowering, call: BuiltinCall) -> ir.Value:
    path = lo.text(call.args[0])
    lo.need_param(f"cgroupid:{path}", "cgroupid")
    return lo.b.param(f"cgroupid:{path}")


def _cgroup_path_type(t: Typing, call: BuiltinCall) -> Type:
    pattern = t.literal(call.args[1]) if len(call.args) > 1 else b"*"
    text = pattern.decode() if isinstance(pattern, bytes) else "*"
    return Printable(kind="cgroup_path_t", bytes=8, show="system:cgroup_path", static=(text,))


def _cgroup_path_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.b.store(target, 0, 8, lo.word(call.args[0]))


def _show_cgroup_path(raw: bytes, static: tuple[str, ...], env: ShowEnv) -> str:
    pattern = static[0] if static else "*"
    number = int.from_bytes(raw[:8], "little")
    found = [(name, path) for name, path in env.cgroup_paths(number) if matches(pattern, name)]
    return ",".join(f"{name}:{path}" for name, path in found)


_FORMAT = (Arg(name="format", kind="text"),)

CAT = Builtin(
    name="cat",
    doc="Prints a file: cat(format, ...) makes its name.",
    returns=printf_type,
    params=_FORMAT,
    variadic=True,
    lower=_lower_format,
)
SYSTEM = Builtin(
    name="system",
    doc="Runs a shell command and prints its output.",
    returns=printf_type,
    params=_FORMAT,
    variadic=True,
    lower=_lower_format,
    unsafe=True,
)
JOIN = Builtin(
    name="join",
    doc="Prints an array of strings, such as execve's arguments.",
    returns=_join_type,
    params=(Arg(name="array"), Arg(name="separator", kind="text", optional=True)),
    lower=_lower_join,
)
CGROUPID = Builtin(
    name="cgroupid",
    doc="Id of the cgroup at a path.",
    returns=_cgroupid_type,
    params=(Arg(name="path", kind="text"),),
    lower=_lower_cgroupid,
)
CGROUP_PATH = Builtin(
    name="cgroup_path",
    doc="Paths of a cgroup in each hierarchy whose name matches.",
    returns=_cgroup_path_type,
    params=(Arg(name="id", kind="int"), Arg(name="filter", kind="text", optional=True)),
    into=_cgroup_path_into,
)

HANDLERS: Final[Mapping[str, Handler]] = {
    "cat": _handle_cat,
    "system": _handle_system,
    "join": _handle_join,
}
SHOWS: Final[Mapping[str, Show]] = {"cgroup_path": _show_cgroup_path}

__all__ = ["HANDLERS", "SHOWS", "Array", "Buf", "Str"]
