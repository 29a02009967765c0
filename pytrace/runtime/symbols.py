"""Names of addresses, and the text of stacks (language 11.2)."""

from __future__ import annotations

import mmap
import os
import struct

from pytrace.kernel.elf import AddressMap, Elf, ElfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from pytrace.base.types import Stack
    from pytrace.kernel.kallsyms import Kallsyms

KALLSYMS: Final = "/proc/kallsyms"
PROC: Final = "/proc"
PERF_MAPS: Final = "/tmp"

_INDENT: Final = " " * 8
_UNKNOWN: Final = "[unknown]"
_HEADER: Final = struct.Struct("=iI")
_BUILD_ID_FRAME: Final = struct.Struct("=i20sQ")  # struct bpf_stack_build_id
_BUILD_ID_VALID: Final = 1  # enum bpf_stack_build_id_status


class Place:
    """Where a user address is: symbol and distance from it (None: unknown), and the file."""

    __slots__ = ("distance", "file", "symbol")

    def __init__(self, symbol: str | None, distance: int, file: str) -> None:
        self.symbol = symbol
        self.distance = distance
        self.file = file


class Symbols:
    """Symbols of the kernel and of processes, read when first needed.

    ``config`` holds ``cpp_demangle`` and ``cache_user_symbols``; with ``NONE`` the mappings of a
    process are read for each stack.
    """

    def __init__(
        self, config: Mapping[str, object], *, proc: str = PROC, kallsyms: str = KALLSYMS
    ) -> None:
        self._proc = proc
        self._kallsyms_path = kallsyms
        self._demangle = bool(config.get("cpp_demangle", True))
        self._keep = config.get("cache_user_symbols") != "NONE"
        self._kernel: Kallsyms | None = None
        self._files = Files()
        self._processes: dict[int, Process] = {}
        self._demangler: Callable[[str], str] | None = None

    # --- one address

    def kernel(self, address: int) -> str:
        """Name of the kernel symbol that covers an address; ``0x...`` if none, ``0`` for 0."""
        found = self._kernel_symbol(address)
        return found[0] if found else _bare(address)

    def user(self, address: int, pid: int) -> str:
        symbol = self._process(pid).find(address).symbol
        return self._readable(symbol) if symbol else _bare(address)

    def _kernel_symbol(self, address: int) -> tuple[str, int] | None:
        if not address:
            return None
        if self._kernel is None:
            from pytrace.kernel.kallsyms import Kallsyms

            with open(self._kallsyms_path, "rb") as file:
                self._kernel = Kallsyms(file.read())
        found = self._kernel.find(address)
        return (found[0], found[2]) if found else None

    def _process(self, pid: int) -> Process:
        found = self._processes.get(pid)
        if found is None or not self._keep:
            found = self._processes[pid] = Process(pid, self._proc, self._files)
        return found

    def _readable(self, symbol: str) -> str:
        if not self._demangle or not symbol.startswith("_Z"):
            return symbol
        if self._demangler is None:
            from pytrace.kernel.demangle import demangler

            self._demangler = demangler() or _no_demangler
        return self._demangler(symbol) or symbol

    # --- stacks

    def stack(self, type_: Stack, raw: bytes) -> tuple[str, ...]:
        """Lines of a stack as ``types.Stack`` lays it out, innermost first. A stack that could
        not be taken (a negative number of frames) has none."""
        count, pid = _HEADER.unpack_from(raw)
        frames = memoryview(raw)[_HEADER.size :][: max(count, 0) * type_.frame_size]
        if type_.mode == "build_id":
            return tuple(
                [self._build_id_line(*frame) for frame in _BUILD_ID_FRAME.iter_unpack(frames)]
            )
        addresses: list[int] = frames.cast("Q").tolist()
        if type_.mode == "raw":
            return tuple([f"{address:x}" for address in addresses])
        line = self._perf_line if type_.mode == "perf" else self._plain_line
        return tuple([line(type_.user, address, pid) for address in addresses])

    def _build_id_line(self, status: int, build_id: bytes, offset: int) -> str:
        return f"{build_id.hex()} 0x{offset:x}" if status == _BUILD_ID_VALID else f"{offset:x}"

    def _plain_line(self, user: bool, address: int, pid: int) -> str:
        return f"{_INDENT}{self._frame(user, address, pid)[0]}"

    def _perf_line(self, user: bool, address: int, pid: int) -> str:
        text, file = self._frame(user, address, pid)
        return f"\t{address:x} {text}{f' ({file})' if user else ''}"

    def _frame(self, user: bool, address: int, pid: int) -> tuple[str, str]:
        """``name+distance`` or a bare address, and the file."""
        if not user:
            found = self._kernel_symbol(address)
            return (f"{found[0]}+{found[1]}" if found else _bare(address)), ""
        place = self._process(pid).find(address)
        if place.symbol is None:
            return _bare(address), place.file
        return f"{self._readable(place.symbol)}+{place.distance}", place.file


class Process:
    """Mappings of one process: which file each address comes from."""

    def __init__(self, pid: int, proc: str, files: Files) -> None:
        self._directory = f"{proc}/{pid}"
        self._pid = pid
        self._files = files
        self._mappings: list[tuple[int, int, int, str]] = []
        self._perf_map: list[tuple[int, int, str]] | None = None
        self._known: dict[int, Place] = {}

    def find(self, address: int) -> Place:
        place = self._known.get(address)
        if place is None:
            place = self._find(address)
            if place.symbol is not None:
                self._known[address] = place
        return place

    def _find(self, address: int) -> Place:
        mapping = self._mapping(address)
        if mapping is None:
            # Libraries come and go: look again, once for each unknown address.
            self._read_mappings()
            mapping = self._mapping(address)
        if mapping is None:
            return Place(None, 0, _UNKNOWN)
        start, end, offset, path = mapping
        if path.startswith("/"):
            root = f"{self._directory}/root{path}"
            known = self._files.open(root, f"{self._directory}/map_files/{start:x}-{end:x}")
            found = known.find(address - start + offset) if known else None
            if found:
                return Place(found[0], found[1], path)
            return Place(None, 0, path if known else _UNKNOWN)
        return self._jitted(address)

    def _mapping(self, address: int) -> tuple[int, int, int, str] | None:
        for mapping in self._mappings:
            if mapping[0] <= address < mapping[1]:
                return mapping
        return None

    def _read_mappings(self) -> None:
        try:
            with open(f"{self._directory}/maps", encoding="utf-8", errors="surrogateescape") as f:
                self._mappings = parse_maps(f.read()) or self._mappings
        except OSError:
            return  # It has ended; what was read before is still true of its stacks.

    def _jitted(self, address: int) -> Place:
        """From the file in which just-in-time compilers tell perf what they made."""
        if self._perf_map is None:
            self._perf_map = []
            name = f"perf-{self._namespace_pid()}.map"
            try:
                with open(f"{self._directory}/root{PERF_MAPS}/{name}", errors="replace") as file:
                    self._perf_map = parse_perf_map(file.read())
            except OSError:
                return Place(None, 0, _UNKNOWN)
        for start, size, symbol in self._perf_map:
            if start <= address < start + size:
                return Place(symbol, address - start, _UNKNOWN)
        return Place(None, 0, _UNKNOWN)

    def _namespace_pid(self) -> int:
        """The process's own idea of its pid (``NSpid`` of proc(5))."""
        try:
            with open(f"{self._directory}/status", errors="replace") as file:
                for line in file:
                    if line.startswith("NSpid:"):
                        return int(line.split()[-1])
        except (OSError, ValueError):
            return self._pid
        return self._pid


class Files:
    """Symbols of ELF files by device and inode, so that each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Code | None] = {}

    def open(self, *paths: str) -> Code | None:
        """The first of ``paths`` that can be read; None if none is an ELF file."""
        for path in paths:
            try:
                status = os.stat(path)
            except OSError:
                continue
            key = (status.st_dev, status.st_ino)
            if key not in self._known:
                self._known[key] = _read_code(path)
            return self._known[key]
        return None


class Code:
    """Symbols of one ELF file by file offset."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        self._symbols = AddressMap(list(elf.symbol_tables()))

    def find(self, offset: int) -> tuple[str, int] | None:
        """(name, distance) of what is at a file offset."""
        address = self._elf.address_of(offset)
        return None if address is None else self._symbols.find(address)


def _read_code(path: str) -> Code | None:
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        return Code(Elf(data))
    except (OSError, ValueError, ElfError):
        return None


def parse_maps(text: str) -> list[tuple[int, int, int, str]]:
    """(start, end, file offset, path) of the executable mappings in a /proc/PID/maps text."""
    found = []
    for line in text.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 5 or "x" not in fields[1]:
            continue
        start, _, end = fields[0].partition("-")
        path = fields[5].removesuffix(" (deleted)") if len(fields) > 5 else ""
        found.append((int(start, 16), int(end, 16), int(fields[2], 16), path))
    return found


def parse_perf_map(text: str) -> list[tuple[int, int, str]]:
    """(start, size, symbol) of each line ``start size symbol``, numbers in hex; the latest first,
    since code is replaced."""
    found = []
    for line in text.splitlines():
        fields = line.split(None, 2)
        try:
            found.append((int(fields[0], 16), int(fields[1], 16), fields[2]))
        except (IndexError, ValueError):
            continue
    found.reverse()
    return found


def _no_demangler(symbol: str) -> str:
    """Where this machine has no C++ library, names stay as they are."""
    return ""


def _bare(address: int) -> str:
    return f"0x{address:x}" if address else "0"
