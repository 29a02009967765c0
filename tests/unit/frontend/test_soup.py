"""Any text at all gives a tree or diagnostics, never an exception."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pytrace.base.diagnostics import DiagnosticSink, render_all
from pytrace.base.source import SourceFile
from pytrace.frontend.parser import parse
from tests.fuzz.mutations import WORDS

TOKENS = st.lists(st.sampled_from(WORDS), max_size=60)
GLUE = st.sampled_from(["", " ", "\n"])


def check(raw: bytes) -> None:
    sink = DiagnosticSink()
    program = parse(SourceFile("stdin", raw), sink)
    assert (program is None) == sink.failed
    for item in sink.items:
        assert item.span is not None
        assert 0 <= item.span.start <= item.span.end <= len(raw)
    render_all(sink)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TOKENS, GLUE)
def test_tokens(words: list[str], glue: str) -> None:
    check(glue.join(words).encode())


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TOKENS, GLUE)
def test_tokens_in_a_block(words: list[str], glue: str) -> None:
    check(f"begin {{ {glue.join(words)} }}".encode())
    check(f"begin < {glue.join(words)} >".encode())


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_bytes(raw: bytes) -> None:
    check(raw)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=100))
def test_text_in_a_string(text: str) -> None:
    check(f'begin {{ print("{text}"); }}'.encode("utf-8", "surrogateescape"))
