"""Finds files with debug information on this machine: part of live.py.

The rules are those of elfutils and gdb: the file itself, then by build id and by .gnu_debuglink
below the roots; a root that is a relative path counts from the file's directory. Split files are
found by their recorded path, or beside the file; a package FILE.dwp holds all of a file's.
"""

from __future__ import annotations

import os
import zlib

from pytrace.kernel.dwarf import DwarfError, DwarfFile
from pytrace.kernel.elf import debug_candidates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Final

    from pytrace.kernel.elf import Elf

    OpenElf = Callable[[str], "Elf | None"]

_COMPRESSED: Final = 0x800  # SHF_COMPRESSED
_ZLIB: Final = 1  # ELFCOMPRESS_ZLIB


class Sections:
    """The contents of an ELF file's sections by name, each read and unpacked once, when asked."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._contents: dict[str, bytes] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._elf.section(name) is not None

    def get(self, name: str, default: bytes = b"") -> bytes:
        known = self._contents.get(name)
        if known is None:
            section = self._elf.section(name)
            old = self._elf.section(f".z{name[1:]}") if section is None else None
            if section is not None:
                known = self._elf.contents(section)
                if section.flags & _COMPRESSED:
                    known = _unpack(known, 24 if self._elf.bits == 64 else 12, self._elf.order)
            elif old is not None:
                known = zlib.decompress(self._elf.contents(old)[12:])
            else:
                known = default
            self._contents[name] = known
        return known


class DebugFiles:
    """Opens debug information, each file once. ``roots`` are searched for separate files."""

    def __init__(self, open_elf: OpenElf, roots: Sequence[str]) -> None:
        self._open_elf = open_elf
        self._roots = tuple(roots)
        self._found: dict[str, DwarfFile | None] = {}
        self._split: dict[str, DwarfFile | None] = {}
        self._sources: dict[str, list[str]] = {}

    def sources(self, path: str) -> list[str]:
        """The files that were looked for or into for a program, so that a cache can tell when to
        look again."""
        return self._sources.get(path, [path])

    def dwarf(self, path: str) -> DwarfFile | None:
        """The debug information of a program or library, in it or beside it; None without any."""
        if path not in self._found:
            self._found[path] = next(self._candidates(path), None)
        return self._found[path]

    def _candidates(self, path: str) -> Iterator[DwarfFile]:
        elf = self._open_elf(path)
        sources = self._sources[path] = [path]
        if elf is None:
            return
        yield from self._of(path, path, elf)
        build_id = elf.build_id()
        for name in debug_candidates(path, build_id, elf.debug_link(), self._roots):
            sources.append(name)
            found = self._open_elf(name)
            if found is not None and found.build_id() == build_id:
                yield from self._of(path, name, found)

    def _of(self, path: str, name: str, elf: Elf) -> Iterator[DwarfFile]:
        """The debug information in file ``name``, which describes the program ``path``."""
        sections = Sections(elf)
        if not sections.get(".debug_info"):
            return

        def find_split(split: str, directory: str, number: int) -> DwarfFile | None:
            return self._find_split(path, split, directory, number)

        yield DwarfFile(sections, elf.order, find_split, self._alternate(name, elf))

    def _find_split(self, path: str, split: str, directory: str, number: int) -> DwarfFile | None:
        here = os.path.dirname(path)
        names = [f"{path}.dwp", os.path.join(directory, split), os.path.join(here, split)]
        names += [os.path.join(here, root, os.path.basename(split)) for root in self._roots]
        for name in names:
            self._sources[path].append(name)
            found = self._open_split(name)
            if found is not None and found.unit_of(number) is not None:
                return found
        return None

    def _open_split(self, name: str) -> DwarfFile | None:
        if name not in self._split:
            elf = self._open_elf(name)
            sections = Sections(elf) if elf is not None else None
            usable = sections is not None and bool(sections.get(".debug_info.dwo"))
            self._split[name] = (
                DwarfFile(sections, elf.order) if usable and elf and sections else None
            )
        return self._split[name]

    def _alternate(self, name: str, elf: Elf) -> DwarfFile | None:
        """The file that dwz moved what several files have in common to (.gnu_debugaltlink)."""
        section = elf.section(".gnu_debugaltlink")
        if section is None:
            return None
        link = os.fsdecode(elf.contents(section).partition(b"\0")[0])
        found = self._open_elf(os.path.join(os.path.dirname(name), link))
        return DwarfFile(Sections(found), found.order) if found is not None else None


def _unpack(data: bytes, header: int, order: str) -> bytes:
    kind = int.from_bytes(data[:4], "little" if order == "<" else "big")
    if kind != _ZLIB:
        raise DwarfError(f"debug information is packed in a way that is not known ({kind})")
    try:
        return zlib.decompress(data[header:])
    except zlib.error as error:
        raise DwarfError(f"debug information cannot be unpacked: {error}") from None
