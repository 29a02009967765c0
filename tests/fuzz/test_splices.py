"""Scripts put together at random give diagnostics or a program, and never an exception."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import render_all
from pytrace.base.source import SourceFile
from pytrace.compiler import compile_program
from pytrace.model.request import CompileRequest
from tests.compiling import Outcome, compile_to_ir, recorded_kernel
from tests.fuzz.splices import spliced

BATCHES = 20
SCRIPTS = 250
WHOLE = 100


def check_diagnostics(script: str, outcome: Outcome) -> None:
    for item in outcome.sink.items:
        assert item.message
        if item.span is not None:
            size = len(item.span.source.text)
            assert 0 <= item.span.start <= item.span.end <= size, script
    assert render_all(outcome.sink) or outcome.lowered is not None, script


@pytest.mark.parametrize("seed", range(BATCHES))
def test_typed_ir(seed: int) -> None:
    """``compile_to_ir`` also holds what is lowered against the rules of the typed IR."""
    compiled = refused = 0
    for script in spliced(seed, SCRIPTS):
        try:
            outcome = compile_to_ir(script)
        except Exception as problem:
            raise AssertionError(f"{type(problem).__name__} for:\n{script}") from problem
        assert (outcome.lowered is None) == outcome.sink.failed, script
        check_diagnostics(script, outcome)
        compiled += outcome.lowered is not None
        refused += outcome.lowered is None
    # If one of the two were rare, the mutations would test little.
    assert compiled > SCRIPTS / 20
    assert refused > SCRIPTS / 4


def test_machine_code() -> None:
    """What compiles to typed IR also becomes a program, or is said to be too large for one."""
    made = 0
    for script in spliced(10_000, 100 * WHOLE):
        if compile_to_ir(script).lowered is None:
            continue
        request = CompileRequest(source=SourceFile("stdin", script.encode()))
        result = compile_program(request, recorded_kernel())
        assert result.program is not None or result.sink.failed, script
        made += 1
        if made == WHOLE:
            return
    raise AssertionError(f"only {made} scripts compiled")
