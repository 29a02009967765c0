"""A pytest plugin: the `needs` marker, and a table of what was not run and why.

Every skip names a feature of tests/machine.py as `needs NAME: why`. With PYTRACE_REQUIRE_ALL=1 a
skip is a failure, unless the kernel (kprobes, fentry, ...) or data from outside the project is
what is missing: nothing that can be installed would bring those.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import machine

TESTS = Path(__file__).resolve().parent
# Directory of tests -> what each test in it needs.
GUESTS = ("qemu", "busybox", "mke2fs", "ldd", "xz")
DIRECTORIES = {"kernel": ("root",), "self": ("root",), "vm": GUESTS}
EXCUSED = ("kernel", "data")
REASON = re.compile(r"needs (?P<name>[\w-]+)(?:: *(?P<why>.*))?$", re.DOTALL)


class Gap(NamedTuple):
    """One reason for which tests were not run."""

    name: str  # A feature's name, or "" where the reason names none.
    why: str

    @property
    def feature(self) -> machine.Feature | None:
        return machine.FEATURES.get(self.name)

    @property
    def excused(self) -> bool:
        return self.feature is not None and self.feature.kind in EXCUSED


def gap_of(reason: str) -> Gap:
    """Read a skip's reason; one that names no feature becomes a gap without a name."""
    reason = reason.removeprefix("Skipped: ")
    match = REASON.match(reason)
    if match and match["name"] in machine.FEATURES:
        return Gap(match["name"], match["why"] or "missing")
    return Gap("", reason)


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    return longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)


class NotRun:
    """Counts skips by gap, and turns them into failures where everything is required."""

    def __init__(self, require_all: bool) -> None:
        self.require_all = require_all
        self.tests: dict[Gap, int] = {}

    def judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.outcome != "skipped" or hasattr(report, "wasxfail"):
            return
        reason = reason_of(report)
        gap = gap_of(reason)
        if self.require_all and not gap.excused:
            report.outcome = "failed"
            report.longrepr = f"not run although everything is required: {reason}"
        else:
            self.tests[gap] = self.tests.get(gap, 0) + 1

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self.judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        self.judge(report)
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.table():
            terminalreporter.write_line(line)

    def table(self) -> list[str]:
        """The lines of the table, one row a gap, most tests first."""
        if not self.tests:
            return ["", "Every test was run."]
        rows = [("feature", "tests", "why it was not run", "what brings it")]
        for gap, count in sorted(self.tests.items(), key=lambda item: (-item[1], item[0])):
            remedy = gap.feature.remedy if gap.feature else ""
            rows.append((gap.name or "-", str(count), gap.why, remedy))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["", "Not run on this machine:"]
        for name, number, why, remedy in rows:
            line = f"  {name:{widths[0]}}  {number:>{widths[1]}}  {why:{widths[2]}}  {remedy}"
            lines.append(line.rstrip())
        if any(gap.feature and gap.feature.kind == "install" for gap in self.tests):
            lines.append("One command installs what is missing: make test-deps")
        return lines


def pytest_configure(config: pytest.Config) -> None:
    require_all = os.environ.get("PYTRACE_REQUIRE_ALL", "") not in {"", "0"}
    config.pluginmanager.register(NotRun(require_all), "pytrace-notrun")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of a directory with what the whole directory needs."""
    if TESTS in item.path.parents:
        directory = item.path.relative_to(TESTS).parts[0]
        item.add_marker(pytest.mark.needs(*DIRECTORIES.get(directory, ())))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            why = machine.absent(name)
            if why is not None:
                pytest.skip(f"needs {name}: {why}")
