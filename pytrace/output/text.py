"""``-f text``: what a person reads (language 11, 14.3)."""

from __future__ import annotations

from pytrace.model.values import Histogram, TimeSeries
from pytrace.output.stream import write_error
from pytrace.output.values import key_text, value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from pytrace.base.source import Span
    from pytrace.model.trials import BenchResult, TrialResult
    from pytrace.model.values import MapContents, Value
    from pytrace.output.sink import SinkOptions
    from pytrace.output.stream import OutputStream

_PORTION: Final = 4096  # entries of a map that become text at a time


class TextSink:
    """Program output on ``stream``; messages on stderr, after what the stream holds."""

    def __init__(self, stream: OutputStream, options: SinkOptions) -> None:
        self._stream = stream
        self._options = options
        self.printf = stream.write
        self.time = stream.write
        self.cat = stream.write

    def attached(self, count: int) -> None:
        if not self._options.quiet:
            self._error(f"Attached {count} probe{'' if count == 1 else 's'}\n")

    def printfs(self, texts: list[str]) -> None:
        self._stream.write("".join(texts))

    def value(self, value: Value) -> None:
        self._stream.write(f"{value_text(value)}\n")

    def map(self, contents: MapContents) -> None:
        name, entries = contents.name, contents.entries
        write = self._stream.write
        for start in range(0, len(entries), _PORTION):
            keys = entries.keys[start : start + _PORTION]
            values = entries.values[start : start + _PORTION]
            if contents.scalar:
                lines = [_entry(name, value) for value in values]
            elif entries.simple:
                lines = [f"{name}[{key!s}]: {value!s}\n" for key, value in zip(keys, values)]
            else:
                lines = [_entry(f"{name}[{key_text(k)}]", v) for k, v in zip(keys, values)]
            write("".join(lines))

    def join(self, text: str) -> None:
        self._stream.write(f"{text}\n")

    def syscall(self, text: str) -> None:
        self._stream.write(f"{text}\n")

    def errorf(self, severity: str, text: str, span: Span | None) -> None:
        if severity == "WARNING" and not self._options.warnings:
            return
        from pytrace.output.messages import place_message

        self._error(place_message(severity, text, span, color=self._options.color))

    def runtime_error(
        self, message: str, span: Span | None, *, helper: str = "", retcode: int = 0
    ) -> None:
        if not self._options.warnings:
            return
        from pytrace.output.messages import fault_message

        color = self._options.color
        self._error(fault_message(message, span, helper=helper, retcode=retcode, color=color))

    def message(self, severity: str, text: str) -> None:
        if severity == "WARNING" and not self._options.warnings:
            return
        from pytrace.output.messages import place_message

        self._error(place_message(severity, text, None, color=self._options.color))

    def lost(self, count: int) -> None:
        self._error(f"Lost {count} events\n")

    def lost_total(self, count: int) -> None:
        self.message("WARNING", f"Total lost event count: {count}")

    def tests_begin(self, count: int) -> None:
        from pytrace.output import trials

        self._stream.write(trials.tests_begin(count))

    def test_begin(self, name: str) -> None:
        from pytrace.output import trials

        self._stream.write(trials.test_begin(name))

    def test_result(self, result: TrialResult) -> None:
        from pytrace.output import trials

        self._stream.write(trials.test_result(result))

    def tests_end(self, results: Sequence[TrialResult]) -> None:
        from pytrace.output import trials

        self._stream.write(trials.tests_end(results))

    def benchmarks(self, results: Sequence[BenchResult]) -> None:
        from pytrace.output import trials

        self._stream.write(trials.benchmarks(results))

    def end(self) -> None:
        self._stream.write("\n\n")

    def idle(self) -> None:
        self._stream.idle()

    def flush(self) -> None:
        self._stream.flush()

    @property
    def failed(self) -> bool:
        return self._stream.failure is not None

    def _error(self, text: str) -> None:
        """Streams that are one terminal show things in the order in which they happened."""
        self._stream.idle()
        write_error(text)


def _entry(head: str, value: Any) -> str:
    """The lines of one entry."""
    kind = type(value)
    if kind is Histogram:
        from pytrace.output.histogram import rows

        return f"{head}:\n{_lines(rows(value))}\n"
    if kind is TimeSeries:
        from pytrace.output.timeseries import rows as series_rows

        return f"{head}:\n{_lines(series_rows(value))}\n"
    return f"{head}: {value_text(value)}\n"


def _lines(rows: list[str]) -> str:
    return "".join([f"{row}\n" for row in rows])


def create(stream: OutputStream, options: SinkOptions) -> TextSink:
    """The format's entry point (``sink.create``)."""
    return TextSink(stream, options)
