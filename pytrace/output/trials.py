"""Reports of tests and benchmarks as text, and what a test prints meanwhile (language 11.7)."""

from __future__ import annotations

from pytrace.output.stream import OutputStream
from pytrace.output.text import TextSink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytrace.base.source import Span
    from pytrace.model.trials import BenchResult, TrialResult
    from pytrace.output.sink import SinkOptions

_GREEN, _RED, _RESET = "\033[32m", "\033[31m", "\033[0m"

_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "\u03bcs"), (1, "ns"))

_NAME_WIDTH: Final = 41
_TIME_WIDTH: Final = 15
_RULE_WIDTH: Final = 66


class MemoryStream(OutputStream):
    """An output stream that keeps what is written."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(-1)

    def write(self, text: str) -> None:
        self._parts.append(text)

    def idle(self) -> None:
        """Nobody reads it before the end."""

    def flush(self) -> None:
        """It is where it belongs."""

    @property
    def text(self) -> str:
        return "".join(self._parts)


class CaptureSink(TextSink):
    """Output and messages of one test as text, in order; ``errors`` counts ``errorf`` calls."""

    def __init__(self, options: SinkOptions) -> None:
        self._memory = MemoryStream()
        super().__init__(self._memory, options)
        self.errors = 0

    @property
    def text(self) -> str:
        return self._memory.text

    def errorf(self, severity: str, text: str, span: Span | None) -> None:
        self.errors += severity == "ERROR"
        super().errorf(severity, text, span)

    def _error(self, text: str) -> None:
        self._memory.write(text)


def tests_begin(count: int) -> str:
    return f"{_tag('==========')} Running {count} tests.\n"


def test_begin(name: str) -> str:
    return f"{_tag(' RUN      ')} {name}\n"


def test_result(result: TrialResult) -> str:
    """The output of a test that failed, and how it ended."""
    output = "" if result.passed else result.output
    if output and not output.endswith("\n"):
        output += "\n"
    tag = _tag("       OK ") if result.passed else _tag("  FAILED  ", _RED)
    return f"{output}{tag} {result.name} ({duration(result.duration_ns)})\n"


def tests_end(results: Sequence[TrialResult]) -> str:
    failed = [r for r in results if not r.passed]
    passed = len(results) - len(failed)
    lines = [
        f"{_tag('==========')} {_tests(len(results))} ran.",
        f"{_tag('  PASSED  ')} {_tests(passed)}.",
    ]
    if failed:
        lines.append(f"{_tag('  FAILED  ', _RED)} {_tests(len(failed))}, listed below:")
        lines += [f"{_tag('  FAILED  ', _RED)} {r.name}" for r in failed]
    return "".join(f"{line}\n" for line in lines)


def benchmarks(results: Sequence[BenchResult]) -> str:
    """A table whose first column is as wide as the longest name."""
    width = max([_NAME_WIDTH, *(len(r.name) + 1 for r in results)])
    rule = "-" * (_RULE_WIDTH + width - _NAME_WIDTH)
    lines = [f"{'Benchmark':{width}}{'Time(ns)':{_TIME_WIDTH}}Iterations", rule]
    lines += [f"{r.name:{width}}{r.average_ns:<{_TIME_WIDTH}}{r.iterations}" for r in results]
    return "".join(f"{line}\n" for line in lines)


def duration(ns: int) -> str:
    """In the largest unit that is not more than it, cut to an integer."""
    scale, unit = next((u for u in _UNITS if ns >= u[0]), _UNITS[-1])
    return f"{ns // scale} {unit}"


def _tests(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


def _tag(text: str, color: str = _GREEN) -> str:
    """Always coloured, whatever the output is."""
    return f"{color}[{text}]{_RESET}"
