"""Values of integer and string literals; their faults are in errors.txt."""

from __future__ import annotations

import pytest

from pytrace.frontend import ast
from pytrace.frontend.literals import integer, string
from tests.unit.frontend.trees import expr

NS = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("0", 0),
        ("00", 0),
        ("1_000_000", 1_000_000),
        ("1__0", 10),
        ("017", 15),
        ("0_7", 7),
        ("0x1F", 31),
        ("0X_ff", 255),
        ("0xff_ff", 65535),
        ("0x1d", 29),
        ("3e6", 3_000_000),
        ("1E6", 1_000_000),
        ("1e_5", 100_000),
        ("9e18", 9 * 10**18),
        ("5u", 5),
        ("5l", 5),
        ("5ll", 5),
        ("5ul", 5),
        ("5ull", 5),
        ("1e3u", 1000),
        ("4294967295u", (1 << 32) - 1),
        ("9223372036854775807ll", (1 << 63) - 1),
        ("18446744073709551615ull", (1 << 64) - 1),
        ("18446744073709551615", (1 << 64) - 1),
        ("0xffffffffffffffff", (1 << 64) - 1),
        ("10ns", 10),
        ("10us", 10_000),
        ("10ms", 10_000_000),
        ("10s", 10 * NS),
        ("10m", 600 * NS),
        ("2h", 7200 * NS),
        ("1d", 86400 * NS),
        ("1e3ms", NS),
        ("017ms", 15_000_000),
        ("213503d", 213503 * 86400 * NS),
        ("0" * 100_000 + "7", 7),
    ],
)
def test_integer(text: str, value: int) -> None:
    assert integer(text) == (value, None)


def test_integer_keeps_its_text() -> None:
    found = expr("1_0ms")
    assert isinstance(found, ast.IntLit)
    assert (found.value, found.text) == (10_000_000, "1_0ms")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'""', b""),
        (r'"abc"', b"abc"),
        (r'"a\n\t\r\"\\b"', b'a\n\t\r"\\b'),
        (r'"\0\7\12\101"', b"\0\7\nA"),
        (r'"\1234"', b"S4"),
        (r'"\377"', b"\xff"),
        (r'"\x41\X42\x4g"', b"AB\x04g"),
        (r'"\x414"', b"A4"),
        (r'"// no /* comment"', b"// no /* comment"),
        ('"caf\u00e9"'.encode().decode("latin-1"), "caf\u00e9".encode()),
        ('"tab\t"', b"tab\t"),
    ],
)
def test_string(text: str, value: bytes) -> None:
    assert string(text) == (value, [])


def test_string_faults_have_places() -> None:
    assert string(r'"a\q\x"') == (
        b"a",
        [("invalid escape character '\\q'", 3, 4), ("invalid hex escape sequence", 6, 7)],
    )


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_bool(text: str, value: bool) -> None:
    found = expr(text)
    assert isinstance(found, ast.BoolLit)
    assert found.value is value


def test_bytes_pass_through_a_script() -> None:
    found = expr('"\udcff\u00e9"')
    assert isinstance(found, ast.StrLit)
    assert found.value == b"\xff\xc3\xa9"
