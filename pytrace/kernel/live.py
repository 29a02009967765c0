"""Reads the machine that pytrace runs on: ``LiveKernel`` answers the compiler's questions.

Everything is read when first asked and kept. Files that cannot be read give ``None`` or
``Unknown``, as the protocol says; the pure parsers beside this file do the rest.
"""

from __future__ import annotations

import os
from mmap import PROT_READ, mmap
from sys import byteorder

from pytrace.base.text import matches
from pytrace.kernel.binary import ElfBinary
from pytrace.kernel.elf import NT_GNU_BUILD_ID, Elf, ElfError, debug_candidates, parse_notes
from pytrace.kernel.info import KernelIdentity, TracepointRef, Unknown
from pytrace.kernel.targets import TargetResolver
from pytrace.kernel.tracefs import FormatError, char_type, parse_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from pytrace.kernel.info import BinaryInfo, TracepointFormat

NOTES: Final = "/sys/kernel/notes"
TRACEFS: Final = "/sys/kernel/tracing"
DEBUG_ROOTS: Final = ("/usr/lib/debug",)


class LiveKernel:
    """The running kernel and this machine's files.

    ``btf_path`` replaces the kernel's own type information; ``cache_directory`` (trusted: owned
    by this user, not writable by others) keeps indexes between runs; ``traceable`` is a list of
    traceable functions to read instead of the kernel's; ``debug_roots`` are searched for
    separate debug files.
    """

    def __init__(
        self,
        *,
        btf_path: str = "",
        cache_directory: str = "",
        traceable: str = "",
        debug_roots: Sequence[str] = DEBUG_ROOTS,
        tracefs: str = TRACEFS,
    ) -> None:
        self._btf_path = btf_path
        self._cache_directory = cache_directory
        self._traceable = traceable
        self._debug_roots = tuple(debug_roots)
        self._tracefs = tracefs
        self._identity: KernelIdentity | None = None
        self._events: list[str] | Unknown | None = None
        self._binaries: dict[str, BinaryInfo | None] = {}
        self._targets = TargetResolver()

    def identity(self) -> KernelIdentity:
        if self._identity is None:
            self._identity = read_identity()
        return self._identity

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        if not _is_plain(category) or not _is_plain(event):
            return None
        raw = _read(f"{self._tracefs}/events/{category}/{event}/format")
        if raw is None:
            return None
        char = char_type(self.identity().release)
        try:
            return parse_format(raw.decode(), category, event, char=char)
        except FormatError:
            return None

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        names = self._event_names()
        if isinstance(names, Unknown):
            return names
        found = []
        for name in names:
            left, _, right = name.partition(":")
            if matches(category, left) and matches(event, right):
                found.append(TracepointRef(category=left, event=right))
        return found

    def _event_names(self) -> list[str] | Unknown:
        """``category:event`` of all tracepoints, sorted.

        ftrace's own events (category ftrace) are not in available_events: they cannot be traced.
        """
        if self._events is None:
            try:
                with open(f"{self._tracefs}/available_events", encoding="ascii") as file:
                    self._events = sorted(set(file.read().split()))
            except OSError as error:
                self._events = Unknown(reason=f"{error.filename}: {error.strerror}")
        return self._events

    def binary(self, path: str) -> BinaryInfo | None:
        if path not in self._binaries:
            self._binaries[path] = self._open_binary(path)
        return self._binaries[path]

    def _open_binary(self, path: str) -> BinaryInfo | None:
        elf = open_elf(path)
        if elf is None:
            return None
        try:
            return ElfBinary(path, elf, self._debug_files(path, elf))
        except ElfError:
            return None

    def _debug_files(self, path: str, elf: Elf) -> list[Elf]:
        """The separate debug file with the symbols that ``strip`` took, if it is installed."""
        if elf.section(".symtab") is not None:
            return []
        build_id = elf.build_id()
        candidates = debug_candidates(path, build_id, elf.debug_link(), self._debug_roots)
        for candidate in candidates:
            found = open_elf(candidate)
            if found is not None and found.build_id() == build_id:
                return [found]
        return []

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        return self._targets.resolve(name, pid)


def read_identity() -> KernelIdentity:
    """Release, machine and build id of the running kernel; a build id that is secret is empty."""
    uname = os.uname()
    order = "<" if byteorder == "little" else ">"
    build_id = ""
    for owner, kind, contents in parse_notes(_read(NOTES) or b"", order):
        if owner == b"GNU" and kind == NT_GNU_BUILD_ID:
            build_id = contents.hex()
    return KernelIdentity(
        release=uname.release,
        arch=uname.machine,
        build_id=build_id,
        little_endian=byteorder == "little",
    )


def open_elf(path: str) -> Elf | None:
    """An ELF file mapped into memory, or None. The mapping lives as long as the ``Elf``."""
    try:
        with open(path, "rb") as file:
            return Elf(mmap(file.fileno(), 0, prot=PROT_READ))
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped; not ELF
        return None


def _read(path: str) -> bytes | None:
    """A small file's bytes, or None if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None


def _is_plain(name: str) -> bool:
    """True for a name that cannot lead out of its directory."""
    return bool(name) and "/" not in name and name not in (".", "..")
