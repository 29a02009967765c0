"""The traced programs: that they build, and the few things about them that cases rely on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from . import build

pytestmark = pytest.mark.needs("gcc", "sdt")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(build.BUILD_VARIABLE, str(tmp_path_factory.mktemp("programs")))
        return build.working_directory({"runtime/a.bt": "begin { }\n"})


def tool(directory: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return result.stdout


def test_every_source_becomes_two_executables(directory: Path) -> None:
    names = {path.stem for path in build.SOURCES.glob("*.c")} - set(build.LIBRARIES)
    assert len(names) > 25
    for name in names:
        fixed = tool(directory, "readelf", "-h", f"testprogs/{name}")
        movable = tool(directory, "readelf", "-h", f"testprogs/{name}-pie")
        assert re.search(r"Type: +EXEC", fixed)
        assert re.search(r"Type: +DYN", movable)


def test_files_of_the_data_are_laid_out(directory: Path) -> None:
    assert (directory / "runtime/a.bt").read_text() == "begin { }\n"


def test_a_second_use_builds_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(build.BUILD_VARIABLE, str(directory.parent))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.working_directory({"runtime/a.bt": "begin { }\n"}) == directory
    with pytest.raises(build.BuildError, match="gcc is not installed"):
        build.working_directory({"runtime/a.bt": "end { }\n"})


def test_a_directory_that_others_can_write_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv(build.BUILD_VARIABLE, str(tmp_path))
    with pytest.raises(build.BuildError, match="only this user can write"):
        build.working_directory({})


def test_lines_that_cases_name_have_code(directory: Path) -> None:
    table = tool(directory, "readelf", "--debug-dump=decodedline", "testprogs/uprobe_test")
    lines = {int(match[1]) for match in re.finditer(r"^uprobe_test\.c +(\d+) ", table, re.M)}
    assert {22, 34, 36, 39} <= lines


def test_usdt_operands_are_of_four_kinds(directory: Path) -> None:
    notes = tool(directory, "readelf", "-n", "testprogs/usdt_args")
    found = dict(re.findall(r"Name: (\w+)\n.*\n +Arguments: (\S+)", notes))
    assert len(found) == 32
    kinds = {"const": r"\$-?\d+", "reg": r"%\w+", "addr": r"-?\d*\(%\w+\)"}
    kinds["index"] = r"\(%\w+,%\w+,[1248]\)"
    for name, operand in found.items():
        kind, _, width = name.partition("_")
        size = int(width.lstrip("u")) // 8
        sign = "" if width.startswith("u") else "-"
        assert re.fullmatch(rf"{sign}{size}@{kinds[kind]}", operand), (name, operand)


def test_debug_information_is_where_cases_look(directory: Path) -> None:
    programs = directory / "testprogs"
    stripped = tool(programs, "readelf", "-S", "-W", "uprobe_test-stripped")
    assert ".debug_info" not in stripped
    assert ".gnu_debuglink" in stripped
    assert ".debug_info" in tool(
        programs, "readelf", "-S", "-W", "external_debug/uprobe_test-stripped.debug"
    )
    assert list((programs / "external_debug/dwo").glob("*.dwo"))
    assert not list((programs / "external_debug/dwp").glob("*.dwo"))
    assert (programs / "external_debug/dwp/uprobe_test-split.dwp").exists()


def test_the_archive_is_not_compressed(directory: Path) -> None:
    archive = (directory / "testprogs/archive.zip").read_bytes()
    assert (directory / "testprogs/true").read_bytes() in archive
