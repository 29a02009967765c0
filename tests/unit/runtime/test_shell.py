"""Shell commands of ``system()``."""

from __future__ import annotations

import os

import pytest

from pytrace.runtime.shell import run_shell


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("echo hi; echo err >&2", 0, "hi\nerr\n"),
        ("printf abc; exit 3", 3, "abc"),
        ("kill -9 $$", 137, ""),
        ("printf '\\377'", 0, "\udcff"),
    ],
)
def test_output_and_code(command: str, code: int, output: str) -> None:
    assert run_shell(command) == (code, output)


def test_no_descriptor_is_left() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    run_shell("true")
    assert sorted(os.listdir("/proc/self/fd")) == before
