"""The values of integer and string literals, and what is wrong with them."""

from __future__ import annotations

from pytrace.frontend import scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

U32_MAX: Final = (1 << 32) - 1
I64_MAX: Final = (1 << 63) - 1
U64_MAX: Final = (1 << 64) - 1

# Suffix -> (factor, largest value). The C suffixes bound a value, they give it no type.
SUFFIXES: Final[Mapping[str, tuple[int, int]]] = {
    "": (1, U64_MAX),
    "u": (1, U32_MAX),
    "l": (1, I64_MAX),
    "ll": (1, I64_MAX),
    "ul": (1, U64_MAX),
    "ull": (1, U64_MAX),
    "ns": (1, U64_MAX),
    "us": (1_000, U64_MAX),
    "ms": (1_000_000, U64_MAX),
    "s": (1_000_000_000, U64_MAX),
    "m": (60 * 1_000_000_000, U64_MAX),
    "h": (3600 * 1_000_000_000, U64_MAX),
    "d": (24 * 3600 * 1_000_000_000, U64_MAX),
}

ESCAPES: Final[Mapping[str, str]] = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
OCTAL: Final = frozenset("01234567")
HEX: Final = frozenset("0123456789abcdefABCDEF")

# A fault in a literal: what, and its offsets from the literal's start.
Fault = tuple[str, int, int]


class BadInteger(Exception):
    """An integer literal without a value; the argument says why."""


def integer(text: str) -> tuple[int, Fault | None]:
    """Value of an integer literal; 0 and the fault if it has none.

    ``text`` is all that ``scan.number_end`` takes: it may end in a suffix that does not exist.
    """
    body, suffix = _split(text)
    size = len(body) + len(suffix)
    if text[size:]:
        return 0, (f"invalid integer suffix '{text[size:]}'", size, len(text))
    if body[-1] == "_":
        return 0, ("trailing underscore in integer literal", len(body) - 1, len(body))
    try:
        return _value(body, suffix, text), None
    except BadInteger as fault:
        return 0, (str(fault), 0, len(text))


def _split(text: str) -> tuple[str, str]:
    """Digits (with prefix and exponent) and the suffix; the rest of ``text`` belongs to neither."""
    end = scan.digits_end(text + "\0", 0)
    stop = scan.suffix_end(text + "\0", end) if text[:2] not in ("0x", "0X") else end
    return text[:end], text[end:stop]


def _value(body: str, suffix: str, text: str) -> int:
    if suffix not in SUFFIXES:
        raise BadInteger(f"invalid trailing bytes: {text}")
    factor, limit = SUFFIXES[suffix]
    digits = body.replace("_", "")
    prefix = digits[:2].lower()
    if prefix == "0x":
        if len(digits) == 2:
            raise BadInteger("invalid integer: ")
        value, shown = _based(digits[2:], 16), text[2:]
    elif "e" in digits or "E" in digits:
        value, shown = _scientific(digits.lower(), text), text
    elif digits[0] == "0" and len(digits) > 1:
        if not OCTAL.issuperset(digits):
            raise BadInteger(f"invalid trailing bytes: {text}")
        value, shown = _based(digits[1:], 8), text[1:]
    else:
        value, shown = _based(digits, 10), text
    if value * factor > limit:
        raise BadInteger(f"overflow error, maximum value is {limit}: {shown}")
    return value * factor


def _based(digits: str, base: int) -> int:
    """The value, or one that is too large for any limit: Python refuses very long texts."""
    significant = digits.lstrip("0")
    return int(significant or "0", base) if len(significant) <= 24 else U64_MAX + 1


def _scientific(digits: str, text: str) -> int:
    coefficient, _, exponent = digits.partition("e")
    if not exponent or exponent[0] == "0":
        raise BadInteger(f"invalid trailing bytes: {text}")
    if len(coefficient) != 1 or coefficient == "0":
        raise BadInteger(f"coefficient part of scientific literal must be 1-9: {text}")
    return int(coefficient) * 10 ** int(exponent) if len(exponent) <= 2 else U64_MAX + 1


def string(text: str) -> tuple[bytes, list[Fault]]:
    """Bytes of a string literal, given with its quotes as latin-1, and its faults."""
    if "\\" not in text:
        return text[1:-1].encode("latin-1"), []
    out: list[str] = []
    faults: list[Fault] = []
    pos, last = 1, len(text) - 1
    while pos < last:
        found = text.find("\\", pos, last)
        if found < 0:
            break
        out.append(text[pos:found])
        value, pos, fault = _escape(text, found)
        out.append(value)
        if fault is not None:
            faults.append(fault)
    out.append(text[pos:last])
    return "".join(out).encode("latin-1"), faults


def _escape(text: str, start: int) -> tuple[str, int, Fault | None]:
    """Character of the escape at ``start``, where it ends, and its fault."""
    char = text[start + 1]
    if char in ESCAPES:
        return ESCAPES[char], start + 2, None
    if char in OCTAL:
        end = _run(text, start + 1, OCTAL, 3)
        value = int(text[start + 1 : end], 8)
        if value > 255:
            message = f"octal escape sequence out of range '{text[start:end]}'"
            return "", end, (message, start, end)
        return chr(value), end, None
    if char in "xX":
        end = _run(text, start + 2, HEX, 2)
        if end == start + 2:
            bad_end = max(scan.word_end(text, end), end + 1)
            return "", end, ("invalid hex escape sequence", end, bad_end)
        return chr(int(text[start + 2 : end], 16)), end, None
    shown = char.encode("latin-1").decode("utf-8", "replace")
    return "", start + 2, (f"invalid escape character '\\{shown}'", start + 1, start + 2)


def _run(text: str, pos: int, allowed: frozenset[str], most: int) -> int:
    end = pos
    while end < pos + most and text[end] in allowed:
        end += 1
    return end
