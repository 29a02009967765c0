"""What to say about a token that the grammar does not allow where it stands."""

from __future__ import annotations

from pytrace.frontend import scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.frontend.lexer import Lexer

# Message, start and end offset.
Complaint = tuple[str, int, int]

# Items that come too late. Their order is checked by the grammar alone.
LATE: Final[Mapping[str, str]] = {
    "CONFIG": "config must appear before probes and functions",
    "IMPORT": "root imports must appear before probes and functions",
    "CPP_LINE": "C definitions must appear before probes and functions",
    "C_DEF": "C definitions must appear before probes and functions",
}
ROOT_LET: Final = "root-level let statements need to be map declarations, e.g. let @a = hash(2);"

LESS_OPENED: Final = "'<' opened a block; put the comparison in parentheses"

# After these tokens only one thing makes sense.
AFTER: Final[Mapping[str, str]] = {
    "LET": "expected variable after 'let'",
    "DOT": "expected field name after '.'",
    "ARROW": "expected field name after '->'",
    "MACRO": "expected macro name",
    "FN": "expected function name",
    "FOR": "expected variable in for loop",
    "IMPORT": "expected string after 'import'",
    "RECORD_OPEN": "expected identifier",
    "TAG": "expected type name",
    "ELSE": "expected '{' or 'if' after 'else'",
}

# Where exactly these are allowed, there is a name for what is missing.
EXACTLY: Final[Mapping[frozenset[str], str]] = {
    frozenset({"VAR", "MAP"}): "address-of operator (&) can only be used on a map or variable",
    frozenset({"VAR", "MAP", "NAME"}): "expected macro argument ($var, @map, or identifier)",
    frozenset({"VAR", "MAP", "NAME", "RPAREN"}): (
        "expected macro argument ($var, @map, or identifier)"
    ),
    frozenset({"VAR"}): "expected variable in function argument",
    frozenset({"VAR", "RPAREN"}): "expected variable in function argument",
    frozenset({"NAME", "BLOCK_CLOSE"}): "expected config key",
    frozenset({"INT", "STRING", "BOOL", "NAME"}): "expected string, int, boolean, or ident",
    frozenset({"NAME", "TAG", "TYPEOF"}): "expected type name",
    frozenset({"INT"}): "expected positive integer for map declaration max entries",
    frozenset({"INT", "RBRACK"}): "expected ']'",
}

# Tokens that begin a value; all of them are allowed wherever one of them is.
STARTS: Final = frozenset({"INT", "VAR", "LPAREN"})

# Else the first of these that is allowed.
CHOICE: Final[Mapping[str, str]] = {
    "SEMI": "expected ';'",
    "RPAREN": "expected ')'",
    "RBRACK": "expected ']'",
    "PRED_CLOSE": "expected '/' to close predicate",
    "BLOCK_OPEN": "expected '{'",
    "CONFIG_OPEN": "expected '{'",
    "LPAREN": "expected '('",
    "COLON": "expected ':'",
    "ASSIGN": "expected '='",
    "ATTACH": "expected attach point",
    "BLOCK_CLOSE": "expected '}'",
    "COMMA": "expected ','",
    "NAME": "expected identifier",
}


def complaint(lexer: Lexer, token: int, allowed: frozenset[str]) -> Complaint:
    """Message and place for ``token``, given the terminals that would be allowed instead."""
    start = lexer.starts[token]
    kind = lexer.kinds[token]
    angle = _closed_too_early(lexer, token)
    if angle is not None:
        return angle
    if kind == "FAULT":
        return lexer.faults[token], start, lexer.ends[token]
    less = _block_by_comparison(lexer, token)
    if less is not None:
        return LESS_OPENED, lexer.starts[less], lexer.ends[less]
    item = lexer.items[-1]
    if token == item and kind in LATE:
        return LATE[kind], start, lexer.ends[token]
    if token == item + 1 and lexer.kinds[item] == "LET":
        return ROOT_LET, lexer.starts[item], lexer.ends[item]
    return _message(lexer, token, allowed), start, scan.token_end(lexer.text, start)


def _closed_too_early(lexer: Lexer, token: int) -> Complaint | None:
    """The complaint about a ``>`` that closed a block but was meant as a comparison."""
    closer = token
    if closer not in lexer.closed_angle:
        closer = token - 1
    if closer not in lexer.closed_angle:
        # The next item on the same line is probably none: it never came to its block.
        item = lexer.items[-1]
        closer = item - 1
        if closer not in lexer.closed_angle or "BLOCK_OPEN" in lexer.kinds[item:token]:
            return None
        if "\n" in lexer.text[lexer.ends[closer] : lexer.starts[item]]:
            return None
    if lexer.kinds[token] == "$END" and closer == token - 1:
        return None
    message = lexer.angle_message(lexer.closed_angle[closer])
    return message, lexer.starts[closer], lexer.ends[closer]


def _block_by_comparison(lexer: Lexer, token: int) -> int | None:
    """The ``<`` of ``if $x < 3 {``: it opened a block, then ``{`` was unexpected."""
    if lexer.text[lexer.starts[token]] != "{":
        return None
    for index in range(token - 1, max(token - 20, lexer.items[-1]), -1):
        kind = lexer.kinds[index]
        if kind in ("SEMI", "BLOCK_CLOSE", "STMT_OPEN", "EXPR_OPEN"):
            return None
        if kind == "BLOCK_OPEN":
            return index if lexer.text[lexer.starts[index]] == "<" else None
    return None


def _message(lexer: Lexer, token: int, allowed: frozenset[str]) -> str:
    kind = lexer.kinds[token]
    last = lexer.kinds[token - 1] if token else ""
    before = lexer.kinds[token - 2] if token > 1 else ""
    if kind == "$END" and "BLOCK_CLOSE" in allowed and (allowed >= STARTS or "NAME" in allowed):
        return "expected '>'" if lexer.frames and lexer.frames[-1].angle else "expected '}'"
    if last in AFTER:
        return AFTER[last]
    if last == "LPAREN" and before == "FOR":
        return AFTER["FOR"]
    if last == "STRING" and before == "IMPORT":
        return "expected ';' after import"
    if last == "COMMA" and "ATTACH" in allowed:
        return CHOICE["ATTACH"]
    if allowed == {"NAME"}:
        if last == "ASSIGN":
            return "expected map type name"
        return "expected field name" if last == "COMMA" else CHOICE["NAME"]
    if allowed in EXACTLY:
        return EXACTLY[allowed]
    if allowed >= STARTS:
        return "expected expression"
    for name, message in CHOICE.items():
        if name in allowed:
            return message
    return f"unexpected '{lexer.text[lexer.starts[token] : lexer.ends[token]]}'"
