"""Format strings of ``printf`` and its relatives (language 11.1): parse, check, render.

The compile side parses and checks, the run side makes one ``Renderer`` for each place of the
script: a Python ``%`` format with a converter for each value, so that a record costs one ``%``.

Conversions follow C++ streams rather than C: padding goes before a sign, precision is ignored,
and a width applies to the first piece that a value writes. Widths count bytes.
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.types import (
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    NoneType,
    Opaque,
    Ptr,
    Record,
    Str,
    Tuple,
    Type,
    Void,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, Protocol

    class ValueText(Protocol):
        """The default text of a value (language 11.2); ``pad`` widens the first piece of it.

        Raises ``ValueError`` with the message where the value has no text.
        """

        def __call__(self, value: Any, pad: Callable[[str], str] | None = None) -> str: ...

    Converter = Callable[[Any], Any]
    Renderer = Callable[[Sequence[Any]], str]

_DIGITS: Final = "0123456789"
_LENGTHS: Final = "hlLjzt"
_PLAIN: Final = "diuoxXcsp"
_FLOATS: Final = "eEfFgGaAn"
_BITS: Final = {"": 32, "hh": 8, "h": 16, "l": 64, "ll": 64, "j": 64, "z": 64, "t": 64}


class Piece(FrozenValue):
    """Text to print as it is, or (``conversion`` not empty) what to print a value with.

    ``conversion`` is one of ``d i u o x X c s p r rh rx gr``, or of ``e E f F g G a A n``, which
    ``check`` refuses. ``bits`` is what integers are cut to.
    """

    text: str = ""
    conversion: str = ""
    minus: bool = False
    plus: bool = False
    hash: bool = False
    zero: bool = False
    width: int = 0
    bits: int = 32


def parse_format(text: str) -> tuple[Piece, ...]:
    """The pieces of a format string; neighbouring texts are one piece. Never fails: a ``%`` that
    begins no specification is text."""
    pieces: list[Piece] = []
    literal = ""
    at = 0
    while True:
        mark = text.find("%", at)
        if mark < 0:
            break
        literal += text[at:mark]
        piece, at = _specification(text, mark)
        if piece is None:
            literal += "%"
        else:
            if literal:
                pieces.append(Piece(text=literal))
                literal = ""
            pieces.append(piece)
    literal += text[at:]
    if literal:
        pieces.append(Piece(text=literal))
    return tuple(pieces)


def _specification(text: str, mark: int) -> tuple[Piece | None, int]:
    """The specification at ``text[mark]``, a ``%``, and where the text goes on.

    None where a ``%`` is to be printed: there is no specification, or it ends in ``%``.
    """
    at = mark + 1
    flags = []
    for flag in "-+ #0":
        present = text.startswith(flag, at)
        flags.append(present)
        at += present
    at, width = _number(text, at)
    if text.startswith(".", at):
        after, _ = _number(text, at + 1)
        at = after if after > at + 1 else at
    start = at
    while at < len(text) and text[at] in _LENGTHS:
        at += 1
    length = text[start:at]
    conversion = _conversion(text, at)
    if conversion == "%":
        return None, at + 1
    if not conversion:
        return None, mark + 1
    piece = Piece(
        conversion=conversion,
        minus=flags[0],
        plus=flags[1],
        hash=flags[3],
        zero=flags[4],
        width=width,
        bits=_BITS.get(length, 32),
    )
    return piece, at + len(conversion)


def _number(text: str, at: int) -> tuple[int, int]:
    """Where a number or ``*`` at ``at`` ends, and its value (0 for ``*`` and for none)."""
    if text.startswith("*", at):
        return at + 1, 0
    start = at
    while at < len(text) and text[at] in _DIGITS:
        at += 1
    return at, int(text[start:at] or "0")


def _conversion(text: str, at: int) -> str:
    """The longest conversion at ``at``: two letters where they fit; ``%``; or nothing."""
    if text[at : at + 2] in ("rh", "rx", "gr"):
        return text[at : at + 2]
    one = text[at : at + 1]
    return one if one and one in f"{_PLAIN}{_FLOATS}r%" else ""


# --- check ----------------------------------------------------------------------------------


def conversions(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces that print a value, in order."""
    return tuple(p for p in pieces if p.conversion)


def check(pieces: Sequence[Piece], types: Sequence[Type]) -> list[str]:
    """What is wrong with printing values of ``types`` with a format: no text, or one."""
    wanted = conversions(pieces)
    if len(types) != len(wanted):
        what = "not enough" if len(types) < len(wanted) else "too many"
        supplied = f"({len(types)} supplied, {len(wanted)} expected)"
        return [f"{what} arguments for format string {supplied}"]
    for piece, type_ in zip(wanted, types):
        problem = _problem(piece.conversion, type_)
        if problem:
            return [problem]
    return []


def _problem(conversion: str, type_: Type) -> str:
    if conversion in _FLOATS:
        return f"unsupported format specifier: {conversion}"
    empty = isinstance(type_, Tuple) and not type_.elems
    if empty or isinstance(type_, (Void, NoneType, Opaque)):
        return f"unable to print none type for specifier: {conversion}"
    if conversion == "s":
        hidden = isinstance(type_, Aggregate) and type_.kind in ("hist", "lhist", "tseries")
        return f"unable to convert type: {type_}" if hidden else ""
    wanted = Buf if conversion in ("r", "rh", "rx") else (Int, Bool, Enum, Ptr)
    if isinstance(type_, wanted):
        return ""
    return f"unsupported format specifier for type '{type_}': {conversion}"


# --- render ---------------------------------------------------------------------------------


def render(pieces: Sequence[Piece], values: Sequence[Any], value_text: ValueText) -> str:
    """One text, for callers that have no use for a ``Renderer``."""
    return make_renderer(pieces, (), value_text)(values)


def make_renderer(
    pieces: Sequence[Piece], types: Sequence[Type], value_text: ValueText
) -> Renderer:
    """A function from values to text. ``types`` (of the values, where known) save conversions."""
    template, converters = make_template(pieces, types, value_text)
    if not converters:
        fixed = template % ()
        return lambda values: fixed
    if all(c is None for c in converters):
        return lambda values: template % (*values,)
    if len(converters) == 1 and converters[0] is not None:
        only = converters[0]
        return lambda values: template % (only(values[0]),)
    filled = tuple(c or _same for c in converters)

    def convert(values: Sequence[Any]) -> str:
        return template % (*[c(v) for c, v in zip(filled, values)],)

    return convert


def make_template(
    pieces: Sequence[Piece], types: Sequence[Type], value_text: ValueText
) -> tuple[str, tuple[Converter | None, ...]]:
    """A format of Python's ``%`` operator, and for each value what turns it into the operator's
    argument (None: nothing)."""
    template: list[str] = []
    converters: list[Converter | None] = []
    for piece in pieces:
        if not piece.conversion:
            template.append(piece.text.replace("%", "%%"))
            continue
        index = len(converters)
        type_ = types[index] if index < len(types) else None
        spec, converter = _plan(piece, type_, value_text)
        template.append(spec)
        converters.append(converter)
    return "".join(template), tuple(converters)


def _same(value: Any) -> Any:
    return value


def _plan(piece: Piece, type_: Type | None, value_text: ValueText) -> tuple[str, Converter | None]:
    """How Python's ``%`` prints a value: its specification, and what turns the value into its
    argument first (None: nothing)."""
    conversion = piece.conversion
    if conversion in "diuoxX":
        return _plan_integer(piece, type_)
    pad = _padding(piece)
    if conversion == "s":
        return _plan_text(piece, type_, value_text, pad)
    if conversion == "gr":
        from pytrace.base.gfp import gfp_text

        return "%s", _guarded(_padded(lambda v: gfp_text(v, value_text), pad))
    convert = _SIMPLE[conversion]
    return "%s", _padded(convert, pad)


def _plan_integer(piece: Piece, type_: Type | None) -> tuple[str, Converter | None]:
    signed = piece.conversion in "di"
    convert = _cutter(piece.bits, signed, type_)
    letter = "d" if piece.conversion in "diu" else piece.conversion
    plus = "+" if piece.plus and signed else ""
    prefix = piece.hash and letter != "d"
    odd = prefix or (piece.zero and piece.width and (piece.minus or signed))
    if not odd:
        width = str(piece.width) if piece.width else ""
        fill = "0" if piece.zero and width else ""
        return f"%{'-' if piece.minus else ''}{plus}{fill}{width}{letter}", convert
    bare = f"%{plus}{letter}"
    introducer = {"x": "0x", "X": "0X", "o": "0", "d": ""}[letter] if prefix else ""

    def text(value: int) -> str:
        number = int(value) if convert is None else convert(value)
        return f"{introducer if number else ''}{bare % number}"

    return "%s", _padded(text, _padding(piece))


def _cutter(bits: int, signed: bool, type_: Type | None) -> Converter | None:
    """What cuts an integer to ``bits``; None where every value of the type fits anyway."""
    if isinstance(type_, (Int, Enum)):
        fits = type_.bits <= bits if type_.signed == signed else type_.bits < bits and signed
        if fits:
            return None
    elif isinstance(type_, Bool):
        return int
    mask = (1 << bits) - 1
    if not signed:
        return lambda v: v & mask
    half, whole = 1 << (bits - 1), 1 << bits

    def cut(value: int) -> int:
        low = value & mask
        return low - whole if low >= half else low

    return cut


def _plan_text(
    piece: Piece, type_: Type | None, value_text: ValueText, pad: Callable[[str], str] | None
) -> tuple[str, Converter | None]:
    if type_ is not None and type(type_) is Int and not piece.plus and not piece.zero:
        width = str(piece.width) if piece.width else ""
        return f"%{'-' if piece.minus else ''}{width}d", None
    if piece.plus:
        return "%s", _guarded(lambda v: value_text(_with_plus(v, type_), pad))
    if type(type_) is Str:
        return "%s", pad
    if pad is None:
        return "%s", _guarded(value_text)
    return "%s", _guarded(lambda v: value_text(v, pad))


def _with_plus(value: Any, type_: Type | None) -> Any:
    """The value with ``+`` before the signed integers in it that are not negative."""
    if isinstance(type_, Tuple) and isinstance(value, tuple):
        return tuple(_with_plus(v, t) for v, t in zip(value, type_.elems))
    if isinstance(type_, Array) and isinstance(value, list):
        return [_with_plus(v, type_.elem) for v in value]
    if isinstance(type_, Record) and hasattr(value, "names"):
        changed = tuple(_with_plus(v, t) for v, t in zip(value.values, type_.elems))
        return type(value)(value.names, changed)
    if type_ is None or isinstance(type_, Aggregate) or (isinstance(type_, Int) and type_.signed):
        plain = isinstance(value, int) and type(value).__name__ in ("int", "Average")
        return f"+{int(value)}" if plain and value >= 0 else value
    return value


def _padding(piece: Piece) -> Callable[[str], str] | None:
    """What widens a text to the width, in bytes; None where there is none to widen to."""
    width, fill = piece.width, "0" if piece.zero else " "
    if not width:
        return None
    if piece.minus:
        return lambda text: text + fill * (width - _byte_length(text))
    return lambda text: fill * (width - _byte_length(text)) + text


def _byte_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _padded(convert: Callable[[Any], str], pad: Callable[[str], str] | None) -> Converter:
    if pad is None:
        return convert
    widen = pad
    return lambda v: widen(convert(v))


def _guarded(convert: Callable[[Any], str]) -> Converter:
    """``convert`` with its ``ValueError`` printed in the value's place."""

    def guarded(value: Any) -> str:
        try:
            return convert(value)
        except ValueError as error:
            return f"!{{{error}}}"

    return guarded


def _character(value: int) -> str:
    return bytes((value & 0xFF,)).decode("utf-8", "surrogateescape")


def _address(value: int) -> str:
    return f"0x{value & 0xFFFFFFFFFFFFFFFF:x}"


def escaped_bytes(raw: bytes) -> str:
    """``%r``: printable ASCII as it is, other bytes ``\\xNN``."""
    return "".join(chr(b) if 32 <= b <= 126 else f"\\x{b:02x}" for b in raw)


def _hex_escapes(raw: bytes) -> str:
    return "".join(f"\\x{b:02x}" for b in raw)


def _hex_bytes(raw: bytes) -> str:
    return raw.hex(" ")


_SIMPLE: Final[dict[str, Callable[[Any], str]]] = {
    "c": _character,
    "p": _address,
    "r": escaped_bytes,
    "rx": _hex_escapes,
    "rh": _hex_bytes,
}
