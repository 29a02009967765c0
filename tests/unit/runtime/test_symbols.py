"""Names of addresses and texts of stacks, on a /proc made for the test.

The lines' shapes are those of bpftrace 0.27.1.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pytrace.base.types import Stack
from pytrace.kernel.demangle import demangler
from pytrace.runtime.symbols import Symbols, parse_maps, parse_perf_map

KALLSYMS = b"""\
ffffffff81000000 T _stext
ffffffff81000100 T vfs_read
ffffffff81000200 t helper_fn
ffffffffc0000000 t bpf_prog_1_begin\t[bpf]
"""


def tiny_elf(symbols: list[tuple[bytes, int, int]]) -> bytes:
    """An ELF64 file with one loaded segment (offset 0x1000 at address 0x401000) and symbols."""
    strings = b"\0" + b"".join(name + b"\0" for name, _, _ in symbols)
    table = bytes(24)
    at = 1
    for name, address, size in symbols:
        table += struct.pack("<IBBHQQ", at, 0x12, 0, 1, address, size)
        at += len(name) + 1
    section_names = b"\0.symtab\0.strtab\0.shstrtab\0"
    body = 64 + 56
    table_at, strings_at = body, body + len(table)
    names_at = strings_at + len(strings)
    sections_at = names_at + len(section_names)
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, sections_at, 0, 64, 56, 1, 64, 4, 3)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0x401000, 0x401000, 0x1000, 0x1000, 4096)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 2, 0, 0, table_at, len(table), 2, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 9, 3, 0, 0, strings_at, len(strings), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 17, 3, 0, 0, names_at, len(section_names), 0, 0, 1, 0)
    return header + segment + table + strings + section_names + sections


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    process = tmp_path / "7"
    (process / "root/bin").mkdir(parents=True)
    (process / "root/tmp").mkdir()
    (process / "root/bin/prog").write_bytes(
        tiny_elf([(b"main", 0x401100, 0x80), (b"_Z1fi", 0x401200, 0x10)])
    )
    (process / "maps").write_text(
        "555500001000-555500002000 r-xp 00001000 08:01 12 /bin/prog\n"
        "555500002000-555500003000 rw-p 00002000 08:01 12 /bin/prog\n"
        "7f0000000000-7f0000001000 rwxp 00000000 00:00 0\n"
        "7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]\n"
    )
    (process / "status").write_text("Name:\tprog\nNSpid:\t7\t3\n")
    (process / "root/tmp/perf-3.map").write_text("7f0000000100 40 jitted code\n")
    (tmp_path / "kallsyms").write_bytes(KALLSYMS)
    return tmp_path


def symbols(machine: Path, **config: object) -> Symbols:
    return Symbols(config, proc=str(machine), kallsyms=str(machine / "kallsyms"))


def stack(mode: str, *frames: int, user: bool = True, pid: int = 7) -> tuple[Stack, bytes]:
    raw = struct.pack(f"=iI{len(frames)}Q", len(frames), pid, *frames)
    return Stack(user=user, mode=mode, limit=len(frames)), raw


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0xFFFFFFFF81000100, "vfs_read"),
        (0xFFFFFFFF81000150, "vfs_read"),
        (0xFFFFFFFFC0000010, "bpf_prog_1_begin"),
        (5, "0x5"),
        (0, "0"),
    ],
)
def test_kernel_symbols(machine: Path, address: int, name: str) -> None:
    assert symbols(machine).kernel(address) == name


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0x555500001104, "main"),
        (0x5555000011FF, "0x5555000011ff"),  # between two symbols
        (0x7F0000000120, "jitted code"),
        (0x7F0000000800, "0x7f0000000800"),
        (0x1234, "0x1234"),
        (0, "0"),
    ],
)
def test_user_symbols(machine: Path, address: int, name: str) -> None:
    assert symbols(machine).user(address, 7) == name


def test_kernel_stacks(machine: Path) -> None:
    found = symbols(machine)
    frames = (0xFFFFFFFF81000110, 0x5)
    assert found.stack(*stack("bpftrace", *frames, user=False)) == (
        "        vfs_read+16",
        "        0x5",
    )
    assert found.stack(*stack("perf", *frames, user=False)) == (
        "\tffffffff81000110 vfs_read+16",
        "\t5 0x5",
    )
    assert found.stack(*stack("raw", *frames, user=False)) == ("ffffffff81000110", "5")


def test_user_stacks(machine: Path) -> None:
    found = symbols(machine)
    frames = (0x555500001104, 0x1234, 0)
    assert found.stack(*stack("bpftrace", *frames)) == (
        "        main+4",
        "        0x1234",
        "        0",
    )
    assert found.stack(*stack("perf", *frames)) == (
        "\t555500001104 main+4 (/bin/prog)",
        "\t1234 0x1234 ([unknown])",
        "\t0 0 ([unknown])",
    )


def test_build_ids(machine: Path) -> None:
    frames = struct.pack("=i20sQ", 1, bytes(range(20)), 0x1129)
    frames += struct.pack("=i20sQ", 2, bytes(20), 0x5247)
    stack_type = Stack(user=True, mode="build_id", limit=2)
    assert symbols(machine).stack(stack_type, struct.pack("=iI", 2, 7) + frames) == (
        "000102030405060708090a0b0c0d0e0f10111213 0x1129",
        "5247",
    )


def test_a_stack_that_could_not_be_taken(machine: Path) -> None:
    kind = Stack(user=True, mode="bpftrace", limit=2)
    assert symbols(machine).stack(kind, struct.pack("=iI2Q", -14, 7, 1, 2)) == ()


def test_a_process_that_is_gone(machine: Path) -> None:
    found = symbols(machine)
    assert found.stack(*stack("bpftrace", 0x555500001104, pid=8)) == ("        0x555500001104",)


def test_what_was_read_before_a_process_ended_stays(machine: Path) -> None:
    found = symbols(machine)
    assert found.user(0x555500001104, 7) == "main"
    (machine / "7/maps").unlink()
    assert found.user(0x555500001108, 7) == "main"


def test_mappings_are_read_again_for_an_unknown_address(machine: Path) -> None:
    found = symbols(machine)
    assert found.user(0x600000001104, 7) == "0x600000001104"
    maps = machine / "7/maps"
    maps.write_text(
        maps.read_text() + "600000001000-600000002000 r-xp 00001000 08:01 12 /bin/prog\n"
    )
    assert found.user(0x600000001104, 7) == "main"


def test_demangling_can_be_turned_off(machine: Path) -> None:
    assert symbols(machine, cpp_demangle=False).user(0x555500001204, 7) == "_Z1fi"


def test_demangling(machine: Path) -> None:
    expected = "f(int)" if demangler() else "_Z1fi"
    assert symbols(machine).user(0x555500001204, 7) == expected


def test_deleted_files_and_spaces_in_maps() -> None:
    text = (
        "1000-2000 r-xp 00000400 08:01 9    /a b/c (deleted)\n"
        "3000-4000 r--p 00000000 08:01 9    /x\n"
        "broken\n"
    )
    assert parse_maps(text) == [(0x1000, 0x2000, 0x400, "/a b/c")]


def test_the_latest_line_of_a_perf_map_counts() -> None:
    assert parse_perf_map("10 5 old\nbad line here\n10 5 new name\n") == [
        (0x10, 5, "new name"),
        (0x10, 5, "old"),
    ]
