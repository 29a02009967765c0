"""Makes small ELF files of any class and byte order, for tests of readers."""

from __future__ import annotations

import struct
from typing import NamedTuple

FUNC, OBJECT, IFUNC = 2, 1, 10
TEXT = 0x1000  # file offset of the executable segment
DATA = 0x1800
BASE = 0x401000  # address of the executable segment
DATA_BASE = 0x603800


class Symbol(NamedTuple):
    name: str
    address: int
    size: int = 0
    kind: int = FUNC
    defined: bool = True
    version: int = 2  # of .gnu.version; bit 15 hides


class Part(NamedTuple):
    """A section to be."""

    name: str
    type: int
    data: bytes
    address: int = 0
    link: str = ""


def note(owner: bytes, kind: int, contents: bytes, order: str = "<") -> bytes:
    owner += b"\0"
    padded = owner + bytes(-len(owner) % 4)
    header = struct.pack(order + "III", len(owner), len(contents), kind)
    return header + padded + contents + bytes(-len(contents) % 4)


def stapsdt(
    namespace: str,
    name: str,
    args: str,
    address: int,
    base: int,
    semaphore: int = 0,
    bits: int = 64,
    order: str = "<",
) -> bytes:
    word = "Q" if bits == 64 else "I"
    numbers = struct.pack(order + word * 3, address, base, semaphore)
    texts = b"".join(t.encode() + b"\0" for t in (namespace, name, args))
    return note(b"stapsdt", 3, numbers + texts, order)


def symbol_parts(
    symbols: list[Symbol], bits: int, order: str, *, dynamic: bool, versions: bool = False
) -> list[Part]:
    strings, rows = b"\0", bytes(24 if bits == 64 else 16)
    for s in symbols:
        section = 1 if s.defined else 0
        if bits == 64:
            rows += struct.pack(
                order + "IBBHQQ", len(strings), s.kind, 0, section, s.address, s.size
            )
        else:
            rows += struct.pack(
                order + "IIIBBH", len(strings), s.address, s.size, s.kind, 0, section
            )
        strings += s.name.encode() + b"\0"
    table, names = (".dynsym", ".dynstr") if dynamic else (".symtab", ".strtab")
    parts = [Part(table, 11 if dynamic else 2, rows, link=names), Part(names, 3, strings)]
    if versions:
        numbers = struct.pack(f"{order}{len(symbols) + 1}H", 0, *(s.version for s in symbols))
        parts.append(Part(".gnu.version", 0x6FFFFFFF, numbers))
    return parts


def build(
    parts: list[Part], *, bits: int = 64, order: str = "<", kind: int = 3, machine: int = 62
) -> bytes:
    """An ELF file with an executable and a data segment, 0x800 bytes each, and these sections."""
    word = "Q" if bits == 64 else "I"
    header_size, segment_size, section_size = (64, 56, 64) if bits == 64 else (52, 32, 40)
    parts = [Part("", 0, b""), *parts]
    names = b"".join(p.name.encode() + b"\0" for p in parts) + b".shstrtab\0"
    parts.append(Part(".shstrtab", 3, names))
    body = bytearray(0x2000)
    rows = []
    for part in parts:
        rows.append(len(body))
        body += part.data + bytes(-len(part.data) % 8)
    section_at = len(body)
    index = {p.name: i for i, p in enumerate(parts)}
    for part, offset in zip(parts, rows, strict=True):
        name = names.index(part.name.encode() + b"\0") if part.name else 0
        body += struct.pack(
            f"{order}II{word * 4}II{word * 2}",
            name,
            part.type,
            2,
            part.address,
            offset,
            len(part.data),
            index[part.link] if part.link else 0,
            0,
            8,
            24 if bits == 64 else 16,
        )
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    header = ident + struct.pack(
        f"{order}HHI{word * 3}IHHHHHH",
        kind,
        machine,
        1,
        BASE,
        header_size,
        section_at,
        0,
        header_size,
        segment_size,
        2,
        section_size,
        len(parts),
        len(parts) - 1,
    )
    body[: len(header)] = header
    for i, (flags, offset, address) in enumerate(((5, TEXT, BASE), (6, DATA, DATA_BASE))):
        # The data segment has 0x400 more bytes in memory than in the file, as .bss makes it.
        memory = 0x800 if flags == 5 else 0xC00
        if bits == 64:
            row = struct.pack(
                order + "IIQQQQQQ", 1, flags, offset, address, address, 0x800, memory, 4096
            )
        else:
            row = struct.pack(
                order + "IIIIIIII", 1, offset, address, address, 0x800, memory, flags, 4096
            )
        at = header_size + i * segment_size
        body[at : at + len(row)] = row
    return bytes(body)
