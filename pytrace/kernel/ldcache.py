"""Reads the dynamic loader's cache, /etc/ld.so.cache: which file a library's name stands for.

Layout: glibc, sysdeps/generic/dl-cache.h. Pure; bytes in.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_OLD_MAGIC: Final = b"ld.so-1.7.0"
_MAGIC: Final = b"glibc-ld.so.cache1.1"
_HEADER_SIZE: Final = 48
_ENTRY_SIZE: Final = 24
_ARCH_FLAGS: Final = {
    "x86_64": 0x0300,
    "s390x": 0x0400,
    "ppc64": 0x0500,
    "ppc64le": 0x0500,
    "aarch64": 0x0A00,
    "riscv64": 0x1000,
    "loongarch64": 0x1200,
}
"""The architecture byte of an entry's flags for native 64-bit libraries."""


class LdCacheError(ValueError):
    """Bytes that are not a loader cache of a known form."""


def parse_cache(data: bytes, arch: str) -> list[tuple[str, str]]:
    """(soname, path) of the libraries for ``arch`` (as uname -m), in the cache's order.

    An unknown ``arch`` gives all. Raises ``LdCacheError``.
    """
    start = _find_header(data)
    for order in "<>":
        count = _unpack(order + "I", data, start + len(_MAGIC))
        table_end = start + _HEADER_SIZE + count * _ENTRY_SIZE
        if table_end <= len(data):
            break
    else:
        raise LdCacheError("truncated loader cache")
    wanted = _ARCH_FLAGS.get(arch)
    entry = Struct(order + "iIIIQ")
    found = []
    for at in range(start + _HEADER_SIZE, table_end, _ENTRY_SIZE):
        flags, key, value, _, _ = entry.unpack_from(data, at)
        if wanted is None or flags & 0xFF00 == wanted:
            found.append((_string(data, start + key), _string(data, start + value)))
    return found


def find_library(entries: list[tuple[str, str]], name: str) -> list[str]:
    """Paths of a library by its soname (``libssl.so.3``) or short name (``libc``, ``libssl``)."""
    exact = [path for soname, path in entries if soname == name]
    if exact:
        return exact
    return [path for soname, path in entries if is_library(soname, name)]


def is_library(file_name: str, name: str) -> bool:
    """True if a file's base name is that library: ``libc.so.6`` for ``libc`` or ``libc.so.6``."""
    return file_name == name or file_name == f"{name}.so" or file_name.startswith(f"{name}.so.")


def _find_header(data: bytes) -> int:
    """Offset of the header in use: an old cache may lie in front of it, 12 bytes an entry."""
    if data.startswith(_MAGIC):
        return 0
    if data.startswith(_OLD_MAGIC):
        for order in "<>":
            count = _unpack(order + "I", data, 12)
            start = (16 + count * 12 + 7) & ~7
            if data[start : start + len(_MAGIC)] == _MAGIC:
                return start
    raise LdCacheError("unknown form of loader cache")


def _unpack(layout: str, data: bytes, offset: int) -> int:
    try:
        value: int = Struct(layout).unpack_from(data, offset)[0]
    except StructError:
        raise LdCacheError("truncated loader cache") from None
    return value


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset)
    if end < 0:
        raise LdCacheError("a string reaches beyond the loader cache")
    return data[offset:end].decode("utf-8", "surrogateescape")
