"""Tests of tests/kernel, in the guests: each is a test here, for each kernel.

Those that need a compiler stay outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Guests

DIRECTORY = Path(__file__).resolve().parents[1] / "kernel"
FILES = (
    "test_linux_*.py",
    "test_codegen_*.py",
    "test_main_job.py",
    "test_runtime_warnings.py",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "test" in metafunc.fixturenames:
        ids = kernel_tests(metafunc.definition.session)
        names = [each.removeprefix("tests/kernel/") for each in ids]
        metafunc.parametrize("test", ids, ids=names)


def kernel_tests(session: pytest.Session) -> list[str]:
    """The ids of the tests in FILES that need no compiler."""
    found = []
    for pattern in FILES:
        for path in sorted(DIRECTORY.glob(pattern)):
            for item in items(pytest.Module.from_parent(session, path=path)):
                needs = [name for mark in item.iter_markers("needs") for name in mark.args]
                if "gcc" not in needs:
                    found.append(item.nodeid)
    return found


def items(node: pytest.Item | pytest.Collector) -> Iterator[pytest.Item]:
    if isinstance(node, pytest.Item):
        yield node
    elif isinstance(node, pytest.Collector):
        for child in node.collect():
            yield from items(child)


def test_in_guest(guests: Guests, series: str, test: str) -> None:
    outcome = guests.outcome(series, test)
    if outcome.result == "skipped":
        pytest.skip(outcome.text.removeprefix("Skipped: "))
    assert outcome.result == "passed", outcome.text
