"""CPU lists of sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytrace.linux import cpus


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\n", (0,)),
        ("0-3\n", (0, 1, 2, 3)),
        ("0-1,4,6-7\n", (0, 1, 4, 6, 7)),
        ("\n", ()),
    ],
)
def test_lists_are_ranges_and_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert cpus.parse_cpu_list(text) == expected


def test_each_list_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "online").write_text("0,2\n")
    (tmp_path / "present").write_text("0-2\n")
    (tmp_path / "possible").write_text("0-7\n")
    directory = str(tmp_path)
    assert cpus.online_cpus(directory) == (0, 2)
    assert cpus.present_cpus(directory) == (0, 1, 2)
    assert cpus.possible_cpus(directory) == tuple(range(8))
    assert cpus.possible_cpu_count(directory) == 8
