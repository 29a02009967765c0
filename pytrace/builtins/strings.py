"""Text and bytes read from memory (language 9.3)."""

from __future__ import annotations

from pytrace.base.types import BOOL, I32, I64, U64, Array, Buf, Ptr, Str
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall, TypeRule
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing


def _str_type(t: Typing, call: BuiltinCall) -> Type:
    limit = t.env.config.max_strlen
    text = t.literal(call.args[0])
    length = t.literal(call.args[1]) if len(call.args) > 1 else None
    if isinstance(length, int):
        if length < 0:
            return t.error(
                "bad-argument",
                f"str: invalid length value (must be non-negative): {length}",
                call.span,
            )
        if length > limit:
            t.warn(
                "length-shortened",
                f"length param ({length}) is too long and will be shortened to {limit} bytes"
                " (see PYTRACE_MAX_STRLEN)",
                call.span,
            )
    if text is not None:
        return _literal_type(t, call, text, length)
    if len(call.args) == 1:
        found = t.types.get(call.args[0])
        return found if isinstance(found, Str) else Str(length=limit)
    return Str(length=min(length + 1, limit) if isinstance(length, int) else limit)


def _literal_type(
    t: Typing, call: BuiltinCall, known: int | bytes, length: int | bytes | None
) -> Type:
    """A literal is its own text, of a known length n its first n characters. A number is its
    digits, not the address of any text."""
    text = known if isinstance(known, bytes) else str(int(known)).encode()
    if isinstance(length, int):
        text = text[:length]
    if len(call.args) == 1 or isinstance(length, int) or isinstance(known, int):
        t.set_literal(call.node, text)
    return Str(length=len(text) + 1)


def _str_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """Reads text; a length that is not a literal cuts it at ``n - 1`` bytes."""
    result = call.result
    assert isinstance(result, Str)
    source = call.args[0]
    size = result.length
    limit: ir.Value | int = size
    if len(call.args) > 1:
        length = lo.literal(call.args[1])
        limit = min(length, size) if isinstance(length, int) else _length(lo, call.args[1], size)
    lo.string_into(source, target, size, limit)


def _length(lo: Lowering, node: ast.Expr, size: int) -> ir.Value:
    """A run-time length as a word in 0..size."""
    b = lo.b
    wanted = lo.word(node)
    return b.select(b.compare("ult", wanted, size), wanted, size)


def _buf_type(t: Typing, call: BuiltinCall) -> Type:
    limit = t.env.config.max_strlen - 4
    found = t.types.get(call.args[0])
    length = t.literal(call.args[1]) if len(call.args) > 1 else None
    if isinstance(length, int):
        if length < 0:
            return t.error(
                "bad-argument",
                f"buf: invalid length value (must be non-negative): {length}",
                call.span,
            )
        return Buf(length=min(length, limit))
    if len(call.args) > 1:
        return Buf(length=limit)
    if isinstance(found, (Array, Str)):
        return Buf(length=min(found.size, limit))
    return t.error(
        "argument-count",
        f"buf() expects a length argument for non-array type {t.kind(call.args[0])}",
        call.span,
    )


def _buf_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    """u32 length, then the bytes; on a failed read the bytes are zero."""
    result = call.result
    assert isinstance(result, Buf)
    b = lo.b
    capacity = result.length
    count: ir.Value | int = capacity
    if len(call.args) > 1 and not isinstance(lo.literal(call.args[1]), int):
        count = _length(lo, call.args[1], capacity)
    b.zero(target, result.size)
    b.store(target, 0, 4, count)
    place = lo.memory_argument(call.args[0])
    if isinstance(count, int) and count == 0:
        return
    lo.read_place(place, b.offset(target, 4), count, capacity)


def _strlen_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.types.get(call.args[0])
    text = t.literal(call.args[0])
    if isinstance(text, bytes):
        t.set_literal(call.node, len(text.split(b"\0")[0]))
    if isinstance(found, Str) or (isinstance(found, (Ptr, Array)) and _bytes_of(found)):
        return U64
    return t.error(
        "bad-argument",
        "string-like values must be either strings, arrays or pointers",
        call.span,
    )


def _bytes_of(found: Ptr | Array) -> bool:
    elem = found.to if isinstance(found, Ptr) else found.elem
    return elem.size == 1


def _lower_strlen(lo: Lowering, call: BuiltinCall) -> ir.Value:
    literal = lo.literal(call.node)
    if isinstance(literal, int):
        return lo.b.const(literal)
    return lo.string_length(call.args[0])


def _strncmp_type(t: Typing, call: BuiltinCall) -> Type:
    count = t.literal(call.args[2])
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        return t.error("bad-argument", "Builtin strncmp requires a non-negative literal", call.span)
    return U64


def _lower_strncmp(lo: Lowering, call: BuiltinCall) -> ir.Value:
    count = lo.literal(call.args[2])
    assert isinstance(count, int)
    return lo.strings_differ(call.args[0], call.args[1], count)


def _memcmp_type(t: Typing, call: BuiltinCall) -> Type:
    count = t.literal(call.args[2])
    if isinstance(count, int) and count < 0:
        return t.error(
            "bad-argument", f"memcmp() expects a count that is not negative ({count} provided)",
            call.span,
        )  # fmt: skip
    return I32


def _lower_memcmp(lo: Lowering, call: BuiltinCall) -> ir.Value:
    left, right, length = call.args
    known = lo.literal(length)
    if isinstance(known, int):
        return lo.compare_bytes(left, right, known, max(known, 1))
    # Behind the end of both values there is nothing to tell them apart.
    limit = lo.env.config.max_strlen
    if not any(isinstance(lo.type(node), Ptr) for node in (left, right)):
        limit = max(lo.type(left).size, lo.type(right).size)
    return lo.compare_bytes(left, right, _length(lo, length, limit), limit)


def _concat_type(t: Typing, call: BuiltinCall) -> Type:
    for arg in call.args:
        found = t.found(arg)
        if not isinstance(found, Str) and not (
            isinstance(found, (Ptr, Array)) and _bytes_of(found)
        ):
            return t.error(
                "bad-argument",
                "string-like values must be either strings, arrays or pointers",
                call.span,
            )
    return Str(length=t.env.config.max_strlen)


def _concat_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    lo.concatenate(call.args[0], call.args[1], target, lo.size_of(call))


def _find_type(result: Type) -> TypeRule:
    def rule(t: Typing, call: BuiltinCall) -> Type:
        texts = [t.literal(a) for a in call.args]
        if isinstance(texts[0], bytes) and isinstance(texts[1], bytes):
            index = texts[0].split(b"\0")[0].find(texts[1].split(b"\0")[0])
            t.set_literal(call.node, index >= 0 if result == BOOL else index)
        return result

    return rule


def _lower_strstr(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.find_text(call.args[0], call.args[1])


def _lower_strcontains(lo: Lowering, call: BuiltinCall) -> ir.Value:
    return lo.b.compare("sge", _lower_strstr(lo, call), 0)


def _strcap_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.types.get(call.args[0])
    if isinstance(found, Str):
        t.set_literal(call.node, found.length)
    return I64


_TWO_TEXTS = (Arg(name="haystack", kind="strict_string"), Arg(name="needle", kind="strict_string"))

STRSTR = Builtin(
    name="strstr",
    doc="Where a text begins in another, -1 if it is not in it.",
    returns=_find_type(I32),
    params=_TWO_TEXTS,
    lower=_lower_strstr,
)
STRCONTAINS = Builtin(
    name="strcontains",
    doc="True if a text holds another.",
    returns=_find_type(BOOL),
    params=_TWO_TEXTS,
    lower=_lower_strcontains,
)
MEMCMP = Builtin(
    name="memcmp",
    doc="0 if the first n bytes of two values are equal, else the difference of those that differ.",
    returns=_memcmp_type,
    params=(Arg(name="a"), Arg(name="b"), Arg(name="n", kind="int")),
    lower=_lower_memcmp,
)
STR_CONCAT = Builtin(
    name="str_concat",
    doc="Two texts as one.",
    returns=_concat_type,
    params=(Arg(name="a"), Arg(name="b")),
    into=_concat_into,
)
STRCAP = Builtin(
    name="strcap",
    doc="Most bytes that a text can have, its zero included.",
    returns=_strcap_type,
    params=(Arg(name="text", kind="strict_string"),),
    lower=lambda lo, call: lo.b.const(0),
)
STR = Builtin(
    name="str",
    doc="Reads text at an address, up to its zero byte or n - 1 bytes.",
    returns=_str_type,
    params=(Arg(name="address", kind="string"), Arg(name="n", kind="int", optional=True)),
    into=_str_into,
)
BUF = Builtin(
    name="buf",
    doc="Reads n bytes at an address.",
    returns=_buf_type,
    params=(Arg(name="address", kind="buffer"), Arg(name="n", kind="int", optional=True)),
    into=_buf_into,
)
STRLEN = Builtin(
    name="strlen",
    doc="Length of a text in bytes.",
    returns=_strlen_type,
    params=(Arg(name="text"),),
    lower=_lower_strlen,
)
STRNCMP = Builtin(
    name="strncmp",
    doc="0 if the first n bytes of two texts are equal, else not 0.",
    returns=_strncmp_type,
    params=(
        Arg(name="a", kind="strict_string"),
        Arg(name="b", kind="strict_string"),
        Arg(name="n"),
    ),
    lower=_lower_strncmp,
)
