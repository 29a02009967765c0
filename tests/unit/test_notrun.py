"""The table of what was not run, and the switch that requires everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import machine
from tests.notrun import Gap, NotRun, gap_of

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import pytest

def test_runs(): pass
def test_policy(): pytest.skip("needs fentry: the kernel refuses it (EPERM)")
@pytest.mark.parametrize("n", [1, 2])
def test_tool(n): pytest.skip("needs gcc: gcc is not installed")
def test_unnamed(): pytest.skip("did not feel like it")
@pytest.mark.xfail(reason="known")
def test_expected(): raise AssertionError
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, require: str) -> list[str]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTRACE_REQUIRE_ALL", require)
    pytester.makepyfile(SUITE)
    lines: list[str] = pytester.runpytest_subprocess("-p", "tests.notrun", "-q").outlines
    return lines


def test_skips_are_told_by_feature(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run(pytester, monkeypatch, "")
    start = lines.index("Not run on this machine:")
    words = [" ".join(line.split()) for line in lines[start + 1 :]]
    assert words[:5] == [
        "feature tests why it was not run what brings it",
        "gcc 2 gcc is not installed make test-deps",
        "- 1 did not feel like it",
        "fentry 1 the kernel refuses it (EPERM) another kernel",
        "One command installs what is missing: make test-deps",
    ]
    assert lines[-1].startswith("1 passed, 4 skipped, 1 xfailed in ")


def test_requiring_all_excuses_the_kernel_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run(pytester, monkeypatch, "1")
    assert "not run although everything is required: Skipped: did not feel like it" in lines
    start = lines.index("Not run on this machine:")
    assert [line.split()[0] for line in lines[start + 1 : start + 3]] == ["feature", "fentry"]
    assert lines[-1].startswith("3 failed, 1 passed, 1 skipped, 1 xfailed in ")


def test_a_skipped_file_is_judged_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTRACE_REQUIRE_ALL", "1")
    pytester.makepyfile("import pytest\npytest.importorskip('no_such_module')")
    result = pytester.runpytest_subprocess("-p", "tests.notrun", "-q")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*not run although everything is required*no_such_module*"])


def test_a_full_run_says_so() -> None:
    assert NotRun(require_all=False).table() == ["", "Every test was run."]


@pytest.mark.parametrize(
    ("reason", "gap"),
    [
        ("Skipped: needs fentry: refused", Gap("fentry", "refused")),
        ("needs iter", Gap("iter", "missing")),
        ("needs nothing-we-know: refused", Gap("", "needs nothing-we-know: refused")),
        ("it needs gcc", Gap("", "it needs gcc")),
    ],
)
def test_reading_a_reason(reason: str, gap: Gap) -> None:
    assert gap_of(reason) == gap


def test_features_that_are_found_out_here_answer() -> None:
    for name, feature in machine.FEATURES.items():
        if feature.absent is None:
            with pytest.raises(KeyError, match="found by trying"):
                machine.absent(name)
        else:
            why = machine.absent(name)
            assert why is None or why.strip()


def test_everything_installable_says_how() -> None:
    installs = [f.remedy for f in machine.FEATURES.values() if f.kind == "install"]
    # Guests' kernels are fetched by the tests themselves.
    assert set(installs) == {"make test-deps", "a Debian archive that apt-get can reach"}
