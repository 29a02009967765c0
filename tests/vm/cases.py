"""Runs conformance cases in a guest, many in one boot. One that ends the guest costs itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conformance import build, runner
from tests.conformance.data import DATA_VARIABLE, Case, Data, data_directory

from .batch import Outcome, Results, run_all
from .contents import MODULES
from .guest import Guest
from .image import ROOT
from .pool import ENVIRONMENT

TIME_SCALE = 10
CASE_SECONDS = 300
"""At most, on average."""


def case_trees(data: Data) -> list[Path]:
    """The directories that a guest needs for cases: the data, and the traced programs, built if
    they are not yet. Raises build.BuildError."""
    directory = data_directory()
    assert directory is not None
    return [directory.resolve(), build.working_directory(data.files)]


def run_cases(guest: Guest, cases: Sequence[Case], data: Data) -> list[runner.Result]:
    """Run cases in a guest that has their trees, and say what each did."""
    results = CaseResults()
    data_tree, built = case_trees(data)
    environment = {
        **ENVIRONMENT,
        DATA_VARIABLE: str(data_tree),
        build.BUILD_VARIABLE: str(built.parent),
        "PYTRACE_TIME_SCALE": str(TIME_SCALE),
    }

    def run(pending: Sequence[str]) -> str:
        chosen = [word for each in pending for word in ("--id", each)]
        result = guest.run(
            [sys.executable, "-m", "tests.conformance.run", "--jobs", "1", *chosen],
            cwd=str(ROOT),
            env=environment,
            seconds=CASE_SECONDS * len(pending),
            listener=results.hear,
        )
        return result.out + result.err

    for name in MODULES:
        guest.run(["modprobe", name])
    run_all([case.id for case in cases], results, run)
    return [results.result(case) for case in cases]


class CaseResults(Results):
    """What the runner in the guest has told so far."""

    def __init__(self) -> None:
        super().__init__()
        self.cases: dict[str, runner.Result] = {}

    def hear(self, kind: str, line: str) -> None:
        """One report of the runner: a case's beginning, or its whole result."""
        super().hear(kind, line)
        if kind == "report" and "case" in (message := json.loads(line)):
            result = runner.Result(**message["case"])
            self.cases[result.id] = result
            self.outcomes[result.id] = Outcome(result.status, result.reason)

    def result(self, case: Case) -> runner.Result:
        """A case's result; a failure where it never gave one."""
        outcome = self.outcomes[case.id]
        if outcome.result != "died" and case.id in self.cases:
            return self.cases[case.id]
        return runner.Result(case.id, case.suite, "fail", outcome.text)
