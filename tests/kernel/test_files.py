"""What a script has user space read: files, groups of processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root")


@pytest.mark.parametrize("limit", [1, 9, 10, 100])
def test_a_file_is_printed_up_to_a_limit(tmp_path: Path, limit: int) -> None:
    (tmp_path / "file").write_text("0123456789")
    script = f'config = {{ max_cat_bytes = {limit} }} begin {{ cat("%s/%s", str($1), "file"); }}'
    done = run("-q", "-e", script, str(tmp_path))
    assert done.stdout == "0123456789"[:limit] + "\n\n"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run("-q", "-e", 'begin { cat("%s", str($1)); print(1); }', f"{tmp_path}/none")
    assert done.stdout == "1\n\n\n"
    told = f"ERROR: failed to open file '{tmp_path}/none' (No such file or directory)\n"
    assert done.stderr == told


def group_root() -> str:
    """Where the hierarchy of version 2 is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return where
    pytest.skip("needs cgroup2: the hierarchy is not mounted")


def test_the_id_of_a_group_is_its_inode() -> None:
    where = group_root()
    done = run("-q", "-e", f'begin {{ print(cgroupid("{where}")); }}')
    assert done.stdout == f"{os.stat(where).st_ino}\n\n\n"


def test_the_path_of_the_own_group() -> None:
    group_root()
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
    done = run("-q", "-e", 'begin { print(cgroup_path(cgroup, "unified")); }')
    assert done.stdout == f"unified:{own}\n\n\n"
