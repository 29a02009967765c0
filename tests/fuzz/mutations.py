"""Scripts that a person could have mistyped: seeded mutations of good ones."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

# Each shows other parts of the language; together they hold nearly all of its syntax.
SEEDS = tuple(
    Path(__file__).with_name("seeds.txt").read_text("utf-8").removesuffix("\n").split("\n%%\n")
)

WORDS = (
    *"{ } < > ( ) [ ] ; , : . .. / // /* */ -> ++ -- + - * % = == != <= >= << >> >>=".split(),
    *"&& || & | ^ ! ~ ? @ @x $x $1 $# # #! \" \\ ' ` \0 \u00e9".split(" "),
    *"if else for while unroll let return break continue import macro fn config struct".split(),
    *"enum union typeof sizeof offsetof typeinfo comptime true _ comm pid int8".split(),
    *"0 1 08 0x 1e9 5ms 99999999999999999999 begin kprobe:f interval:s:1".split(),
    '"a b"',
    "\t",
    "\n",
    "// c\n",
    "/* c */",
)


def mutated(seed: int, count: int) -> Iterator[str]:
    """``count`` scripts, always the same for the same seed."""
    dice = random.Random(seed)
    for _ in range(count):
        script = dice.choice(SEEDS)
        if dice.random() < 0.2:
            script += "\n" + dice.choice(SEEDS)
        for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
            script = _mutation(dice, script)
        yield script


def _mutation(dice: random.Random, script: str) -> str:
    start = dice.randrange(len(script) + 1)
    end = min(start + dice.choice((1, 1, 2, 5, 20)), len(script))
    piece = script[start:end]
    match dice.randrange(6):
        case 0:
            return script[:start] + script[end:]
        case 1:
            return script[:start] + piece + piece + script[end:]
        case 2:
            return script[:start] + dice.choice(WORDS) + script[start:]
        case 3:
            return script[:start] + dice.choice(WORDS) + script[end:]
        case 4:
            other = dice.randrange(len(script) + 1)
            return script[:other] + piece + script[other:]
        case _:
            return script[:start] if start > 3 else script
