"""A pytest plugin for runs in a guest: tells the host about each test as it begins and ends.

Writes one line of JSON each to the descriptor that the agent names in PYTRACE_REPORT_FD:
{"start": ID}, {"test": ID, "outcome": passed, failed or skipped, "when": setup, call or
teardown, "text": why}, and {"broken": ID, "text": why} for what could not be collected.
"""

from __future__ import annotations

import json
import os

import pytest

DESCRIPTOR = "PYTRACE_REPORT_FD"


def tell(**message: str) -> None:
    os.write(int(os.environ[DESCRIPTOR]), json.dumps(message).encode() + b"\n")


def pytest_runtest_logstart(nodeid: str) -> None:
    tell(start=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")
    when = report.when or "call"
    tell(test=report.nodeid, outcome=report.outcome, when=when, text=text)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        tell(broken=report.nodeid, text=str(report.longrepr))
