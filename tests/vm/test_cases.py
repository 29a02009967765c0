"""The conformance cases of passing-guest.txt: each must pass in the guest with Linux 6.12."""

from __future__ import annotations

import pytest

from tests.conformance.passing import PASSING_IN_GUEST, read_passing

from .conftest import CASE_NEEDS, Guests


@pytest.mark.needs(*CASE_NEEDS)
@pytest.mark.parametrize("series", ["6.12"], indirect=True)
@pytest.mark.parametrize("case", read_passing(PASSING_IN_GUEST))
def test_case_in_guest(guests: Guests, series: str, case: str) -> None:
    result = guests.case(series, case)
    if result.status == "skip":
        pytest.skip(result.reason)
    assert result.status == "pass", f"{result.reason}\n{result.output}"
