"""Reads ELF files: segments, symbols, build id, USDT notes. Pure: bytes (or an mmap) in.

Made for speed and for cheap import, since the run side symbolises with it: plain integers and
tuples, one ``struct`` format for each table, no object per symbol. Layouts are those of elf(5);
USDT notes are those of systemtap's sys/sdt.h.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from struct import Struct
from struct import error as StructError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap
    from typing import Final

    Data = bytes | memoryview | mmap


class ElfError(ValueError):
    """Bytes that are not an ELF file, or a broken one."""


ET_EXEC: Final = 2
ET_DYN: Final = 3
PT_LOAD: Final = 1
PF_X: Final = 1
SHT_SYMTAB: Final = 2
SHT_NOTE: Final = 7
SHT_NOBITS: Final = 8
SHT_DYNSYM: Final = 11
SHT_GNU_VERSYM: Final = 0x6FFFFFFF
STT_NOTYPE: Final = 0
STT_OBJECT: Final = 1
STT_FUNC: Final = 2
STT_GNU_IFUNC: Final = 10
NT_GNU_BUILD_ID: Final = 3
NT_STAPSDT: Final = 3

_TYPES: Final = (STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC)
_RANK: Final = {STT_FUNC: 0, STT_GNU_IFUNC: 0, STT_OBJECT: 1, STT_NOTYPE: 2}
_MAX_ENTRIES: Final = 1 << 24


class Section:
    """A section header; ``link`` is another section's index, ``entry_size`` of tables."""

    __slots__ = ("address", "entry_size", "flags", "link", "name", "offset", "size", "type")

    def __init__(self, name: str, layout: tuple[int, ...]) -> None:
        _, self.type, self.flags, self.address, self.offset, self.size = layout[:6]
        self.name = name
        self.link = layout[6]
        self.entry_size = layout[9]


class Segment:
    """A program header."""

    __slots__ = ("address", "file_size", "flags", "memory_size", "offset", "type")

    def __init__(
        self, type: int, flags: int, offset: int, address: int, file_size: int, memory_size: int
    ) -> None:
        self.type = type
        self.flags = flags
        self.offset = offset
        self.address = address
        self.file_size = file_size
        self.memory_size = memory_size


class Elf:
    """One ELF file over its bytes, read as asked. The caller keeps ``data`` alive.

    ``kind`` is "exec", "dyn" or "other"; ``machine`` the ELF machine number; ``bits`` 32 or 64.
    Raises ``ElfError`` for anything that the format forbids.
    """

    def __init__(self, data: Data) -> None:
        self.data = data
        ident = bytes(data[:16])
        if len(ident) < 16 or ident[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError("unknown ELF class or byte order")
        self.bits = 32 * ident[4]
        self.order = "<" if ident[5] == 1 else ">"
        word = "I" if self.bits == 32 else "Q"
        header = self._unpack(f"HHI{word}{word}{word}IHHHHHH", 16)
        kind, self.machine, _, self.entry, phoff, shoff, _, _, phsize, phnum, shsize, shnum = (
            header[:12]
        )
        self.kind = {ET_EXEC: "exec", ET_DYN: "dyn"}.get(kind, "other")
        self.segments = self._segments(phoff, phsize, phnum)
        self.sections = self._sections(shoff, shsize, shnum, header[12])

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return Struct(self.order + layout).unpack_from(self.data, offset)
        except (StructError, OverflowError):
            raise ElfError("truncated ELF file") from None

    def _rows(self, layout: str, offset: int, size: int, count: int) -> list[tuple[int, ...]]:
        """``count`` table entries of ``size`` bytes each, of which ``layout`` is the beginning."""
        reader = Struct(self.order + layout)
        if count and size < reader.size:
            raise ElfError("ELF table entries are too small")
        if count > _MAX_ENTRIES or offset + size * count > len(self.data):
            raise ElfError("truncated ELF file")
        return [reader.unpack_from(self.data, offset + size * i) for i in range(count)]

    def _segments(self, offset: int, size: int, count: int) -> tuple[Segment, ...]:
        if not offset or not count:
            return ()
        if self.bits == 64:
            rows = self._rows("IIQQQQQQ", offset, size, count)
            return tuple(Segment(r[0], r[1], r[2], r[3], r[5], r[6]) for r in rows)
        rows = self._rows("IIIIIIII", offset, size, count)
        return tuple(Segment(r[0], r[6], r[1], r[2], r[4], r[5]) for r in rows)

    def _sections(self, offset: int, size: int, count: int, names: int) -> tuple[Section, ...]:
        if not offset:
            return ()
        layout = "IIIIIIIIII" if self.bits == 32 else "IIQQQQIIQQ"
        if not count:  # more than 0xff00 sections: the number is in the first one's size
            count = self._rows(layout, offset, size, 1)[0][5]
        rows = self._rows(layout, offset, size, count)
        if names == 0xFFFF and rows:
            names = rows[0][6]
        table = rows[names] if names < len(rows) else None
        found = []
        for r in rows:
            name = self._string(table[4], table[5], r[0]) if table else ""
            found.append(Section(name, r))
        return tuple(found)

    def _string(self, table: int, size: int, index: int) -> str:
        if index >= size:
            return ""
        start, end = table + index, min(table + size, len(self.data))
        return _text(bytes(self.data[start:end]) if size < 4096 else self._cut(start, end))

    def _cut(self, start: int, end: int) -> bytes:
        return bytes(self.data[start : min(end, start + 4096)])

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def contents(self, section: Section) -> bytes:
        """A section's bytes in the file; nothing for .bss and the like."""
        if section.type == SHT_NOBITS:
            return b""
        if section.offset + section.size > len(self.data):
            raise ElfError(f"section {section.name} reaches beyond the file")
        return bytes(self.data[section.offset : section.offset + section.size])

    def file_offset(self, address: int) -> int | None:
        """Where a virtual address lies in the file; None for addresses without file contents."""
        for s in self.segments:
            if s.type == PT_LOAD and s.address <= address < s.address + s.file_size:
                return address - s.address + s.offset
        return None

    def address_of(self, offset: int) -> int | None:
        """The virtual address of a file offset, looked for in executable segments first."""
        loads = [s for s in self.segments if s.type == PT_LOAD]
        for s in sorted(loads, key=lambda s: not s.flags & PF_X):
            if s.offset <= offset < s.offset + s.file_size:
                return offset - s.offset + s.address
        return None

    def notes(self) -> Iterator[tuple[bytes, int, bytes]]:
        """(owner without its NUL, type, contents) of each note in sections of that type.

        Files without section headers are read by their PT_NOTE segments.
        """
        places = [(s.offset, s.size) for s in self.sections if s.type == SHT_NOTE]
        if not self.sections:
            places = [(s.offset, s.file_size) for s in self.segments if s.type == 4]
        for offset, size in places:
            yield from parse_notes(bytes(self.data[offset : offset + size]), self.order)

    def build_id(self) -> str:
        """Hex, or empty if the file has none."""
        for owner, kind, contents in self.notes():
            if owner == b"GNU" and kind == NT_GNU_BUILD_ID:
                return contents.hex()
        return ""

    def debug_link(self) -> tuple[str, int] | None:
        """File name and CRC-32 of the separate debug file (.gnu_debuglink)."""
        section = self.section(".gnu_debuglink")
        if section is None:
            return None
        raw = self.contents(section)
        end = raw.find(b"\0")
        at = (end + 4) & ~3
        if end <= 0 or at + 4 > len(raw):
            return None
        return _text(raw), Struct(self.order + "I").unpack_from(raw, at)[0]

    def symbol_tables(self) -> Iterator[SymbolTable]:
        """The file's symbol tables, the full one before the dynamic one."""
        for kind in (SHT_SYMTAB, SHT_DYNSYM):
            for section in self.sections:
                if section.type == kind and section.link < len(self.sections):
                    yield self._table(section)

    def _table(self, section: Section) -> SymbolTable:
        hidden = b""
        if section.type == SHT_DYNSYM:
            versions = next((s for s in self.sections if s.type == SHT_GNU_VERSYM), None)
            hidden = self.contents(versions) if versions else b""
        entry = 16 if self.bits == 32 else 24
        raw = self.contents(section)
        return SymbolTable(
            raw[: len(raw) // entry * entry],
            self.contents(self.sections[section.link]),
            self.order,
            self.bits,
            hidden,
        )

    def usdt(self) -> list[tuple[str, str, int, int, str]]:
        """(namespace, name, address, semaphore's address or 0, arguments) of each USDT note.

        Addresses are moved by what the link editor or prelink moved .stapsdt.base.
        """
        word = Struct(self.order + ("III" if self.bits == 32 else "QQQ"))
        base = self.section(".stapsdt.base")
        found = []
        for owner, kind, contents in self.notes():
            if owner != b"stapsdt" or kind != NT_STAPSDT or len(contents) < word.size:
                continue
            address, noted_base, semaphore = word.unpack_from(contents, 0)
            texts = contents[word.size :].split(b"\0")
            if len(texts) < 4:
                continue
            moved = base.address - noted_base if base and noted_base else 0
            names = [t.decode("utf-8", "replace") for t in texts[:3]]
            found.append(
                (
                    names[0],
                    names[1],
                    address + moved,
                    semaphore + moved if semaphore else 0,
                    names[2],
                )
            )
        return found


class SymbolTable:
    """Symbols of one table, kept as the file's bytes until asked.

    ``hidden`` is .gnu.version: a set bit 15 marks a symbol that only old binaries link to.
    """

    __slots__ = ("_hidden", "_layout", "_raw", "_strings", "_wide")

    def __init__(
        self, raw: bytes, strings: bytes, order: str, bits: int, hidden: bytes = b""
    ) -> None:
        self._raw = raw
        self._strings = strings
        self._wide = bits == 64
        self._layout = Struct(order + ("IBBHQQ" if self._wide else "IIIBBH"))
        self._hidden = array("H", hidden[: len(hidden) & ~1])
        if order != ("<" if array("H", [1]).tobytes()[0] else ">"):
            self._hidden.byteswap()

    def rows(self) -> Iterator[tuple[int, int, int, int]]:
        """(name's index, address, size, type) of each defined symbol, hidden versions last."""
        late = []
        hidden, wide = self._hidden, self._wide
        for i, row in enumerate(self._layout.iter_unpack(self._raw)):
            if wide:
                name, info, _, section, address, size = row
            else:
                name, address, size, info, _, section = row
            kind = info & 15
            if not section or not address or not name or kind not in _TYPES:
                continue
            if i < len(hidden) and hidden[i] & 0x8000:
                late.append((name, address, size, kind))
            else:
                yield name, address, size, kind
        yield from late

    def name(self, index: int) -> str:
        """A symbol's name without its version (``memcpy@@GLIBC_2.14``)."""
        end = self._strings.find(b"\0", index)
        text = self._strings[index : end if end >= 0 else None].decode("utf-8", "replace")
        at = text.find("@")
        return text[:at] if at > 0 else text

    def find(self, name: str) -> list[tuple[int, int, int]]:
        """(address, size, type) of the symbols of that name, functions first.

        The name is searched in the string table, then one pass compares integers.
        """
        wanted = self._indexes(name.encode())
        if not wanted:
            return []
        found = [(a, s, k) for n, a, s, k in self.rows() if n in wanted]
        return sorted(found, key=lambda row: _RANK[row[2]])

    def _indexes(self, name: bytes) -> set[int]:
        """Where names that are ``name`` begin: link editors share the tails of strings."""
        found, strings = set(), self._strings
        for end in (b"\0", b"@"):
            at = strings.find(name + end)
            while at >= 0:
                found.add(at)
                at = strings.find(name + end, at + 1)
        return found if name else set()


class AddressMap:
    """Finds the symbol that covers an address: sorted arrays and a bisection.

    Of several symbols at one address a function wins, then the shorter name with fewer leading
    underscores, as a person would pick.
    """

    __slots__ = ("_names", "_sizes", "_starts", "_tables")

    def __init__(self, tables: list[SymbolTable]) -> None:
        best: dict[int, tuple[int, int, int, int]] = {}
        for number, table in enumerate(tables):
            for name, address, size, kind in table.rows():
                new = (_RANK[kind] * 2 + (size == 0), size, number, name)
                old = best.get(address)
                if old is None or _beats(tables, new, old):
                    best[address] = new
        starts = sorted(best)
        self._tables = tables
        self._starts = array("Q", starts)
        self._sizes = array("Q", [best[a][1] for a in starts])
        self._names = array("Q", [best[a][2] << 32 | best[a][3] for a in starts])

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> tuple[str, int] | None:
        """(name, distance from its start). A symbol of size 0 reaches to the next one."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        distance, size = address - self._starts[at], self._sizes[at]
        if size and distance >= size:
            return None
        packed = self._names[at]
        return self._tables[packed >> 32].name(packed & 0xFFFFFFFF), distance


def parse_notes(raw: bytes, order: str) -> Iterator[tuple[bytes, int, bytes]]:
    """(owner, type, contents) of notes laid end to end; stops at the first broken one."""
    header = Struct(order + "III")
    at = 0
    while at + header.size <= len(raw):
        name_size, size, kind = header.unpack_from(raw, at)
        name = at + header.size
        contents = name + ((name_size + 3) & ~3)
        if contents + size > len(raw):
            return
        yield raw[name : name + name_size].rstrip(b"\0"), kind, raw[contents : contents + size]
        at = contents + ((size + 3) & ~3)


def debug_candidates(
    path: str, build_id: str, link: tuple[str, int] | None, roots: tuple[str, ...]
) -> tuple[str, ...]:
    """Where gdb's rules look for separate debug information, in order, below each root.

    A root that is a relative path counts from the file's own directory, as elfutils has it.
    """
    found = []
    directory = path.rpartition("/")[0]
    whole = [root if root.startswith("/") else f"{directory}/{root}" for root in roots]
    for root in whole:
        if len(build_id) > 2:
            found.append(f"{root}/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    if link and "/" not in link[0]:
        found += [f"{directory}/{link[0]}", f"{directory}/.debug/{link[0]}"]
        found += [f"{root}{directory}/{link[0]}" for root in roots if root.startswith("/")]
        found += [f"{root}/{link[0]}" for root in whole]
    return tuple(name for name in found if name != path)


def _beats(
    tables: list[SymbolTable], new: tuple[int, int, int, int], old: tuple[int, int, int, int]
) -> bool:
    if new[0] != old[0]:
        return new[0] < old[0]

    def order(row: tuple[int, int, int, int]) -> tuple[int, int, str]:
        name = tables[row[2]].name(row[3])
        return len(name) - len(name.lstrip("_")), len(name), name

    return order(new) < order(old)


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace")
