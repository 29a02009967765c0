"""lark, which makes the tables, and our loop over them build the same trees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lark import Token, Tree
from lark.lexer import Lexer as LarkLexer
from lark.lexer import LexerState

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.frontend.ast import Program
from pytrace.frontend.build import Builder
from pytrace.frontend.lexer import Lexer
from pytrace.frontend.walk import walk
from pytrace.grammar import generate, tables
from tests.unit.frontend.test_walk import EVERYTHING
from tests.unit.frontend.trees import parsed, shape

SCRIPTS = (
    EVERYTHING,
    "begin < if $x < print(1 > 2); > else if ($y) < > >",
    "macro f() { { 1; if 2 { 3 } } } fn g() : void { return }",
    "config = { } begin, end { }",
    "begin { $x = a ? b ?: c : -d.e[1]; }",
    "",
)


def lexer_of(text: str) -> tuple[Lexer, type[LarkLexer]]:
    """All tokens of a script, and a class that hands them to lark; a token's text is its index."""
    ours = Lexer(text.encode())
    while not ours.kinds or ours.kinds[-1] != "$END":
        ours.more()

    class Tokens(LarkLexer):
        __future_interface__ = 1  # lex() gets lark's states, as its own lexers do.

        def __init__(self, _conf: object) -> None:
            pass

        def lex(self, lexer_state: LexerState, parser_state: object) -> Iterator[Token]:
            for index, kind in enumerate(ours.kinds[:-1]):
                yield Token(kind, str(index))

    return ours, Tokens


# lark names a node after its rule where the grammar names no method.
HANDS_THROUGH = {tables.SYMBOLS[made] for made, _, method in tables.RULES if not method}


class TreeBuilder:
    """What the builder makes of lark's tree, bottom up."""

    def __init__(self, text: str) -> None:
        self.lexer, tokens = lexer_of(text)
        self.builder = Builder(SourceFile("stdin", text.encode()), self.lexer, DiagnosticSink())
        self.token = 0  # The first token that no node made so far has taken.
        self.program, _ = self.made(generate.lark_parser(tokens).parse(text))

    def made(self, node: Tree[Token] | Token) -> tuple[object, int]:
        """Value and start of a node."""
        lexer = self.lexer
        if isinstance(node, Token):
            self.token = int(node) + 1
            return int(node), lexer.starts[int(node)]
        first = self.token
        values = [self.made(child) for child in node.children]
        start = values[0][1] if values else lexer.starts[first]
        if len(values) == 1 and node.data in HANDS_THROUGH:
            return values[0][0], start
        method = getattr(self.builder, node.data)
        self.builder.at = self.token
        end = lexer.ends[self.token - 1] if values else start
        return method([value for value, _ in values], start, end), start


@pytest.mark.parametrize("script", SCRIPTS)
def test_same_tree(script: str) -> None:
    ours, theirs = parsed(script), TreeBuilder(script).program
    assert shape(ours) == shape(theirs)
    assert repr(spans(ours)) == repr(spans(theirs))


def spans(program: object) -> list[tuple[str, int, int]]:
    assert isinstance(program, Program)
    return [(type(n).__name__, n.span.start, n.span.end) for n in walk(program)]
