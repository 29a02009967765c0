"""``-f json``: one object a line (language 12).

Encodes by itself: ``import json`` costs 14 ms, and its numbers and spacing are not ours anyway.
"""

from __future__ import annotations

import os

from pytrace.model.values import (
    Average,
    Buffer,
    EnumValue,
    Histogram,
    Pointer,
    StackTrace,
    Stats,
    StructValue,
    Text,
    TimeSeries,
)
from pytrace.output.stream import write_error
from pytrace.output.values import compact_key_text, value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from pytrace.base.source import Span
    from pytrace.model.trials import BenchResult, TrialResult
    from pytrace.model.values import MapContents, Value
    from pytrace.output.sink import SinkOptions
    from pytrace.output.stream import OutputStream

_ESCAPES: Final = {i: f"\\u{i:04x}" for i in range(32)}
_ESCAPES.update({0x22: '\\"', 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"})

_MAP_KINDS: Final = {
    "hist": "hist",
    "lhist": "hist",
    "avg": "stats",
    "stats": "stats",
    "tseries": "tseries",
}


class JsonSink:
    """All events on ``stream``; what has no object of its own goes to stderr as text."""

    def __init__(self, stream: OutputStream, options: SinkOptions) -> None:
        self._stream = stream
        self._options = options

    def attached(self, count: int) -> None:
        if not self._options.quiet:
            self._counter("attached_probes", count, "probes")

    def printf(self, text: str) -> None:
        self._stream.write(f'{{"type": "printf", "data": {quote(text)}}}\n')

    def printfs(self, texts: list[str]) -> None:
        lines = [f'{{"type": "printf", "data": {quote(text)}}}\n' for text in texts]
        self._stream.write("".join(lines))

    def value(self, value: Value) -> None:
        self._stream.write(f'{{"type": "value", "data": {encode(value)}}}\n')

    def map(self, contents: MapContents) -> None:
        kind = _MAP_KINDS.get(contents.type, "map")
        entries = contents.entries
        if contents.scalar and entries:
            data = encode(entries[0][1])
        elif entries or kind == "stats":
            pairs = [f"{quote(compact_key_text(k))}: {encode(v)}" for k, v in entries]
            data = f"{{{', '.join(pairs)}}}"
        else:
            return
        name = quote(contents.name)
        self._stream.write(f'{{"type": "{kind}", "data": {{{name}: {data}}}}}\n')

    def time(self, text: str) -> None:
        self._text("time", text)

    def cat(self, text: str) -> None:
        self._text("cat", text)

    def join(self, text: str) -> None:
        self._text("join", text)

    def syscall(self, text: str) -> None:
        self._text("syscall", text)

    def errorf(self, severity: str, text: str, span: Span | None) -> None:
        if severity == "WARNING" and not self._options.warnings:
            return
        kind = "warnf" if severity == "WARNING" else "errorf"
        self._stream.write(f'{{"type": "{kind}", "msg": {quote(text)}{_place(span)}}}\n')

    def runtime_error(
        self, message: str, span: Span | None, *, helper: str = "", retcode: int = 0
    ) -> None:
        if not helper:
            line = f'{{"type": "runtime_error", "msg": {quote(message)}{_place(span)}}}\n'
        else:
            reason = quote(os.strerror(-retcode) if retcode <= 0 else os.strerror(retcode))
            line = (
                f'{{"type": "helper_error", "msg": {reason}, "helper": {quote(helper)}, '
                f'"retcode": {retcode}{_place(span)}}}\n'
            )
        self._stream.write(line)

    def message(self, severity: str, text: str) -> None:
        if severity == "WARNING" and not self._options.warnings:
            return
        from pytrace.output.messages import place_message

        self._stream.idle()
        write_error(place_message(severity, text, None, color=self._options.color))

    def lost(self, count: int) -> None:
        self._counter("lost_events", count, "events")

    def lost_total(self, count: int) -> None:
        self.message("WARNING", f"Total lost event count: {count}")

    def tests_begin(self, count: int) -> None:
        """Each result has a line of its own."""

    def test_begin(self, name: str) -> None:
        """As above."""

    def test_result(self, result: TrialResult) -> None:
        passed = "true" if result.passed else "false"
        fields = f'{{"duration": {result.duration_ns}, "passed": {passed}, "output": '
        self._trial("test_result", result.name, f"{fields}{quote(result.output)}}}")

    def tests_end(self, results: Sequence[TrialResult]) -> None:
        """As above."""

    def benchmarks(self, results: Sequence[BenchResult]) -> None:
        for result in results:
            fields = f'{{"average": {result.average_ns}, "iters": {result.iterations}}}'
            self._trial("benchmark_result", result.name, fields)

    def _trial(self, kind: str, name: str, fields: str) -> None:
        self._stream.write(f'{{"type": "{kind}", "data": {{{quote(name)}: {fields}}}}}\n')

    def end(self) -> None:
        """Nothing stands between the events and the maps."""

    def idle(self) -> None:
        self._stream.idle()

    def flush(self) -> None:
        self._stream.flush()

    @property
    def failed(self) -> bool:
        return self._stream.failure is not None

    def _text(self, kind: str, text: str) -> None:
        self._stream.write(f'{{"type": "{kind}", "data": {quote(text)}}}\n')

    def _counter(self, kind: str, count: int, what: str) -> None:
        data = f'{{"{what}": {count}}}'
        self._stream.write(f'{{"type": "{kind}", "count": {count}, "data": {data}}}\n')


def create(stream: OutputStream, options: SinkOptions) -> JsonSink:
    """The format's entry point (``sink.create``)."""
    return JsonSink(stream, options)


def quote(text: str) -> str:
    """A JSON string; bytes from 0x80 on stay as they are."""
    return f'"{text.translate(_ESCAPES)}"'


def encode(value: Any) -> str:
    """A value in JSON."""
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is int:
        return _number(value)
    make = _ENCODERS.get(kind)
    if make is None:
        raise TypeError(f"a {kind.__name__} has no JSON")
    return make(value)


def _number(value: int) -> str:
    """A number; text where a double would change it."""
    text = str(int(value))
    return text if -(1 << 53) <= value <= 1 << 53 or float(value) == value else f'"{text}"'


def _array(value: Any) -> str:
    return f"[{','.join(map(encode, value))}]"


def _struct(value: StructValue) -> str:
    members = [f"{quote(n)}: {encode(v)}" for n, v in zip(value.names, value.values)]
    return f"{{{', '.join(members)}}}"


def _buffer(value: Buffer) -> str:
    return f"[{','.join([str(b - 256 if b > 127 else b) for b in value])}]"


def _stats(value: Stats) -> str:
    return (
        f'{{"count": {_number(value.count)}, "average": {_number(value.average)}, '
        f'"total": {_number(value.total)}}}'
    )


def _histogram(value: Histogram) -> str:
    from pytrace.output.histogram import bounds

    buckets = []
    for index in value.shown:
        lower, upper = bounds(value, index)
        low = "" if lower is None else f'"min": {_number(lower)}, '
        high = "" if upper is None else f'"max": {_number(upper - 1)}, '
        buckets.append(f'{{{low}{high}"count": {_number(value.counts[index])}}}')
    return f"[{','.join(buckets)}]"


def _series(value: TimeSeries) -> str:
    from pytrace.output.timeseries import full_time

    points = [
        f'{{"interval_start":"{full_time(start)}","value":{_number(v)}}}'
        for start, v in value.rows
        if v is not None
    ]
    return f"[{','.join(points)}]"


def _place(span: Span | None) -> str:
    if span is None:
        return ""
    line, column = span.begin()
    return f', "filename": {quote(span.source.name)}, "line": {line}, "col": {column}'


_ENCODERS: Final[dict[type, Callable[[Any], str]]] = {
    bool: lambda v: "true" if v else "false",
    Text: quote,
    StackTrace: lambda v: quote(value_text(v)),
    Pointer: lambda v: _number(v & 0xFFFFFFFFFFFFFFFF),
    EnumValue: _number,
    Average: _number,
    Buffer: _buffer,
    tuple: _array,
    list: _array,
    StructValue: _struct,
    Stats: _stats,
    Histogram: _histogram,
    TimeSeries: _series,
    type(None): lambda v: "null",
}
