"""Reports of tests and benchmarks, in both formats, and what a test's output is."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile, Span
from pytrace.model.trials import BenchResult, TrialResult
from pytrace.model.values import Entries, MapContents
from pytrace.output import json, text, trials
from pytrace.output.sink import SinkOptions
from pytrace.output.trials import CaptureSink, MemoryStream

GOOD = TrialResult(name="good", duration_ns=741, passed=True, output="unseen\n")
BAD = TrialResult(name="bad", duration_ns=14_551, passed=False, output="out")


def plain(report: str) -> str:
    return report.replace("\033[32m", "").replace("\033[31m", "!").replace("\033[0m", "")


def test_a_whole_report() -> None:
    stream = MemoryStream()
    sink = text.TextSink(stream, SinkOptions())
    sink.tests_begin(2)
    for result in (GOOD, BAD):
        sink.test_begin(result.name)
        sink.test_result(result)
    sink.tests_end([GOOD, BAD])
    assert plain(stream.text) == (
        "[==========] Running 2 tests.\n"
        "[ RUN      ] good\n"
        "[       OK ] good (741 ns)\n"
        "[ RUN      ] bad\n"
        "out\n"
        "![  FAILED  ] bad (14 μs)\n"
        "[==========] 2 tests ran.\n"
        "[  PASSED  ] 1 test.\n"
        "![  FAILED  ] 1 test, listed below:\n"
        "![  FAILED  ] bad\n"
    )


def test_a_report_without_failures_ends_with_the_number_that_passed() -> None:
    assert plain(trials.tests_end([GOOD])) == "[==========] 1 test ran.\n[  PASSED  ] 1 test.\n"


@pytest.mark.parametrize(
    ("ns", "shown"),
    [(0, "0 ns"), (999, "999 ns"), (1000, "1 μs"), (2_999_999, "2 ms"), (5_000_000_000, "5 s")],
)
def test_durations(ns: int, shown: str) -> None:
    assert trials.duration(ns) == shown


def test_benchmarks_are_a_table_whose_first_column_fits_the_longest_name() -> None:
    short = BenchResult(name="a", average_ns=86, iterations=12800)
    assert trials.benchmarks([short]) == (
        f"{'Benchmark':41}{'Time(ns)':15}Iterations\n{'-' * 66}\n{'a':41}{'86':15}12800\n"
    )
    wide = BenchResult(name="n" * 50, average_ns=1, iterations=2)
    lines = trials.benchmarks([short, wide]).splitlines()
    assert lines[1] == "-" * 76
    assert lines[3] == f"{'n' * 50} {'1':15}2"


def test_json_has_a_line_for_each_result() -> None:
    stream = MemoryStream()
    sink = json.JsonSink(stream, SinkOptions())
    sink.tests_begin(1)
    sink.test_begin("bad")
    sink.test_result(BAD)
    sink.tests_end([BAD])
    sink.benchmarks([BenchResult(name="b", average_ns=3, iterations=400)])
    assert stream.text == (
        '{"type": "test_result", "data": {"bad": {"duration": 14551, "passed": false,'
        ' "output": "out"}}}\n'
        '{"type": "benchmark_result", "data": {"b": {"average": 3, "iters": 400}}}\n'
    )


def test_what_a_test_prints_and_says_is_kept_in_order() -> None:
    sink = CaptureSink(SinkOptions())
    span = Span(source=SourceFile("s.bt", b"test:a {}"), start=0, end=4)
    sink.printf("one\n")
    sink.errorf("WARNING", "hm", span)
    sink.map(MapContents("@m", "value", True, Entries([None], [5])))
    sink.errorf("ERROR", "bad", span)
    assert sink.text == "one\ns.bt:1:1-5: WARNING: hm\n@m: 5\ns.bt:1:1-5: ERROR: bad\n"
    assert sink.errors == 1
