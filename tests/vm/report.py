"""A pytest plugin for runs in a guest: tells the host about each test as it begins and ends.

Reports are {"start": ID} and {"test": ID, "outcome": passed, failed or skipped, "when": setup, call
or teardown, "text": why}.
"""

from __future__ import annotations

import pytest

from .tell import tell


def pytest_runtest_logstart(nodeid: str) -> None:
    tell(start=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")
    tell(test=report.nodeid, outcome=report.outcome, when=report.when or "call", text=text)
