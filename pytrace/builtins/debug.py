"""Text in the kernel's own trace, for those who debug a script (language 9.1)."""

from __future__ import annotations

from pytrace.base.types import VOID, Int, Ptr, Str, is_scalar
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

MAX_VALUES: Final = 3
"""Values that bpf_trace_printk() takes."""

_TYPES: Final[Mapping[str, tuple[type[Type], ...]]] = {
    "d": (Int,), "u": (Int,), "x": (Int,), "p": (Int, Ptr), "s": (Str,),
}  # fmt: skip
"""Conversions of bpf_trace_printk(), and what each prints."""


def _debugf_type(t: Typing, call: BuiltinCall) -> Type:
    from pytrace.base.format import check, parse_format

    t.warn(
        "debugf",
        "The debugf() builtin is not recommended for production use. For more information see"
        " bpf_trace_printk in bpf-helpers(7).",
        call.span,
    )
    text = t.literal(call.args[0])
    assert isinstance(text, bytes)
    parsed = parse_format(text.decode("utf-8", "surrogateescape"))
    types = [t.found(a) for a in call.args[1:]]
    for problem in check(parsed, types):
        return t.error("format", problem, call.span)
    if len(types) > MAX_VALUES:
        return t.error(
            "format", f"cannot use more than {MAX_VALUES} conversion specifiers", call.span
        )
    conversions = [piece.conversion for piece in parsed if piece.conversion]
    for letter, arg, found in zip(conversions, call.args[1:], types):
        if letter not in _TYPES:
            text_span = call.args[0].span
            problem = f"Invalid format specifier for `debugf`: {letter}"
            return t.error("format", problem, text_span)
        if not isinstance(found, _TYPES[letter]):
            problem = f"Type does not match format specifier: {letter}"
            return t.error("format", problem, arg.span)
    return VOID


def _lower_debugf(lo: Lowering, call: BuiltinCall) -> None:
    b = lo.b
    text = lo.text(call.args[0]).encode("utf-8", "surrogateescape") + b"\0"
    values: list[ir.Value] = []
    for arg in call.args[1:]:
        values.append(lo.word(arg) if is_scalar(lo.type(arg)) else _terminated(lo, arg))
    values += [b.const(0)] * (MAX_VALUES - len(values))
    format_text = b.address(b.slot("format", len(text)))
    lo.store_text(format_text, text, len(text))
    b.helper("trace_printk", format_text, len(text), *values)


def _terminated(lo: Lowering, arg: ast.Expr) -> ir.Value:
    """A copy of a text with a zero behind it: the kernel reads up to one."""
    b = lo.b
    size = lo.type(arg).size
    slot = b.address(b.slot("text", size + 1))
    lo.into(arg, slot, lo.type(arg))
    b.store(slot, size, 1, 0)
    return slot


DEBUGF = Builtin(
    name="debugf",
    doc="Prints a formatted text to the kernel's trace pipe, with %d %u %x %p %s.",
    returns=_debugf_type,
    params=(Arg(name="format", kind="text"),),
    variadic=True,
    lower=_lower_debugf,
)
