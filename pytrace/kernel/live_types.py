"""The kernel's type information as this machine has it: ``LiveTypes``, part of live.py.

The index that makes look-ups fast is kept in a file between runs.
"""

from __future__ import annotations

import os
import stat
from mmap import MAP_PRIVATE, PROT_READ, mmap

from pytrace.kernel.btf import Btf
from pytrace.kernel.btf_index import BtfError, BtfHeader, BtfIndex
from pytrace.kernel.elf import Elf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

BTF_DIRECTORY: Final = "/sys/kernel/btf"


class LiveTypes:
    """The kernel's type information: vmlinux first, then modules one by one as names ask for.

    ``path`` is a file to read instead, raw BTF or ELF with a .BTF section (and then there are no
    modules). The index of the kernel's own is kept in ``cache_directory`` under ``build``.
    Raises ``BtfError`` for broken files; a file that cannot be read is as good as none.
    """

    def __init__(
        self, path: str, cache_directory: str, build: str, directory: str = BTF_DIRECTORY
    ) -> None:
        self._path = path
        self._cache_directory = cache_directory
        self._build = build
        self._directory = directory
        self._vmlinux: Btf | None = None
        self._opened = False
        self._modules: dict[str, Btf | mmap | bytes] | None = None

    def exist(self) -> bool:
        """True if there is type information, found out without reading it."""
        return os.access(self._path or f"{self._directory}/vmlinux", os.R_OK)

    def vmlinux(self) -> Btf | None:
        if not self._opened:
            self._opened = True
            data = _map(self._path or f"{self._directory}/vmlinux")
            if data is not None and self._path:
                self._vmlinux = Btf(_btf_section(data))
            elif data is not None:
                self._vmlinux = Btf(data, self._index(data))
        return self._vmlinux

    def all(self, word: str = "") -> Iterator[Btf]:
        """vmlinux, then the modules (with ``word``: those in whose names it occurs)."""
        vmlinux = self.vmlinux()
        if vmlinux is None:
            return
        yield vmlinux
        for name in self._module_names():
            found = self.module(name, word)
            if found is not None:
                yield found

    def module(self, name: str, word: str = "") -> Btf | None:
        """One module's types, if it has any and the bytes of ``word`` are among its names."""
        vmlinux = self.vmlinux()
        if vmlinux is None or name == "vmlinux":
            return vmlinux
        self._module_names()
        known = (self._modules or {}).get(name)
        if known is None or isinstance(known, Btf):
            return known
        if word and word.encode() not in known[:]:
            return None
        made = Btf(known, base=vmlinux, module=name)
        if self._modules is not None:
            self._modules[name] = made
        return made

    def _module_names(self) -> list[str]:
        if self._modules is None:
            self._modules = {}
            if not self._path:
                for name in _listing(self._directory):
                    data = None if name == "vmlinux" else _map(f"{self._directory}/{name}")
                    if data is not None:
                        self._modules[name] = data
        return list(self._modules)

    def _index(self, data: mmap | bytes) -> BtfIndex | None:
        """The saved index of the kernel's types, made and saved if there is none."""
        if not self._cache_directory or not self._build:
            return None
        path = f"{self._cache_directory}/btf.index"
        saved = _map_own(path)
        index = BtfIndex.load(saved, len(data), self._build) if saved is not None else None
        if index is None:
            index = BtfIndex.scan(data, BtfHeader(data))
            _replace_file(path, index.save(len(data), self._build))
        return index


def _map(path: str) -> mmap | bytes | None:
    """A file's contents, mapped if possible (type information: privately), else read."""
    try:
        with open(path, "rb") as file:
            try:
                return mmap(file.fileno(), 0, flags=MAP_PRIVATE, prot=PROT_READ)
            except (OSError, ValueError):
                return file.read()
    except OSError:
        return None


def _map_own(path: str) -> mmap | None:
    """A file of this user that no one else may write, reached without following a link."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            return None
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None
        return mmap(fd, 0, flags=MAP_PRIVATE, prot=PROT_READ)
    finally:
        os.close(fd)


def _replace_file(path: str, data: bytes) -> bool:
    """Write a file whole or not at all. False where that is not possible: then nothing is kept."""
    temporary = f"{path}.{os.getpid()}"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        return False
    return True


def _btf_section(data: mmap | bytes) -> mmap | bytes:
    """The type information in a file that may be an ELF file around it."""
    if data[:4] != b"\x7fELF":
        return data
    elf = Elf(data)
    section = elf.section(".BTF")
    if section is None:
        raise BtfError("an ELF file without a .BTF section")
    return elf.contents(section)


def _listing(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
