"""Constants that are known at load only."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytrace.base.errors import LoadError
from pytrace.model.compiled import LoadParam
from pytrace.runtime import params
from pytrace.runtime.params import INITIAL_PID_NAMESPACE, RunParams, fill


def filled(kind: str, size: int = 8, name: str = "p", run: RunParams | None = None) -> int:
    data = bytearray(b"\xee" * 24)
    fill(
        [LoadParam(name=f"{kind}:{name}", kind=kind, offset=8, size=size)], data, run or RunParams()
    )
    assert data[:8] == b"\xee" * 8
    assert data[8 + size :] == b"\xee" * (16 - size)
    return int.from_bytes(data[8 : 8 + size], "little")


def test_pids_of_the_run() -> None:
    run = RunParams(child_pid=17, filter_pid=18)
    assert filled("child_pid", 4, run=run) == 17
    assert filled("has_child", 1, run=run) == 1
    assert filled("has_child", 1) == 0
    assert filled("filter_pid", 4, run=run) == 18


def test_the_machine() -> None:
    status = os.stat("/proc/self/ns/pid")
    assert filled("pid_ns_dev") == status.st_dev
    namespace = filled("pid_ns_ino")  # 0 in the initial namespace
    assert namespace == (0 if status.st_ino == INITIAL_PID_NAMESPACE else status.st_ino)
    assert filled("ncpus", 4) >= 1
    assert abs(filled("start_ns") - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) < 10**10


def test_addresses_of_kernel_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "kallsyms"
    table.write_text("ffffffff81000100 T vfs_read\n")
    monkeypatch.setattr(params, "KALLSYMS", str(table))
    assert filled("kaddr", name="vfs_read") == 0xFFFFFFFF81000100
    with pytest.raises(LoadError, match="Failed to resolve kernel symbol: nothing"):
        filled("kaddr", name="nothing")


def test_an_unknown_kind() -> None:
    with pytest.raises(LoadError, match="constant moon:p is of unknown kind moon"):
        filled("moon")


def test_values_are_cut_to_their_size() -> None:
    assert filled("child_pid", 1, run=RunParams(child_pid=258)) == 2
