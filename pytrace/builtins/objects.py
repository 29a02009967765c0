"""What the kernel does only with its own typed objects: names of paths, cookies of sockets."""

from __future__ import annotations

from pytrace.base.types import U64, Ptr, Str, Struct
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

TYPED: Final = ("fentry", "fexit", "iter")
SOCKETS: Final = ("fentry", "fexit", "rawtracepoint")


# ---------------------------------------------------------------- path


def _path_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.probetype not in TYPED:
        places = ", ".join(f"'{name}'" for name in TYPED)
        return t.error(
            "not-here", f"The path function can only be used with {places} probes", call.span
        )
    found = t.found(call.args[0])
    pointed = found.to if isinstance(found, Ptr) else found
    if not isinstance(pointed, Struct) or pointed.name != "path":
        return t.error(
            "bad-argument",
            f"path() only supports 'struct path' as the argument ({found} provided)",
            call.span,
        )
    limit = t.env.config.max_strlen
    if len(call.args) == 1:
        return Str(length=limit)
    size = t.literal(call.args[1])
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        return t.error(
            "bad-argument", "path() expects a positive number literal as its size", call.span
        )
    return Str(length=min(size, limit))


def _path_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """A path that does not fit loses its beginning: the kernel writes it from its end, and what
    fits is there although bpf_d_path() calls it a failure (fs/d_path.c, prepend)."""
    b = lo.b
    size = lo.size_of(call)
    slot = b.address(b.slot("path", size))
    b.zero(slot, size)
    base, offset = lo.object_pointer(call.args[0])
    # What an iterator hands out may be null, which the verifier wants to see ruled out.
    with b.when(b.truth(base)):
        b.helper("d_path", b.add(base, offset), slot, size)
    # Behind its end the buffer holds what the kernel moved.
    b.zero(target, size)
    b.read_string("kernel", target, size, b.address_word(slot))


# ---------------------------------------------------------------- socket_cookie


def _cookie_type(t: Typing, call: BuiltinCall) -> Type:
    if t.context.probetype not in SOCKETS:
        return t.error(
            "not-here",
            f'socket_cookie can not be used with "{t.provider_name}" probes',
            call.span,
        )
    found = t.found(call.args[0])
    if not (isinstance(found, Ptr) and isinstance(found.to, Struct) and found.to.name == "sock"):
        return t.error(
            "bad-argument",
            f"socket_cookie() only supports 'struct sock *' as the argument ({found} provided)",
            call.span,
        )
    return U64


PATH = Builtin(
    name="path",
    doc="The name of a struct path; one that is too long loses its beginning.",
    returns=_path_type,
    params=(Arg(name="path"), Arg(name="size", optional=True)),
    into=_path_into,
    probe_only=True,
)
SOCKET_COOKIE = Builtin(
    name="socket_cookie",
    doc="The number that stands for a socket as long as it lives.",
    returns=_cookie_type,
    params=(Arg(name="socket"),),
    lower=lambda lo, call: lo.b.helper("get_socket_cookie", lo.word(call.args[0])),
    probe_only=True,
)
