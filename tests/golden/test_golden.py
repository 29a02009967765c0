"""Typed IR, types and diagnostics of small scripts, as the case files have them.

``pytest tests/golden --update-golden`` rewrites the files; a person reviews the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import casefile

FILES = sorted((Path(__file__).parent / "cases").glob("*.test"))
CASES = [case for path in FILES for case in casefile.read(path)[1]]


@pytest.fixture(scope="session")
def expected(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Sections of every case, of the files as they are after ``--update-golden``."""
    if request.config.getoption("--update-golden"):
        for path in FILES:
            casefile.rewrite(path)
    return {repr(c): c.sections for path in FILES for c in casefile.read(path)[1]}


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_case(case: casefile.Case, expected: dict[str, dict[str, str]]) -> None:
    assert casefile.actual(case) == expected[repr(case)], f"{case.path.name}:{case.line}"


def test_names_are_unique() -> None:
    names = [repr(case) for case in CASES]
    assert len(names) == len(set(names))


def test_each_case_expects_something() -> None:
    for case in CASES:
        assert set(case.sections) - set(casefile.INPUTS), repr(case)
