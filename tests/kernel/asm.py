"""A tiny assembler for BPF instructions, for kernel tests that need no compiler.

``assemble`` takes instructions (``bytes``, as the functions below make them), labels (``str``) and
jumps to labels (``Jump``). Registers are numbers 0 to 10, sizes are bytes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)

_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_ALU = {"+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70}
_ALU.update({"%": 0x90, "^": 0xA0, "=": 0xB0})
_JUMPS = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "s>": 0x60, "s>=": 0x70}
_JUMPS.update({"<": 0xA0, "<=": 0xB0, "s<": 0xC0, "s<=": 0xD0})

# enum bpf_func_id
MAP_LOOKUP_ELEM = 1
MAP_UPDATE_ELEM = 2
KTIME_GET_NS = 5
GET_CURRENT_PID_TGID = 14
RINGBUF_OUTPUT = 130
RINGBUF_RESERVE = 131
RINGBUF_SUBMIT = 132
RINGBUF_DISCARD = 133
GET_ATTACH_COOKIE = 174


class Jump(NamedTuple):
    """A jump to a label: conditional unless ``operator`` is empty."""

    operator: str
    register: int
    immediate: int
    label: str


def insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, offset, immediate)


def mov(dst: int, immediate: int) -> bytes:
    """dst = immediate, sign-extended from 32 bits"""
    return insn(0xB7, dst, immediate=immediate)


def alu(dst: int, operator: str, immediate: int) -> bytes:
    return insn(0x07 | _ALU[operator], dst, immediate=immediate)


def alu_reg(dst: int, operator: str, src: int) -> bytes:
    return insn(0x0F | _ALU[operator], dst, src)


def load(size: int, dst: int, src: int, offset: int) -> bytes:
    """dst = *(size)(src + offset)"""
    return insn(0x61 | _SIZES[size], dst, src, offset)


def store(size: int, dst: int, offset: int, src: int) -> bytes:
    """*(size)(dst + offset) = src"""
    return insn(0x63 | _SIZES[size], dst, src, offset)


def store_imm(size: int, dst: int, offset: int, immediate: int) -> bytes:
    return insn(0x62 | _SIZES[size], dst, 0, offset, immediate)


def atomic_add(dst: int, offset: int, src: int) -> bytes:
    """lock *(u64 *)(dst + offset) += src"""
    return insn(0xDB, dst, src, offset)


def load64(dst: int, value: int) -> bytes:
    low = struct.unpack("<i", struct.pack("<I", value & 0xFFFFFFFF))[0]
    high = struct.unpack("<i", struct.pack("<I", value >> 32 & 0xFFFFFFFF))[0]
    return insn(0x18, dst, immediate=low) + insn(0, immediate=high)


def load_map(dst: int, fd: int) -> bytes:
    """dst = the map itself, for a helper"""
    return insn(0x18, dst, 1, immediate=fd) + insn(0)


def load_map_value(dst: int, fd: int, offset: int = 0) -> bytes:
    """dst = address of the value of an array with one element"""
    return insn(0x18, dst, 2, immediate=fd) + insn(0, immediate=offset)


def call(helper: int) -> bytes:
    return insn(0x85, immediate=helper)


def exit_() -> bytes:
    return insn(0x95)


def assemble(*parts: bytes | str | Jump) -> bytes:
    """The program's instructions, with jumps resolved."""
    labels: dict[str, int] = {}
    position = 0
    for part in parts:
        if isinstance(part, str):
            labels[part] = position
        else:
            position += 1 if isinstance(part, Jump) else len(part) // 8
    code = bytearray()
    for part in parts:
        if isinstance(part, Jump):
            offset = labels[part.label] - len(code) // 8 - 1
            opcode = 0x05 | (_JUMPS[part.operator] if part.operator else 0)
            code += insn(opcode, part.register, 0, offset, part.immediate)
        elif isinstance(part, bytes):
            code += part
    return bytes(code)


def jump(label: str) -> Jump:
    return Jump("", 0, 0, label)


def jump_if(register: int, operator: str, immediate: int, label: str) -> Jump:
    return Jump(operator, register, immediate, label)


def return_(value: int) -> bytes:
    return mov(R0, value) + exit_()


def unless_pid_exit(pid: int) -> tuple[bytes | Jump, ...]:
    """Leave for the label ``out`` unless the current process (thread group) is ``pid``."""
    return (
        call(GET_CURRENT_PID_TGID),
        alu(R0, ">>", 32),
        jump_if(R0, "!=", pid, "out"),
    )


def count_in_array(map_fd: int, pid: int) -> bytes:
    """A program that counts its runs in process ``pid`` in the first u64 of a one-element array."""
    return assemble(
        *unless_pid_exit(pid),
        load_map_value(R1, map_fd),
        mov(R2, 1),
        atomic_add(R1, 0, R2),
        "out",
        return_(0),
    )
