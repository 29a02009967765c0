"""--test and --bench on the kernel."""

from __future__ import annotations

import json

import pytest

from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root")


def results(mode: str, script: str, *words: str) -> dict[str, dict[str, object]]:
    done = run(f"--{mode}", "-f", "json", *words, "-e", script)
    found: dict[str, dict[str, object]] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        if row["type"].endswith("_result"):
            found.update(row["data"])
    return found


def passed(script: str) -> dict[str, object]:
    return {name: result["passed"] for name, result in results("test", script).items()}


def test_what_makes_a_test_pass() -> None:
    assert passed(
        "test:returns_zero { return 0; } test:returns_one { return 1; }"
        " test:negative { return -1; } test:says_error { errorf(\"bad\"); }"
        " test:says_warning { warnf(\"hm\"); } test:exits { exit(3); } test:exits_well { exit(0); }"
        ' test:after { print("x"); } test:asserts { assert(nsecs == 0, "no"); }'
        " test:asserts_well { assert(nsecs != 0, \"no\"); }"
    ) == {
        "returns_zero": True,
        "returns_one": False,
        "negative": False,
        "says_error": False,
        "says_warning": True,
        "exits": False,
        "exits_well": True,
        "after": True,
        "asserts": False,
        "asserts_well": True,
    }


def test_the_report_and_the_end_of_the_run() -> None:
    script = "begin { @m = 1; } test:one { print(5); return 1; } end { print(6); }"
    done = run("--test", "-e", script)
    text = done.stdout.replace("\033[32m", "").replace("\033[31m", "").replace("\033[0m", "")
    lines = text.splitlines()
    assert lines[:3] == ["[==========] Running 1 tests.", "[ RUN      ] one", "5"]
    assert lines[3].startswith("[  FAILED  ] one (")
    assert lines[-3:] == ["6", "", ""]
    assert "@m" not in text
    assert (done.returncode, done.stderr) == (1, "")


def test_all_helpers_of_tracing_are_there() -> None:
    script = "test:a { $s = kstack(3); $u = ustack(3); $c = comm; return curtask.pid * 0; }"
    assert passed(script) == {"a": True}


def test_benchmarks_repeat_until_a_millisecond() -> None:
    script = "bench:quick { @++; } bench:skipped { return 1; } test:no { return 1; }"
    found = results("bench", script)
    assert list(found) == ["quick"]
    average, runs = found["quick"]["average"], found["quick"]["iters"]
    assert isinstance(average, int) and isinstance(runs, int)
    assert average * runs >= 1_000_000


def test_an_exit_in_one_benchmark_stops_no_other() -> None:
    found = results("bench", "bench:a { exit(); } bench:b { @n = count(); }")
    assert list(found) == ["a", "b"]


def test_probe_filter_chooses_tests() -> None:
    script = "test:one { return 0; } test:two { return 0; }"
    assert list(results("test", script, "--probe-filter", "two")) == ["two"]


@pytest.mark.parametrize(
    ("mode", "script", "message"),
    [
        ("", "test:a { }", "No probes attached; use --test to run test probes."),
        ("", "bench:a { }", "No probes attached; use --bench to run benchmark probes."),
        ("--test", "bench:a { }", "No probes attached; use --bench to run benchmark probes."),
    ],
)
def test_probes_of_another_mode_alone_are_an_error(mode: str, script: str, message: str) -> None:
    done = run(*([mode] if mode else []), "-e", script)
    assert (done.returncode, done.stderr) == (255, f"ERROR: {message}\n")


def test_probes_of_another_mode_are_left_out() -> None:
    done = run("-e", 'begin { print("x"); } test:a { print("y"); }')
    assert done.stderr == "Attached 1 probe\n"
    assert done.stdout == "x\n\n\n"
