"""Printed scripts parse to the same tree and comments, and printing them changes nothing."""

from __future__ import annotations

import random

import pytest

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.frozen import replace
from pytrace.base.source import SourceFile
from pytrace.frontend import ast
from pytrace.frontend.lexer import Lexer
from pytrace.frontend.parser import parse
from pytrace.frontend.print import program_text
from pytrace.frontend.walk import transform
from tests.fuzz.mutations import SEEDS, mutated
from tests.unit.frontend.trees import shape

LAYOUT = ("/* c */", " // d\n", "\n// e\n", "\n/* f\n g */\n", "/* h */ /* i */", "\n\n\n", " ")


def tree(script: str) -> ast.Program | None:
    return parse(SourceFile("stdin", script.encode()), DiagnosticSink())


def without_doc(node: ast.Node) -> ast.Node:
    """Doc is text of comments, which may move to the line above a macro."""
    return replace(node, doc="") if isinstance(node, ast.Macro | ast.Fn) else node


def facts(program: ast.Program) -> tuple[object, list[str]]:
    bare = transform(replace(program, comments=()), without_doc, ast.Macro, ast.Fn)
    return shape(bare), [comment.text for comment in program.comments]


def check(script: str, program: ast.Program) -> None:
    printed = program_text(program)
    again = tree(printed)
    assert again is not None, (script, printed)
    assert facts(again) == facts(program), (script, printed)
    assert program_text(again) == printed, script


@pytest.mark.parametrize("seed", range(100, 110))
def test_mutated_scripts(seed: int) -> None:
    good = 0
    for script in mutated(seed, 250):
        program = tree(script)
        if program is not None:
            good += 1
            check(script, program)
    assert good > 10


@pytest.mark.parametrize("seed", range(10))
def test_comments_anywhere(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(100):
        script = commented(dice, dice.choice(SEEDS))
        program = tree(script)
        assert program is not None, script
        check(script, program)


def commented(dice: random.Random, script: str) -> str:
    """A script with comments and blank lines put between its tokens."""
    lexer = Lexer(script.encode())
    while not lexer.kinds or lexer.kinds[-1] != "$END":
        lexer.more()
    ends_line = {"SHEBANG", "CPP_LINE"}
    places = [
        start
        for kind, before, start in zip(
            lexer.kinds, ["SHEBANG", *lexer.kinds], lexer.starts, strict=False
        )
        if not {kind, before} & ends_line and kind != "PRED_OPEN"
    ]
    for start in sorted(dice.choices(places, k=dice.choice((1, 2, 5))), reverse=True):
        script = f"{script[:start]} {dice.choice(LAYOUT)} {script[start:]}"
    return script
