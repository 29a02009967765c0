"""The words and operators of the language, and the terminals that they are where they count.

Keywords are contextual: each table is for one kind of place, elsewhere a word is a plain name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

KEYWORDS: Final = frozenset(
    "break comptime config continue else enum false fn for if import let macro offsetof return "
    "sizeof struct true typeinfo typeof union unroll while".split()
)
TYPE_NAMES: Final = frozenset(
    "void bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 string buffer inet timestamp "
    "macaddr_t cgroup_path_t username_t count_t sum_t min_t max_t avg_t stats_t hist_t lhist_t "
    "tseries_t usum_t umin_t umax_t uavg_t ustats_t".split()
)

STATEMENT_WORDS: Final[Mapping[str, str]] = {
    "if": "IF_STMT",
    "for": "FOR",
    "while": "WHILE",
    "unroll": "UNROLL",
    "let": "LET",
    "break": "BREAK",
    "continue": "CONTINUE",
    "return": "RETURN",
    "import": "IMPORT",
}
VALUE_WORDS: Final[Mapping[str, str]] = {
    "if": "IF_EXPR",
    "true": "BOOL",
    "false": "BOOL",
    "sizeof": "SIZEOF",
    "typeof": "TYPEOF",
    "typeinfo": "TYPEINFO",
    "offsetof": "OFFSETOF",
    "comptime": "COMPTIME",
}
TYPE_WORDS: Final[Mapping[str, str]] = {
    "struct": "TAG",
    "union": "TAG",
    "enum": "TAG",
    "typeof": "TYPEOF",
}
ITEM_WORDS: Final[Mapping[str, str]] = {
    "config": "CONFIG",
    "import": "IMPORT",
    "macro": "MACRO",
    "fn": "FN",
    "let": "LET",
}
OPERATORS: Final[Mapping[str, str]] = {
    "==": "EQUALITY",
    "!=": "EQUALITY",
    "<=": "RELATION",
    ">=": "RELATION",
    "<": "RELATION",
    ">": "RELATION",
    "<<": "SHIFT",
    ">>": "SHIFT",
    "||": "OR",
    "&&": "AND",
    "|": "PIPE",
    "^": "CARET",
    "&": "AMP",
    "+": "PLUS",
    "-": "MINUS",
    "*": "STAR",
    "/": "SLASH",
    "%": "PERCENT",
    "!": "NOT",
    "~": "TILDE",
    "?": "QUESTION",
    ":": "COLON",
    ",": "COMMA",
    "=": "ASSIGN",
    "->": "ARROW",
    ".": "DOT",
    "..": "RANGE",
    **dict.fromkeys(("+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="), "ASSIGN_OP"),
}
