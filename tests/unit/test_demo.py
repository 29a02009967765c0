"""What make demo says and runs, with a stand-in for the tracer."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytrace.linux.rights import Rights
from scripts import demo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tracer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that prints its arguments, one a line, then 100 lines more, and exits with 3."""
    command = tmp_path / "pytrace"
    command.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\nseq 100\nexit 3\n')
    command.chmod(0o755)
    monkeypatch.chdir(ROOT)
    return str(command)


def test_every_right_that_may_be_missing_is_explained() -> None:
    assert tuple(demo.USES) == Rights(uid=1000, capabilities=0).missing


def test_without_rights_a_script_is_compiled_and_shown(
    tracer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status = demo.compile_only(tracer, ["CAP_BPF"])
    lines = capfd.readouterr().out.splitlines()
    assert status == 3
    assert "  CAP_BPF      make maps and load programs" in lines
    start = lines.index("<--mode>")
    assert lines[start : start + 5] == ["<--mode>", "<codegen>", "<-d>", "<codegen>", "<-e>"]
    assert lines[start + 5] == f"<{demo.SMALL}>"
    assert lines[-1] == f"... and {106 - demo.SHOWN_LINES} more lines"


def test_with_rights_the_script_of_the_demo_is_run(
    tracer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo.trace(tracer) == 3
    assert "<scripts/demo.bt>" in capfd.readouterr().out.splitlines()
