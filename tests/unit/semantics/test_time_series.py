"""tseries(): its arguments, its gate, the map behind it."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.model.compiled import MapSpec
from pytrace.model.request import CompileRequest, CompileResult


def compiled(script: str) -> CompileResult:
    source = SourceFile("stdin", script.encode())
    return compile_program(CompileRequest(source=source), FakeKernel())


def messages(script: str) -> list[str]:
    return [f"{d.severity}: {d.message}" for d in compiled(script).sink.items]


def map_of(declaration: str, statement: str) -> MapSpec:
    script = f"config = {{ unstable_tseries = enable }} {declaration} begin {{ {statement} }}"
    program = compiled(script).program
    assert program is not None
    return program.map("@a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("5, 1s", "tseries() requires at least 3 arguments (2 provided)"),
        ("5, 0, 3", "tseries() interval_ns must be >= 1 (0 provided)"),
        ("5, 1s, 0", "tseries() num_intervals must be >= 1 (0 provided)"),
        ("5, 1s, 1000001", "tseries() num_intervals must be < 1000000 (1000001 provided)"),
        ("5, nsecs, 3", "tseries: invalid interval_ns value (must be non-negative literal)"),
        ("5, 1s, -3", "tseries: invalid num_intervals value (must be non-negative literal)"),
        (
            '5, 1s, 3, "foo"',
            "tseries() expects one of the following aggregation functions: avg, max, min, sum"
            ' ("foo" provided)',
        ),
        ("true, 1s, 3", "tseries() only supports int arguments (bool provided)"),
    ],
)
def test_bad_arguments(arguments: str, message: str) -> None:
    assert f"ERROR: {message}" in messages(f"begin {{ @a = tseries({arguments}); }}")


def test_one_map_has_one_kind_of_series() -> None:
    script = "begin { @a = tseries(5, 1s, 10); @a = tseries(5, 1s, 20); }"
    assert "ERROR: Different tseries bounds in a single map unsupported" in messages(script)


def test_signs_of_one_series_merge() -> None:
    made = map_of("", "@a = tseries((uint64)1, 1s, 3); @a = tseries(-5, 1s, 3);")
    assert str(made.value) == "tseries_t"


def test_the_gate() -> None:
    use = "begin { @a = tseries(1, 1s, 1); @b = tseries(1, 1s, 1); }"
    warning = (
        "WARNING: Script is using an unstable feature: tseries. To prevent this warning you must"
        " explicitly enable it in the config e.g. unstable_tseries=enable"
    )
    assert messages(use) == [warning]
    assert messages(f"config = {{ unstable_tseries = enable }} {use}") == []
    refused = messages(f"config = {{ unstable_tseries = error }} {use}")
    assert refused[0] == (
        "ERROR: tseries feature is not enabled by default. To enable this unstable feature, set the"
        " config flag to enable. unstable_tseries=enable"
    )


@pytest.mark.parametrize(
    ("declaration", "statement", "key_size", "entries"),
    [
        ("", "@a = tseries(1, 1s, 5);", 8, 5),
        ("", "@a[1] = tseries(1, 1s, 5);", 16, 5 * 4096),
        ("", '@a["123456789", 1] = tseries(1, 1s, 5);', 24, 5 * 4096),
        ("", "@a[1] = tseries(1, 1s, 900000);", 16, 1 << 20),
        ("let @a = percpulruhash(7);", "@a[1] = tseries(1, 1s, 5);", 16, 7),
    ],
)
def test_the_map_has_room_for_all_keys_within_reason(
    declaration: str, statement: str, key_size: int, entries: int
) -> None:
    made = map_of(declaration, statement)
    assert (made.key_size, made.value_size, made.max_entries) == (key_size, 24, entries)
    assert made.percpu
