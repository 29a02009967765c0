"""Syntax errors: what they say and where they point. The cases are in errors.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytrace.base.diagnostics import DiagnosticSink, render
from pytrace.base.source import SourceFile
from pytrace.frontend.parser import parse
from tests.unit.frontend.trees import faults, parsed

DEEP = "nesting too deep (over 256)"


def cases() -> list[tuple[str, str]]:
    """(script, error) for each case of errors.txt."""
    found = []
    for part in Path(__file__).with_name("errors.txt").read_text("utf-8").split("\n\n"):
        if part.strip() and not part.startswith("# "):
            script, _, error = part.strip("\n").rpartition("\n=> ")
            found.append((script, error))
    return found


@pytest.mark.parametrize(("script", "error"), cases())
def test_first_error(script: str, error: str) -> None:
    assert faults(script)[0] == error


def test_there_are_many_cases() -> None:
    assert len(cases()) > 250


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("begin { { } ", "1:13-13: expected '}'"),
        ("begin\n", "2:1-1: expected '{'"),
        ("kprobe:f /pid == 1/ ", "1:21-21: expected expression"),
        ("config = { a = 5; ", "1:19-19: expected '}'"),
        ("\n#!/bin/x\nbegin { }", "2:1-3: '#!' is allowed on the first line only"),
    ],
)
def test_errors_at_blanks(script: str, error: str) -> None:
    assert faults(script)[0] == error


@pytest.mark.parametrize(
    "script",
    [
        "begin { $x = " + "(" * 300 + "1" + ")" * 300 + "; }",
        "begin { $x = " + "(" * 100_000,
        "begin { $x = " + "- " * 100_000 + "1; }",
        "begin { $x = " + "!" * 100_000 + "1; }",
        "begin { " + "{ " * 257 + "} " * 257 + "}",
        "begin { " + "if 1 { " * 100_000,
        "begin { " + "if " * 100_000 + "1" + " {}" * 100_000 + " }",
        "begin " + "< if 1 " * 100_000,
        "begin { $x = " + "+".join(["1"] * 5000) + "; }",
        "begin { $x = a" + ".b" * 5000 + "; }",
        "begin { $x = a" + "[1]" * 5000 + "; }",
        "begin { $x = " + "1 ? 2 : " * 5000 + "3; }",
        "begin { if 1 { } " + "else if 1 { } " * 5000 + "}",
        "begin { let $x : int8" + "*" * 5000 + "; }",
        "begin { $x = " + "(uint8)" * 5000 + "1; }",
        "begin { let $x : " + "typeof(" * 100_000 + "1" + ")" * 100_000 + "; }",
        "begin { $x = " + "(a" * 100_000,
    ],
    ids=lambda script: script[8:24],
)
def test_nesting_is_limited(script: str) -> None:
    assert faults(script)[0].endswith(DEEP)


@pytest.mark.parametrize(
    "script",
    [
        "begin { $x = " + "(" * 255 + "1" + ")" * 255 + "; }",
        "begin " + "{ " * 256 + "}" * 256,
        "begin { $x = " + "+".join(["1"] * 256) + "; }",
        "begin { " + "$x = 1; " * 20_000 + "}",
        "begin { } " * 5000,
        "begin { f(" + ", ".join(["1"] * 20_000) + "); }",
        ", ".join(["kprobe:f"] * 20_000) + " { }",
        "begin { " + "/* c */ " * 20_000 + "}",
    ],
    ids=lambda script: script[:16],
)
def test_what_is_flat_may_be_long(script: str) -> None:
    parsed(script)


def test_limit_is_exact() -> None:
    assert faults("begin { $x = " + "+".join(["1"] * 257) + "; }") == [f"1:529-530: {DEEP}"]
    assert faults("begin { $x = " + "(" * 256 + "1" + ")" * 256 + "; }") == [f"1:269-270: {DEEP}"]


def test_each_item_is_checked() -> None:
    script = "begin { $x = ; }\nend { f(1; }\nmacro m( { }\nkprobe:f { $y = 5 }\ninterval:s:1 { ) }"
    assert faults(script) == [
        "1:14-15: expected expression",
        "2:10-11: expected ')'",
        "3:10-11: expected macro argument ($var, @map, or identifier)",
        "5:16-17: expected expression",
    ]


def test_an_open_brace_hides_no_other_item() -> None:
    script = "begin {\n  if (1) { print(1);\n}\nkprobe:f { $x = 1; }\nend { $y = ; }"
    assert faults(script) == ["4:7-8: expected ';'", "5:12-13: expected expression"]


def test_errors_within_literals_do_not_stop_the_parser() -> None:
    script = r'begin { print("a\q\400"); $x = 08 + 1_; f(2; }'
    assert faults(script) == [
        "1:18-19: invalid escape character '\\q'",
        "1:19-23: octal escape sequence out of range '\\400'",
        "1:32-34: invalid trailing bytes: 08",
        "1:38-39: trailing underscore in integer literal",
        "1:44-45: expected ')'",
    ]


def test_errors_are_not_without_end() -> None:
    assert len(faults("begin { $x = ; }\n" * 1000)) == 20


def test_form_of_a_syntax_error() -> None:
    sink = DiagnosticSink()
    assert parse(SourceFile("stdin", b"begin { print(1 }"), sink) is None
    assert [d.code for d in sink.items] == ["syntax"]
    assert render(sink.items[0]) == (
        "stdin:1:17-18: ERROR: syntax: expected ')'\n"
        "begin { print(1 }\n"
        "                ~\n"
    )  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"\0", b"\xff\xfe", b"begin { \x00 }", b"begin\x80 { }"])
def test_any_bytes_are_read(text: bytes) -> None:
    parse(SourceFile("stdin", text), DiagnosticSink())
