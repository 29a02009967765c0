"""Colours for scripts at the prompt: a pygments lexer that knows words, not meanings."""

from __future__ import annotations

from pygments.lexer import RegexLexer, words
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
)

_KEYWORDS = (
    "break", "comptime", "config", "continue", "else", "enum", "false", "fn", "for", "if",
    "import", "let", "macro", "offsetof", "return", "sizeof", "struct", "true", "typeinfo",
    "typeof", "union", "unroll", "while",
)  # fmt: skip


class ScriptLexer(RegexLexer):  # type: ignore[misc]
    """Comments, strings, numbers, keywords, maps, variables, calls and attach points."""

    name = "pytrace"
    aliases = ["pytrace"]
    tokens = {
        "root": [
            (r"^\s*:\w+", Keyword.Pseudo),
            (r"//.*?$", Comment.Single),
            (r"/\*(?:.|\n)*?(?:\*/|\Z)", Comment.Multiline),
            (r"^\s*#.*?$", Comment.Preproc),
            (r'"(?:\\.|[^"\\\n])*"?', String),
            (r"@\w*", Name.Variable.Global),
            (r"\$(?:\w+|#)", Name.Variable),
            (r"\d[0-9a-zA-Z_]*", Number),
            (words(_KEYWORDS, prefix=r"\b", suffix=r"\b"), Keyword),
            (r"\b(?:begin|end|BEGIN|END)\b", Name.Function),
            (r"\b[a-zA-Z_]\w*(?=\s*\()", Name.Builtin),
            (r"\b[a-zA-Z]\w*:[^\s{<,]+", Name.Function),
            (r"[a-zA-Z_]\w*", Name),
            (r"[-+*/%<>=!&|^~?:.]+", Operator),
            (r"[()\[\]{};,]", Punctuation),
            (r"\s+", Text),
            (r".", Text),
        ],
    }
