"""printf's format strings. Expected texts are what bpftrace 0.27.1 printed, unless said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.format import Piece, check, make_renderer, parse_format, render
from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    I64,
    NONE,
    U8,
    U32,
    U64,
    VOID,
    Aggregate,
    Buf,
    Enum,
    Ptr,
    Stack,
    Str,
    Tuple,
    Type,
)
from pytrace.output.values import value_text

POINTER = Ptr(to=I8)


def text(format: str, *values: Any, types: tuple[Type, ...] = ()) -> str:
    return make_renderer(parse_format(format), types, value_text)(values)


def test_texts_between_specifications_are_one_piece() -> None:
    assert parse_format("a%%b%q%d!") == (
        Piece(text="a%b%q"),
        Piece(conversion="d"),
        Piece(text="!"),
    )


def test_a_specification_has_flags_width_and_length() -> None:
    assert parse_format("%-+ #012.3hhx") == (
        Piece(conversion="x", minus=True, plus=True, hash=True, zero=True, width=12, bits=8),
    )


@pytest.mark.parametrize(
    ("format", "printed"),
    [
        ("[%%]", "[%]"),
        ("[%5%]", "[%]"),
        ("[%-+#05l%]", "[%]"),
        ("[%q] [%+-5d] [%5] [%", "[%q] [%+-5d] [%5] [%"),
        ("[%-0+d] [%#+d] [% +d] [%  d]", "[%-0+d] [%#+d] [% +d] [%  d]"),
        ("[%5.d] [%5*d]", "[%5.d] [%5*d]"),
        ("", ""),
        ("%", "%"),
    ],
)
def test_what_is_no_specification_is_text(format: str, printed: str) -> None:
    assert text(format) == printed


@pytest.mark.parametrize(
    ("format", "values", "printed"),
    [
        ("[%d] [%5d] [%-5d] [%+d] [% d] [%+5d]", (5,) * 6, "[5] [    5] [5    ] [+5] [5] [   +5]"),
        ("[%05d] [%-05d] [%05d]", (-5, -5, 5), "[000-5] [-5000] [00005]"),
        ("[%+05d] [%+05d] [%-+6d] [%+06d]", (5, -5, 5, -5), "[000+5] [000-5] [+5    ] [0000-5]"),
        ("[%+ #05d] [%+#d] [%00d] [%05.4ld]", (1, 2, 3, 4), "[000+1] [+2] [3] [00004]"),
        ("%d %d", (7200000000000, 1 << 31), "1634811904 -2147483648"),
        ("%ld %lld %jd %zd %td", (7200000000000,) * 5, " ".join(["7200000000000"] * 5)),
        ("%Ld %hld %lhd %hhhd", (7200000000000,) * 4, " ".join(["1634811904"] * 4)),
        ("%hhd %hd %hx %hhx", (300, 70000, 70000, 300), "44 4464 1170 2c"),
        ("%u %x %lx", (-1, -1, -1), "4294967295 ffffffff ffffffffffffffff"),
        ("%#x %#X %#o %#x %#o", (255, 255, 8, 0, 0), "0xff 0XFF 010 0 0"),
        ("[%08x] [%#08x] [%-#8x] [%-08x]", (255,) * 4,
         "[000000ff] [00000xff] [0xff    ] [ff000000]"),
        ("%+u %+x %+o", (5, 5, 8), "5 5 10"),
        ("%d %5d %x", (True, True, False), "1     1 0"),
        ("[%c] [%5c] [%-5c] [%05c] [%c]", (65, 65, 65, 65, 256 + 65),
         "[A] [    A] [A    ] [0000A] [A]"),
        ("[%p] [%10p] [%-10p] [%010p] [%#p]", (255,) * 5,
         "[0xff] [      0xff] [0xff      ] [0000000xff] [0xff]"),
        ("%p", (-1,), "0xffffffffffffffff"),
        ("%*d|%-*d|%.*d", (5, 6, 7), "5|6|7"),
        ("%hhp", (1000,), "0x3e8"),
    ],
)  # fmt: skip
def test_numbers(format: str, values: tuple[int, ...], printed: str) -> None:
    assert text(format, *values) == printed


@pytest.mark.parametrize(
    ("format", "values", "printed"),
    [
        ("[%s] [%5s] [%-5s] [%05s] [%.2s] [%+s] [%#s]", ("abc",) * 7,
         "[abc] [  abc] [abc  ] [00abc] [abc] [abc] [abc]"),
        ("[%s] [%5s] [%-5s] [%05s] [%+s] [%#s]", (5, 5, -5, -5, 5, 5),
         "[5] [    5] [-5   ] [000-5] [+5] [5]"),
        ("[%5s] [%-5s] [%05s]", ((1, 2),) * 3, "[    (1, 2)] [(    1, 2)] [0000(1, 2)]"),
        ("[%5s] [%8s] [%-8s]", (True, True, False), "[ true] [    true] [false   ]"),
        ("[%5s] [%-010s]", ("é", "é"), "[   é] [é00000000]"),
        ("[%+s] [%-+8s]", ((1, 2), (1, -2)), "[(+1, +2)] [(       +1, -2)]"),
    ],
)  # fmt: skip
def test_texts(format: str, values: tuple[Any, ...], printed: str) -> None:
    types = tuple(
        {int: I64, str: Str(length=8), bool: BOOL, tuple: Tuple(elems=(I64, I64))}[type(v)]
        for v in values
    )
    assert text(format, *values, types=types) == printed


def test_plus_is_for_signed_integers_only() -> None:
    assert text("%+s", (1, "x", 2), types=(Tuple(elems=(U8, Str(length=2), I8)),)) == "(1, x, +2)"
    assert text("%+s", 7, types=(U64,)) == "7"


@pytest.mark.parametrize(
    ("format", "printed"),
    [
        ("[%20r]", "[             abc\\x0a]"),
        ("[%-12r]", "[abc\\x0a     ]"),
        ("[%rx]", "[\\x61\\x62\\x63\\x0a]"),
        ("[%rh] [%014rh]", "[61 62 63 0a] [00061 62 63 0a]"),
        ("%rhello", "61 62 63 0aello"),
    ],
)
def test_buffers(format: str, printed: str) -> None:
    values = [b"abc\n"] * format.count("%")
    assert text(format, *values) == printed


def test_a_value_without_text_leaves_a_message() -> None:
    def refuse(value: Any, pad: object = None) -> str:
        raise ValueError("no time")

    assert render(parse_format("<%s>"), (1,), refuse) == "<!{no time}>"
    assert text("%gr", True) == "!{invalid GFP flags conversion: true}"


@pytest.mark.parametrize(
    ("format", "types", "problem"),
    [
        ("%d", (), "not enough arguments for format string (0 supplied, 1 expected)"),
        ("x", (I8,), "too many arguments for format string (1 supplied, 0 expected)"),
        ("%f", (), "not enough arguments for format string (0 supplied, 1 expected)"),
        ("%d", (Str(length=4),), "unsupported format specifier for type 'string[4]': d"),
        ("%d %f", (Str(length=4), I8), "unsupported format specifier for type 'string[4]': d"),
        ("%f %d", (I8, Str(length=4)), "unsupported format specifier: f"),
        ("%lln", (I8,), "unsupported format specifier: n"),
        ("%r", (I8,), "unsupported format specifier for type 'int8': r"),
        ("%rx", (BOOL,), "unsupported format specifier for type 'bool': rx"),
        ("%gr", (Str(length=4),), "unsupported format specifier for type 'string[4]': gr"),
        ("%d", (Buf(length=3),), "unsupported format specifier for type 'buffer[3]': d"),
        ("%d", (Aggregate(kind="count", signed=False),),
         "unsupported format specifier for type 'count_t': d"),
        ("%s", (Aggregate(kind="hist", signed=True, params=(0,)),),
         "unable to convert type: hist_t"),
        ("%x", (Tuple(elems=(I8, I8)),), "unsupported format specifier for type '(int8,int8)': x"),
        ("%d", (Stack(user=False, mode="bpftrace", limit=127),),
         "unsupported format specifier for type 'kstack_bpftrace_127': d"),
        ("%s", (VOID,), "unable to print none type for specifier: s"),
        ("%s", (NONE,), "unable to print none type for specifier: s"),
        ("%d", (Tuple(elems=()),), "unable to print none type for specifier: d"),
    ],
)  # fmt: skip
def test_checks(format: str, types: tuple[Type, ...], problem: str) -> None:
    assert check(parse_format(format), types) == [problem]


@pytest.mark.parametrize("conversion", ["d", "i", "u", "o", "x", "X", "c", "p", "s", "gr"])
def test_integers_bools_enums_and_pointers_pass_as_numbers(conversion: str) -> None:
    pieces = parse_format(f"%{conversion}")
    for type_ in (I8, U64, BOOL, POINTER, Enum(name="e")):
        assert check(pieces, (type_,)) == []


def test_any_printable_passes_as_text() -> None:
    pieces = parse_format("%-5.3lls")
    for type_ in (I8, Str(length=3), Buf(length=3), Aggregate(kind="stats", signed=True)):
        assert check(pieces, (type_,)) == []


LENGTHS = {"": 32, "hh": 8, "h": 16, "l": 64, "ll": 64, "j": 64, "z": 64, "t": 64}


@given(
    value=st.integers(-(1 << 63), (1 << 64) - 1),
    length=st.sampled_from(sorted(LENGTHS)),
    width=st.integers(0, 24),
    left=st.booleans(),
)
def test_integers_are_cut_as_c_cuts_them(value: int, length: str, width: int, left: bool) -> None:
    bits = LENGTHS[length]
    unsigned = value % (1 << bits)
    signed = unsigned - (1 << bits) if unsigned >> (bits - 1) else unsigned
    spec = f"%{'-' if left else ''}{width or ''}{length}"
    pad = str.ljust if left else str.rjust
    assert text(f"{spec}d", value) == pad(str(signed), width)
    assert text(f"{spec}u", value) == pad(str(unsigned), width)
    assert text(f"{spec}x", value) == pad(format(unsigned, "x"), width)


@given(value=st.integers(-(1 << 31), (1 << 31) - 1), length=st.sampled_from(sorted(LENGTHS)))
def test_known_types_change_nothing(value: int, length: str) -> None:
    for conversion in "duxXocs":
        spec = f"%{length}{conversion}"
        assert text(spec, value, types=(I32,)) == text(spec, value)
        if value >= 0:
            assert text(spec, value, types=(U32,)) == text(spec, value)


@given(st.text("%-+ #0123456789.*hlLjztdiuoxXcsprgeEfFGaAn!", max_size=12))
def test_every_text_parses_and_renders(format: str) -> None:
    pieces = parse_format(format)
    wanted = [p for p in pieces if p.conversion]
    if any(p.conversion in "eEfFgGaAn" or p.width > 1000 for p in wanted):
        return
    values = [b"ab" if p.conversion[0] == "r" else 7 for p in wanted]
    rendered = render(pieces, values, value_text)
    assert wanted or rendered == "".join(p.text for p in pieces)
