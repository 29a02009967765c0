"""The ELF reader on files made byte by byte."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrace.kernel.binary import ElfBinary
from pytrace.kernel.elf import AddressMap, Elf, ElfError, debug_candidates
from pytrace.kernel.info import BinaryInfo, SymbolInfo, UsdtInfo
from tests.unit.kernel.elves import (
    BASE,
    DATA,
    DATA_BASE,
    IFUNC,
    OBJECT,
    TEXT,
    Part,
    Symbol,
    build,
    note,
    stapsdt,
    symbol_parts,
)

SHAPES = [(64, "<"), (64, ">"), (32, "<"), (32, ">")]
BUILD_ID = bytes(range(20))

SYMBOLS = [
    Symbol("main", BASE + 0x10, 32),
    Symbol("imported", 0, defined=False),
    Symbol("counter", DATA_BASE + 8, 4, OBJECT),
    Symbol("zeroed", DATA_BASE + 0x900, 4, OBJECT),
    Symbol("memcpy@GLIBC_2.2.5", BASE + 0x40, 16),
    Symbol("resolver", BASE + 0x60, 8, IFUNC),
]


def sample(bits: int = 64, order: str = "<", kind: int = 3) -> bytes:
    notes = stapsdt("app", "start", "8@%rdi", BASE + 0x30, 0x9000, DATA_BASE + 16, bits, order)
    notes += stapsdt("app", "stop", "", BASE + 0x34, 0x9000, 0, bits, order)
    return build(
        [
            Part(".text", 1, b"", BASE),
            Part(".note.gnu.build-id", 7, note(b"GNU", 3, BUILD_ID, order)),
            Part(".note.stapsdt", 7, notes),
            Part(".stapsdt.base", 1, b"\0", 0x9000),
            Part(".gnu_debuglink", 1, b"app.debug\0\0\0" + struct.pack(order + "I", 0xABCD1234)),
            *symbol_parts(SYMBOLS, bits, order, dynamic=False),
        ],
        bits=bits,
        order=order,
        kind=kind,
    )


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_the_facts_of_a_file(bits: int, order: str) -> None:
    elf = Elf(sample(bits, order))
    assert (elf.kind, elf.machine, elf.bits, elf.entry) == ("dyn", 62, bits, BASE)
    assert elf.build_id() == BUILD_ID.hex()
    assert elf.debug_link() == ("app.debug", 0xABCD1234)
    assert [s.name for s in elf.sections][:3] == ["", ".text", ".note.gnu.build-id"]
    assert Elf(sample(bits, order, kind=2)).kind == "exec"


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_symbols_with_their_place_in_the_file(bits: int, order: str) -> None:
    binary = ElfBinary("/bin/app", Elf(sample(bits, order)))
    main = SymbolInfo(name="main", address=BASE + 0x10, offset=TEXT + 0x10, size=32)
    assert binary.symbol("main") == main
    assert [s.name for s in binary.symbols] == ["counter", "main", "memcpy", "resolver", "zeroed"]
    counter = binary.symbol("counter")
    assert counter is not None
    assert (counter.function, counter.offset) == (False, DATA + 8)
    assert binary.symbol("resolver") == binary.symbols[3]
    assert binary.symbols[3].function
    assert binary.symbol("imported") is None
    assert binary.symbol("ain") is None
    assert binary.symbol("") is None


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_usdt_notes_give_file_offsets(bits: int, order: str) -> None:
    binary = ElfBinary("/bin/app", Elf(sample(bits, order)))
    assert binary.usdt == (
        UsdtInfo(
            namespace="app", name="start", offset=TEXT + 0x30, semaphore=DATA + 16, args="8@%rdi"
        ),
        UsdtInfo(namespace="app", name="stop", offset=TEXT + 0x34, semaphore=0, args=""),
    )


def test_usdt_addresses_follow_a_moved_base_section() -> None:
    notes = stapsdt("app", "start", "", 0x30, 0x9000, 0x200)
    data = build([Part(".note.stapsdt", 7, notes), Part(".stapsdt.base", 1, b"", 0x9000 + BASE)])
    assert Elf(data).usdt() == [("app", "start", BASE + 0x30, BASE + 0x200, "")]


def test_addresses_and_file_offsets() -> None:
    elf = Elf(sample())
    assert elf.file_offset(BASE + 5) == TEXT + 5
    assert elf.file_offset(DATA_BASE + 0x7FF) == DATA + 0x7FF
    assert elf.file_offset(DATA_BASE + 0x900) is None  # .bss: no bytes in the file
    assert elf.file_offset(0) is None
    assert elf.address_of(TEXT + 5) == BASE + 5
    assert elf.address_of(0x10000000) is None


def test_the_default_version_of_a_symbol_is_found_first() -> None:
    symbols = [
        Symbol("memcpy", BASE + 0x40, 16, version=0x8002),
        Symbol("memcpy", BASE + 0x80, 16, version=3),
    ]
    data = build(symbol_parts(symbols, 64, "<", dynamic=True, versions=True))
    binary = ElfBinary("/lib/x.so", Elf(data))
    found = binary.symbol("memcpy")
    assert found is not None
    assert found.address == BASE + 0x80
    assert [s.address for s in binary.symbols] == [BASE + 0x80, BASE + 0x40]


def test_a_function_is_found_before_an_object_of_the_same_name() -> None:
    symbols = [Symbol("x", DATA_BASE, 8, OBJECT), Symbol("x", BASE, 8)]
    binary = ElfBinary("/x", Elf(build(symbol_parts(symbols, 64, "<", dynamic=False))))
    assert binary.symbol("x") == SymbolInfo(name="x", address=BASE, offset=TEXT, size=8)


def test_names_may_share_the_tail_of_another_name() -> None:
    parts = symbol_parts([Symbol("xmain", BASE, 4)], 64, "<", dynamic=False)
    row = struct.pack("<IBBHQQ", 2, 2, 0, 1, BASE + 4, 4)  # index 2: "main" within "xmain"
    parts[0] = parts[0]._replace(data=parts[0].data + row)
    binary = ElfBinary("/x", Elf(build(parts)))
    found = binary.symbol("main")
    assert found is not None
    assert found.address == BASE + 4


def test_symbols_of_a_separate_debug_file_are_added() -> None:
    stripped = build(symbol_parts([Symbol("open", BASE, 4)], 64, "<", dynamic=True))
    debug = build(symbol_parts([Symbol("hidden", BASE + 8, 4)], 64, "<", dynamic=False))
    binary = ElfBinary("/x", Elf(stripped), [Elf(debug)])
    assert binary.symbol("hidden") == SymbolInfo(
        name="hidden", address=BASE + 8, offset=TEXT + 8, size=4
    )
    assert [s.name for s in binary.symbols] == ["hidden", "open"]


def test_a_binary_equals_its_plain_record() -> None:
    binary = ElfBinary("/bin/app", Elf(sample()))
    plain = BinaryInfo(**{n: getattr(binary, n) for n in BinaryInfo.__fields__})
    assert binary == plain
    assert plain == binary
    assert binary != ElfBinary("/bin/other", Elf(sample()))


def test_the_symbol_that_covers_an_address() -> None:
    symbols = [
        Symbol("__start", BASE, 16),
        Symbol("start", BASE, 16),
        Symbol("label", BASE, 16, 0),
        Symbol("next", BASE + 32, 0),
    ]
    elf = Elf(build(symbol_parts(symbols, 64, "<", dynamic=False)))
    found = AddressMap(list(elf.symbol_tables()))
    assert len(found) == 2
    assert found.find(BASE + 15) == ("start", 15)
    assert found.find(BASE + 16) is None
    assert found.find(BASE - 1) is None
    assert found.find(BASE + 1000) == ("next", 968)  # size 0: to the next symbol, if any


def test_where_separate_debug_files_lie() -> None:
    found = debug_candidates("/usr/bin/app", "abcdef", ("app.debug", 1), ("/usr/lib/debug",))
    assert found == (
        "/usr/lib/debug/.build-id/ab/cdef.debug",
        "/usr/bin/app.debug",
        "/usr/bin/.debug/app.debug",
        "/usr/lib/debug/usr/bin/app.debug",
        "/usr/lib/debug/app.debug",
    )
    beside = debug_candidates("/usr/bin/app", "", ("app.debug", 1), ("./symbols",))
    assert beside[-1] == "/usr/bin/./symbols/app.debug"
    assert debug_candidates("/usr/bin/app", "", None, ("/usr/lib/debug",)) == ()


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 10, b"\x7fELF\3\3" * 20])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ElfError):
        Elf(data)


def read_all(data: bytes) -> None:
    try:
        elf = Elf(data)
        binary = ElfBinary("/x", elf)
        binary.symbol("main")
        len(binary.symbols)
        elf.debug_link()
        AddressMap(list(elf.symbol_tables())).find(BASE)
    except ElfError:
        return


@pytest.mark.parametrize(("bits", "order"), SHAPES)
def test_a_file_cut_anywhere_is_read_or_refused(bits: int, order: str) -> None:
    data = sample(bits, order)
    for end in [*range(300), *range(0x2000, len(data), 3)]:
        read_all(data[:end])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=12))
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(sample())
    interesting = [*range(0xB0), *range(0x2000, len(data))]
    for where, value in changes:
        data[interesting[where % len(interesting)]] = value
    read_all(bytes(data))
