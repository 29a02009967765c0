"""fentry and fexit on a kernel that lets them: arguments, results, names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace.kernel.live import LiveKernel
from tests.kernel.tracer import Tracer, run

pytestmark = pytest.mark.needs("root", "btf")


@pytest.fixture(scope="module", autouse=True)
def fentry() -> None:
    reason = LiveKernel().refusal("fentry")
    if reason:
        pytest.skip(f"needs fentry: {reason}")


def truncate(path: Path, *sizes: int) -> None:
    for size in sizes:
        os.truncate(path, size)


MINE = "/pid == {}/"


def test_arguments_and_results(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    mine = MINE.format(os.getpid())
    script = (
        f'fentry:do_truncate {mine} {{ printf("%s %d\\n", probe, args.length); }}'
        f' fexit:do_truncate {mine} {{ printf("%s %d %d\\n", func, args.length, retval); }}'
    )
    with Tracer("-e", script) as tracer:
        truncate(path, 7, 3)
        tracer.wait_for("do_truncate 3 0")
        text = tracer.stop()
    assert text.split("\n")[:4] == [
        "fentry:vmlinux:do_truncate 7",
        "do_truncate 7 0",
        "fentry:vmlinux:do_truncate 3",
        "do_truncate 3 0",
    ]


def test_all_arguments_at_once_and_pointers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    script = (
        f"kfunc:vmlinux:do_truncate {MINE.format(os.getpid())}"
        ' { print(args); printf("%s\\n", str(args.dentry.d_name.name)); exit(); }'
    )
    with Tracer("-e", script) as tracer:
        truncate(path, 0)
        text = tracer.finish()
    first, second = text.split("\n")[:2]
    assert first.startswith("{ ")
    assert ".length = 0" in first
    assert second == "file"


def test_a_negative_result(tmp_path: Path) -> None:
    script = f"fexit:vfs_rmdir {MINE.format(os.getpid())} {{ print(retval); exit(); }}"
    (tmp_path / "full" / "inner").mkdir(parents=True)
    with Tracer("-e", script) as tracer:
        with pytest.raises(OSError, match="not empty"):
            (tmp_path / "full").rmdir()
        text = tracer.finish()
    assert text.startswith("-39\n")


def test_functions_by_pattern_have_their_own_names() -> None:
    script = "fentry:vfs_fsync* { @[probe] = count(); }"
    with Tracer("-e", script) as tracer:
        fd = os.memfd_create("sync")
        os.fsync(fd)
        os.close(fd)
        text = tracer.stop()
    assert "@[fentry:vmlinux:vfs_fsync_range]: " in text


def test_errors_before_loading() -> None:
    done = run("-e", "fentry:vfs_fsnc { }")
    assert done.returncode == 1
    assert "ERROR: No matches for fentry vfs_fsnc." in done.stderr
    assert "HINT: Did you mean vfs_fsync?" in done.stderr
