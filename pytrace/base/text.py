"""Small facts about words: similar names and wildcards."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final


def edit_distance(a: str, b: str, limit: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) from ``a`` to ``b``.

    Gives ``limit + 1`` as soon as the distance is known to be above ``limit``.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, ca in enumerate(a, 1):
        current = [i]
        for j, cb in enumerate(b, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (ca != cb))
            if i > 1 and j > 1 and ca == b[j - 2] and a[i - 2] == cb:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > limit:
            return limit + 1
        before, previous = previous, current
    return previous[-1]


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that a person who typed ``word`` most likely meant, or None.

    At most a third of the word may differ, and one letter is like no other. Ties go to the
    alphabetically first.
    """
    limit = min(max(1, len(word) // 3), len(word.strip("@$")) - 1)
    if limit < 1:
        return None
    best: tuple[int, str] | None = None
    for candidate in candidates:
        if candidate == word:
            continue
        distance = edit_distance(word.lower(), candidate.lower(), best[0] if best else limit)
        if distance <= limit and (best is None or (distance, candidate) < best):
            best = (distance, candidate)
    return best[1] if best else None


def is_wildcard(pattern: str) -> bool:
    """True if a name is to be matched rather than looked up."""
    return "*" in pattern or ("[" in pattern and "]" in pattern)


def matches(pattern: str, name: str) -> bool:
    """True if ``name`` fits ``pattern``, in which only ``*`` is special (any run of characters)."""
    pieces = pattern.split("*")
    if len(pieces) == 1:
        return pattern == name
    first, last = pieces[0], pieces[-1]
    if not name.startswith(first) or len(name) < len(first) + len(last):
        return False
    at = len(first)
    for piece in pieces[1:-1]:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return name.endswith(last) and at <= len(name) - len(last)


_DURATIONS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_UNSIGNED_MAX: Final = {"u": 2**32 - 1, "ul": 2**64 - 1, "ull": 2**64 - 1}
_SIGNED_MAX: Final = {"l": 2**63 - 1, "ll": 2**63 - 1}


def parse_integer(text: str) -> int | None:
    """The value of an integer literal in any form of language 1.3, without a sign.

    Durations count as nanoseconds. None if ``text`` is no such literal or exceeds its bound.
    """
    if not text.isascii() or not text[:1].isdigit() or text.endswith("_"):
        return None
    if text[:2] in ("0x", "0X"):
        return _bounded(text[2:].replace("_", ""), "0123456789abcdefABCDEF", 16, 2**64 - 1)
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    suffix = text[len(digits) :]
    if suffix in _DURATIONS:
        value = _whole(digits)
        scaled = None if value is None else value * _DURATIONS[suffix]
        return scaled if scaled is None or scaled < 2**64 else None
    limit = _UNSIGNED_MAX.get(suffix) or _SIGNED_MAX.get(suffix)
    if suffix and limit is None:
        return None
    value = _whole(digits)
    return value if value is None or value <= (limit or 2**64 - 1) else None


def why_no_integer(text: str) -> str:
    """What is wrong with a text that ``parse_integer`` does not take."""
    return f"invalid trailing bytes: {text}" if text[:1].isdigit() else f"invalid integer: {text}"


def _whole(text: str) -> int | None:
    """A decimal, octal or exponent literal without suffix."""
    coefficient, mark, exponent = text.partition("e")
    if mark:
        if len(coefficient) != 1 or coefficient == "0" or exponent[:1] in ("", "0", "_"):
            return None
        power = _bounded(exponent.replace("_", ""), "0123456789", 10, 19)
        return None if power is None else int(coefficient) * 10**power
    digits = text.replace("_", "")
    if len(digits) > 1 and digits[0] == "0":
        return _bounded(digits, "01234567", 8, 2**64 - 1)
    return _bounded(digits, "0123456789", 10, 2**64 - 1)


def _bounded(digits: str, alphabet: str, base: int, limit: int) -> int | None:
    # 64 bits have at most 22 octal digits; int() itself refuses thousands of decimal ones.
    significant = digits.lstrip("0")
    if not digits or digits.strip(alphabet) or len(significant) > 22:
        return None
    value = int(significant or "0", base)
    return value if value <= limit else None
