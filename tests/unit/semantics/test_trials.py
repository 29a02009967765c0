"""test: and bench: attach points."""

from __future__ import annotations

from pytrace.base.source import SourceFile
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.model.request import CompileRequest, CompileResult


def compiled(script: str, mode: str = "") -> CompileResult:
    source = SourceFile("stdin", script.encode())
    return compile_program(CompileRequest(source=source, mode=mode), FakeKernel())


def test_only_the_probes_of_a_mode_are_made() -> None:
    script = "begin { } test:a { } bench:b { }"
    for mode, names in (("", []), ("test", ["test:a"]), ("bench", ["bench:b"])):
        program = compiled(script, mode).program
        assert program is not None
        assert [a.name for a in program.attach] == ["begin", *names]


def test_tests_are_traced_as_raw_tracepoints_and_benchmarks_as_packets() -> None:
    for mode, kind in (("test", "PROG_TYPE_RAW_TRACEPOINT"), ("bench", "PROG_TYPE_XDP")):
        program = compiled("test:a { } bench:a { }", mode).program
        assert program is not None
        assert [p.prog_type for p in program.progs] == [kind]


def test_probes_of_other_modes_are_checked() -> None:
    assert [d.code for d in compiled("begin { } test:a { $x = nosuch; }").sink.items] == [
        "unknown-identifier"
    ]


def test_a_name_is_given_once() -> None:
    result = compiled("test:a { } bench:a { } test:a { }", "test")
    (error,) = result.sink.items
    assert error.message == '"a" was used as the name for more than one TEST probe'
    assert [label.text for label in error.labels] == ["this is the other instance"]


def test_nothing_for_this_mode_ends_as_nothing_attached() -> None:
    result = compiled("test:a { }")
    assert result.exit_code == 255
    assert [d.message for d in result.sink.items] == [
        "No probes attached; use --test to run test probes."
    ]


def test_a_trial_has_one_name() -> None:
    for script in ("test { }", "test:a:b { }"):
        (error,) = compiled(script, "test").sink.items
        assert error.message.startswith("test probe type requires 1 arguments, found")
