"""Scripts that are well formed but seldom make sense: seeded mutations by token and by tree.

Where ``mutations`` breaks the syntax, these keep most of it, so that faults are found by the
passes behind the parser: expressions and statements of one script stand in another, tokens are
left out, doubled and swapped, literals become other literals.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.frontend import ast
from pytrace.frontend.parser import parse
from pytrace.frontend.walk import walk
from tests.fuzz.mutations import SEEDS
from tests.golden import casefile
from tests.unit.test_mistakes import MISTAKES

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parents[1] / "golden" / "cases"
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[$@]?\w+|\s+|[-+*/%&|^<>=!]+|.', re.DOTALL)
NUMBERS = (
    *"0 1 2 7 8 63 64 100 255 256 1024 65536 4294967296 9223372036854775807".split(),
    *"18446744073709551615 0x10 017 3e6 1ms 2h".split(),
)
STRINGS = ('""', '"x"', '"%d"', '"%s %r"', '"a\\x00b"', f'"{"long " * 60}"')
STATEMENTS = (ast.Assign, ast.ExprStmt, ast.Let, ast.If, ast.ForRange, ast.ForMap, ast.Return)


@cache
def corpus() -> tuple[str, ...]:
    """Scripts of the golden cases, the mistakes and the parser's seeds, if they can be parsed."""
    golden = [c.script for path in sorted(GOLDEN.glob("*.test")) for c in casefile.read(path)[1]]
    mistaken = [mistake.script for mistake in MISTAKES]
    return tuple(s for s in (*golden, *mistaken, *SEEDS) if spots(s))


def spots(script: str) -> list[tuple[bool, int, int]]:
    """(is a statement, start, end) of what may be replaced, in bytes: ASCII scripts only."""
    program = parse(SourceFile("stdin", script.encode()), DiagnosticSink())
    if program is None or not script.isascii():
        return []
    found = []
    bodies = [p.body for p in program.probes] + [f.body for f in program.functions]
    for body in (*bodies, *(m.body for m in program.macros)):
        for node in walk(body):
            statement = isinstance(node, STATEMENTS)
            span = node.span
            if (statement or isinstance(node, ast.Expr)) and span.start < span.end:
                found.append((statement, span.start, span.end))
    return found


@cache
def pieces() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts of all expressions and of all statements of the corpus, sorted."""
    texts: tuple[set[str], set[str]] = (set(), set())
    for script in corpus():
        for statement, start, end in spots(script):
            texts[statement].add(script[start:end].rstrip(";"))
    return tuple(sorted(texts[0])), tuple(sorted(texts[1]))


def spliced(seed: int, count: int) -> Iterator[str]:
    """``count`` scripts, always the same for the same seed and corpus."""
    dice = random.Random(seed)
    for _ in range(count):
        script = dice.choice(corpus())
        for _ in range(dice.choice((1, 1, 2, 3))):
            script = _mutation(dice, script)
        yield script


def _mutation(dice: random.Random, script: str) -> str:
    if dice.random() < 0.6:
        return _splice(dice, script)
    tokens = TOKEN.findall(script)
    at = dice.randrange(len(tokens)) if tokens else 0
    match dice.randrange(5):
        case 0:
            del tokens[at : at + 1]
        case 1:
            tokens[at:at] = tokens[at : at + 1]
        case 2:
            other = dice.randrange(len(tokens)) if tokens else 0
            tokens[at : at + 1], tokens[other : other + 1] = (
                tokens[other : other + 1],
                tokens[at : at + 1],
            )
        case 3:
            tokens[at : at + 1] = [dice.choice(TOKEN.findall(dice.choice(corpus())))]
        case _:
            return _other_literal(dice, script)
    return "".join(tokens)


def _splice(dice: random.Random, script: str) -> str:
    found = spots(script)
    if not found:
        return script
    statement, start, end = dice.choice(found)
    piece = dice.choice(pieces()[statement])
    closed = ";" if statement and script[end - 1 : end] == ";" else ""
    return script[:start] + piece + closed + script[end:]


def _other_literal(dice: random.Random, script: str) -> str:
    found = list(re.finditer(r'"(?:[^"\\]|\\.)*"|(?<![\w$@.])\d\w*', script))
    if not found:
        return script
    literal = dice.choice(found)
    choices = STRINGS if literal[0].startswith('"') else NUMBERS
    return script[: literal.start()] + dice.choice(choices) + script[literal.end() :]
