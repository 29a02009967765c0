"""Default texts of values and of keys, as bpftrace 0.27.1 prints them."""

from __future__ import annotations

from typing import Any

import pytest

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
)
from pytrace.output.values import compact_key_text, key_text, value_text

RECORD = StructValue(("a", "b"), (1, "x"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-5, "-5"),
        (18446744073709551615, "18446744073709551615"),
        (True, "true"),
        ("a b", "a b"),
        (Text("root"), "root"),
        (Pointer(0), "0x0"),
        (Pointer(0xFFFFFFFF81000000), "0xffffffff81000000"),
        (EnumValue(2, "BB"), "BB"),
        (EnumValue(7, None), "7"),
        ([1, -2, 3], "[1,-2,3]"),
        ((1, "x", (2, 3)), "(1, x, (2, 3))"),
        ((1,), "(1)"),
        (RECORD, "{ .a = 1, .b = x }"),
        (StructValue((), ()), "{}"),
        (StructValue(("in",), (StructValue(("y",), ([1],)),)), "{ .in = { .y = [1] } }"),
        (Buffer(b"a\n\xff"), "a\\x0a\\xff"),
        (StackTrace(("        f+1", "        g+2")), "\n        f+1\n        g+2\n"),
        (StackTrace(()), "\n"),
        (Stats(2, 31), "{ .count = 2, .average = 15, .total = 31 }"),
        (Stats(2, -31), "{ .count = 2, .average = -15, .total = -31 }"),
        (Average(-3), "-3"),
        (None, "null"),
        ((None, True), "(null, true)"),
    ],
)
def test_text(value: Any, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "<5"),
        ((1, 2), "<(1, 2)"),
        ([1, 2], "<[1,2]"),
        (RECORD, "<{ .a = 1, .b = x }"),
        (StructValue((), ()), "<{}"),
        (Stats(1, 5), "<{ .count = 1, .average = 5, .total = 5 }"),
        (StackTrace(("f",)), "\nf\n"),
        (Pointer(1), "<0x1"),
    ],
)
def test_only_the_first_piece_is_padded(value: Any, text: str) -> None:
    assert value_text(value, lambda piece: f"<{piece}") == text


def test_padding_follows_the_first_piece() -> None:
    assert value_text(RECORD, lambda piece: piece.ljust(6, "_")) == "{ ____.a = 1, .b = x }"


def test_a_table_has_no_text() -> None:
    with pytest.raises(TypeError, match="Histogram"):
        value_text(Histogram("hist", (0,), (1,)))


@pytest.mark.parametrize(
    ("key", "text", "compact"),
    [
        (3, "3", "3"),
        ("a, (b)", "a, (b)", "a, (b)"),
        ((1, "x y"), "1, x y", "1,x y"),
        (((1, 2), 3), "(1, 2), 3", "(1,2),3"),
        (((1, 2),), "(1, 2)", "(1,2)"),
        (RECORD, "{ .a = 1, .b = x }", "{.a=1,.b=x}"),
        ((True, Pointer(5)), "true, 0x5", "true,0x5"),
        (StackTrace(("        f+1",)), "\n        f+1\n", "\nf+1\n"),
        (Text("2026 11"), "2026 11", "202611"),
        (EnumValue(1, "A"), "A", "A"),
        (Buffer(b"a\x01"), "a\\x01", "a\\x01"),
    ],
)
def test_keys(key: Any, text: str, compact: str) -> None:
    assert key_text(key) == text
    assert compact_key_text(key) == compact
