"""The cases that passing.txt names: each must pass. The others are not run here."""

from __future__ import annotations

import functools
import os

import pytest

from . import runner
from .data import DATA_VARIABLE, Data, data_directory, load
from .passing import read_passing


@functools.cache
def loaded() -> tuple[Data, runner.Config]:
    directory = data_directory()
    if directory is None:
        pytest.skip(f"{DATA_VARIABLE} does not name a directory with the conformance data")
    data = load(directory)
    return data, runner.configuration(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="tracing needs root")
@pytest.mark.parametrize("case_id", read_passing())
def test_case(case_id: str) -> None:
    data, config = loaded()
    result = runner.run_case(data.case(case_id), config)
    if result.status == "skip":
        pytest.skip(result.reason)
    assert result.status == "pass", f"{result.reason}\n{result.output}"
