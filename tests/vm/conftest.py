"""Guests for tests: one boot of each kernel serves a whole session.

What is run in bulk in a guest begins in the background, for all kernels at once, when the first
test of this directory does: each guest keeps one processor busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import machine
from tests.conformance import runner
from tests.conformance.data import Data, data_directory, load
from tests.kernel import build

from . import kernels
from .batch import Outcome, run_tests
from .cases import case_trees, run_cases
from .errors import Missing
from .guest import Guest
from .pool import ENVIRONMENT, Pool

CASE_NEEDS = ("conformance-cases", "gcc", "sdt")


class Wanted(NamedTuple):
    """What is to be run in bulk in one guest: ids of kernel tests and of conformance cases."""

    tests: list[str]
    cases: list[str]


class Done(NamedTuple):
    """What each of these did."""

    tests: dict[str, Outcome]
    cases: dict[str, runner.Result]


class Guests:
    """The pool, and what runs in bulk in it."""

    def __init__(self, wanted: dict[str, Wanted], prebuilt: Path) -> None:
        """``wanted`` is by kernel series; ``prebuilt`` an empty directory."""
        self._environment = dict(ENVIRONMENT)
        trees = []
        if machine.absent("gcc") is None:
            build.compile_library(prebuilt)
            self._environment[machine.PREBUILT_VARIABLE] = str(prebuilt)
            trees.append(prebuilt)
        self._data: Data | None = None
        directory = data_directory()
        if directory is not None and any(each.cases for each in wanted.values()):
            if not any(machine.absent(need) for need in CASE_NEEDS):
                self._data = load(directory)
                trees += case_trees(self._data)
        self._pool = Pool(trees)
        self._executor = ThreadPoolExecutor(max_workers=len(kernels.SERIES))
        self._done = {
            series: self._executor.submit(self._run, series, each)
            for series, each in wanted.items()
        }

    def _run(self, series: str, wanted: Wanted) -> Done:
        guest = self._pool.guest(series)
        tests = run_tests(guest, wanted.tests, self._environment) if wanted.tests else {}
        if self._data is None or not wanted.cases:
            return Done(tests, {})
        cases = [self._data.case(each) for each in wanted.cases]
        results = run_cases(guest, cases, self._data)
        return Done(tests, {result.id: result for result in results})

    def guest(self, series: str) -> Guest:
        """The guest for a kernel; skips the test when something for it is missing."""
        try:
            return self._pool.guest(series)
        except Missing as missing:
            pytest.skip(f"needs {missing.name}: {missing.why}")

    def outcome(self, series: str, test: str) -> Outcome:
        """What a kernel test did in a guest; waits until all have run there."""
        self.guest(series)
        return self._done[series].result().tests[test]

    def case(self, series: str, case: str) -> runner.Result:
        """What a conformance case did in a guest; waits until all have run there."""
        self.guest(series)
        return self._done[series].result().cases[case]

    def close(self) -> None:
        self._pool.close()
        self._executor.shutdown()


@pytest.fixture(scope="session")
def guests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guests]:
    found = Guests(_wanted(request.session), tmp_path_factory.mktemp("prebuilt"))
    try:
        yield found
    finally:
        found.close()


def _wanted(session: pytest.Session) -> dict[str, Wanted]:
    """What the tests of this session will ask for, by kernel series."""
    wanted: dict[str, Wanted] = {}
    for item in session.items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.path.parent == Path(__file__).parent and "series" in parameters:
            each = wanted.setdefault(parameters["series"], Wanted([], []))
            if "test" in parameters:
                each.tests.append(parameters["test"])
            if "case" in parameters:
                each.cases.append(parameters["case"])
    return wanted


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of this directory runs on each kernel, unless it says itself what runs where."""
    names = metafunc.fixturenames
    if "series" in names and "test" not in names and "case" not in names:
        metafunc.parametrize("series", kernels.SERIES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def series(request: pytest.FixtureRequest) -> str:
    """Which kernel."""
    name: str = request.param
    return name


@pytest.fixture
def guest(guests: Guests, series: str) -> Guest:
    """A guest of each kernel."""
    return guests.guest(series)
