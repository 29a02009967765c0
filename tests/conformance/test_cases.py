"""The cases that passing.txt names: each must pass. The others are not run here."""

from __future__ import annotations

import functools

import pytest

from . import runner
from .data import Data, data_directory, load
from .passing import read_passing


@functools.cache
def loaded() -> tuple[Data, runner.Config]:
    directory = data_directory()
    assert directory is not None
    data = load(directory)
    return data, runner.configuration(data)


@pytest.mark.needs("conformance-cases", "root", "gcc", "sdt")
@pytest.mark.parametrize("case_id", read_passing())
def test_case(case_id: str) -> None:
    data, config = loaded()
    result = runner.run_case(data.case(case_id), config)
    if result.status == "skip":
        pytest.skip(result.reason)
    assert result.status == "pass", f"{result.reason}\n{result.output}"
