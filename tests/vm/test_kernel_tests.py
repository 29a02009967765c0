"""Tests of tests/kernel, in the guests: each is a test here, for each kernel.

Those that need a compiler stay outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from .conftest import Guests

DIRECTORY = Path(__file__).resolve().parents[1] / "kernel"
FILES = {
    "6.1": (
        "test_linux_*.py",
        "test_codegen_*.py",
        "test_kernel_functions.py",
        "test_main_job.py",
        "test_runtime_warnings.py",
    ),
    # It runs conformance cases too, in as much time.
    "6.12": ("test_linux_*.py", "test_codegen_*.py", "test_kernel_functions.py"),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "test" not in metafunc.fixturenames:
        return
    pairs, names = [], []
    for series, patterns in FILES.items():
        for test in kernel_tests(metafunc.definition.session, patterns):
            pairs.append((series, test))
            names.append(f"{series}-{test.removeprefix('tests/kernel/')}")
    metafunc.parametrize(("series", "test"), pairs, ids=names, indirect=["series"], scope="session")


def kernel_tests(session: pytest.Session, patterns: Sequence[str]) -> list[str]:
    """The ids of the tests in some files that need no compiler."""
    found = []
    for path in sorted(path for pattern in patterns for path in DIRECTORY.glob(pattern)):
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
