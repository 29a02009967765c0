"""Probes on kernel functions: counts, arguments and return values against what a workload did."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.linux.features import Features
from pytrace.linux.syscall import Syscalls
from tests.kernel.tracer import Tracer, Workload

CALLS = 500
OPEN = "os.close(os.open('/dev/null', 0))"


@pytest.fixture(autouse=True, scope="module")
def kprobes() -> None:
    features = Features(Syscalls())
    works, reason = features.check("kprobe")
    features.close()
    if not works:
        pytest.skip(f"needs kprobe: {reason}")


@pytest.fixture
def work() -> Iterator[Workload]:
    with Workload() as workload:
        yield workload


def values(output: str, name: str) -> dict[str, int]:
    """The elements of a map with one key and a number, as they are printed."""
    found = re.findall(rf"^@{name}\[(.*)\]: (-?\d+)$", output, re.MULTILINE)
    return {key: int(value) for key, value in found}


@pytest.mark.parametrize("provider", ["kprobe", "kr"])
def test_each_call_counts(work: Workload, provider: str) -> None:
    script = f"{provider}:do_sys_openat2 /pid == $1/ < @[comm] = count(); >"
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, CALLS)
        output = tracer.stop()
    assert list(values(output, "").values()) == [CALLS], output


def test_without_a_filter_names_are_told_apart() -> None:
    """Every process of the machine is counted: one that has a name of its own, exactly."""
    rename = "open('/proc/self/comm', 'w').write('openwork')"
    with Workload() as work:
        work.do(rename, 1)
        with Tracer("-q", "-e", "kprobe:do_sys_openat2 < @[comm] = count(); >") as tracer:
            work.do(OPEN, CALLS)
            output = tracer.stop()
    assert values(output, "")["openwork"] == CALLS, output


def test_paths_and_return_values(work: Workload, tmp_path: Path) -> None:
    """The address decides where str() reads: these are pointers of a user's process."""
    script = (
        "kprobe:do_sys_openat2 { @[str(arg1)] = count(); }"
        " kretprobe:do_sys_openat2 { @ret = lhist(retval, 0, 100, 10); }"
    )
    paths = [f"{tmp_path}/{name}" for name in ("one", "two", "three")]
    for path in paths:
        Path(path).touch()
    work.do(f"paths = {paths!r}", 1)
    with Tracer("-q", "-e", script) as tracer:
        work.do(f"for path in paths: {OPEN.replace(repr('/dev/null'), 'path')}", 7)
        output = tracer.stop()
    opened = values(output, "")
    assert {path: opened.get(path) for path in paths} == dict.fromkeys(paths, 7), output
    rows = dict(re.findall(r"^([\[(].*[)\]]) +(\d+) \|", output, re.MULTILINE))
    assert int(rows["[0, 10)"]) >= 21, output


def test_return_values_are_exact(work: Workload) -> None:
    script = "kretprobe:do_sys_openat2 /pid == $1/ { @ret[(int64)retval] = count(); }"
    work.do("import contextlib", 1)
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 30)
        work.do("with contextlib.suppress(OSError): os.open('/no/such/file', 0)", 20)
        output = tracer.stop()
    returned = values(output, "ret")
    assert returned.pop(str(-errno.ENOENT)) == 20, output
    # The same lowest free descriptor each time.
    assert list(returned.values()) == [30], output
    assert 0 <= int(next(iter(returned))) < 32


def test_arguments_are_exact(work: Workload) -> None:
    """Directory, and flags behind a kernel pointer, of do_sys_openat2(dfd, filename, how)."""
    script = (
        "kprobe:do_sys_openat2 /pid == $1/ {"
        " @dir[(int32)arg0] = count(); @flags[((struct open_how *)arg2)->flags] = count(); }"
    )
    work.do("dev = os.open('/dev', 0); os.dup2(dev, 77)", 1)
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 11)
        work.do("os.close(os.open('null', os.O_WRONLY, dir_fd=77))", 5)
        output = tracer.stop()
    # AT_FDCWD is -100, linux/fcntl.h.
    assert values(output, "dir") == {"-100": 11, "77": 5}, output
    # Python adds O_CLOEXEC, the kernel O_LARGEFILE.
    flags = os.O_CLOEXEC | 0o100000
    assert values(output, "flags") == {str(flags): 11, str(flags | os.O_WRONLY): 5}, output


def test_sizes_asked_for_and_read(work: Workload, tmp_path: Path) -> None:
    script = (
        "kprobe:vfs_read /pid == $1 && tid == $1/ { @asked[arg2] = count(); }"
        " kretprobe:vfs_read /pid == $1/ { @got[retval] = count(); }"
    )
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    work.do(f"fd = os.open({str(file)!r}, 0)", 1)
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do("os.lseek(fd, 0, 0); os.read(fd, 777)", 5)
        work.do("os.lseek(fd, 900, 0); os.read(fd, 778)", 6)
        output = tracer.stop()
    asked, got = values(output, "asked"), values(output, "got")
    assert (asked["777"], asked["778"]) == (5, 6), output
    assert (got["777"], got["100"]) == (5, 6), output


def test_strings_of_the_kernel(work: Workload) -> None:
    """do_filp_open(dfd, pathname, op) has the path in kernel memory."""
    key = "str(((struct filename *)arg1)->name)"
    script = f"kprobe:do_filp_open /pid == $1/ {{ @[{key}] = count(); }}"
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 9)
        output = tracer.stop()
    assert values(output, "") == {"/dev/null": 9}, output


def test_the_probe_knows_its_names(work: Workload) -> None:
    script = (
        "kprobe:do_sys_openat2, kprobe:vfs_open /pid == $1/"
        " { @func[func] = count(); @probe[probe] = count(); }"
    )
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 4)
        output = tracer.stop()
    names = ("do_sys_openat2", "vfs_open")
    assert values(output, "func") == dict.fromkeys(names, 4), output
    assert values(output, "probe") == {f"kprobe:{name}": 4 for name in names}, output


def test_a_wildcard_attaches_to_each_function(work: Workload) -> None:
    script = "kprobe:vfs_re*d /pid == $1/ { @[func] = count(); }"
    work.do("fd = os.open('/dev/zero', 0)", 1)
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do("os.read(fd, 1)", 8)
        output = tracer.stop()
    # Reading the next instruction from standard input takes a read too.
    assert 8 <= values(output, "")["vfs_read"] <= 10, output


def test_an_offset_of_zero_is_the_function(work: Workload) -> None:
    script = "kprobe:do_sys_openat2+0 /pid == $1/ { @ = count(); }"
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 6)
        output = tracer.stop()
    assert "@: 6\n" in output


def test_a_kernel_stack_has_names(work: Workload) -> None:
    script = 'kprobe:do_sys_openat2 /pid == $1/ { printf("%s", kstack(4)); exit(); }'
    with Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(OPEN, 1)
        output = tracer.finish()
    frames = [line.strip() for line in output.splitlines() if line.strip()]
    assert re.fullmatch(r"do_sys_openat2\+\d+", frames[0]), output
    assert any(frame.startswith("do_syscall_64+") for frame in frames), output
