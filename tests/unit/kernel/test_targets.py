"""Names of uprobe targets: the loader's cache, $PATH, wildcards, processes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.kernel import witness
from pytrace.kernel.ldcache import LdCacheError, find_library, is_library, parse_cache
from pytrace.kernel.targets import TargetResolver

X86, I386 = 0x0303, 0x0003


def cache(*entries: tuple[int, str, str], order: str = "<", old: int = -1) -> bytes:
    """A loader cache; ``old`` entries of the old form in front of it."""
    strings = b""
    rows = b""
    start = 48 + 24 * len(entries)
    for flags, name, path in entries:
        key = start + len(strings)
        strings += name.encode() + b"\0"
        value = start + len(strings)
        strings += path.encode() + b"\0"
        rows += struct.pack(order + "iIIIQ", flags, key, value, 0, 0)
    header = b"glibc-ld.so.cache1.1" + struct.pack(order + "II20x", len(entries), len(strings))
    front = b""
    if old >= 0:
        front = b"ld.so-1.7.0\0" + struct.pack(order + "I", old) + bytes(12 * old)
        front += bytes(-len(front) % 8)
    return front + header + rows + strings


ENTRIES = (
    (X86, "libssl.so.3", "/lib/libssl.so.3"),
    (I386, "libc.so.6", "/lib32/libc.so.6"),
    (X86, "libc.so.6", "/lib/libc.so.6"),
    (X86, "libcap.so.2", "/lib/libcap.so.2"),
)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("old", [-1, 0, 3])
def test_the_loaders_cache(order: str, old: int) -> None:
    found = parse_cache(cache(*ENTRIES, order=order, old=old), "x86_64")
    assert found == [(name, path) for flags, name, path in ENTRIES if flags == X86]
    assert len(parse_cache(cache(*ENTRIES, order=order), "unheard-of")) == 4


def test_libraries_by_short_name() -> None:
    found = parse_cache(cache(*ENTRIES), "x86_64")
    assert find_library(found, "libc") == ["/lib/libc.so.6"]
    assert find_library(found, "libssl.so.3") == ["/lib/libssl.so.3"]
    assert find_library(found, "libca") == []
    assert is_library("libc.so", "libc")
    assert not is_library("libcap.so.2", "libc")


@pytest.mark.parametrize("data", [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"?" * 100])
def test_other_bytes_are_no_cache(data: bytes) -> None:
    with pytest.raises(LdCacheError):
        parse_cache(data, "x86_64")


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255))))
def test_a_damaged_cache_is_read_or_refused(end: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(cache(*ENTRIES, old=1)[:end])
    for where, value in changes:
        if where < len(data):
            data[where] = value
    try:
        parse_cache(bytes(data), "x86_64")
    except LdCacheError:
        return


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two program directories in $PATH, a library directory, a process 42."""
    for name in (
        "one/prog",
        "two/prog",
        "two/probe",
        "two/plain",
        "lib/libx.so.1",
        "lib/libx.so.2",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
        path.chmod(0o644 if name.startswith("lib") or name == "two/plain" else 0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/one:relative:{tmp_path}/two:{tmp_path}/none")
    process = tmp_path / "proc/42"
    process.mkdir(parents=True)
    (process / "root").symlink_to("/")
    lines = [
        f"1000-2000 r--p 00000000 fe:00 11 {tmp_path}/one/prog",
        f"2000-3000 r-xp 00000000 fe:00 11 {tmp_path}/one/prog",
        f"4000-5000 r-xp 00000000 fe:00 12 {tmp_path}/lib/libx.so.2",
        "6000-7000 r-xp 00000000 00:00 0 [vdso]",
        "7000-8000 r-xp 00000000 00:00 0 ",
        "8000-9000 r-xp 00000000 fe:00 13 /gone (deleted)",
    ]
    (process / "maps").write_text("\n".join(lines) + "\n")
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "ld.so.cache").write_bytes(cache((X86, "libx.so.1", f"{tmp_path}/lib/libx.so.1")))
    return tmp_path


@pytest.fixture
def resolver(world: Path) -> TargetResolver:
    return TargetResolver(proc=f"{world}/proc", ld_cache=f"{world}/ld.so.cache")


def test_paths_stand_for_themselves(world: Path, resolver: TargetResolver) -> None:
    assert resolver.resolve(f"{world}/two/plain", None) == (f"{world}/two/plain",)
    assert resolver.resolve(f"{world}/two/../two/plain", None) == (f"{world}/two/plain",)
    assert resolver.resolve(f"{world}/two/gone", None) == ()
    assert resolver.resolve(f"{world}/two", None) == ()


def test_relative_paths_are_made_absolute(
    world: Path, resolver: TargetResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world / "two")
    assert resolver.resolve("./probe", None) == (f"{world}/two/probe",)


def test_names_are_looked_for_in_path(world: Path, resolver: TargetResolver) -> None:
    assert resolver.resolve("prog", None) == (f"{world}/one/prog", f"{world}/two/prog")
    assert resolver.resolve("probe", None) == (f"{world}/two/probe",)
    assert resolver.resolve("plain", None) == ()  # not executable
    assert resolver.resolve("pro*", None) == (
        f"{world}/one/prog",
        f"{world}/two/probe",
        f"{world}/two/prog",
    )


def test_a_file_with_several_names_is_one_target(world: Path, resolver: TargetResolver) -> None:
    (world / "one/probe").symlink_to(world / "two/probe")
    assert resolver.resolve("probe", None) == (f"{world}/one/probe",)


def test_wildcards_in_paths(world: Path, resolver: TargetResolver) -> None:
    assert resolver.resolve(f"{world}/*/prog", None) == (
        f"{world}/one/prog",
        f"{world}/two/prog",
    )
    assert resolver.resolve(f"{world}/lib/lib*.1", None) == (f"{world}/lib/libx.so.1",)
    assert resolver.resolve(f"{world}/none/*", None) == ()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the sample cache is of x86_64")
def test_libraries_by_the_loaders_cache_or_the_process(
    world: Path, resolver: TargetResolver
) -> None:
    assert resolver.resolve("libx", None) == (f"{world}/lib/libx.so.1",)
    assert resolver.resolve("libx", 42) == (f"{world}/lib/libx.so.2",)
    assert resolver.resolve("libx.so.1", 42) == (f"{world}/lib/libx.so.1",)
    assert resolver.resolve("liby", None) == ()


def test_a_star_is_all_code_of_a_process_or_of_all(world: Path, resolver: TargetResolver) -> None:
    both = (f"{world}/one/prog", f"{world}/lib/libx.so.2")
    assert resolver.resolve("*", 42) == both
    assert resolver.resolve("*", None) == both
    assert resolver.resolve("*", 43) == ()


def test_files_of_another_root_are_reached_through_it(
    world: Path, resolver: TargetResolver
) -> None:
    root = world / "proc/42/root"
    root.unlink()
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_text("x")
    assert resolver.resolve("/bin/tool", 42) == (f"{root}/bin/tool",)


def test_a_broken_loader_cache_is_none(world: Path) -> None:
    (world / "ld.so.cache").write_bytes(b"junk")
    assert TargetResolver(f"{world}/proc", f"{world}/ld.so.cache").resolve("libx", None) == ()


def test_what_an_answer_rests_on(world: Path, resolver: TargetResolver) -> None:
    file = witness.FILE
    assert list(resolver.rests_on("/bin/x", None)) == [(file, "/bin/x")]
    assert set(resolver.rests_on("libx", None)) == {
        (witness.ENVIRONMENT, "PATH"),
        (file, f"{world}/one/libx"),
        (file, f"{world}/two/libx"),
        (file, f"{world}/none/libx"),
        (file, f"{world}/ld.so.cache"),
    }
    assert list(resolver.rests_on(f"{world}/*/prog", None)) == [(file, f"{world}/")]
    assert (witness.MAPS, "42") in set(resolver.rests_on("libx", 42))
    assert (witness.PROCESS, "42") in set(resolver.rests_on("/bin/x", 42))
    assert [kind for kind, _ in resolver.rests_on("*", None)] == [witness.UNSTABLE]
