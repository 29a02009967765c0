"""Witnesses change exactly when the fact that they stand for may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace.kernel import witness
from pytrace.kernel.witness import check_witness


def test_a_file_is_known_by_identity_size_and_times(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert check_witness(witness.FILE, str(path)) == witness.ABSENT
    path.write_text("one")
    first = check_witness(witness.FILE, str(path))
    s = path.stat()
    assert first == f"{s.st_dev}:{s.st_ino}:3:{s.st_mtime_ns}:{s.st_ctime_ns}"
    assert check_witness(witness.FILE, str(path)) == first
    os.utime(path, ns=(0, 0))
    assert check_witness(witness.FILE, str(path)) != first
    assert check_witness(witness.FILE, "a\0b") == witness.ABSENT


def test_a_new_name_in_a_directory_is_seen(tmp_path: Path) -> None:
    before = check_witness(witness.FILE, str(tmp_path))
    (tmp_path / "new").mkdir()
    assert check_witness(witness.FILE, str(tmp_path)) != before


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTRACE_X", raising=False)
    absent = check_witness(witness.ENVIRONMENT, "PYTRACE_X")
    monkeypatch.setenv("PYTRACE_X", "")
    empty = check_witness(witness.ENVIRONMENT, "PYTRACE_X")
    monkeypatch.setenv("PYTRACE_X", witness.ABSENT)
    assert len({absent, empty, check_witness(witness.ENVIRONMENT, "PYTRACE_X")}) == 3


def test_kernel_and_boot_hold_still() -> None:
    for kind in (witness.KERNEL, witness.BOOT, witness.EVENTS):
        assert check_witness(kind, "") == check_witness(kind, "") != ""
    assert os.uname().release in check_witness(witness.KERNEL, "")
    assert check_witness(witness.BOOT, "").endswith(f" {os.geteuid()}")


def test_a_process_is_known_by_its_start() -> None:
    mine = check_witness(witness.PROCESS, str(os.getpid()))
    assert mine == check_witness(witness.PROCESS, "self")
    assert check_witness(witness.PROCESS, "0") == witness.ABSENT
    assert check_witness(witness.MAPS, str(os.getpid())) != check_witness(witness.MAPS, "0")


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="no kind of witness"):
        check_witness("weather", "")
