"""Where things end in script text: pure look-ahead for the lexer.

Every function takes the whole text, which ends in a NUL character, and an offset into it. The NUL
stops each loop, so none checks for the end of the text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

MAX_DEPTH: Final = 256

DIGITS: Final = frozenset("0123456789")
WORD_START: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
WORD: Final = WORD_START | DIGITS
HEX_DIGITS: Final = DIGITS | frozenset("abcdefABCDEF_")
BLANKS: Final = frozenset(" \t\n\r\v\f")

CLOSERS: Final[Mapping[str, str]] = {"(": ")", "[": "]", "{": "}"}

TAGS: Final = frozenset({"struct", "union", "enum"})

# Values that are never types, macro parameters or record names, apart from argN.
RAW_BUILTINS: Final = frozenset({"args", "ctx", "kstack", "nsecs", "pid", "tid", "ustack"})


def word_end(text: str, pos: int) -> int:
    while text[pos] in WORD:
        pos += 1
    return pos


def digits_end(text: str, pos: int) -> int:
    """End of an integer's digits: with ``_``, the ``0x`` prefix or an exponent, no suffix."""
    if text[pos] == "0" and text[pos + 1] in "xX":
        pos += 2
        while text[pos] in HEX_DIGITS:
            pos += 1
        return pos
    while text[pos] in DIGITS or text[pos] == "_":
        pos += 1
    if text[pos] in "eE":
        pos += 1
        while text[pos] in DIGITS or text[pos] == "_":
            pos += 1
    return pos


def suffix_end(text: str, pos: int) -> int:
    """End of what may be an integer's suffix: a duration, or ``u`` and ``l`` in either case."""
    char = text[pos]
    if char in "num" and text[pos + 1] == "s":
        return pos + 2
    if char in "smhd":
        return pos + 1
    if char in "uU":
        pos += 1
    elif char not in "lL":
        return pos
    for _ in range(2):
        if text[pos] in "lL":
            pos += 1
    return pos


def number_end(text: str, pos: int) -> int:
    """End of an integer literal, letters behind it that are no suffix included."""
    end = digits_end(text, pos)
    if text[pos + 1] in "xX" and text[pos] == "0":
        return end
    end = suffix_end(text, end)
    return word_end(text, end) if text[end] in WORD_START else end


def line_end(text: str, pos: int, *, continued: bool = False) -> int:
    """End of the line without its newline; ``continued`` goes on behind a backslash."""
    end = text.find("\n", pos)
    while continued and end > 0 and text[end - 1] == "\\":
        end = text.find("\n", end + 1)
    return end if end >= 0 else len(text) - 1


def comment_end(text: str, pos: int) -> int:
    """End of the comment that begins at ``pos``; an open ``/*`` runs to the end of the text."""
    if text[pos + 1] == "/":
        return line_end(text, pos)
    end = text.find("*/", pos + 2)
    return end + 2 if end >= 0 else len(text) - 1


def layout_end(text: str, pos: int) -> int:
    """The next place that is neither blank nor comment."""
    while True:
        while text[pos] in BLANKS:
            pos += 1
        if text[pos] != "/" or text[pos + 1] not in ("/", "*"):
            return pos
        pos = comment_end(text, pos)


def followed_by(text: str, pos: int, chars: str) -> bool:
    """Whether the next thing behind layout is one of ``chars``."""
    return text[layout_end(text, pos)] in chars


def assigns(text: str, pos: int) -> bool:
    """Whether a single ``=`` comes next."""
    pos = layout_end(text, pos)
    return text[pos] == "=" and text[pos + 1] != "="


def string_end(text: str, pos: int) -> int:
    """Behind the closing quote of the string at ``pos``, or -1 if its line ends first."""
    pos += 1
    while True:
        char = text[pos]
        if char == '"':
            return pos + 1
        if char == "\n" or (char == "\0" and pos == len(text) - 1):
            return -1
        pos += 2 if char == "\\" and text[pos + 1] not in "\n\0" else 1


def token_end(text: str, pos: int) -> int:
    """How much to underline of unexpected text: a name, a number or one character."""
    char = text[pos]
    if char in DIGITS:
        while text[pos] in WORD or text[pos] == ".":
            pos += 1
        return pos
    if char in WORD_START:
        return word_end(text, pos)
    if char in "@$":
        return word_end(text, pos + 1)
    return min(pos + 1, len(text) - 1)


def attach_point_end(text: str, pos: int) -> int:
    """End of the attach point at ``pos``, or -1 if a quote in it stays open.

    A slash belongs to it once a colon has been seen, else it opens the predicate.
    """
    colon = False
    while True:
        char = text[pos]
        if char in BLANKS or char in "{<,\0" or (char == "/" and not colon):
            return pos
        if char == '"':
            while text[pos := pos + 1] != '"':
                colon = colon or text[pos] == ":"
                if text[pos] == "\\":
                    pos += 1
                if text[pos] == "\0":
                    return -1
        colon = colon or char == ":"
        pos += 1


def begins_definition(text: str, pos: int) -> bool:
    """Whether ``struct``, ``union`` or ``enum``, ending at ``pos``, begins a C definition."""
    return text[_definition_head(text, pos)[1]] == "{"


def definition_name(text: str, pos: int) -> str:
    """Name of the C definition whose keyword ends at ``pos``, empty if it has none."""
    return _definition_head(text, pos)[0]


def _definition_head(text: str, pos: int) -> tuple[str, int]:
    """Name and where what follows name and attributes begins."""
    name = ""
    while True:
        pos = layout_end(text, pos)
        end = word_end(text, pos)
        word = text[pos:end]
        if word == "__attribute__":
            pos = balanced_end(text, layout_end(text, end))
            if pos < 0:
                return name, end
        elif word and not name:
            name = word
            pos = end
        else:
            return name, pos


def definition_end(text: str, pos: int) -> int:
    """End of the C definition at ``pos`` with attributes and ``;``, or -1 if a brace stays open."""
    end = balanced_end(text, _definition_head(text, word_end(text, pos))[1])
    while end >= 0:
        pos = layout_end(text, end)
        if not text.startswith("__attribute__", pos):
            return pos + 1 if text[pos] == ";" else end
        end = balanced_end(text, layout_end(text, pos + len("__attribute__")))
    return -1


def balanced_end(text: str, pos: int) -> int:
    """Behind the bracket that closes the one at ``pos``; -1 if none does or there is none.

    Only brackets of its kind count, outside strings, character constants and comments. What is
    nested so deep that the script has a fault anyway counts as never closed.
    """
    opener = text[pos]
    if opener not in CLOSERS:
        return -1
    closer = CLOSERS[opener]
    depth = 0
    last = len(text) - 1
    while pos < last:
        char = text[pos]
        if char in "\"'":
            pos = _quoted_end(text, pos)
        elif char == "/" and text[pos + 1] in "/*":
            pos = comment_end(text, pos)
        else:
            pos += 1
            if char == opener:
                depth += 1
                if depth > MAX_DEPTH:
                    return -1
            elif char == closer:
                depth -= 1
                if depth == 0:
                    return pos
    return -1


def _quoted_end(text: str, pos: int) -> int:
    quote = text[pos]
    last = len(text) - 1
    pos += 1
    while pos < last and text[pos] not in (quote, "\n"):
        pos += 2 if text[pos] == "\\" else 1
    return min(pos + 1, last)


def is_raw_builtin(word: str) -> bool:
    """Whether a word is always a value: ``pid``, ``args``, ``arg0``, ..."""
    return word in RAW_BUILTINS or (word[:3] == "arg" and word[3:].isdecimal())


def type_end(text: str, pos: int) -> int:
    """End of the type at ``pos``, or -1: ``struct x *``, ``int8[4]``, ``typeof(...)``, a name."""
    pos = layout_end(text, pos)
    if text[pos] not in WORD_START:
        return -1
    end = word_end(text, pos)
    word = text[pos:end]
    if word in TAGS:
        pos = layout_end(text, end)
        end = word_end(text, pos)
        if end == pos:
            return -1
    elif word == "typeof":
        end = balanced_end(text, layout_end(text, end))
        if end < 0:
            return -1
    elif is_raw_builtin(word) or word in ("true", "false"):
        return -1
    while True:
        pos = layout_end(text, end)
        if text[pos] == "*":
            end = pos + 1
        elif text[pos] == "[":
            pos = layout_end(text, word_end(text, layout_end(text, pos + 1)))
            if text[pos] != "]":
                return -1
            end = pos + 1
        else:
            return end


def holds_type(text: str, pos: int, closers: str) -> bool:
    """Whether the text from ``pos`` to one of ``closers`` is a type; ``typeof`` is nothing else."""
    start = layout_end(text, pos)
    if text[start : word_end(text, start)] == "typeof":
        return followed_by(text, start + len("typeof"), "(")
    end = type_end(text, pos)
    return end >= 0 and followed_by(text, end, closers)


def is_cast(text: str, pos: int) -> bool:
    """Whether the parenthesis before ``pos`` is that of a cast: a type, then a value.

    ``(x)`` before ``{`` is not, nor before an operator that cannot begin a value.
    """
    end = type_end(text, pos)
    if end < 0:
        return False
    end = layout_end(text, end)
    if text[end] != ")":
        return False
    pos = layout_end(text, end + 1)
    char, after = text[pos], text[pos + 1 : pos + 2]
    if char == "-":
        return after not in (">", "=")
    if char in "!*&":
        return after != "=" and (char != "&" or after != "&")
    return char in WORD or char in '$@"(~'


def is_record(text: str, pos: int) -> bool:
    """Whether the parenthesis before ``pos`` opens a record: ``(name = ...``."""
    pos = layout_end(text, pos)
    if text[pos] not in WORD_START:
        return False
    end = word_end(text, pos)
    return assigns(text, end) and not is_raw_builtin(text[pos:end])


def resume_point(text: str, item: int, fault: int) -> int:
    """Where the next item may begin when the one that began at ``item`` has a fault at ``fault``.

    That is behind the brace that closes it, behind the ``;`` of an item that opened none, or at a
    line that looks like the begin of an item.
    """
    pos, last = item, len(text) - 1
    depth = 0
    opened = False
    while pos < last:
        char = text[pos]
        if char == '"':
            end = string_end(text, pos)
            pos = end if end >= 0 else line_end(text, pos)
        elif char == "/" and text[pos + 1] in "/*":
            pos = comment_end(text, pos)
        else:
            pos += 1
            if char == "{":
                depth += 1
                opened = True
            elif char == "}":
                depth -= 1
            if pos <= fault:
                continue
            if (char == "}" and depth <= 0) or (char == ";" and not opened):
                return pos
            if char == "\n" and _looks_like_item(text, pos):
                return pos
    return last


def _looks_like_item(text: str, pos: int) -> bool:
    """Whether a line begins with an item's keyword, ``provider:`` or ``begin``."""
    end = word_end(text, pos)
    word = text[pos:end]
    if text[end] == ":":
        return end > pos and text[end + 1] not in BLANKS
    if word in ("config", "import", "macro", "fn") or word in TAGS:
        return True
    return word.lower() in ("begin", "end") and followed_by(text, end, "{</,")
