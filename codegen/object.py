"""The ELF object that LLVM wrote, taken apart into progs and subprograms.

BPF relocations are those of LLVM's BPF target (docs: BPFUsage, "BPF ELF relocations"): type 1 is
the 64-bit immediate of a pair of instructions, type 10 a call. A call within ``.text`` has none:
its immediate is the distance already.

In the instructions given out, the source register of each relocated one already says what kind it
is (``BPF_PSEUDO_*`` of include/uapi/linux/bpf.h), the immediate is 0, and the second half of a
``map_value`` holds the offset: the loader fills in immediates only.
"""

from __future__ import annotations

import struct

from pytrace.base.frozen import Frozen
from pytrace.codegen.emit import PROG_SECTION
from pytrace.codegen.function import MAP_SYMBOL, VALUE_SYMBOL
from pytrace.codegen.llvm import CodegenError
from pytrace.model.compiled import LineInfo, Reloc

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_REL = struct.Struct("<QQ")
_INSN = struct.Struct("<BBhi")

_R_BPF_64_64, _R_BPF_64_32 = 1, 10
_STT_FUNC = 2
_LD_IMM64, _CALL, _EXIT = 0x18, 0x85, 0x95
_PSEUDO_CALL, _PSEUDO_KFUNC = 1, 2
_PSEUDO_SOURCE = {"map": 1, "map_value": 2, "func": 4}

_TRAP = "__bpf_trap"
"""What LLVM calls where control cannot come; a kfunc that Linux has since 6.16."""

_STACK_REGISTER = 10


class Unit(Frozen):
    """A function: a prog, or a subprogram of ``.text``. Fields as in ``ProgSpec``."""

    name: str
    is_prog: bool
    insns: bytes
    relocs: tuple[Reloc, ...]
    btf_func: int
    line_info: tuple[LineInfo, ...]
    stack: int


class Object(Frozen):
    """A whole object: functions in the order of the file, and the .BTF section."""

    units: tuple[Unit, ...]
    btf: bytes

    def unit(self, name: str) -> Unit:
        return next(u for u in self.units if u.name == name)


class _Elf:
    """Sections and symbols of a little-endian ELF64 file."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01":
            raise CodegenError("LLVM's object is not a little-endian ELF64 file")
        table, count, names_index = self._table(data)
        headers = [_SECTION.unpack_from(data, table + 64 * n) for n in range(count)]
        names = headers[names_index]
        self.names = [_text(data, names[4] + h[0]) for h in headers]
        self.contents = [data[h[4] : h[4] + h[5]] if h[1] != 8 else b"" for h in headers]
        self.targets = [h[7] for h in headers]  # sh_info: what a relocation section is for
        symbols, strings = self.section(".symtab"), self.section(".strtab")
        self.symbols = [
            (_text(strings, name), info & 15, index, value, size)
            for name, info, _, index, value, size in _SYMBOL.iter_unpack(symbols)
        ]

    @staticmethod
    def _table(data: bytes) -> tuple[int, int, int]:
        table = struct.unpack_from("<Q", data, 40)[0]
        count, names_index = struct.unpack_from("<HH", data, 60)
        return table, count, names_index

    def section(self, name: str) -> bytes:
        return self.contents[self.names.index(name)] if name in self.names else b""

    def relocations(self, section: int) -> dict[int, tuple[int, int]]:
        """Type and symbol index by byte offset within a section."""
        result: dict[int, tuple[int, int]] = {}
        for n, name in enumerate(self.names):
            if name.startswith(".rel") and self.targets[n] == section:
                for offset, info in _REL.iter_unpack(self.contents[n]):
                    result[offset] = (info & 0xFFFFFFFF, info >> 32)
        return result


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("utf-8", "surrogateescape")


def parse(elf: bytes) -> Object:
    """Take an object of ours apart. Raises ``CodegenError`` if it holds what we do not expect."""
    file = _Elf(elf)
    info = _read_ext(file.section(".BTF.ext"), file.section(".BTF"))
    units = []
    for index, name in enumerate(file.names):
        if name.startswith(PROG_SECTION):
            size = len(file.contents[index])
            prog = name[len(PROG_SECTION) :]
            units.append(_unit(file, index, prog, True, 0, size, info))
        elif name == ".text":
            functions = sorted(
                (value, size, symbol)
                for symbol, kind, section, value, size in file.symbols
                if section == index and kind == _STT_FUNC
            )
            for value, size, symbol in functions:
                units.append(_unit(file, index, symbol, False, value, size, info))
        elif name.startswith((".rodata", ".data", ".bss")) and file.contents[index]:
            raise CodegenError(f"LLVM put data into section {name}")
    return Object(units=tuple(units), btf=file.section(".BTF"))


def _unit(
    file: _Elf, index: int, name: str, is_prog: bool, start: int, size: int, info: _Ext
) -> Unit:
    insns = bytearray(file.contents[index][start : start + size])
    relocs = _relocate(file, index, start, insns)
    section = file.names[index]
    functions, lines = info.functions.get(section, {}), info.lines.get(section, [])
    return Unit(
        name=name,
        is_prog=is_prog,
        insns=bytes(insns),
        relocs=tuple(relocs),
        btf_func=functions.get(start, 0),
        line_info=_lines_between(lines, start, start + size),
        stack=stack_use(insns),
    )


def _relocate(file: _Elf, section: int, start: int, insns: bytearray) -> list[Reloc]:
    """Relocations of a function; its instructions get their kinds and lose their immediates."""
    wanted = file.relocations(section)
    relocs, at = [], 0
    while at < len(insns):
        code, registers, _, immediate = _INSN.unpack_from(insns, at)
        kind = wanted.get(start + at)
        if code == _LD_IMM64:
            if kind is not None:
                high = struct.unpack_from("<i", insns, at + 12)[0]
                addend = (immediate & 0xFFFFFFFF) | (high << 32)
                relocs.append(_address(file, insns, at, kind, addend))
            at += 16
            continue
        if code == _CALL and (kind is not None or registers >> 4 == _PSEUDO_CALL):
            target = section, start + at + 8 + 8 * immediate
            reloc = _call(file, insns, at, kind, immediate, target)
            relocs += [reloc] if reloc else []
        elif kind is not None:
            raise CodegenError(f"relocation {kind[0]} of an instruction {code:#x}")
        at += 8
    return relocs


def _address(file: _Elf, insns: bytearray, at: int, kind: tuple[int, int], addend: int) -> Reloc:
    """The relocation of a 64-bit immediate: a map, a map's value or a function."""
    number, symbol = kind
    name, _, section, value, _ = file.symbols[symbol]
    if number != _R_BPF_64_64:
        raise CodegenError(f"relocation {number} of a 64-bit immediate")
    offset = 0
    if section:
        what, target = "func", _function_at(file, section, value + addend)
    elif name.startswith(MAP_SYMBOL) and addend == 0:
        what, target = "map", name[len(MAP_SYMBOL) :]
    elif name.startswith(VALUE_SYMBOL):
        what, target, offset = "map_value", name[len(VALUE_SYMBOL) :], addend
    else:
        raise CodegenError(f"the code refers to an unknown symbol {name}+{addend}")
    registers = (insns[at + 1] & 15) | _PSEUDO_SOURCE[what] << 4
    _INSN.pack_into(insns, at, _LD_IMM64, registers, 0, 0)
    struct.pack_into("<i", insns, at + 12, offset)
    return Reloc(insn=at // 8, kind=what, name=target, offset=offset)


def _call(
    file: _Elf,
    insns: bytearray,
    at: int,
    kind: tuple[int, int] | None,
    immediate: int,
    target: tuple[int, int],
) -> Reloc | None:
    """The relocation of a call: of a subprogram or of a kfunc."""
    if kind is not None:
        name, _, section, value, _ = file.symbols[kind[1]]
        if section == 0:
            if name == _TRAP:
                _INSN.pack_into(insns, at, _EXIT, 0, 0, 0)
                return None
            _INSN.pack_into(insns, at, _CALL, _PSEUDO_KFUNC << 4, 0, 0)
            return Reloc(insn=at // 8, kind="kfunc", name=name)
        target = section, value + 8 * (immediate + 1)
    _INSN.pack_into(insns, at, _CALL, _PSEUDO_CALL << 4, 0, 0)
    return Reloc(insn=at // 8, kind="call", name=_function_at(file, *target))


def _function_at(file: _Elf, section: int, offset: int) -> str:
    for name, kind, index, value, _ in file.symbols:
        if index == section and value == offset and kind == _STT_FUNC:
            return name
    raise CodegenError(f"no function at {offset} of section {file.names[section]}")


def stack_use(insns: bytes | bytearray) -> int:
    """Bytes of stack that a function uses: how far below the frame pointer it reaches.

    LLVM makes addresses on the stack by copying r10 and adding a constant.
    """
    deepest, copied = 0, -1
    for code, registers, offset, immediate in _INSN.iter_unpack(insns):
        target, source = registers & 15, registers >> 4
        kind = code & 7
        if (kind == 1 and source == _STACK_REGISTER) or (
            kind in (2, 3) and target == _STACK_REGISTER
        ):
            deepest = min(deepest, offset)
        if code == 0x07 and target == copied:
            deepest = min(deepest, immediate)
        copied = target if code == 0xBF and source == _STACK_REGISTER else -1
    return -deepest


class _Ext(Frozen):
    """.BTF.ext by section: BTF ids of functions by offset, and line records with byte offsets."""

    functions: dict[str, dict[int, int]]
    lines: dict[str, list[LineInfo]]


def _read_ext(ext: bytes, btf: bytes) -> _Ext:
    """Both tables (include/uapi/linux/btf.h and libbpf's btf_ext_header describe the layout)."""
    if not ext:
        return _Ext(functions={}, lines={})
    header, functions_at, functions_size, lines_at, lines_size = struct.unpack_from("<5I", ext, 4)
    strings_header, _, _, strings_at = struct.unpack_from("<4I", btf, 4)
    strings = strings_header + strings_at
    functions: dict[str, dict[int, int]] = {}
    start = header + functions_at
    for section, records in _tables(ext[start : start + functions_size]):
        name = _text(btf, strings + section)
        functions[name] = {r[0]: r[1] for r in struct.iter_unpack("<II", records)}
    lines: dict[str, list[LineInfo]] = {}
    start = header + lines_at
    for section, records in _tables(ext[start : start + lines_size]):
        lines[_text(btf, strings + section)] = [
            LineInfo(insn=at, file_name_off=f, line_off=line, line=c >> 10, column=c & 1023)
            for at, f, line, c in struct.iter_unpack("<4I", records)
        ]
    return _Ext(functions=functions, lines=lines)


def _tables(data: bytes) -> list[tuple[int, bytes]]:
    """Name offset and records of each section of a part of .BTF.ext."""
    result: list[tuple[int, bytes]] = []
    if not data:
        return result
    size, at = struct.unpack_from("<I", data)[0], 4
    while at < len(data):
        name, count = struct.unpack_from("<II", data, at)
        result.append((name, data[at + 8 : at + 8 + count * size]))
        at += 8 + count * size
    return result


def _lines_between(lines: list[LineInfo], start: int, end: int) -> tuple[LineInfo, ...]:
    """The lines of one function, by its own instruction indexes.

    The kernel wants one for the first instruction and each at another one than the last
    (check_btf_line of kernel/bpf/verifier.c). Inline assembly of no bytes makes LLVM write two for
    one instruction: the later one counts.
    """
    own: dict[int, LineInfo] = {}
    for line in lines:
        if start <= line.insn < end:
            own[(line.insn - start) // 8] = line
    if own and 0 not in own:
        own[0] = own[min(own)]
    return tuple(
        LineInfo(
            insn=n,
            file_name_off=own[n].file_name_off,
            line_off=own[n].line_off,
            line=own[n].line,
            column=own[n].column,
        )
        for n in sorted(own)
    )
