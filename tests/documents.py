"""Examples in the project's documents: fenced blocks, as tests compile and run them.

A block marked ``pytrace`` is a whole script, one marked ``sh`` holds commands, of which the lines
that begin with ``pytrace`` are examples. Further words say how a script is meant: ``unsafe``,
``test`` and ``bench`` are the command's options of these names; ``error`` means that it must not
compile; ``params=a,b`` and ``options=n=1,v`` give it parameters; ``needs=NAME`` names what a
machine must have to run it.

A block marked ``output`` right behind a script is what the script prints; behind one with ``error``
it is what the compiler says.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[1] / "docs"
LANGUAGE = DOCS / "language.md"

COMMAND = "pytrace "

WORDS = ("unsafe", "test", "bench", "error")


class Block(NamedTuple):
    """A fenced block: the line of its fence (from 1), the words of that, and the text inside."""

    line: int
    words: tuple[str, ...]
    text: str


class Script(NamedTuple):
    """One script example. ``output`` is None where the document does not tell it."""

    line: int
    text: str
    words: frozenset[str]
    params: tuple[str, ...]
    options: tuple[tuple[str, str | None], ...]
    needs: tuple[str, ...]
    output: str | None

    @property
    def wrong(self) -> bool:
        """True for an example of a mistake."""
        return "error" in self.words


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file, in order."""
    found = []
    fence = -1
    words: tuple[str, ...] = ()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if fence < 0:
            fence, words = number, tuple(line[3:].split())
        else:
            found.append(Block(fence + 1, words, "".join(lines[fence + 1 : number])))
            fence = -1
    assert fence < 0, f"{path}:{fence + 1}: this block is never closed"
    return found


def scripts(path: Path) -> list[Script]:
    """The script examples of a file."""
    all_blocks = blocks(path)
    found = []
    for block, following in zip(all_blocks, [*all_blocks[1:], Block(0, (), "")]):
        if block.words[:1] == ("pytrace",):
            output = following.text if following.words == ("output",) else None
            found.append(_script(block, output))
    return found


def commands(path: Path) -> list[tuple[int, list[str]]]:
    """Line and words of the pytrace commands in a file, without the command's name."""
    found = []
    for block in blocks(path):
        if block.words == ("sh",):
            text = block.text
            for number, line in enumerate(text.splitlines()):
                if line.startswith(COMMAND):
                    command = _whole_command(text.splitlines()[number:])
                    found.append((block.line + 1 + number, shlex.split(command)[1:]))
    return found


def _whole_command(lines: list[str]) -> str:
    """The first line, with as many more as it takes to close its quotes."""
    command = lines[0]
    for line in lines[1:]:
        try:
            shlex.split(command)
        except ValueError:
            command += f"\n{line}"
    return command


def _script(block: Block, output: str | None) -> Script:
    values = {"params": "", "options": "", "needs": ""}
    words = set()
    for word in block.words[1:]:
        key, equals, value = word.partition("=")
        if equals:
            assert key in values, f"line {block.line}: no {key}= is known"
            values[key] = value
        else:
            assert word in WORDS, f"line {block.line}: no word {word} is known"
            words.add(word)
    options = []
    for option in filter(None, values["options"].split(",")):
        name, equals, value = option.partition("=")
        options.append((name, value if equals else None))
    return Script(
        line=block.line,
        text=block.text,
        words=frozenset(words),
        params=tuple(filter(None, values["params"].split(","))),
        options=tuple(options),
        needs=tuple(filter(None, values["needs"].split(","))),
        output=output,
    )
