"""Capabilities, lockdown, tracefs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace.linux import rights
from pytrace.linux.rights import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, Rights
from pytrace.linux.syscall import Syscalls


def test_capabilities_are_read_from_a_status_file() -> None:
    text = "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t000000c000000001\nCapBnd:\t0\n"
    assert rights.parse_capabilities(text) == 1 << CAP_PERFMON | 1 << CAP_BPF | 1
    with pytest.raises(ValueError, match="CapEff"):
        rights.parse_capabilities("Name:\tx\n")


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        ((), ("CAP_BPF", "CAP_PERFMON")),
        ((CAP_BPF,), ("CAP_PERFMON",)),
        ((CAP_BPF, CAP_PERFMON), ()),
        ((CAP_SYS_ADMIN,), ()),
    ],
)
def test_missing_rights_are_named(held: tuple[int, ...], missing: tuple[str, ...]) -> None:
    bits = sum(1 << capability for capability in held)
    assert Rights(uid=1000, capabilities=bits).missing == missing


def test_rights_of_this_process() -> None:
    assert rights.rights().uid == os.geteuid()


@pytest.mark.parametrize("chosen", ["none", "integrity", "confidentiality"])
def test_lockdown_is_the_word_in_brackets(tmp_path: Path, chosen: str) -> None:
    words = ["none", "integrity", "confidentiality"]
    path = tmp_path / "lockdown"
    path.write_text(" ".join(f"[{w}]" if w == chosen else w for w in words) + "\n")
    assert rights.lockdown(str(path)) == chosen


def test_no_lockdown_file_is_no_lockdown(tmp_path: Path) -> None:
    assert rights.lockdown(str(tmp_path / "none")) == "none"


def test_tracefs_is_the_first_place_with_events(tmp_path: Path) -> None:
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    assert rights.find_tracefs((first, second)) == ""
    (tmp_path / "b/events").mkdir(parents=True)
    assert rights.find_tracefs((first, second)) == second
    (tmp_path / "a/events").mkdir(parents=True)
    assert rights.find_tracefs((first, second)) == first


def test_a_mount_that_fails_says_where(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"mount tracefs at .*/nowhere"):
        rights.mount_tracefs(Syscalls(), str(tmp_path / "nowhere"))
