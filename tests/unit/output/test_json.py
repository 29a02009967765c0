"""The JSON format. Lines are what bpftrace 0.27.1 printed, unless said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.model.values import (
    Average,
    Buffer,
    EnumValue,
    Histogram,
    MapContents,
    Pointer,
    StackTrace,
    Stats,
    StructValue,
    Text,
    TimeSeries,
)
from pytrace.output.json import encode, quote
from tests.unit.output.sinks import contents, span, written

SCRIPT = "begin { errorf(1); }\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (-9007199254740993, '"-9007199254740993"'),
        (9007199254740992, "9007199254740992"),
        (9007199254740993, '"9007199254740993"'),
        (18446744073709551615, '"18446744073709551615"'),
        (18446744073709549568, "18446744073709549568"),
        (True, "true"),
        (None, "null"),
        ("x", '"x"'),
        (Text("1.0.0.0"), '"1.0.0.0"'),
        (Pointer(16), "16"),
        (Pointer(0xFFFFFFFF81000001), '"18446744071578845185"'),
        (EnumValue(1, "A"), "1"),
        ((1, "x"), '[1,"x"]'),
        ([1, -2], "[1,-2]"),
        (StructValue(("a", "b"), (1, StructValue(("c",), (2,)))), '{"a": 1, "b": {"c": 2}}'),
        (Buffer(b"ab\xff"), "[97,98,-1]"),
        (StackTrace(("        f+1",)), '"\\n        f+1\\n"'),
        (Stats(1, 7), '{"count": 1, "average": 7, "total": 7}'),
        (Average(9), "9"),
        (Histogram("hist", (0,), (0, 0)), "[]"),
        (
            Histogram("lhist", (0, 10, 5), (0, 1, 0, 1)),
            '[{"min": 0, "max": 4, "count": 1},{"min": 5, "max": 9, "count": 0},'
            '{"min": 10, "count": 1}]',
        ),
        (Histogram("hist", (0,), (1,)), '[{"max": -1, "count": 1}]'),
        (
            Histogram("hist", (0,), (*[0] * 64, 1)),
            '[{"min": 4611686018427387904, "max": "9223372036854775807", "count": 1}]',
        ),
        (TimeSeries(1, 0, (None,)), "[]"),
    ],
)
def test_values(value: Any, text: str) -> None:
    assert encode(value) == text


def test_time_series_leave_empty_intervals_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        text = encode(TimeSeries(1_000_000_000, 1_800_000_000, (5, None, -1)))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert text == (
        '[{"interval_start":"2027-01-15 08:00:00.000000000","value":5},'
        '{"interval_start":"2027-01-15 08:00:02.000000000","value":-1}]'
    )


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ('v"\n\t\\\r', '"v\\"\\n\\t\\\\\\r"'),
        ("\x01\x1b\x08/\x7f", '"\\u0001\\u001b\\u0008/\x7f"'),
        ("\u00e9", '"\u00e9"'),  # The language's contract: bytes from 0x80 on stay raw.
    ],
)
def test_escapes(text: str, quoted: str) -> None:
    assert quote(text) == quoted


@given(st.text())
def test_strings_read_back(text: str) -> None:
    assert json.loads(quote(text)) == text


@pytest.mark.parametrize(
    ("map_contents", "line"),
    [
        (contents("@a", "value", (None, 5), scalar=True), '{"type": "map", "data": {"@a": 5}}'),
        (
            contents("@b", "count", (1, 2), (2, -7)),
            '{"type": "map", "data": {"@b": {"1": 2, "2": -7}}}',
        ),
        (
            contents("@hk", "hist", ((1, "a"), Histogram("hist", (2,), (*[0] * 37, 1)))),
            '{"type": "hist", "data": {"@hk": {"1,a": [{"min": 1024, "max": 1279, "count": 1}]}}}',
        ),
        (contents("@e", "avg", (None, Average(5)), scalar=True),
         '{"type": "stats", "data": {"@e": 5}}'),
        (
            contents("@s", "stats", (1, Stats(1, 7))),
            '{"type": "stats", "data": {"@s": {"1": {"count": 1, "average": 7, "total": 7}}}}',
        ),
        (contents("@s", "stats", scalar=True), '{"type": "stats", "data": {"@s": {}}}'),
        (contents("@s", "avg"), '{"type": "stats", "data": {"@s": {}}}'),
        (contents("@t", "tseries", (None, TimeSeries(1, 0, ())), scalar=True),
         '{"type": "tseries", "data": {"@t": []}}'),
    ],
)  # fmt: skip
def test_maps(map_contents: MapContents, line: str) -> None:
    assert written("json", ("map", map_contents)) == f"{line}\n"


@pytest.mark.parametrize("kind", ["value", "count", "hist", "lhist", "tseries", "min"])
def test_empty_maps_print_nothing(kind: str) -> None:
    calls = [("map", contents("@a", kind)), ("map", contents("@b", kind, scalar=True))]
    assert written("json", *calls) == ""


def test_events() -> None:
    place = span(SCRIPT, "errorf(1)")
    calls = [
        ("attached", 2),
        ("printf", "a\n"),
        ("printfs", [["b", '"']]),
        ("value", (1, "x")),
        ("time", "12:00\n"),
        ("join", "a b"),
        ("cat", "Linux\n"),
        ("syscall", "out"),
        ("errorf", ["ERROR", "e\n", place]),
        ("errorf", ["WARNING", "w", place]),
        ("runtime_error", ["Divide", place]),
        ("lost", 5),
        ("end", []),
    ]
    lines = written("json", *calls).splitlines()
    assert lines == [
        '{"type": "attached_probes", "count": 2, "data": {"probes": 2}}',
        '{"type": "printf", "data": "a\\n"}',
        '{"type": "printf", "data": "b"}',
        '{"type": "printf", "data": "\\""}',
        '{"type": "value", "data": [1,"x"]}',
        '{"type": "time", "data": "12:00\\n"}',
        '{"type": "join", "data": "a b"}',
        '{"type": "cat", "data": "Linux\\n"}',
        '{"type": "syscall", "data": "out"}',
        '{"type": "errorf", "msg": "e\\n", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "warnf", "msg": "w", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "runtime_error", "msg": "Divide", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "lost_events", "count": 5, "data": {"events": 5}}',
    ]


def test_failed_helpers(capfd: pytest.CaptureFixture[str]) -> None:
    from pytrace.output.sink import SinkOptions, create
    from pytrace.output.stream import OutputStream

    sink = create("json", OutputStream(1), SinkOptions())
    place = span(SCRIPT, "errorf(1)")
    sink.runtime_error("Map full", place, helper="map_update_elem", retcode=-7)
    sink.runtime_error("Missing", place, helper="map_lookup_elem", retcode=0)
    sink.message("ERROR", "failed")
    sink.flush()
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        '{"type": "helper_error", "msg": "Argument list too long", "helper": "map_update_elem", '
        '"retcode": -7, "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "helper_error", "msg": "Success", "helper": "map_lookup_elem", '
        '"retcode": 0, "filename": "stdin", "line": 1, "col": 9}',
    ]
    assert err == "ERROR: failed\n"


def test_warnf_obeys_no_warnings_and_runtime_errors_do_not() -> None:
    place = span(SCRIPT, "errorf(1)")
    calls = [("errorf", ["WARNING", "w", place]), ("runtime_error", ["r", place])]
    lines = written("json", *calls, warnings=False).splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["runtime_error"]


def test_every_line_is_json() -> None:
    value = (1, "a\udcff\n", Buffer(b"\0"), None, StructValue(("f",), ([True],)))
    out = written("json", ("value", value), ("map", contents("@a", "value", (value, value))))
    for line in out.encode("utf-8", "surrogateescape").decode("latin-1").splitlines():
        json.loads(line)
