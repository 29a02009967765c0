"""The harness for guests, as far as it needs none."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.vm import __main__ as command
from tests.vm import kernels
from tests.vm.batch import Results, run_all
from tests.vm.contents import merged
from tests.vm.errors import GuestDied, Missing

ROOT = Path(__file__).resolve().parents[2]


class FakeGuest:
    """Runs tests by name: "skip" and "fail" do that, "die" ends the guest, others pass."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.runs: list[list[str]] = []

    def run(self, pending: Sequence[str]) -> str:
        self.runs.append(list(pending))
        for name in pending:
            self.results.hear("report", f'{{"start": "{name}"}}')
            if name == "die":
                raise GuestDied("the guest ended", "panic")
            if name == "never":
                return "stopped early"
            result = {"skip": "skipped", "fail": "failed"}.get(name, "passed")
            for when in ("setup", "call", "teardown"):
                outcome = result if when == "call" else "passed"
                report = (
                    f'"test": "{name}", "outcome": "{outcome}", "when": "{when}", "text": "why"'
                )
                self.results.hear("report", f"{{{report}}}")
        return "done"


def run(*ids: str) -> tuple[dict[str, str], list[list[str]]]:
    results = Results()
    guest = FakeGuest(results)
    run_all(ids, results, guest.run)
    return {name: outcome.result for name, outcome in results.outcomes.items()}, guest.runs


def test_each_test_has_an_outcome() -> None:
    outcomes, runs = run("a", "skip", "fail", "b")
    assert outcomes == {"a": "passed", "skip": "skipped", "fail": "failed", "b": "passed"}
    assert len(runs) == 1


def test_a_death_costs_one_test() -> None:
    outcomes, runs = run("a", "die", "b")
    assert outcomes == {"a": "passed", "die": "died", "b": "passed"}
    assert runs == [["a", "die", "b"], ["b"]]


def test_a_death_before_any_test_is_the_death_of_all() -> None:
    results = Results()

    def dead(_pending: Sequence[str]) -> str:
        raise GuestDied("the guest ended", "no root")

    run_all(["a", "b"], results, dead)
    assert {name: outcome.result for name, outcome in results.outcomes.items()} == {
        "a": "died",
        "b": "died",
    }
    assert results.outcomes["a"].text == "the guest ended\nno root"


def test_what_a_run_leaves_out_has_failed() -> None:
    outcomes, runs = run("a", "never", "b")
    assert outcomes == {"a": "passed", "never": "failed", "b": "failed"}
    assert len(runs) == 1


def test_the_newest_kernel_that_can_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = """linux-image-6.12.9+deb12-cloud-amd64 linux-image-6.12.100+deb12-cloud-amd64
        linux-image-6.12.117+deb12-cloud-amd64-unsigned linux-image-6.12.117+deb12-cloud-amd64
        linux-image-6.12.117+deb12-cloud-amd64-dbg linux-image-6.12-cloud-amd64
        linux-image-6.12.118+deb12-cloud-amd64"""

    def apt(*words: str, directory: str | None = None) -> str:
        if words[1] == "pkgnames":
            return names
        return f"x:\n  Candidate: {'(none)' if '118' in words[2] else '6.12.117-1'}\n"

    monkeypatch.setattr(kernels, "_apt", apt)
    expected = ("linux-image-6.12.117+deb12-cloud-amd64", "6.12.117-1")
    assert kernels._newest("6.12") == expected
    names = "linux-image-6.1.0-9-cloud-amd64"
    with pytest.raises(Missing, match="apt-get update may help"):
        kernels._newest("6.12")
    assert kernels._newest("6.1")[0] == names


def test_scripts_run_by_their_kind(tmp_path: Path) -> None:
    for name, text, words in (
        ("count.bt", "BEGIN { exit(); }", ["pytrace", "/run/scripts/count.bt"]),
        ("lines", "echo \xe9\n", ["bash", "/run/scripts/lines"]),
        ("own.bt", "#!/usr/bin/env pytrace\n", ["/run/scripts/own.bt"]),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="latin-1")
        assert command.script_command(path) == (words, {f"/run/scripts/{name}": text})


def test_something_has_to_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["6.12", "--run", "", "--script", ""]) == 2
    assert "make guest KERNEL=6.12 RUN=" in capsys.readouterr().err


def test_paths_of_a_merged_usr() -> None:
    assert merged("/bin/sh") == merged("/usr/bin/sh") == "/usr/bin/sh"
    assert merged("/lib64/ld.so") == "/usr/lib64/ld.so"
    assert merged("/library/x") == "/library/x"


@pytest.mark.needs("make")
def test_make_passes_what_is_to_be_run_unchanged(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s|" "$*" "$GUEST_RUN" "$GUEST_SCRIPT"; exit 3\n')
    python.chmod(0o755)
    (tmp_path / ".installed").touch()
    text = """pytrace -e 'kprobe:x { $a = "$1"; @[$a] = $$; }' # $(X)"""
    make = ["make", "-s", "-C", str(ROOT), f"VENV={tmp_path}", "guest", f"RUN={text}"]
    done = subprocess.run(make, capture_output=True, text=True, check=False)
    assert done.stdout == f"-m tests.vm 6.12|{text}||"
    assert "Error 3" in done.stderr
