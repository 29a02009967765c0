"""The default text of values (language 11.2) and of map keys (11.3, 12)."""

from __future__ import annotations

from pytrace.base.format import escaped_bytes
from pytrace.model.values import (
    Average,
    Buffer,
    EnumValue,
    Pointer,
    StackTrace,
    Stats,
    StructValue,
    Text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    Pad = Callable[[str], str]


def value_text(value: Any, pad: Pad | None = None) -> str:
    """The text of a value. ``pad`` widens the first piece of it; stacks cannot be padded.

    Raises ``TypeError`` for tables (histograms, time series), which have no text in a line.
    """
    kind = type(value)
    if kind is int or kind is str:
        text = str(value)
        return pad(text) if pad else text
    make = _TEXTS.get(kind)
    if make is None:
        raise TypeError(f"a {kind.__name__} has no text")
    return make(value, pad)


def key_text(key: Any) -> str:
    """What stands between the brackets of ``@m[...]``: a tuple loses its outer parentheses."""
    return ", ".join(map(value_text, key)) if type(key) is tuple else value_text(key)


def compact_key_text(key: Any) -> str:
    """A key in JSON: as ``key_text``, without spaces but those that belong to strings."""
    return _compact(key, True)


def _compact(key: Any, outer: bool = False) -> str:
    kind = type(key)
    if kind is str:
        return key  # type: ignore[no-any-return]
    if kind is tuple:
        inner = ",".join([_compact(k) for k in key])
        return inner if outer else f"({inner})"
    if kind is StructValue:
        return _fields(key, "{", "}", "=", ",", _compact)
    return value_text(key).replace(" ", "")


def _fields(
    value: StructValue, head: str, tail: str, equals: str, comma: str, text: Callable[[Any], str]
) -> str:
    members = [f".{n}{equals}{text(v)}" for n, v in zip(value.names, value.values)]
    return f"{head}{comma.join(members)}{tail}"


def _padded(text: str, pad: Pad | None) -> str:
    return pad(text) if pad else text


def _tuple(value: tuple[Any, ...], pad: Pad | None) -> str:
    return f"{_padded('(', pad)}{', '.join(map(value_text, value))})"


def _list(value: list[Any], pad: Pad | None) -> str:
    return f"{_padded('[', pad)}{','.join(map(value_text, value))}]"


def _struct(value: StructValue, pad: Pad | None) -> str:
    if not value.names:
        return _padded("{}", pad)
    return _fields(value, _padded("{ ", pad), " }", " = ", ", ", value_text)


def _stats(value: Stats, pad: Pad | None) -> str:
    numbers = f".count = {value.count}, .average = {value.average}, .total = {value.total}"
    return f"{_padded('{ ', pad)}{numbers} }}"


def _stack(value: StackTrace, pad: Pad | None) -> str:
    return "\n" + "".join([f"{line}\n" for line in value.lines])


_TEXTS: Final[dict[type, Callable[[Any, Pad | None], str]]] = {
    bool: lambda v, pad: _padded("true" if v else "false", pad),
    Text: lambda v, pad: _padded(str(v), pad),
    Pointer: lambda v, pad: _padded(f"0x{v & 0xFFFFFFFFFFFFFFFF:x}", pad),
    EnumValue: lambda v, pad: _padded(v.name or str(int(v)), pad),
    Average: lambda v, pad: _padded(str(int(v)), pad),
    Buffer: lambda v, pad: _padded(escaped_bytes(v), pad),
    tuple: _tuple,
    list: _list,
    StructValue: _struct,
    Stats: _stats,
    StackTrace: _stack,
    type(None): lambda v, pad: _padded("null", pad),
}
