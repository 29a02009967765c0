"""Script text to syntax tree: a shift-reduce loop over the tables that lark made.

lark itself is not imported (see grammar/generate.py). The loop keeps its own stack, so Python's
recursion limit plays no part, and counts how deep brackets, blocks and operators nest, so that
later passes may recurse over the tree.
"""

from __future__ import annotations

from pytrace.frontend.build import LEVELS, Builder
from pytrace.frontend.build_exprs import MAX_ERRORS
from pytrace.frontend.expected import complaint
from pytrace.frontend.lexer import Lexer
from pytrace.frontend.scan import MAX_DEPTH
from pytrace.grammar import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import SourceFile
    from pytrace.frontend import ast


class _Rows(dict[int, "Mapping[str, int]"]):
    """For each state, what to do about a terminal or a rule's symbol, see tables.

    A script meets few of the states, so a row is read when it is first looked at.
    """

    def __missing__(self, state: int) -> Mapping[str, int]:
        numbers = list(map(int, tables.ROWS[state].split()))
        names = map(tables.SYMBOLS.__getitem__, numbers[::2])
        row = dict(zip(names, numbers[1::2], strict=True))
        self[state] = row
        return row


ROWS: Final = _Rows()

# For each rule: the symbol it makes, how many it takes, the builder's method, its nesting.
RULES: Final = tuple(
    (tables.SYMBOLS[made], size, method, int(method in LEVELS))
    for made, size, method in tables.RULES
)


def parse(source: SourceFile, sink: DiagnosticSink) -> ast.Program | None:
    """The tree of a script, or None after syntax errors, which go to ``sink``."""
    lexer = Lexer(source.text)
    builder = Builder(source, lexer, sink)
    program = _Parser(lexer, builder).run()
    return None if builder.errors else program


class _Parser:
    """The stacks of one run: states, and for each symbol its value, start offset and depth."""

    def __init__(self, lexer: Lexer, builder: Builder) -> None:
        self.lexer = lexer
        self.builder = builder
        self.states = [tables.START]
        self.values: list[Any] = [None]
        self.starts = [0]
        self.depths = [0]
        self.token = 0
        # First token of the item being parsed, and how high the stacks were before it.
        self.item = 0
        self.height = 1

    def run(self) -> ast.Program | None:
        lexer, builder = self.lexer, self.builder
        states, values, starts, depths = self.states, self.values, self.starts, self.depths
        kinds, ends = lexer.kinds, lexer.ends
        rules: list[tuple[str, int, Callable[..., object] | None, int]] = [
            (made, size, getattr(builder, method) if method else None, level)
            for made, size, method, level in RULES
        ]
        lexer.more()
        token = 0
        kind = kinds[0]
        state = tables.START
        while True:
            action = ROWS[state].get(kind)
            if action is None:
                if not self._recover(token):
                    return None
                token = self.token
                kind = kinds[token]
                state = states[-1]
                continue
            if action >= 0:
                if token == self.item:
                    self.height = len(states)
                state = action
                states.append(state)
                values.append(token)
                starts.append(lexer.starts[token])
                depths.append(0)
                token += 1
                if token == len(kinds):
                    lexer.more()
                    self.item = token
                kind = kinds[token]
                continue
            made, size, method, level = rules[~action]
            if method is None:
                # The one symbol's value is handed through.
                state = ROWS[states[-2]][made]
                states[-1] = state
                continue
            builder.at = token
            if size:
                start = starts[-size]
                value = method(values[-size:], start, ends[token - 1])
                depth = max(depths[-size:]) + level
                del states[-size:], values[-size:], starts[-size:], depths[-size:]
                if depth > MAX_DEPTH:
                    builder.too_deep(token - 1)
                    return None
            else:
                start = lexer.starts[token]
                value = method([], start, start)
                depth = 0
            state = ROWS[states[-1]][made]
            states.append(state)
            values.append(value)
            starts.append(start)
            depths.append(depth)
            if state == tables.END:
                return value  # type: ignore[return-value]

    def _recover(self, token: int) -> bool:
        """Report ``token`` as unexpected and go to the next item; False if there is no point."""
        lexer = self.lexer
        message, start, end = complaint(lexer, token, self._allowed())
        self.builder.error(message, self.builder.span(start, end))
        if lexer.kinds[token] == "$END" or self.builder.errors >= MAX_ERRORS:
            return False
        if token != self.item:
            for stack in (self.states, self.values, self.starts, self.depths):
                del stack[self.height :]
        lexer.skip_item(token)
        self.token = self.item = len(lexer.kinds)
        lexer.more()
        return True

    def _allowed(self) -> frozenset[str]:
        """The terminals that could follow what has been parsed."""
        candidates = [name for name in ROWS[self.states[-1]] if name.isupper()]
        return frozenset(name for name in candidates if self._would_shift(name))

    def _would_shift(self, terminal: str) -> bool:
        stack = self.states[:]
        while True:
            action = ROWS[stack[-1]].get(terminal)
            if action is None:
                return False
            if action >= 0:
                return True
            made, size, _, _ = RULES[~action]
            if size:
                del stack[-size:]
            state = ROWS[stack[-1]][made]
            if state == tables.END:
                return terminal == "$END"
            stack.append(state)
