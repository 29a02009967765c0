"""What is known when the script is compiled: options, checks, questions about types."""

from __future__ import annotations

from pytrace.base.types import BOOL, I64, U64, VOID, Array, Bool, Enum, Int, Ptr, Record, Str
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall, LowerRule, TypeRule
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

TRUE_WORDS = ("", "1", "true")
FALSE_WORDS = ("0", "false")


# ---------------------------------------------------------------- getopt


def _getopt_type(t: Typing, call: BuiltinCall) -> Type:
    name = t.literal(call.args[0])
    assert isinstance(name, bytes)
    default = t.literal(call.args[1]) if len(call.args) > 1 else False
    if default is None:
        return t.error(
            "bad-argument",
            "Second argument to 'getopt' must be a string literal, integer literal, or a boolean"
            " literal.",
            call.args[1].span,
        )
    help_text = t.literal(call.args[2]) if len(call.args) > 2 else b""
    text = name.decode("utf-8", "replace")
    t.env.note_option(text, default, help_text if isinstance(help_text, bytes) else b"")
    value = _option_value(t, call, text, default)
    t.set_literal(call.node, value)
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return U64 if value > I64.high else I64
    return Str(length=len(value) + 1)


def _option_value(
    t: Typing, call: BuiltinCall, name: str, default: int | bytes | bool
) -> int | bytes | bool:
    """The value given on the command line, of the default's kind; the last one wins."""
    given = [value for option, value in t.env.settings.options if option == name]
    if not given:
        return default
    text = given[-1]
    if isinstance(default, bool):
        if text is None or text.lower() in TRUE_WORDS:
            return True
        if text.lower() in FALSE_WORDS:
            return False
        _bad_option(t, call, name, "boolean", text)
        return default
    if isinstance(default, int):
        number = t.env.parse_integer(text or "")
        if number is None:
            _bad_option(t, call, name, "integer", text or "")
            return default
        return number
    return (text or "").encode("utf-8", "surrogateescape")


def _bad_option(t: Typing, call: BuiltinCall, name: str, kind: str, text: str) -> None:
    t.error(
        "bad-option", f"program command line option --{name} invalid {kind} (value: {text})", None
    )


def _lower_literal(lo: Lowering, call: BuiltinCall) -> ir.Value:
    value = lo.literal(call.node)
    assert isinstance(value, (int, bool))
    return lo.b.const(int(value))


def _literal_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    value = lo.literal(call.node)
    assert isinstance(value, bytes)
    lo.store_text(target, value, lo.size_of(call))


# ---------------------------------------------------------------- questions about types


def _question(answer: Callable[[Typing, BuiltinCall], bool]) -> TypeRule:
    def rule(t: Typing, call: BuiltinCall) -> Type:
        t.set_literal(call.node, answer(t, call))
        return BOOL

    return rule


def _is(*kinds: type) -> TypeRule:
    return _question(lambda t, call: isinstance(t.found(call.args[0]), kinds))


def _is_unsigned(t: Typing, call: BuiltinCall) -> bool:
    found = t.found(call.args[0])
    return isinstance(found, Int) and not found.signed


def _is_literal(t: Typing, call: BuiltinCall) -> bool:
    return t.literal(call.args[0]) is not None


# ---------------------------------------------------------------- checks


def _static_assert_type(t: Typing, call: BuiltinCall) -> Type:
    value = t.literal(call.args[0])
    message = t.literal(call.args[1])
    assert isinstance(message, bytes)
    if value is None and t.reporting:
        t.error(
            "static-assert",
            "static_assert() needs a condition that is known when compiling",
            call.span,
        )
    elif value is not None and not value:
        t.error("static-assert", message.decode("utf-8", "replace"), call.span)
    return VOID


def _fail_type(t: Typing, call: BuiltinCall) -> Type:
    from pytrace.base.format import check, parse_format, render

    text = t.literal(call.args[0])
    assert isinstance(text, bytes)
    values: list[object] = []
    for arg in call.args[1:]:
        value = t.literal(arg)
        if value is None:
            return t.error("bad-argument", "fail() arguments need to be literals", call.span)
        values.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    pieces = parse_format(text.decode("utf-8", "surrogateescape"))
    problems = check(pieces, [t.found(arg) for arg in call.args[1:]])
    if problems:
        return t.error("format", problems[0], call.span)
    t.error("fail", render(pieces, values, _plain_text), call.span)
    return VOID


def _plain_text(value: object, pad: Callable[[str], str] | None = None) -> str:
    text = str(value)
    return pad(text) if pad is not None else text


def _assert_str_type(t: Typing, call: BuiltinCall) -> Type:
    found = t.found(call.args[0])
    if not isinstance(found, Str) and t.reporting:
        t.error("not-a-string", f"expected a string, found {found}", call.span)
    return VOID


def _nothing(lo: Lowering, call: BuiltinCall) -> None:
    return None


# ---------------------------------------------------------------- config


def _config_type(t: Typing, call: BuiltinCall) -> Type:
    """A record of all config values, each of its own kind."""
    values = dict(t.env.config.items())
    return Record(names=tuple(values), elems=tuple(_kind(v) for v in values.values()))


def _kind(value: object) -> Type:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return U64
    return Str(length=len(str(value).encode()) + 1)


def _config_into(lo: Lowering, call: BuiltinCall, target: ir.Value) -> None:
    kind = call.result
    assert isinstance(kind, Record)
    lo.b.zero(target, kind.size)
    values = dict(lo.env.config.items())
    for name, offset, elem in zip(kind.names, kind.offsets, kind.elems):
        value = values[name]
        at = lo.b.offset(target, offset)
        if isinstance(value, (int, bool)):
            lo.b.store(at, 0, elem.size, int(value))
        else:
            lo.store_text(at, str(value).encode(), elem.size)


def _asked(name: str, doc: str, rule: TypeRule) -> Builtin:
    lower: LowerRule = _lower_literal
    return Builtin(name=name, doc=doc, returns=rule, params=(Arg(name="value"),), lower=lower)


GETOPT = Builtin(
    name="getopt",
    doc="A named option of the script, given as --name=value behind --.",
    returns=_getopt_type,
    params=(
        Arg(name="name", kind="text"),
        Arg(name="default", optional=True),
        Arg(name="help", kind="text", optional=True),
    ),
    lower=_lower_literal,
    into=_literal_into,
)
IS_STR = _asked("is_str", "True if the value is a string.", _is(Str))
IS_PTR = _asked("is_ptr", "True if the value is a pointer.", _is(Ptr))
IS_ARRAY = _asked("is_array", "True if the value is an array.", _is(Array))
IS_INTEGER = _asked("is_integer", "True if the value is an integer.", _is(Int, Bool, Enum))
IS_UNSIGNED = _asked(
    "is_unsigned_integer", "True if the value is an unsigned integer.", _question(_is_unsigned)
)
IS_LITERAL = _asked(
    "is_literal", "True if the value is known when compiling.", _question(_is_literal)
)
STATIC_ASSERT = Builtin(
    name="static_assert",
    doc="Ends compiling with a message unless the condition holds.",
    returns=_static_assert_type,
    params=(Arg(name="condition"), Arg(name="message", kind="text")),
    lower=_nothing,
)
FAIL = Builtin(
    name="fail",
    doc="Ends compiling with a formatted message where this is reached.",
    returns=_fail_type,
    params=(Arg(name="format", kind="text"),),
    variadic=True,
    lower=_nothing,
)
ASSERT_STR = Builtin(
    name="assert_str",
    doc="Ends compiling unless the value is a string.",
    returns=_assert_str_type,
    params=(Arg(name="value"),),
    lower=_nothing,
)
CONFIG = Builtin(
    name="config",
    doc="All config values as a record.",
    returns=_config_type,
    into=_config_into,
    bare=True,
)
DEFAULT_STRING = Builtin(
    name="default_str_length",
    doc="Bytes of what str() without a length gives.",
    returns=U64,
    lower=lambda lo, call: lo.b.const(lo.env.config.max_strlen),
    bare=True,
)
