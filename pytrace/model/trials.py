"""What ``test:`` and ``bench:`` probes give (language 11.7)."""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue


class TrialResult(FrozenValue):
    """``output`` is what the test printed, as text; ``duration_ns`` that of its prog alone."""

    name: str
    duration_ns: int
    passed: bool
    output: str


class BenchResult(FrozenValue):
    """``average_ns`` of one run of the prog, over the last ``iterations``."""

    name: str
    average_ns: int
    iterations: int
