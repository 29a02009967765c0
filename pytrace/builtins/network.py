"""Addresses of the network as text (language 9.4)."""

from __future__ import annotations

from pytrace.base.types import NONE, U8, Array, Enum, Int, Printable, Str, int_type
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

INET: Final = Printable(kind="inet", bytes=24, show="network:inet")
MAC: Final = Printable(kind="mac_address", bytes=6, show="network:mac")
AF_INET: Final = 2
AF_INET6: Final = 10


# ---------------------------------------------------------------- ntop


def _ntop_type(t: Typing, call: BuiltinCall) -> Type:
    address = call.args[-1]
    found = t.types.get(address, NONE)
    sized = found.size if isinstance(found, (Array, Str)) else 4
    integer = isinstance(found, (Int, Enum))
    if not integer and not isinstance(found, (Array, Str)):
        return t.error(
            "bad-argument",
            f"ntop() expects an integer or array argument, got {found}",
            call.span,
        )
    if not integer and sized not in (4, 16):
        return t.error("bad-argument", "ntop() argument must be 4 or 16 bytes in size", call.span)
    return INET


def _ntop_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """u64 address family, then 16 bytes of address in network order."""
    b = lo.b
    address = call.args[-1]
    found = lo.type(address)
    b.zero(target, INET.size)
    integer = isinstance(found, (Int, Enum))
    size = 4 if integer else found.size
    if len(call.args) > 1:
        b.store(target, 0, 8, lo.word(call.args[0]))
    else:
        b.store(target, 0, 8, AF_INET if size == 4 else AF_INET6)
    if integer:
        b.store(target, 8, 4, lo.word(address))
    else:
        lo.read_place(lo.place(address), b.offset(target, 8), size, size)


def _show_inet(raw: bytes, static: tuple[str, ...], env: ShowEnv) -> str:
    family = int.from_bytes(raw[:8], "little")
    if family == AF_INET:
        return ".".join(str(byte) for byte in raw[8:12])
    if family == AF_INET6:
        return ipv6_text(raw[8:24])
    return ""


def ipv6_text(raw: bytes) -> str:
    """RFC 5952: lower case, the longest run of zero groups (the first of equals, at least two)
    as ``::``; IPv4-mapped addresses keep their dotted tail."""
    groups = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 16, 2)]
    tail = ""
    if groups[:5] == [0] * 5 and groups[5] in (0, 0xFFFF) and (groups[5] or groups[6]):
        tail = ".".join(str(byte) for byte in raw[12:16])
        groups = groups[:6]
    best, length = 0, 0
    for start in range(len(groups)):
        run = 0
        while start + run < len(groups) and groups[start + run] == 0:
            run += 1
        if run > length:
            best, length = start, run
    words = [f"{group:x}" for group in groups] + ([tail] if tail else [])
    if length < 2:
        return ":".join(words)
    return ":".join(words[:best]) + "::" + ":".join(words[best + length :])


# ---------------------------------------------------------------- pton


def _pton_type(t: Typing, call: BuiltinCall) -> Type:
    text = t.literal(call.args[0])
    assert isinstance(text, bytes)
    raw = parse_address(text.decode("utf-8", "replace"))
    if raw is None:
        return t.error(
            "bad-argument",
            f"pton() expects a valid IPv4/IPv6 address, got {text.decode()}",
            call.span,
        )
    return Array(elem=U8, count=len(raw))


def _pton_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    raw = parse_address(lo.text(call.args[0]))
    assert raw is not None
    lo.store_text(target, raw, len(raw))


def parse_address(text: str) -> bytes | None:
    """4 or 16 bytes in network order, None if the text is no address."""
    if ":" in text:
        return _parse_ipv6(text)
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isdigit() and int(p) < 256 for p in parts):
        return None
    return bytes(int(p) for p in parts)


def _parse_ipv6(text: str) -> bytes | None:
    if "." in text:
        head, _, last = text.rpartition(":")
        four = parse_address(last)
        if four is None:
            return None
        text = f"{head}:{four[:2].hex()}:{four[2:].hex()}"
    left, gap, right = text.partition("::")
    if "::" in right:
        return None
    before = left.split(":") if left else []
    after = right.split(":") if right else []
    missing = 8 - len(before) - len(after)
    if (missing < 1) if gap else (missing != 0):
        return None
    words = [*before, *(["0"] * missing if gap else []), *after]
    try:
        numbers = [int(w, 16) for w in words]
    except ValueError:
        return None
    if any(n > 0xFFFF for n in numbers):
        return None
    return b"".join(n.to_bytes(2, "big") for n in numbers)


# ---------------------------------------------------------------- macaddr


def _mac_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.types.get(call.args[0], NONE)
    if isinstance(found, (Array, Str)) and found.size >= MAC.size:
        return MAC
    if isinstance(found, (Array, Str)):
        return t.error(
            "bad-argument", "macaddr() argument must be at least 6 bytes in size", call.span
        )
    return t.error(
        "bad-argument", f"macaddr() only supports array or pointer arguments ({found} provided)",
        call.span,
    )  # fmt: skip


def _mac_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.read_place(lo.place(call.args[0]), target, MAC.size, MAC.size)


def _show_mac(raw: bytes, static: tuple[str, ...], env: ShowEnv) -> str:
    return ":".join(f"{byte:02X}" for byte in raw[:6])


NTOP = Builtin(
    name="ntop",
    doc="An IPv4 or IPv6 address as text: ntop(address) or ntop(family, address).",
    returns=_ntop_type,
    params=(Arg(name="family"), Arg(name="address", optional=True)),
    into=_ntop_into,
)
PTON = Builtin(
    name="pton",
    doc="The bytes of an IPv4 or IPv6 address, in network order.",
    returns=_pton_type,
    params=(Arg(name="address", kind="text"),),
    into=_pton_into,
)
MACADDR = Builtin(
    name="macaddr",
    doc="A hardware address as text.",
    returns=_mac_type,
    params=(Arg(name="address"),),
    into=_mac_into,
)

SHOWS: Final[Mapping[str, Show]] = {"inet": _show_inet, "mac": _show_mac}

__all__ = ["SHOWS", "int_type"]
