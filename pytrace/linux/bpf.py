"""What the commands of bpf(2) share: information about objects, ids and pins.

The commands themselves live beside what they make: ``maps``, ``progs``, ``btf``, ``links``.
"""

from __future__ import annotations

import errno
import struct

from pytrace.base.frozen import FrozenValue
from pytrace.linux.syscall import address_of, c_string, failure
from pytrace.linux.uapi import (
    BPF_BTF_GET_FD_BY_ID,
    BPF_BTF_GET_NEXT_ID,
    BPF_ENABLE_STATS,
    BPF_LINK_GET_FD_BY_ID,
    BPF_LINK_GET_NEXT_ID,
    BPF_MAP_GET_FD_BY_ID,
    BPF_MAP_GET_NEXT_ID,
    BPF_OBJ_GET,
    BPF_OBJ_GET_INFO_BY_FD,
    BPF_OBJ_PIN,
    BPF_PROG_GET_FD_BY_ID,
    BPF_PROG_GET_NEXT_ID,
    BPF_STATS_RUN_TIME,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytrace.linux.syscall import Syscalls

# struct bpf_prog_info, bpf_map_info, bpf_link_info and bpf_btf_info of include/uapi/linux/bpf.h.
# A kernel that knows fewer fields leaves the rest zero.
_PROG_INFO = struct.Struct("=II8sIIQQQIIQ16sIIQQIIQQIIQIIQQIIIIQQQQIIII")
_MAP_INFO = struct.Struct("=IIIIII16sIIQQIIIIQ")
_LINK_INFO = struct.Struct("=III4x40x")
_BTF_INFO = struct.Struct("=QIIQII")

_NEXT_ID = {"prog": BPF_PROG_GET_NEXT_ID, "map": BPF_MAP_GET_NEXT_ID}
_NEXT_ID.update({"link": BPF_LINK_GET_NEXT_ID, "btf": BPF_BTF_GET_NEXT_ID})
_FD_BY_ID = {"prog": BPF_PROG_GET_FD_BY_ID, "map": BPF_MAP_GET_FD_BY_ID}
_FD_BY_ID.update({"link": BPF_LINK_GET_FD_BY_ID, "btf": BPF_BTF_GET_FD_BY_ID})


class ProgInfo(FrozenValue):
    """What the kernel says about a prog.

    ``run_time_ns`` and ``run_count`` count only while statistics are on (``enable_stats``).
    ``recursion_misses`` are runs dropped because the prog was already active on that CPU.
    ``xlated_size`` and ``jited_size`` are bytes; ``verified_insns`` is the verifier's work.
    """

    type: int
    id: int
    name: str
    tag: str
    xlated_size: int
    jited_size: int
    load_time_ns: int
    map_count: int
    btf_id: int
    run_time_ns: int
    run_count: int
    recursion_misses: int
    verified_insns: int

    @property
    def jited(self) -> bool:
        return self.jited_size > 0


class MapInfo(FrozenValue):
    """What the kernel says about a map. Sizes are bytes."""

    type: int
    id: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int
    btf_key_type_id: int
    btf_value_type_id: int
    map_extra: int


class LinkInfo(FrozenValue):
    """What the kernel says about a link: its type (``enum bpf_link_type``) and ids."""

    type: int
    id: int
    prog_id: int


class BtfInfo(FrozenValue):
    """What the kernel says about a BTF object. ``size`` is bytes of the raw data."""

    id: int
    size: int
    kernel: bool


def info_bytes(sys: Syscalls, fd: int, size: int, what: str) -> bytearray:
    """Raw information about any bpf object: ``size`` bytes, zero where this kernel has no field."""
    info = bytearray(size)
    attr = bytearray(struct.pack("=IIQ", fd, size, address_of(info)))
    sys.bpf(BPF_OBJ_GET_INFO_BY_FD, attr, what)
    return info


def prog_info(sys: Syscalls, fd: int) -> ProgInfo:
    """Information about the prog behind ``fd``."""
    raw = info_bytes(sys, fd, _PROG_INFO.size, "get information about a prog")
    f = _PROG_INFO.unpack(raw)
    return ProgInfo(
        type=f[0],
        id=f[1],
        tag=f[2].hex(),
        jited_size=f[3],
        xlated_size=f[4],
        load_time_ns=f[7],
        map_count=f[9],
        name=_text(f[11]),
        btf_id=f[20],
        run_time_ns=f[32],
        run_count=f[33],
        recursion_misses=f[34],
        verified_insns=f[35],
    )


def xlated_insns(sys: Syscalls, fd: int) -> bytes:
    """The prog's instructions after the verifier rewrote them, 8 bytes each.

    Empty where the kernel hides them (``kptr_restrict``, no CAP_SYS_ADMIN).
    """
    size = prog_info(sys, fd).xlated_size
    if not size:
        return b""
    insns = bytearray(size)
    info = bytearray(_PROG_INFO.size)
    struct.pack_into("=I", info, 20, size)
    struct.pack_into("=Q", info, 32, address_of(insns))
    attr = bytearray(struct.pack("=IIQ", fd, len(info), address_of(info)))
    sys.bpf(BPF_OBJ_GET_INFO_BY_FD, attr, "get the translated instructions of a prog")
    length, pointer = struct.unpack_from("=I", info, 20)[0], struct.unpack_from("=Q", info, 32)[0]
    return bytes(insns[:length]) if pointer else b""


def map_info(sys: Syscalls, fd: int) -> MapInfo:
    """Information about the map behind ``fd``."""
    f = _MAP_INFO.unpack(info_bytes(sys, fd, _MAP_INFO.size, "get information about a map"))
    return MapInfo(
        type=f[0],
        id=f[1],
        key_size=f[2],
        value_size=f[3],
        max_entries=f[4],
        flags=f[5],
        name=_text(f[6]),
        btf_id=f[11],
        btf_key_type_id=f[12],
        btf_value_type_id=f[13],
        map_extra=f[15],
    )


def link_info(sys: Syscalls, fd: int) -> LinkInfo:
    """Information about the link behind ``fd``."""
    f = _LINK_INFO.unpack(info_bytes(sys, fd, _LINK_INFO.size, "get information about a link"))
    return LinkInfo(type=f[0], id=f[1], prog_id=f[2])


def btf_info(sys: Syscalls, fd: int) -> BtfInfo:
    """Information about the BTF object behind ``fd``."""
    f = _BTF_INFO.unpack(info_bytes(sys, fd, _BTF_INFO.size, "get information about BTF"))
    return BtfInfo(size=f[1], id=f[2], kernel=bool(f[5]))


def btf_name(sys: Syscalls, fd: int) -> str:
    """``vmlinux``, or the module whose types a BTF object describes; empty for a program's."""
    name = bytearray(64)
    info = bytearray(_BTF_INFO.pack(0, 0, 0, address_of(name), len(name), 0))
    attr = bytearray(struct.pack("=IIQ", fd, len(info), address_of(info)))
    sys.bpf(BPF_OBJ_GET_INFO_BY_FD, attr, "get the name of BTF")
    return _text(bytes(name))


def ids(sys: Syscalls, kind: str) -> Iterator[int]:
    """Ids of all objects of a kind (``prog``, ``map``, ``link``, ``btf``). Needs CAP_SYS_ADMIN."""
    command, current = _NEXT_ID[kind], 0
    while True:
        attr = bytearray(struct.pack("=III", current, 0, 0))
        result = sys.bpf_raw(command, attr)
        if result == -errno.ENOENT:
            return
        if result < 0:
            raise failure(-result, f"list the ids of each {kind}")
        current = struct.unpack_from("=I", attr, 4)[0]
        yield current


def fd_by_id(sys: Syscalls, kind: str, number: int) -> int:
    """A new descriptor, owned by the caller, of the object with that id. Needs CAP_SYS_ADMIN."""
    attr = bytearray(struct.pack("=III", number, 0, 0))
    return sys.bpf(_FD_BY_ID[kind], attr, f"open {kind} {number}")


def pin(sys: Syscalls, fd: int, path: str) -> None:
    """Make the object reachable as a file of a bpf file system; it then outlives this process."""
    name = c_string(path)
    attr = bytearray(struct.pack("=QIIi", address_of(name), fd, 0, 0))
    sys.bpf(BPF_OBJ_PIN, attr, f"pin {path}")


def open_pinned(sys: Syscalls, path: str, flags: int = 0) -> int:
    """A new descriptor, owned by the caller, of a pinned object."""
    name = c_string(path)
    attr = bytearray(struct.pack("=QIIi", address_of(name), 0, flags, 0))
    return sys.bpf(BPF_OBJ_GET, attr, f"open {path}")


def enable_stats(sys: Syscalls) -> int:
    """Count run time of every prog while the returned descriptor, owned by the caller, is open."""
    attr = bytearray(struct.pack("=I", BPF_STATS_RUN_TIME))
    return sys.bpf(BPF_ENABLE_STATS, attr, "enable run time statistics of progs")


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("ascii", "replace")
