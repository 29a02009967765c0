"""The saved tables are those of the grammar, and the grammar is unambiguous."""

from __future__ import annotations

from pathlib import Path

from pytrace.frontend.build import LEVELS, Builder
from pytrace.grammar import generate, tables


def test_saved_tables_are_fresh() -> None:
    saved = Path(tables.__file__).read_text(encoding="ascii")
    assert generate.module_text(generate.build()) == saved, "run python -m pytrace.grammar.generate"


def test_grammar_has_no_conflicts() -> None:
    # lark raises on a reduce/reduce conflict; it resolves shift/reduce ones silently.
    assert generate.conflicts() == []


def test_conflicts_are_seen() -> None:
    text = generate.grammar_text()
    ambiguous = text.replace("comptime: COMPTIME unary", "comptime: COMPTIME unary QUESTION?")
    assert ambiguous != text
    assert generate.conflicts(ambiguous)


def test_every_rule_has_its_builder_method() -> None:
    named = {method for _, _, method in tables.RULES if method}
    missing = {method for method in named if not callable(getattr(Builder, method, None))}
    assert not missing


def test_every_level_is_a_rule() -> None:
    assert {method for _, _, method in tables.RULES} >= LEVELS


def test_rules_that_hand_a_value_through_take_one_symbol() -> None:
    assert all(size == 1 for _, size, method in tables.RULES if not method)
