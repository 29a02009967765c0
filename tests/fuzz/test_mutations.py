"""Mistyped scripts give diagnostics and never an exception."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import DiagnosticSink, render_all
from pytrace.base.source import SourceFile
from pytrace.frontend.parser import parse
from tests.fuzz.mutations import SEEDS, mutated

BATCHES = 20
SCRIPTS = 250


@pytest.mark.parametrize("script", SEEDS, ids=range(len(SEEDS)))
def test_seeds_are_good(script: str) -> None:
    sink = DiagnosticSink()
    assert parse(SourceFile("stdin", script.encode()), sink) is not None
    assert not sink.items


@pytest.mark.parametrize("seed", range(BATCHES))
def test_mutated_scripts(seed: int) -> None:
    refused = 0
    for script in mutated(seed, SCRIPTS):
        sink = DiagnosticSink()
        raw = script.encode()
        program = parse(SourceFile("stdin", raw), sink)
        assert (program is None) == sink.failed, script
        for item in sink.items:
            assert item.message.startswith("syntax: "), script
            assert item.span is not None, script
            assert 0 <= item.span.start <= item.span.end <= len(raw), script
        assert render_all(sink).count("ERROR: syntax: ") == len(sink.items), script
        refused += program is None
    assert SCRIPTS / 4 < refused < SCRIPTS
