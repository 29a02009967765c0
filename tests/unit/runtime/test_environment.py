"""Clocks, users and control groups."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.runtime.cgroups import Cgroups, hierarchies
from pytrace.runtime.environment import Environment

SECOND = 1_000_000_000


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("%Y-%m-%d %H:%M:%S", "2027-01-15 08:00:00"),
        ("%S.%f|%l|%k", "00.012345|012|012345678"),
        ("%%f %%", "%f %"),
        ("100%", "100%"),
        ("é %H", "é 08"),
    ],
)
def test_strftime(utc: None, format: str, text: str) -> None:
    assert Environment({}).strftime(format, 1_800_000_000 * SECOND + 12_345_678) == text


def test_time_has_no_fractions(utc: None) -> None:
    # %l and %k are glibc's: the hour without leading zeros.
    assert Environment({}).local_time("%l|%k", 1_800_000_000 * SECOND).replace(" ", "") == "8|8"


def test_times_that_cannot_be_shown() -> None:
    env = Environment({})
    with pytest.raises(ValueError, match="strftime returned 0"):
        env.strftime("", 0)
    for moment in (1 << 88, 1 << 200):  # Beyond struct tm, and beyond time_t.
        with pytest.raises(ValueError, match="too large|out of range"):
            env.strftime("%Y", moment)


def test_boot_times_become_wall_clock() -> None:
    env = Environment({})
    now = env.boot_epoch_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(now - time.time_ns()) < 10 * SECOND
    assert env.tai_offset_ns % SECOND == 0


def test_users() -> None:
    env = Environment({})
    assert env.user_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert env.user_name(0x7FFFFFFE) == ""


def test_trailer() -> None:
    assert Environment({}).trailer == ".."
    assert Environment({"str_trunc_trailer": "[cut]"}).trailer == "[cut]"


MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / {root}/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / {root}/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / {root}/unified rw,relatime - cgroup2 cgroup2 rw
47 46 0:38 / /other/unified rw,relatime - cgroup2 cgroup2 rw
48 46 0:38 /sub /part/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_hierarchies() -> None:
    assert hierarchies(MOUNTS.format(root="/c")) == [
        ("unified", "/c/unified"),
        ("cpu,cpuacct", "/c/cpu"),
        ("systemd", "/c/systemd"),
    ]


def test_a_group_is_found_by_its_inode(tmp_path: Path) -> None:
    for name in ("cpu", "systemd", "unified"):
        (tmp_path / name / "user.slice" / "session").mkdir(parents=True)
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(MOUNTS.format(root=tmp_path))
    groups = Cgroups(str(mountinfo))
    session = (tmp_path / "unified/user.slice/session").stat().st_ino
    assert groups.paths(session) == (("unified", "/user.slice/session"),)
    assert groups.paths((tmp_path / "cpu").stat().st_ino) == (("cpu,cpuacct", "/"),)
    assert groups.paths(1 << 60) == ()
    # Known groups are not looked for again.
    (tmp_path / "unified/user.slice/session").rmdir()
    assert groups.paths(session) == (("unified", "/user.slice/session"),)
