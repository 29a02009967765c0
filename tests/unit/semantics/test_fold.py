"""Literals folded before types are inferred (language 3.3)."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.frontend import ast
from pytrace.frontend.parser import parse
from pytrace.semantics.fold import fold
from tests.compiling import compile_to_ir

OVERFLOW = "unable to fold literals due to overflow or underflow"
U64_MAX = 18446744073709551615
I64_MAX = 9223372036854775807


def folded(text: str) -> tuple[ast.Expr, DiagnosticSink]:
    """What an expression becomes, and what is said of it."""
    sink = DiagnosticSink()
    program = parse(SourceFile("stdin", f"begin {{ $a = {text}; }}".encode()), sink)
    assert program is not None, sink.items
    stmt = fold(program, sink).probes[0].body.stmts[0]
    assert isinstance(stmt, ast.Assign)
    return stmt.value, sink


def value(text: str) -> int | bool | bytes:
    node, sink = folded(text)
    assert not sink.items, sink.items
    assert isinstance(node, ast.IntLit | ast.BoolLit | ast.StrLit), text
    return node.value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2", 3), ("5 - 7", -2), ("3 * -4", -12), ("(1 + 2) * 3", 9), ("1 + 2 * 3", 7),
        # Division truncates toward zero, the remainder has the dividend's sign.
        ("7 / 2", 3), ("-7 / 2", -3), ("7 / -2", -3), ("-7 / -2", 3),
        ("7 % 3", 1), ("-7 % 3", -1), ("7 % -3", 1),
        ("1 << 10", 1024), ("1 << 63", 1 << 63), ("-1 << 4", -16), ("3 << 63", 1 << 63),
        ("255 >> 4", 15), ("-7 >> 1", -4), (f"{U64_MAX} >> 60", 15),
        ("6 & 3", 2), ("6 | 3", 7), ("6 ^ 3", 5), ("-1 & 255", 255),
        ("~5", U64_MAX - 5), ("~0", U64_MAX), ("~-1", 0), ("-(-5)", 5),
        ("-9223372036854775808", -(1 << 63)),
        (f"{I64_MAX} + 1", 1 << 63), (f"{U64_MAX} - 1", U64_MAX - 1),
        (f"{U64_MAX - 1} + 1", U64_MAX),
        ("4294967295 * 4294967295", 4294967295**2), (f"{U64_MAX} / 2", I64_MAX),
        (f"{U64_MAX} % 10", 5), ("10ms / 1us", 10_000), ("0x10 + 010", 24),
        ("true + 5", 6), ("1 + -1", 0), ("0 - 1", -1),
        ("1 ? 2 : 3", 2), ("0 ? 2 : 3", 3), ("0 ?: 7", 7), ("5 ?: 7", 5), ('"x" ? 2 : 3', 2),
    ],
)  # fmt: skip
def test_numbers(text: str, result: int) -> None:
    found = value(text)
    assert found == result
    assert type(found) is int


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 < 2", True), ("-1 < 0", True), ("1 < -1", False), (f"{U64_MAX} > 1", True),
        ("5 == 5", True), ("5 == true", False), ("1 == true", True), ("true == false", False),
        ("1 && 2", True), ("1 && 0", False), ("0 || 0", False), ("0 || 3", True),
        ("!0", True), ("!5", False), ("!true", False), ("true + true", True),
        ("true - true", False), ("true & false", False),
        ('"a" == "a"', True), ('"a" != "b"', True), ('"a" < "b"', True), ('"b" <= "a"', False),
    ],
)  # fmt: skip
def test_bools(text: str, result: bool) -> None:
    assert value(text) is result


def test_strings_are_joined() -> None:
    assert value('"ab" + "cd"') == b"abcd"
    assert value('"ab" + "c" + ""') == b"abc"


@pytest.mark.parametrize(
    "text",
    [
        f"{U64_MAX} + 1", f"{U64_MAX} * 2", "-9223372036854775808 - 1", f"2 - {U64_MAX}",
        f"{I64_MAX} * 3", "1 / 0", "1 % 0", "1 << 64", "1 >> 64", "1 << -1", "1 >> -1",
        f"-1 + {U64_MAX}", f"-1 * {U64_MAX}", f"{U64_MAX} > -1", f"-5 / {U64_MAX}",
        "-9223372036854775808 / -1",
    ],
)  # fmt: skip
def test_what_does_not_fit(text: str) -> None:
    node, sink = folded(text)
    assert [d.message for d in sink.items] == [OVERFLOW], node


@pytest.mark.parametrize("text", [f"-{U64_MAX}", "-9223372036854775809"])
def test_too_negative(text: str) -> None:
    assert [d.message for d in folded(text)[1].items] == ["negative value will underflow"]


def test_strings_are_no_numbers() -> None:
    assert [d.message for d in folded('"a" - "b"')[1].items] == [
        "illegal literal operation with strings"
    ]


def test_the_fault_is_where_the_operation_is() -> None:
    _, sink = folded("1 + 2 / 0")
    assert sink.items[0].span is not None
    assert sink.items[0].span.text == "2 / 0"


@pytest.mark.parametrize("text", ["nsecs + 1", "$b + 1", "1 + cpu * 2", "(uint8)1 + 2", "-true"])
def test_what_is_not_known_stays(text: str) -> None:
    node, sink = folded(text)
    assert not sink.items
    assert not isinstance(node, ast.IntLit | ast.BoolLit)


def test_an_if_with_a_literal_head_is_its_branch() -> None:
    node, _ = folded('if (0) { 1 } else { "x" }')
    assert isinstance(node, ast.BlockExpr)
    assert isinstance(node.body.value, ast.StrLit)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # Sizes and offsets are literals too, known only with the types.
        ("sizeof(uint8)", "int8"),
        ("sizeof(uint8) * 300", "int16"),
        ("sizeof(uint64) == 8", "bool"),
        ("~sizeof(uint8)", "uint64"),
        ("offsetof(struct task_struct, pid) + 1", "int16"),
        # An enumerator is known, but what is made of it has its operands' type.
        ("PIDTYPE_TGID + 1", "uint64"),
    ],
)
def test_literals_of_types(text: str, kind: str) -> None:
    assert compile_to_ir(f"begin {{ $a = {text}; }}").variables()["a"] == kind


def test_dividing_by_a_size_of_zero() -> None:
    sink = compile_to_ir("begin { $a = 1 / sizeof(void); }").sink
    assert [d.message for d in sink.errors] == [OVERFLOW]
