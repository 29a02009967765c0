"""Writes tables.py, the LALR(1) tables of pytrace.lark, to standard output.

    python -m pytrace.grammar.generate > tables.new && mv tables.new grammar/tables.py

lark reads the grammar and builds the tables; the parser that runs them is our own, so that a script
is parsed without importing lark (50 ms) or building tables (90 ms). A test builds the tables
again and compares.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import NamedTuple

from lark import Lark, logger
from lark.lexer import Lexer, Token
from lark.parsers.lalr_analysis import IntParseTable, Shift

# What a rule makes, how many symbols it takes, the builder's method ("" hands the value through).
Rule = tuple[int, int, str]

HEADER = '''"""The LALR(1) tables of pytrace.lark. Written by generate.py; do not edit.

A symbol is an index into SYMBOLS; terminals have upper-case names. A rule is (symbol made, symbols
taken, builder method; "" hands the value through). ROWS has a row for each state, a flat text of
pairs "symbol action": the action n >= 0 goes to state n (a shift, or after a reduction of that
symbol), n < 0 reduces by rule ~n. Text compiles and loads faster than tuples of numbers.
"""

# ruff: noqa: E501
'''


class Tables(NamedTuple):
    """What the module tables.py holds, see its docstring."""

    symbols: tuple[str, ...]
    rules: tuple[Rule, ...]
    rows: tuple[str, ...]
    start: int
    end: int


class NoLexer(Lexer):
    """Tables are built without reading any text."""

    def __init__(self, _conf: object) -> None:
        pass

    def lex(self, _state: object, _parser_state: object) -> Iterator[Token]:
        return iter(())


def grammar_text() -> str:
    """The text of pytrace.lark, from beside this module."""
    path = __file__.rsplit("/", 1)[0] + "/pytrace.lark"
    data: bytes = __spec__.loader.get_data(path)  # type: ignore[union-attr]
    return data.decode("ascii")


def lark_parser(lexer: type[Lexer] = NoLexer) -> Lark:
    """lark's own parser for the grammar; it keeps every token in its trees."""
    return Lark(
        grammar_text(), parser="lalr", lexer=lexer, keep_all_tokens=True, propagate_positions=False
    )


def conflicts(grammar: str = "") -> list[str]:
    """lark's complaint about each shift/reduce conflict; it raises on reduce/reduce ones."""
    found: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if "conflict" in message:
                found.append(message)

    handler, level = Catch(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        Lark(grammar or grammar_text(), parser="lalr", lexer=NoLexer, debug=True)
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    return found


def build() -> Tables:
    """The tables of the grammar, the same for the same grammar whatever Python's hash seed is."""
    lark = lark_parser()
    table: IntParseTable = lark.parser.parser._parse_table
    rules = lark.rules
    terminals = sorted({str(n) for row in table.states.values() for n in row if not n.islower()})
    made = sorted({str(rule.origin.name) for rule in rules})
    symbols = {name: n for n, name in enumerate([*terminals, *made])}
    order = _state_order(table, symbols)
    where = {state: n for n, state in enumerate(order)}
    rule_index = {rule: n for n, rule in enumerate(rules)}
    rows = []
    for state in order:
        pairs = []
        for name, (action, arg) in table.states[state].items():
            pairs.append((symbols[str(name)], where[arg] if action is Shift else ~rule_index[arg]))
        rows.append(" ".join(str(value) for pair in sorted(pairs) for value in pair))
    return Tables(
        symbols=tuple(symbols),
        rules=tuple((symbols[r.origin.name], len(r.expansion), str(r.alias or "")) for r in rules),
        rows=tuple(rows),
        start=where[table.start_states["start"]],
        end=where[table.end_states["start"]],
    )


def _state_order(table: IntParseTable, symbols: dict[str, int]) -> list[int]:
    """States in the order in which a walk over sorted symbols meets them."""
    order = [table.start_states["start"]]
    seen = set(order)
    for state in order:
        for name in sorted(table.states[state], key=lambda n: symbols[str(n)]):
            action, arg = table.states[state][name]
            if action is Shift and arg not in seen:
                seen.add(arg)
                order.append(arg)
    return order


def module_text(tables: Tables) -> str:
    """The text of tables.py."""
    lines = [HEADER, f"START = {tables.start}", f"END = {tables.end}"]
    for name, value in (
        ("SYMBOLS", tables.symbols),
        ("RULES", tables.rules),
        ("ROWS", tables.rows),
    ):
        lines.append(f"{name} = (")
        lines += [f"    {item!r}," for item in value]
        lines.append(")")
    return "\n".join(lines).replace("'", '"') + "\n"


if __name__ == "__main__":
    sys.stdout.write(module_text(build()))
