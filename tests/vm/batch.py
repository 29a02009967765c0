"""Runs many tests in one boot of a guest. One that ends the guest costs itself alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .errors import GuestDied
from .guest import Guest
from .image import ROOT

TEST_LIST = "/run/tests"
SECONDS_A_TEST = 60
"""At most, on average: a guest may run on a machine that is busy with other things."""


class Outcome(NamedTuple):
    """``result`` is passed, failed, skipped or died; ``text`` says why."""

    result: str
    text: str = ""


def run_tests(
    guest: Guest, ids: Sequence[str], env: Mapping[str, str], *arguments: str
) -> dict[str, Outcome]:
    """Run tests of this checkout in a guest by their pytest ids, and say what each did."""
    results = Results()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.vm.report"]
    command += ["-p", "no:cacheprovider", *arguments, "@" + TEST_LIST]

    def run(pending: Sequence[str]) -> str:
        result = guest.run(
            command,
            cwd=str(ROOT),
            env=env,
            files={TEST_LIST: "".join(f"{each}\n" for each in pending)},
            seconds=SECONDS_A_TEST * (len(pending) + 5),
            listener=results.hear,
        )
        return result.out + result.err

    run_all(ids, results, run)
    return results.outcomes


def run_all(ids: Sequence[str], results: Results, run: Callable[[Sequence[str]], str]) -> None:
    """Call ``run`` with what has no outcome yet, again after each death, until all have one.

    ``run`` gives the output of a run, which explains why tests were not reached.
    """
    while pending := [each for each in ids if each not in results.outcomes]:
        results.running = ""
        try:
            output = run(pending)
        except GuestDied as error:
            # Dead before any test began: the next boot would do the same.
            for each in [results.running] if results.running else pending:
                results.outcomes[each] = Outcome("died", str(error))
        else:
            for each in pending:
                results.outcomes.setdefault(each, Outcome("failed", f"it was not run\n{output}"))


class Results:
    """What a run has told so far."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.running = ""
        """The last test that has begun. What it leaves behind may kill the guest after its end."""

    def hear(self, kind: str, line: str) -> None:
        """One report (see report.py); other kinds are output."""
        if kind != "report":
            return
        message = json.loads(line)
        if "start" in message:
            self.running = message["start"]
        elif "test" in message:
            self._tested(message["test"], message)

    def _tested(self, name: str, message: Mapping[str, str]) -> None:
        """The phases of a test come one by one: the first that does not pass is what it did."""
        result = message["outcome"]
        earlier = self.outcomes.get(name, Outcome("passed"))
        if result != "passed" and earlier.result == "passed":
            self.outcomes[name] = Outcome(result, message["text"])
        if message["when"] == "teardown":
            self.outcomes.setdefault(name, Outcome("passed"))
