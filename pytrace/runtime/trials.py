"""Runs the ``test:`` and ``bench:`` probes of a program (language 7.4, 11.7)."""

from __future__ import annotations

import time

from pytrace.model.events import EXIT_CODE_OFFSET, GATE_OFFSET
from pytrace.model.trials import BenchResult, TrialResult
from pytrace.output.sink import SinkOptions
from pytrace.output.trials import CaptureSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from pytrace.linux.progs import BpfProg
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.running import Sink
    from pytrace.runtime.loader import LoadedProgram

    Drain = Callable[[Sink], int]
    """Hands what progs have sent to a sink; gives the code of the last ``exit()``, 0 without."""

ENOUGH_NS: Final = 1_000_000
"""A benchmark runs until one series of runs takes this long."""

FIRST_RUNS: Final = 100
MOST_RUNS: Final = 1 << 24

SKIP: Final = 1
"""What a benchmark returns that cannot run here."""

_PACKET: Final = bytes(14)
"""XDP progs want a packet with room for an Ethernet header."""


def run_tests(
    loaded: LoadedProgram, specs: Sequence[AttachSpec], sink: Sink, drain: Drain
) -> bool:
    """Run all tests in order and report them; true if all passed."""
    sink.tests_begin(len(specs))
    results = []
    for spec in specs:
        name = str(spec.args[0])
        sink.test_begin(name)
        sink.flush()
        result = _run_test(loaded, name, loaded.progs[spec.prog], drain)
        sink.test_result(result)
        results.append(result)
    sink.tests_end(results)
    return all(result.passed for result in results)


def _run_test(loaded: LoadedProgram, name: str, prog: BpfProg, drain: Drain) -> TrialResult:
    capture = CaptureSink(SinkOptions(quiet=True))
    _open_gate(loaded)
    started = time.perf_counter_ns()
    returned = prog.test_run().retval
    took = time.perf_counter_ns() - started
    code = drain(capture)
    passed = returned == 0 and code == 0 and not capture.errors
    return TrialResult(name=name, duration_ns=took, passed=passed, output=capture.text)


def run_benchmarks(
    loaded: LoadedProgram, specs: Sequence[AttachSpec], sink: Sink, drain: Drain
) -> None:
    """Run all benchmarks in order and report those that do not skip themselves."""
    results = []
    for spec in specs:
        result = _run_benchmark(loaded, str(spec.args[0]), loaded.progs[spec.prog], drain)
        if result is not None:
            results.append(result)
    sink.benchmarks(results)


def _run_benchmark(
    loaded: LoadedProgram, name: str, prog: BpfProg, drain: Drain
) -> BenchResult | None:
    ignored = CaptureSink(SinkOptions(quiet=True, warnings=False))
    runs = 1
    while True:
        _open_gate(loaded)
        done = prog.test_run(data=_PACKET, repeat=runs)
        drain(ignored)
        if runs == 1:
            if done.retval == SKIP:
                return None
            runs = FIRST_RUNS
        elif done.duration_ns * runs >= ENOUGH_NS or runs >= MOST_RUNS:
            return BenchResult(name=name, average_ns=done.duration_ns, iterations=runs)
        else:
            runs *= 2


def _open_gate(loaded: LoadedProgram) -> None:
    """An ``exit()`` before this ends nothing that comes after it."""
    loaded.state[GATE_OFFSET // 8] = 0
    loaded.state[EXIT_CODE_OFFSET // 8] = 0
