"""The text format. Blocks are what bpftrace 0.27.1 printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytrace.base.errors import UsageError
from pytrace.base.source import Span
from pytrace.model.values import Entries, Histogram, MapContents, StackTrace, Stats, StructValue
from pytrace.output.sink import SinkOptions, create
from pytrace.output.stream import OutputStream
from tests.unit.output.sinks import contents, span, written

if TYPE_CHECKING:
    from pytrace.model.values import Value

SCRIPT = "begin { $a = 0; $b = 5 / $a; }\n"


@pytest.mark.parametrize(
    ("map_contents", "text"),
    [
        (contents("@a", "value", (None, 5), scalar=True), "@a: 5\n"),
        (contents("@k", "count", (("bash", 3), 5)), "@k[bash, 3]: 5\n"),
        (contents("@k", "value", (((1, 2), 3), "x")), "@k[(1, 2), 3]: x\n"),
        (
            contents("@k", "value", (StructValue(("a",), (1,)), 1)),
            "@k[{ .a = 1 }]: 1\n",
        ),
        (
            contents("@s", "stats", (None, Stats(1, 5)), scalar=True),
            "@s: { .count = 1, .average = 5, .total = 5 }\n",
        ),
        (contents("@e", "value"), ""),
        (contents("@e", "value", scalar=True), ""),
        (
            contents("@k", "count", (StackTrace(("        f+1",)), 5)),
            "@k[\n        f+1\n]: 5\n",
        ),
        (
            contents("@e", "value", (None, StackTrace(("        f+1",))), scalar=True),
            "@e: \n        f+1\n\n",
        ),
        (
            contents("@h", "hist", (1, Histogram("hist", (0,), (0, 2)))),
            f"@h[1]:\n[0]                    2 |{'@' * 52}|\n\n",
        ),
        (
            contents("@h", "hist", (None, Histogram("hist", (0,), (0, 0))), scalar=True),
            "@h:\n\n",
        ),
    ],
)
def test_maps(map_contents: MapContents, text: str) -> None:
    assert written("text", ("map", map_contents)) == text


def test_a_map_longer_than_a_portion() -> None:
    keys: list[Value] = list(range(10000))
    simple = MapContents("@a", "count", False, Entries(keys, keys, simple=True))
    careful = MapContents("@a", "count", False, Entries(keys, keys))
    expected = "".join(f"@a[{k!s}]: {k!s}\n" for k in keys)
    assert written("text", ("map", simple)) == expected
    assert written("text", ("map", careful)) == expected


def test_events() -> None:
    calls = [
        ("printf", "a "),
        ("printfs", [["b", "c "]]),
        ("value", (1, "x")),
        ("time", "12:00\n"),
        ("join", "a b"),
        ("cat", "Linux\n"),
        ("syscall", "out"),
        ("end", []),
    ]
    assert written("text", *calls) == "a bc (1, x)\n12:00\na b\nLinux\nout\n\n\n"


def test_messages_go_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    place = span(SCRIPT, "5 / $a")
    calls = [
        ("attached", 1),
        ("attached", 3),
        ("lost", 5),
        ("lost_total", 5),
        ("errorf", ["ERROR", "bad 4\n", place]),
        ("errorf", ["WARNING", "w", place]),
        ("runtime_error", ["Divide", place]),
        ("message", ["ERROR", "failed to open file '/x'"]),
    ]
    assert written("text", *calls) == ""
    assert capfd.readouterr().err == (
        "Attached 1 probe\n"
        "Attached 3 probes\n"
        "Lost 5 events\n"
        "WARNING: Total lost event count: 5\n"
        "stdin:1:22-28: ERROR: bad 4\n"
        "stdin:1:22-28: WARNING: w\n"
        "stdin:1:22-28: WARNING: Divide\n"
        "begin { $a = 0; $b = 5 / $a; }\n"
        "                     ~~~~~~\n"
        "ERROR: failed to open file '/x'\n"
    )


def test_failed_helpers_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    reader, sink = OutputStream(1), None
    sink = create("text", reader, SinkOptions())
    sink.runtime_error("Full", span(SCRIPT, "$a = 0"), helper="map_update_elem", retcode=-7)
    assert capfd.readouterr().err == (
        "stdin:1:9-15: WARNING: Full\n"
        "Additional Info - helper: map_update_elem, retcode: -7\n"
        "begin { $a = 0; $b = 5 / $a; }\n"
        "        ~~~~~~\n"
    )


def test_macro_calls_follow(capfd: pytest.CaptureFixture[str]) -> None:
    caller = span("begin { outer(5); }\n", "outer(5)", "w.bt")
    inner: Span = span('macro bad(x) { errorf("b"); }\n', 'errorf("b")', "w.bt", caller)
    written("text", ("errorf", ["ERROR", "b", inner]), ("runtime_error", ["r", inner]))
    assert capfd.readouterr().err == (
        "w.bt:1:16-27: ERROR: b\n"
        "w.bt:1:9-17: ERROR: expanded from\n"
        "begin { outer(5); }\n"
        "        ~~~~~~~~\n"
        "w.bt:1:16-27: WARNING: r\n"
        'macro bad(x) { errorf("b"); }\n'
        "               ~~~~~~~~~~~\n"
        "w.bt:1:9-17: WARNING: expanded from\n"
        "begin { outer(5); }\n"
        "        ~~~~~~~~\n"
    )


def test_quiet_and_without_warnings(capfd: pytest.CaptureFixture[str]) -> None:
    calls = [
        ("attached", 2),
        ("errorf", ["WARNING", "w", None]),
        ("runtime_error", ["r", None]),
        ("lost_total", 3),
        ("errorf", ["ERROR", "e", None]),
    ]
    written("text", *calls, quiet=True, warnings=False)
    assert capfd.readouterr().err == "ERROR: e\n"


def test_color_is_around_the_first_line(capfd: pytest.CaptureFixture[str]) -> None:
    place = span(SCRIPT, "$a = 0")
    written("text", ("runtime_error", ["r", place]), ("errorf", ["ERROR", "e", place]), color=True)
    assert capfd.readouterr().err == (
        "\033[33mstdin:1:9-15: WARNING: r\033[0m\n"
        "begin { $a = 0; $b = 5 / $a; }\n"
        "        ~~~~~~\n"
        "\033[31mstdin:1:9-15: ERROR: e\033[0m\n"
    )


def test_bytes_come_out_as_they_are() -> None:
    assert written("text", ("printf", b"\xff\x00a".decode("utf-8", "surrogateescape"))) == (
        "\udcff\0a"
    )


def test_an_unknown_format() -> None:
    with pytest.raises(UsageError, match="Invalid output format \"xml\"\nValid formats: 'text', "):
        create("xml", OutputStream(1), SinkOptions())
