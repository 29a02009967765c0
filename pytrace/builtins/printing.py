"""What sends text to the user: printf, print, time, exit."""

from __future__ import annotations

from pytrace.base.types import VOID, Aggregate, NoneType, Opaque, Ptr, Str, Struct, Tuple, Void
from pytrace.builtins.registry import Arg, Builtin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.builtins.registry import BuiltinCall
    from pytrace.model.running import BatchHandler, Event, Handler, SessionView
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

MAX_FORMAT_ARGUMENTS: Final = 128
DEFAULT_TIME_FORMAT: Final = "%H:%M:%S\n"


# ---------------------------------------------------------------- printf


def printf_type(t: Typing, call: BuiltinCall) -> Type:
    """Checks a format string and what it prints."""
    from pytrace.base.format import check, parse_format

    text = t.literal(call.args[0])
    assert isinstance(text, bytes)
    if len(call.args) - 1 > MAX_FORMAT_ARGUMENTS:
        return t.error(
            "argument-count",
            f"{call.name}() takes at most {MAX_FORMAT_ARGUMENTS} arguments",
            call.span,
        )
    types = [t.found(a) for a in call.args[1:]]
    if any(isinstance(found, NoneType) for found in types):
        return VOID
    for problem in check(parse_format(text.decode("utf-8", "surrogateescape")), types):
        t.error("format", problem, call.span)
    return VOID


def _lower_printf(lo: Lowering, call: BuiltinCall) -> None:
    lo.event(
        f"printing:{call.name}", list(call.args[1:]), static=(lo.text(call.args[0]),), call=call
    )


def _handle_printf(event: Event, session: SessionView) -> None:
    session.sink.printf(event.text)


def _handle_printfs(texts: list[str], session: SessionView) -> None:
    session.sink.printfs(texts)


def _handle_errorf(event: Event, session: SessionView) -> None:
    session.sink.errorf("ERROR", event.text, event.span)


def _handle_warnf(event: Event, session: SessionView) -> None:
    session.sink.errorf("WARNING", event.text, event.span)


# ---------------------------------------------------------------- print


def _print_type(t: Typing, call: BuiltinCall) -> Type:
    first = call.args[0]
    if t.is_map(first):
        return _print_map_type(t, call, t.map_node(first).name)
    if len(call.args) > 1:
        return t.error(
            "argument-count",
            f"Non-map print() only takes 1 argument, {len(call.args)} found",
            call.span,
        )
    found = t.found(first)
    if isinstance(found, Aggregate) and not found.castable and found.kind != "stats":
        return t.error(
            "bad-argument",
            f"Map type {found} cannot print the value of individual keys."
            " You must print the whole map.",
            call.span,
        )
    _check_printable(t, found, call)
    return VOID


def _print_map_type(t: Typing, call: BuiltinCall, name: str) -> Type:
    value_type = t.env.map(name).value
    if len(call.args) > 1 and isinstance(value_type, Aggregate) and value_type.kind == "stats":
        t.warn(
            "ignored-argument",
            "print()'s top and div arguments are ignored when used on stats() maps.",
            call.span,
        )
    if t.for_depth:
        t.warn(
            "print-in-loop",
            "Due to it's asynchronous nature using 'print()' in a loop can lead to unexpected"
            " behavior. The map will likely be updated before the runtime can 'print' it.",
            call.span,
        )
    return VOID


def _check_printable(t: Typing, found: Type, call: BuiltinCall) -> None:
    if isinstance(found, NoneType) and not t.reporting:
        return
    empty = isinstance(found, Tuple) and not found.elems
    nothing = empty or isinstance(found, (NoneType, Opaque, Void))
    what = "none" if nothing else str(found)
    of_tracepoint = t.context.probetype in ("tracepoint", "rawtracepoint")
    in_context = of_tracepoint and found is not None and found == t.args_type()
    context_pointer = isinstance(found, Ptr) and found.space == "context"
    if nothing or in_context or context_pointer:
        t.error("not-printable", f"{what} type passed to print() is not printable", call.span)


def _lower_print(lo: Lowering, call: BuiltinCall) -> None:
    first = call.args[0]
    if lo.is_map(first):
        numbers = [lo.literal(a) for a in call.args[1:]] + [0, 0]
        kind = lo.aggregate_of(lo.map_name(first))
        if kind is not None and kind.kind == "stats":
            numbers = [0, 0]
        name = lo.map_name(first)
        lo.event(
            "printing:print_map",
            [],
            static=(name, max(int(numbers[0] or 0), 0), int(numbers[1] or 0) or 1),
            call=call,
            control=True,
        )
        return
    lo.event("printing:print_value", [first], static=(), call=call)


def _handle_print_value(event: Event, session: SessionView) -> None:
    session.sink.value(event.values[0])


def _handle_print_map(event: Event, session: SessionView) -> None:
    name, top, div = event.static
    assert isinstance(name, str) and isinstance(top, int) and isinstance(div, int)
    session.print_map(name, top, div)


# ---------------------------------------------------------------- time and exit


def _time_type(t: Typing, call: BuiltinCall) -> Type:
    return VOID


def _lower_time(lo: Lowering, call: BuiltinCall) -> None:
    text = lo.text(call.args[0]) if call.args else DEFAULT_TIME_FORMAT
    lo.event("printing:time", [], static=(text,), call=call)


def _handle_time(event: Event, session: SessionView) -> None:
    import time

    format_text = event.static[0]
    assert isinstance(format_text, str)
    session.sink.time(session.env.local_time(format_text, time.time_ns()))


def _exit_type(t: Typing, call: BuiltinCall) -> Type:
    if t.for_depth:
        return t.error(
            "exit-in-for",
            "'return' statement is not allowed in a for-loop",
            call.span,
            hints=["set a variable in the loop and call exit() after it"],
        )
    return VOID


def _lower_exit(lo: Lowering, call: BuiltinCall) -> None:
    lo.exit(call)


def _handle_exit(event: Event, session: SessionView) -> None:
    code = event.values[0] if event.values else 0
    assert isinstance(code, int)
    session.exit(code & 0xFF)


# ---------------------------------------------------------------- declarations

_FORMAT = (Arg(name="format", kind="text"),)

PRINTF = Builtin(
    name="printf",
    doc="Prints a formatted text.",
    returns=printf_type,
    params=_FORMAT,
    variadic=True,
    lower=_lower_printf,
)
ERRORF = Builtin(
    name="errorf",
    doc="Prints a formatted text as an error, with its place in the script.",
    returns=printf_type,
    params=_FORMAT,
    variadic=True,
    lower=_lower_printf,
)
WARNF = Builtin(
    name="warnf",
    doc="Prints a formatted text as a warning, with its place in the script.",
    returns=printf_type,
    params=_FORMAT,
    variadic=True,
    lower=_lower_printf,
)
PRINT = Builtin(
    name="print",
    doc="Prints a value, or a whole map: print(@m, top, div).",
    returns=_print_type,
    params=(
        Arg(name="value", kind="printable"),
        Arg(name="top", kind="number", optional=True),
        Arg(name="div", kind="number", optional=True),
    ),
    lower=_lower_print,
)
TIME = Builtin(
    name="time",
    doc="Prints the wall clock with a strftime(3) format.",
    returns=_time_type,
    params=(Arg(name="format", kind="text", optional=True),),
    lower=_lower_time,
)
EXIT = Builtin(
    name="exit",
    doc="Ends the run: end probes run, maps print. The code is the exit status.",
    returns=_exit_type,
    params=(Arg(name="code", kind="int", optional=True),),
    lower=_lower_exit,
)

HANDLERS: Final[Mapping[str, Handler]] = {
    "printf": _handle_printf,
    "errorf": _handle_errorf,
    "warnf": _handle_warnf,
    "print_value": _handle_print_value,
    "print_map": _handle_print_map,
    "time": _handle_time,
    "exit": _handle_exit,
}

BATCHES: Final[Mapping[str, BatchHandler]] = {"printf": _handle_printfs}

__all__ = ["BATCHES", "HANDLERS", "Str", "Struct"]
