"""BPF instructions as text, in the syntax that the kernel's verifier log uses.

Encodings are those of Documentation/bpf/standardization/instruction-set.rst, the syntax that of
kernel/bpf/disasm.c. References that are settled at load are shown by name.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pytrace.codegen.helpers import HELPERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytrace.model.compiled import CompiledProgram, LineInfo, ProgSpec, Reloc, SubprogSpec

_INSN = struct.Struct("<BBhi")
_BTF_HEADER = struct.Struct("<HBBIIIII")

_LD, _LDX, _ST, _STX, _ALU, _JMP, _JMP32, _ALU64 = range(8)
_IMM64 = 0x18
_ATOMIC, _MEMSX = 0xC0, 0x80
_NEG, _MOV, _END = 0x80, 0xB0, 0xD0
_JA, _CALL, _EXIT = 0x00, 0x80, 0x90

_SIZES = {0x00: "u32", 0x08: "u16", 0x10: "u8", 0x18: "u64"}
_ALU_OPS = {
    0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=", 0x60: "<<=",
    0x70: ">>=", 0x90: "%=", 0xA0: "^=", 0xB0: "=", 0xC0: "s>>=",
}  # fmt: skip
_JUMP_OPS = {
    0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>=",
    0xA0: "<", 0xB0: "<=", 0xC0: "s<", 0xD0: "s<=",
}  # fmt: skip
_ATOMIC_OPS = {0x00: ("add", "+="), 0x40: ("or", "|="), 0x50: ("and", "&="), 0xA0: ("xor", "^=")}
_FETCH, _XCHG, _CMPXCHG, _ACQUIRE, _RELEASE = 0x01, 0xE1, 0xF1, 0x100, 0x110

_HELPER_NAMES = {helper.number: name for name, helper in HELPERS.items() if helper.number}


class Instruction:
    """The fields of one instruction. ``wide`` is the upper half of a 64-bit immediate, or None."""

    __slots__ = ("code", "dst", "imm", "offset", "src", "wide")

    def __init__(self, insns: bytes, index: int) -> None:
        self.code, registers, self.offset, self.imm = _INSN.unpack_from(insns, 8 * index)
        self.dst, self.src = registers & 15, registers >> 4
        self.wide: int | None = None
        if self.code == _IMM64:
            self.wide = _INSN.unpack_from(insns, 8 * index + 8)[3]


def disassemble(program: CompiledProgram) -> str:
    """All progs of a program, then its subprogs, with the script's lines between."""
    strings = _btf_strings(program.btf)
    parts = [f"{prog.name}: {prog.prog_type}\n{_body(prog, strings)}\n" for prog in program.progs]
    parts += [f"{sub.name}: subprog\n{_body(sub, strings)}\n" for sub in program.subprogs]
    return "".join(parts)


def disassemble_insns(insns: bytes, relocs: Sequence[Reloc] = ()) -> list[tuple[int, str]]:
    """(index, text) of each instruction; a 64-bit load counts for two."""
    names = {reloc.insn: reloc for reloc in relocs}
    lines = []
    index = 0
    while index < len(insns) // 8:
        insn = Instruction(insns, index)
        lines.append((index, text_of(insn, names.get(index))))
        index += 1 if insn.wide is None else 2
    return lines


def _body(code: ProgSpec | SubprogSpec, strings: bytes) -> str:
    lines = _source_lines(code.line_info, strings)
    parts = []
    shown = ""
    for index, text in disassemble_insns(code.insns, code.relocs):
        source = lines.get(index, shown)
        if source != shown:
            shown = source
            parts.append(f"; {source}\n")
        parts.append(f"{index:5}: {text}\n")
    return "".join(parts)


def _source_lines(infos: Sequence[LineInfo], strings: bytes) -> Mapping[int, str]:
    found = {}
    for info in infos:
        end = strings.find(b"\0", info.line_off)
        text = strings[info.line_off : end].decode("utf-8", "replace").strip()
        if text:
            found[info.insn] = text
    return found


def _btf_strings(btf: bytes) -> bytes:
    if len(btf) < _BTF_HEADER.size:
        return b"\0"
    _, _, _, header, _, _, offset, length = _BTF_HEADER.unpack_from(btf)
    return btf[header + offset : header + offset + length]


def text_of(insn: Instruction, reloc: Reloc | None = None) -> str:
    """One instruction. ``reloc`` names what the loader will put in."""
    kind = insn.code & 7
    if insn.wide is not None:
        return _load_immediate(insn, insn.wide, reloc)
    if kind in (_ALU, _ALU64):
        return _arithmetic(insn)
    if kind in (_JMP, _JMP32):
        return _jump(insn, reloc)
    return _memory(insn)


def _load_immediate(insn: Instruction, high: int, reloc: Reloc | None) -> str:
    if reloc is None:
        value = (high & 0xFFFFFFFF) << 32 | insn.imm & 0xFFFFFFFF
        return f"r{insn.dst} = {value:#x} ll"
    shift = f"+{reloc.offset}" if reloc.offset else ""
    return f"r{insn.dst} = {reloc.kind}[{reloc.name}]{shift} ll"


def _arithmetic(insn: Instruction) -> str:
    wide = insn.code & 7 == _ALU64
    letter = "r" if wide else "w"
    dst = f"{letter}{insn.dst}"
    operation = insn.code & 0xF0
    by_register = insn.code & 8
    if operation == _NEG:
        return f"{dst} = -{dst}"
    if operation == _END:
        name = "bswap" if wide else "be" if by_register else "le"
        return f"r{insn.dst} = {name}{insn.imm} r{insn.dst}"
    if operation not in _ALU_OPS:
        return _unknown(insn)
    sign = ""
    if operation == _MOV and by_register and insn.offset:
        return f"{dst} = (s{insn.offset}){letter}{insn.src}"
    if operation in (0x30, 0x90) and insn.offset == 1:
        sign = "s"
    operand = f"{letter}{insn.src}" if by_register else str(insn.imm)
    return f"{dst} {sign}{_ALU_OPS[operation]} {operand}"


def _jump(insn: Instruction, reloc: Reloc | None) -> str:
    narrow = insn.code & 7 == _JMP32
    operation = insn.code & 0xF0
    if operation == _JA:
        return f"gotol pc{insn.imm:+}" if narrow else f"goto pc{insn.offset:+}"
    if operation == _EXIT:
        return "exit"
    if operation == _CALL:
        if reloc is not None:
            return f"call {reloc.name}"
        if insn.src == 1:
            return f"call pc{insn.imm:+}"
        name = _HELPER_NAMES.get(insn.imm, "unknown")
        return f"call bpf_{name}#{insn.imm}"
    if operation not in _JUMP_OPS:
        return _unknown(insn)
    letter = "w" if narrow else "r"
    operand = f"{letter}{insn.src}" if insn.code & 8 else f"{insn.imm:#x}"
    return f"if {letter}{insn.dst} {_JUMP_OPS[operation]} {operand} goto pc{insn.offset:+}"


def _memory(insn: Instruction) -> str:
    kind = insn.code & 7
    mode = insn.code & 0xE0
    size = _SIZES[insn.code & 0x18]
    if kind == _LDX and mode in (0x60, _MEMSX):
        if mode == _MEMSX:
            size = f"s{size[1:]}"
        return f"r{insn.dst} = *({size} *)(r{insn.src} {insn.offset:+})"
    place = f"({size} *)(r{insn.dst} {insn.offset:+})"
    if kind == _STX and mode == _ATOMIC:
        return _atomic(insn, place)
    if kind == _STX and mode == 0x60:
        return f"*{place} = r{insn.src}"
    if kind == _ST and mode == 0x60:
        return f"*{place} = {insn.imm}"
    return _unknown(insn)


def _atomic(insn: Instruction, place: str) -> str:
    bits = "64" if insn.code & 0x18 == 0x18 else ""
    source = f"r{insn.src}"
    if insn.imm == _CMPXCHG:
        return f"r0 = atomic{bits}_cmpxchg({place}, r0, {source})"
    if insn.imm == _XCHG:
        return f"{source} = atomic{bits}_xchg({place}, {source})"
    if insn.imm == _ACQUIRE:
        loaded = place.replace(f"(r{insn.dst} ", f"({source} ")
        return f"r{insn.dst} = load_acquire({loaded})"
    if insn.imm == _RELEASE:
        return f"store_release({place}, {source})"
    operation = _ATOMIC_OPS.get(insn.imm & ~_FETCH)
    if operation is None:
        return _unknown(insn)
    if insn.imm & _FETCH:
        return f"{source} = atomic{bits}_fetch_{operation[0]}({place}, {source})"
    return f"lock *{place} {operation[1]} {source}"


def _unknown(insn: Instruction) -> str:
    return f"(code {insn.code:#04x} dst {insn.dst} src {insn.src} off {insn.offset} imm {insn.imm})"
