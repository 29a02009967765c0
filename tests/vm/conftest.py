"""Guests for tests: one boot of each kernel serves a whole session.

What is run in bulk in a guest begins in the background, for all kernels at once, when the first
test of this directory does: each guest keeps one processor busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import machine
from tests.kernel import build

from . import kernels
from .batch import Outcome, run_tests
from .errors import Missing
from .guest import Guest
from .pool import ENVIRONMENT, Pool

Outcomes = dict[str, Outcome]


class Guests:
    """The pool, and the kernel tests that run in it."""

    def __init__(self, pool: Pool, environment: dict[str, str], ids: dict[str, list[str]]) -> None:
        self.pool = pool
        self._executor = ThreadPoolExecutor(max_workers=len(kernels.SERIES))

        def run(series: str) -> Outcomes:
            guest = pool.guest(series)
            return run_tests(guest, ids[series], environment) if ids[series] else {}

        self._sets: dict[str, Future[Outcomes]] = {
            series: self._executor.submit(run, series) for series in ids
        }

    def guest(self, series: str) -> Guest:
        """The guest for a kernel; skips the test when something for it is missing."""
        try:
            return self.pool.guest(series)
        except Missing as missing:
            pytest.skip(f"needs {missing.name}: {missing.why}")

    def outcome(self, series: str, test: str) -> Outcome:
        """What a kernel test did in a guest; waits until all of them have run there."""
        self.guest(series)
        return self._sets[series].result()[test]

    def close(self) -> None:
        self.pool.close()
        self._executor.shutdown()


@pytest.fixture(scope="session")
def guests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guests]:
    environment = dict(ENVIRONMENT)
    trees: list[Path] = []
    if machine.absent("gcc") is None:
        prebuilt = tmp_path_factory.mktemp("prebuilt")
        build.compile_library(prebuilt)
        environment[machine.PREBUILT_VARIABLE] = str(prebuilt)
        trees.append(prebuilt)
    found = Guests(Pool(trees), environment, _kernel_tests(request.session))
    try:
        yield found
    finally:
        found.close()


def _kernel_tests(session: pytest.Session) -> dict[str, list[str]]:
    """The kernel tests that this session wants run, by kernel series."""
    wanted: dict[str, list[str]] = {}
    for item in session.items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if item.path.parent == Path(__file__).parent and "series" in parameters:
            ids = wanted.setdefault(parameters["series"], [])
            if "test" in parameters:
                ids.append(parameters["test"])
    return wanted


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of this directory runs on each kernel, unless it says itself what runs where."""
    if "series" in metafunc.fixturenames and "test" not in metafunc.fixturenames:
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
