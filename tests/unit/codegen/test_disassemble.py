"""Instructions as text, encoded by hand from the instruction set's document."""

from __future__ import annotations

import struct

import pytest

from pytrace.codegen.disassemble import disassemble, disassemble_insns
from pytrace.model.compiled import CompiledProgram, LineInfo, ProgSpec, Reloc


def insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, offset, imm)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (insn(0xB7, 1, imm=-5), "r1 = -5"),
        (insn(0xB4, 1, imm=5), "w1 = 5"),
        (insn(0xBF, 1, 2), "r1 = r2"),
        (insn(0xBC, 1, 2), "w1 = w2"),
        (insn(0xBF, 1, 2, 8), "r1 = (s8)r2"),
        (insn(0xBC, 1, 2, 16), "w1 = (s16)w2"),
        (insn(0x07, 3, imm=7), "r3 += 7"),
        (insn(0x1F, 3, 4), "r3 -= r4"),
        (insn(0x3F, 3, 4), "r3 /= r4"),
        (insn(0x3F, 3, 4, 1), "r3 s/= r4"),
        (insn(0x97, 3, offset=1, imm=10), "r3 s%= 10"),
        (insn(0xC7, 3, imm=2), "r3 s>>= 2"),
        (insn(0x77, 3, imm=2), "r3 >>= 2"),
        (insn(0x87, 3), "r3 = -r3"),
        (insn(0xD4, 3, imm=16), "r3 = le16 r3"),
        (insn(0xDC, 3, imm=32), "r3 = be32 r3"),
        (insn(0xD7, 3, imm=64), "r3 = bswap64 r3"),
        (insn(0x79, 1, 10, -8), "r1 = *(u64 *)(r10 -8)"),
        (insn(0x71, 1, 2, 4), "r1 = *(u8 *)(r2 +4)"),
        (insn(0x81, 1, 2, 4), "r1 = *(s32 *)(r2 +4)"),
        (insn(0x7B, 10, 1, -8), "*(u64 *)(r10 -8) = r1"),
        (insn(0x6A, 10, 0, -2, 3), "*(u16 *)(r10 -2) = 3"),
        (insn(0xDB, 1, 2, 0, 0x00), "lock *(u64 *)(r1 +0) += r2"),
        (insn(0xC3, 1, 2, 0, 0xA0), "lock *(u32 *)(r1 +0) ^= r2"),
        (insn(0xDB, 1, 2, 8, 0x01), "r2 = atomic64_fetch_add((u64 *)(r1 +8), r2)"),
        (insn(0xC3, 1, 2, 8, 0xE1), "r2 = atomic_xchg((u32 *)(r1 +8), r2)"),
        (insn(0xDB, 1, 2, 8, 0xF1), "r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)"),
        (insn(0xDB, 1, 2, 8, 0x100), "r1 = load_acquire((u64 *)(r2 +8))"),
        (insn(0xDB, 1, 2, 8, 0x110), "store_release((u64 *)(r1 +8), r2)"),
        (insn(0x05, offset=3), "goto pc+3"),
        (insn(0x05, offset=-3), "goto pc-3"),
        (insn(0x06, imm=70000), "gotol pc+70000"),
        (insn(0x15, 1, offset=2, imm=0), "if r1 == 0x0 goto pc+2"),
        (insn(0x6D, 1, 2, 2), "if r1 s> r2 goto pc+2"),
        (insn(0xA6, 1, offset=2, imm=16), "if w1 < 0x10 goto pc+2"),
        (insn(0x85, imm=14), "call bpf_get_current_pid_tgid#14"),
        (insn(0x85, imm=9999), "call bpf_unknown#9999"),
        (insn(0x85, src=1, imm=7), "call pc+7"),
        (insn(0x95), "exit"),
        (insn(0x18, 1, imm=5) + insn(0, imm=1), "r1 = 0x100000005 ll"),
        (insn(0xE7, 1), "(code 0xe7 dst 1 src 0 off 0 imm 0)"),
    ],
)
def test_each_form(raw: bytes, text: str) -> None:
    assert disassemble_insns(raw) == [(0, text)]


def test_references_are_named() -> None:
    insns = insn(0x18, 1) + insn(0) + insn(0x18, 2) + insn(0) + insn(0x85, src=1, imm=-1)
    relocs = (
        Reloc(insn=0, kind="map", name="@x"),
        Reloc(insn=2, kind="map_value", name=".state", offset=8),
        Reloc(insn=4, kind="call", name="helper"),
    )
    assert disassemble_insns(insns, relocs) == [
        (0, "r1 = map[@x] ll"),
        (2, "r2 = map_value[.state]+8 ll"),
        (4, "call helper"),
    ]


def test_the_scripts_lines_stand_between() -> None:
    strings = b"\0stdin\0  $x = 1;\0  exit();\0"
    btf = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, len(strings)) + strings

    def line(index: int, text: bytes) -> LineInfo:
        offset = strings.index(text)
        return LineInfo(insn=index, file_name_off=1, line_off=offset, line=1, column=1)

    prog = ProgSpec(
        name="p",
        prog_type="PROG_TYPE_TRACEPOINT",
        insns=insn(0xB7, 1, imm=1) + insn(0xB7, 2, imm=2) + insn(0xB7, 0) + insn(0x95),
        relocs=(),
        subprogs=(),
        btf_func=1,
        line_info=(line(0, b"  $x"), line(1, b"  $x"), line(2, b"  exit")),
    )
    program = CompiledProgram(
        version="",
        target="",
        sources=(),
        progs=(prog,),
        subprogs=(),
        maps=(),
        events=(),
        attach=(),
        params=(),
        btf=btf,
        license="GPL",
        config=(),
    )
    assert disassemble(program) == (
        "p: PROG_TYPE_TRACEPOINT\n"
        "; $x = 1;\n    0: r1 = 1\n    1: r2 = 2\n; exit();\n    2: r0 = 0\n    3: exit\n\n"
    )
