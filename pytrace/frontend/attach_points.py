"""An attach point's raw text to its fields; what they mean is the provider's affair."""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.frontend import scan


class Fields(FrozenValue):
    """As in ``ast.AttachPoint``; ``text`` begins ``label_size`` bytes into the raw text."""

    label: str
    provider: str
    parts: tuple[str, ...]
    quoted: tuple[bool, ...]
    location: str
    label_size: int


def split(raw: str) -> Fields:
    """Split ``[label=]provider:part:part...[@location]`` outside quotes and drop the quotes."""
    end = scan.word_end(raw + "\0", 0)
    label_size = end + 1 if 0 < end < len(raw) and raw[end] == "=" else 0
    fields: list[str] = []
    quoted: list[bool] = []
    piece: list[str] = []
    had_quotes = False
    location = ""
    pos = label_size
    while pos < len(raw):
        char = raw[pos]
        if char == '"':
            had_quotes = True
            pos = _unquote(raw, pos, piece)
            continue
        if char == "@":
            rest: list[str] = []
            while pos + 1 < len(raw):
                pos += 1
                if raw[pos] == '"':
                    pos = _unquote(raw, pos, rest) - 1
                else:
                    rest.append(raw[pos])
            location = "".join(rest)
            break
        if char == ":":
            fields.append("".join(piece))
            quoted.append(had_quotes)
            piece.clear()
            had_quotes = False
        else:
            piece.append(char)
        pos += 1
    fields.append("".join(piece))
    quoted.append(had_quotes)
    return Fields(
        label=raw[: max(label_size - 1, 0)],
        provider=fields[0],
        parts=tuple(fields[1:]),
        quoted=tuple(quoted[1:]),
        location=location,
        label_size=label_size,
    )


def _unquote(raw: str, pos: int, piece: list[str]) -> int:
    """Append the text between the quote at ``pos`` and its end; returns the place behind it."""
    pos += 1
    while pos < len(raw) and raw[pos] != '"':
        if raw[pos] == "\\" and pos + 1 < len(raw):
            pos += 1
        piece.append(raw[pos])
        pos += 1
    return pos + 1
