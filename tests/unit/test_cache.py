"""The cache of compiled programs: keys, witnesses, damage, trust, bounds, many writers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytrace import cache as cache_module
from pytrace.base.source import SourceFile
from pytrace.cache import (
    Cache,
    Untrusted,
    configured_directory,
    installation,
    key_of,
    open_cache,
    open_trusted,
    take_witnesses,
    trusted_directory,
)
from pytrace.model.compiled import CompiledProgram, SourceText
from pytrace.model.pack import pack_value
from pytrace.model.request import CompileRequest

KEY = "0" * 40


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that satisfies the rules: below the home directory, unlike /tmp."""
    path = tempfile.mkdtemp(prefix=".pytrace-test-", dir=os.path.expanduser("~"))
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(place: Path, said: list[str]) -> Iterator[Cache]:
    opened = open_cache({"PYTRACE_CACHE": str(place)}, said.append)
    assert opened is not None
    try:
        yield opened
    finally:
        os.close(opened.fd)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """What the machine answers to a witness; changed by tests."""
    known: dict[tuple[str, str], str] = {}
    monkeypatch.setattr(cache_module, "check_witness", lambda kind, subject: known[kind, subject])
    return known


def program(text: bytes = b"begin {}") -> CompiledProgram:
    return CompiledProgram(
        version="1",
        target="x86_64",
        sources=(SourceText(name="stdin", text=text),),
        progs=(),
        subprogs=(),
        maps=(),
        events=(),
        attach=(),
        params=(),
        btf=b"",
        license="GPL",
        config=(),
    )


def request(text: str = "begin {}", **changes: Any) -> CompileRequest:
    return CompileRequest(source=SourceFile("stdin", text.encode()), **changes)


# Entries


def test_what_is_saved_is_loaded(cache: Cache) -> None:
    assert cache.load(KEY) is None
    cache.save(KEY, program(), ())
    assert cache.load(KEY) == program()
    assert cache.load("1" * 40) is None


def test_an_entry_counts_while_its_witnesses_hold(
    cache: Cache, facts: dict[tuple[str, str], str], said: list[str]
) -> None:
    facts.update({("kernel", ""): "a", ("file", "/bin/x"): "b"})
    cache.save(KEY, program(), take_witnesses(facts))
    assert cache.load(KEY) == program()
    facts["file", "/bin/x"] = "c"
    assert cache.load(KEY) is None
    assert said == [f"cache: {KEY}.program is stale: file /bin/x changed"]
    cache.save(KEY, program(b"new"), take_witnesses(facts))
    assert cache.load(KEY) == program(b"new")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage" * 100,
        pack_value((1, 2)),
        pack_value(program()),
        pack_value(((("a", 1),), program())),
        pack_value(((), program()))[:-1],
    ],
    ids=["empty", "garbage", "values", "no witnesses", "odd witness", "cut"],
)
def test_damaged_and_foreign_entries_are_ignored_and_rewritten(
    cache: Cache, place: Path, said: list[str], content: bytes
) -> None:
    entry = place / f"{KEY}.program"
    entry.write_bytes(content)
    entry.chmod(0o600)
    assert cache.load(KEY) is None
    assert said
    assert said[0].startswith(f"cache: {KEY}.program is ignored: ")
    cache.save(KEY, program(), ())
    assert cache.load(KEY) == program()


def test_an_unknown_kind_of_witness_is_no_entry(cache: Cache, said: list[str]) -> None:
    cache.save(KEY, program(), (("nosuch", "", ""),))
    assert cache.load(KEY) is None
    assert said == [f"cache: {KEY}.program is ignored: no kind of witness: 'nosuch'"]


def test_a_file_that_others_can_write_is_ignored(
    cache: Cache, place: Path, said: list[str]
) -> None:
    cache.save(KEY, program(), ())
    (place / f"{KEY}.program").chmod(0o620)
    assert cache.load(KEY) is None
    assert said == [f"cache: {KEY}.program is ignored: not a file of this user alone"]


def test_a_file_of_another_user_is_ignored(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.save(KEY, program(), ())
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.load(KEY) is None


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_no_file_is_ignored(cache: Cache, place: Path, kind: str) -> None:
    entry = place / f"{KEY}.program"
    if kind == "link":
        cache.save("1" * 40, program(), ())
        entry.symlink_to(f"{'1' * 40}.program")
    elif kind == "fifo":
        os.mkfifo(entry, 0o600)
    else:
        entry.mkdir(mode=0o700)
    assert cache.load(KEY) is None


def test_entries_are_private_files(cache: Cache, place: Path) -> None:
    old = os.umask(0)
    try:
        cache.save(KEY, program(), ())
    finally:
        os.umask(old)
    assert (place / f"{KEY}.program").stat().st_mode & 0o7777 == 0o600


def test_a_store_that_fails_leaves_nothing_behind(
    cache: Cache, place: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    cache.save(KEY, program(), ())
    assert said == ["cache: not stored: No space left on device"]
    assert list(place.iterdir()) == []


# Bounds


def names(place: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in place.iterdir()}


def test_the_entries_used_longest_ago_are_evicted(
    cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_ENTRIES", 3)
    for age, key in enumerate("cba"):
        cache.save(key * 40, program(), ())
        os.utime(place / f"{key * 40}.program", (0, 1000 - age))
    assert cache.load("a" * 40) is not None  # The oldest is used.
    cache.save("d" * 40, program(), ())
    assert names(place) == {"a" * 40, "c" * 40, "d" * 40}


def test_the_size_of_all_entries_is_bounded(
    cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_BYTES", 5000)
    for number in range(9):
        key = f"{number:040}"
        cache.save(key, program(os.urandom(1000)), ())
        os.utime(place / f"{key}.program", (0, number))
    cache.save("f" * 40, program(), ())
    assert "f" * 40 in names(place)
    assert f"{8:040}" in names(place)
    assert f"{0:040}" not in names(place)
    assert sum(p.stat().st_size for p in place.iterdir()) <= 5000


def test_only_forgotten_temporaries_and_entries_are_removed(
    cache: Cache, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_ENTRIES", 1)
    for name in ("tables.bin", ".new-old", ".new-now"):
        (place / name).write_bytes(b"")
    os.utime(place / "tables.bin", (0, 0))
    os.utime(place / ".new-old", (0, 0))
    cache.save(KEY, program(), ())
    assert {p.name for p in place.iterdir()} == {"tables.bin", ".new-now", f"{KEY}.program"}


def test_many_writers_and_readers_see_whole_entries(cache: Cache, said: list[str]) -> None:
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            for turn in range(50):
                cache.save(KEY, program(bytes([number]) * (turn * 100)), ())
            os._exit(0)
        children.append(pid)
    loaded = 0
    while children:
        found = cache.load(KEY)
        loaded += found is not None
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            assert status == 0
            children.remove(pid)
    assert loaded > 0
    assert said == []
    assert cache.load(KEY) is not None


# Trust


def refusal(path: Path | str) -> str:
    with pytest.raises(Untrusted) as caught:
        open_trusted(str(path))
    return str(caught.value)


def test_missing_directories_are_made_private(place: Path) -> None:
    os.close(open_trusted(str(place / "a" / "b")))
    assert (place / "a").stat().st_mode & 0o7777 == 0o700
    assert (place / "a" / "b").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o500, 0o1700])
def test_the_directory_must_be_private(place: Path, mode: int) -> None:
    place.chmod(mode)
    text = refusal(place)
    place.chmod(0o700)
    expected = "is writable by others" if mode == 0o770 else f"has mode {mode:04o}, not 0700"
    assert text == f"{place} {expected}"


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o720])
def test_no_component_may_be_writable_by_others(place: Path, mode: int) -> None:
    (place / "cache").mkdir(mode=0o700)
    place.chmod(mode)
    assert refusal(place / "cache") == f"{place} is writable by others"


def test_a_shared_temporary_directory_is_refused() -> None:
    assert refusal("/tmp/pytrace-test-never-made") == "/tmp is writable by others"
    assert not os.path.exists("/tmp/pytrace-test-never-made")


def test_links_are_not_followed(place: Path) -> None:
    (place / "real" / "cache").mkdir(parents=True, mode=0o700)
    (place / "real" / "cache").chmod(0o700)
    (place / "link").symlink_to("real")
    (place / "last").symlink_to("real/cache")
    assert refusal(place / "link" / "cache") == f"{place}/link: Not a directory"
    assert refusal(place / "last") == f"{place}/last: Not a directory"
    os.close(open_trusted(str(place / "real" / "cache")))


def test_a_directory_of_another_user_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = os.getuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    # The first component that is not root's, or the directory itself where all are root's.
    assert refusal(place).endswith(" belongs to another user")


@pytest.mark.parametrize("path", ["relative", "", "/a/../b", "/"])
def test_odd_paths_are_refused(path: str) -> None:
    assert "path" in refusal(path)


def test_a_file_in_the_way_is_refused(place: Path) -> None:
    (place / "file").write_bytes(b"")
    assert refusal(place / "file") == f"{place}/file: Not a directory"


def test_no_descriptor_is_left_open(place: Path) -> None:
    before = os.listdir("/proc/self/fd")
    refusal(place / "x" / ".." / "y")
    place.chmod(0o755)
    refusal(place)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_the_reason_is_told_once_where_there_is_no_cache(said: list[str]) -> None:
    assert open_cache({"PYTRACE_CACHE": "/tmp/x"}, said.append) is None
    assert open_cache({"PYTRACE_CACHE": "OFF"}, said.append) is None
    assert said == ["cache: none: /tmp is writable by others", "cache: switched off"]


def test_the_trusted_directory_is_the_caches_own(place: Path, said: list[str]) -> None:
    environ = {"PYTRACE_CACHE": str(place)}
    assert trusted_directory(environ, said.append) == str(place)
    place.chmod(0o755)
    assert trusted_directory(environ, said.append) is None


def test_default_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert configured_directory({"HOME": "/home/x"}) == "/var/cache/pytrace"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert configured_directory({"HOME": "/home/x"}) == "/home/x/.cache/pytrace"
    environ = {"HOME": "/home/x", "XDG_CACHE_HOME": "/elsewhere"}
    assert configured_directory(environ) == "/elsewhere/pytrace"
    environ["XDG_CACHE_HOME"] = "not/absolute"
    assert configured_directory(environ) == "/home/x/.cache/pytrace"
    assert configured_directory({}) is None
    assert configured_directory({"PYTRACE_CACHE": "/x/y"}) == "/x/y"


# Keys


def test_equal_requests_have_one_key() -> None:
    assert key_of(request(), {}) == key_of(request(), {"HOME": "/x", "TERM": "dumb"})
    assert len(key_of(request(), {})) == 40


@pytest.mark.parametrize(
    "other",
    [
        request("begin { }"),
        CompileRequest(source=SourceFile("x.bt", b"begin {}", "/x.bt")),
        request(params=("1",)),
        request(options=(("a", "1"),)),
        request(options=(("a", None),)),
        request(config_environment=(("max_strlen", 5),)),
        request(unsafe=True),
        request(pid=1),
        request(has_child=True),
        request(runtime_warnings=True),
        request(mode="test"),
        request(no_features=("uprobe_multi",)),
        request(include_dirs=("/x",)),
        request(include_files=("x.h",)),
        request(debuginfo=("/x",)),
        request(traceable_functions="/x"),
    ],
)
def test_every_part_of_a_request_counts(other: CompileRequest) -> None:
    assert key_of(other, {}) != key_of(request(), {})


def test_every_field_of_a_request_is_in_the_key_or_known_not_to_matter() -> None:
    # Stages only show; clock_map comes from the environment, which the next test looks at.
    tested = set(CompileRequest.__fields__) - {"stages", "clock_map"}
    assert tested == {
        "source",
        "params",
        "options",
        "config_environment",
        "unsafe",
        "pid",
        "has_child",
        "runtime_warnings",
        "mode",
        "no_features",
        "include_dirs",
        "include_files",
        "debuginfo",
        "traceable_functions",
    }


@pytest.mark.parametrize(
    "name",
    [
        "PYTRACE_BTF",
        "BPFTRACE_VMLINUX",
        "CPATH",
        "PYTRACE_MASK_FEATURES",
        "PYTRACE_DUMMY_TS_MAP",
    ],
)
def test_the_environment_that_the_compiler_sees_counts(name: str) -> None:
    assert key_of(request(), {name: "x"}) != key_of(request(), {})


def test_one_program_serves_all_processes_unless_names_are_looked_up_in_them() -> None:
    text = "tracepoint:a:b { @ = count(); }"
    assert key_of(request(text, pid=1), {}) == key_of(request(text, pid=2), {})
    for text in ("uprobe:libc:malloc {}", "U:a:b {}", "*:a {}", 'import "x.bt"; begin {}'):
        assert key_of(request(text, pid=1), {}) != key_of(request(text, pid=2), {})
    keys = {key_of(request("$1:a {}", params=("uprobe",), pid=pid), {}) for pid in (1, 2)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("text", "matters"),
    [
        ("uprobe:/bin/bash:readline {}", False),
        ("tracepoint:a:b /pid == 1/ { @ = 1 / 2; }", False),
        ("tracepoint:a:b /@start[tid]/ { }", False),
        ("uprobe:./a.out:main {}", True),
        ("uprobe:bin/app:main {}", True),
        ("uprobe:../app:main {}", True),
        ('uprobe:"my app/bin":main {}', True),
    ],
)
def test_the_working_directory_counts_where_a_path_is_relative(text: str, matters: bool) -> None:
    keys = {key_of(request(text), {}, cwd=cwd) for cwd in ("/a", "/b")}
    assert len(keys) == 1 + matters
    keys = {key_of(request("begin {}", params=(text,)), {}, cwd=cwd) for cwd in ("/a", "/b")}
    assert len(keys) == 1 + matters


def test_a_relative_script_is_known_by_its_place() -> None:
    source = SourceFile("x.bt", b"begin {}", "x.bt")
    keys = {key_of(CompileRequest(source=source), {}, cwd=cwd) for cwd in ("/a", "/b")}
    assert len(keys) == 2


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in ("base/a.py", "grammar/g.lark", "stdlib/tools/t.bt", "cli/main.py", "cache.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


@pytest.mark.parametrize("name", ["base/a.py", "grammar/g.lark", "stdlib/tools/t.bt", "cache.py"])
def test_an_edit_of_the_compiler_changes_the_key(package: Path, name: str) -> None:
    before = installation(str(package))
    assert installation(str(package)) == before
    status = (package / name).stat()
    os.utime(package / name, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    edited = installation(str(package))
    assert edited != before
    (package / name).unlink()
    assert installation(str(package)) not in (before, edited)
    assert key_of(request(), {}, package=str(package)) != key_of(request(), {})


def test_files_that_do_not_make_programs_do_not_count(package: Path) -> None:
    before = installation(str(package))
    (package / "cli" / "new.py").write_text("x")
    (package / "base" / "__pycache__").mkdir()
    (package / "base" / "__pycache__" / "a.pyc").write_text("x")
    (package / "base" / "a.py.orig").write_text("x")
    assert installation(str(package)) == before
