"""Maps on the running kernel."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from pytrace.base.errors import LoadError
from pytrace.linux import bpf, maps, ringbuf
from pytrace.linux import uapi as u
from pytrace.linux.cpus import possible_cpu_count
from pytrace.linux.maps import BpfMap
from pytrace.linux.syscall import Syscalls

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def sys() -> Syscalls:
    return Syscalls()


def u32(value: int) -> bytes:
    return struct.pack("=I", value)


def u64(value: int) -> bytes:
    return struct.pack("=Q", value)


def make_hash(sys: Syscalls, entries: int, kind: int = u.BPF_MAP_TYPE_HASH) -> BpfMap:
    return maps.create(sys, "@h", kind=kind, key_size=4, value_size=8, max_entries=entries)


@pytest.fixture
def filled(sys: Syscalls) -> Iterator[BpfMap]:
    with make_hash(sys, 5000) as table:
        for number in range(5000):
            table.update(u32(number), u64(number * 3))
        yield table


def as_dict(table: BpfMap) -> dict[int, int]:
    return {int.from_bytes(k, "little"): int.from_bytes(v, "little") for k, v in table.items()}


def test_elements_are_set_found_and_removed(sys: Syscalls) -> None:
    with make_hash(sys, 4) as table:
        assert table.lookup(u32(1)) is None
        table.update(u32(1), u64(10))
        assert table.lookup(u32(1)) == u64(10)
        assert table.next_key(None) == u32(1)
        assert table.next_key(u32(1)) is None
        assert table.delete(u32(1)) is True
        assert table.delete(u32(1)) is False
        assert table.lookup(u32(1)) is None


def test_lookup_can_take_the_element_out(sys: Syscalls) -> None:
    with make_hash(sys, 4) as table:
        table.update(u32(7), u64(70))
        assert table.lookup(u32(7), delete=True) == u64(70)
        assert table.lookup(u32(7), delete=True) is None


def test_update_flags_and_a_full_map_are_errors_with_the_maps_name(sys: Syscalls) -> None:
    with make_hash(sys, 1) as table:
        with pytest.raises(OSError, match="update map @h") as missing:
            table.update(u32(1), u64(1), flags=u.BPF_EXIST)
        assert missing.value.errno == errno.ENOENT
        table.update(u32(1), u64(1))
        with pytest.raises(OSError, match="update map @h") as full:
            table.update(u32(2), u64(1))
        assert full.value.errno == errno.E2BIG


@pytest.mark.parametrize("size", [1, 7, 64, 5000, 100000])
def test_batches_give_every_element_once(filled: BpfMap, size: int) -> None:
    found: list[tuple[int, int]] = []
    for keys, values, count in filled.batches(size=size):
        found += zip(
            struct.unpack_from(f"={count}I", keys),
            struct.unpack_from(f"={count}Q", values),
            strict=True,
        )
    assert sorted(found) == [(n, n * 3) for n in range(5000)]


def test_reading_one_by_one_gives_the_same(filled: BpfMap) -> None:
    counts = [count for _, _, count in filled._one_by_one(512, False)]
    assert sum(counts) == 5000
    assert max(counts) == 512


def test_a_map_without_batches_is_read_one_by_one(
    filled: BpfMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = filled.sys.bpf_raw

    def refuse(command: int, attr: bytearray) -> int:
        if command == u.BPF_MAP_LOOKUP_BATCH:
            return -errno.EINVAL
        return real(command, attr)

    class Refusing(Syscalls):
        bpf_raw = staticmethod(refuse)

    filled.sys = Refusing()
    assert as_dict(filled) == {n: n * 3 for n in range(5000)}


def test_batches_with_delete_leave_nothing(filled: BpfMap) -> None:
    assert sum(count for _, _, count in filled.batches(size=100, delete=True)) == 5000
    assert as_dict(filled) == {}


def test_clear_empties_a_hash(filled: BpfMap) -> None:
    filled.clear()
    assert filled.next_key(None) is None


@pytest.mark.parametrize("kind", [u.BPF_MAP_TYPE_PERCPU_HASH, u.BPF_MAP_TYPE_PERCPU_ARRAY])
def test_percpu_values_hold_one_value_per_possible_cpu(sys: Syscalls, kind: int) -> None:
    cpus = possible_cpu_count()
    with maps.create(sys, "p", kind=kind, key_size=4, value_size=12, max_entries=3) as table:
        assert table.transfer_size == 16 * cpus
        value = b"".join(bytes([n + 1]) * 12 + b"\0" * 4 for n in range(cpus))
        table.update(u32(2), value)
        assert table.lookup(u32(2)) == value
        assert dict(table.items())[u32(2)] == value


def test_an_array_is_read_in_batches(sys: Syscalls) -> None:
    with maps.create(
        sys, "a", kind=u.BPF_MAP_TYPE_ARRAY, key_size=4, value_size=8, max_entries=100
    ) as table:
        for number in range(100):
            table.update(u32(number), u64(number + 1))
        assert as_dict(table) == {n: n + 1 for n in range(100)}


def test_wrong_sizes_are_refused_before_the_kernel_sees_them(sys: Syscalls) -> None:
    with make_hash(sys, 1) as table:
        with pytest.raises(ValueError, match="keys of 4 bytes"):
            table.lookup(b"x")
        with pytest.raises(ValueError, match="values of 8 bytes"):
            table.update(u32(1), b"x")


def test_a_refused_map_is_a_load_error(sys: Syscalls) -> None:
    with pytest.raises(LoadError, match="cannot create map @x") as caught:
        maps.create(sys, "@x", kind=u.BPF_MAP_TYPE_ARRAY, key_size=8, value_size=8, max_entries=1)
    assert caught.value.errno == errno.EINVAL


def test_a_frozen_map_takes_no_updates(sys: Syscalls) -> None:
    flags = u.BPF_F_RDONLY_PROG
    with maps.create(
        sys,
        ".rodata",
        kind=u.BPF_MAP_TYPE_ARRAY,
        key_size=4,
        value_size=16,
        max_entries=1,
        flags=flags,
    ) as table:
        table.update(u32(0), b"constant" * 2)
        table.freeze()
        with pytest.raises(PermissionError):
            table.update(u32(0), b"x" * 16)
        assert table.lookup(u32(0)) == b"constant" * 2
        assert table.info().flags == flags


def test_memory_of_a_mapped_array_is_the_map(sys: Syscalls) -> None:
    with maps.create(
        sys,
        ".data",
        kind=u.BPF_MAP_TYPE_ARRAY,
        key_size=4,
        value_size=8,
        max_entries=600,
        flags=u.BPF_F_MMAPABLE,
    ) as table:
        view = ringbuf.mmap_array(table.fd, 600 * 8).cast("Q")
        view[599] = 42
        assert table.lookup(u32(599)) == u64(42)
        table.update(u32(1), u64(7))
        assert view[1] == 7
        assert len(view) == 600


def test_ids_lead_back_to_the_map(sys: Syscalls) -> None:
    with make_hash(sys, 4) as table:
        table.update(u32(1), u64(10))
        number = table.info().id
        assert number in set(bpf.ids(sys, "map"))
        with maps.adopt(sys, bpf.fd_by_id(sys, "map", number)) as again:
            assert (again.name, again.kind, again.max_entries) == ("h", u.BPF_MAP_TYPE_HASH, 4)
            assert again.lookup(u32(1)) == u64(10)
    assert number not in set(bpf.ids(sys, "map"))
