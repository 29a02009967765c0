"""What is packaged is the tree, and the installed command starts wherever it is put.

The command is tried with a stand-in for pytrace/cli/main.py that prints how it was started; the
tree is a copy in a temporary directory. Builds call setuptools here and need no network.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pytrace

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("grammar", "codegen", "stdlib")

STAND_IN = """
import json, sys

def main(argv=None, after=None):
    args = sys.argv[1:] if argv is None else argv
    if args[:1] == ["import"]:
        __import__(args[1])
    print(json.dumps({
        "name": sys.argv[0], "args": args, "site": "site" in sys.modules,
        "isolated": sys.flags.isolated, "path": sys.path, "package": __file__,
    }))
    return 7
"""


def project() -> dict[str, Any]:
    tables: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return tables


def packages_on_disk() -> list[str]:
    names = []
    for top in ("pytrace", *LINKED):
        for directory, _, files in os.walk(ROOT / top):
            if "__init__.py" in files:
                parts = Path(directory).relative_to(ROOT).parts
                names.append(".".join(parts if top == "pytrace" else ("pytrace", *parts)))
    return sorted(names)


def test_packages_equal_the_tree_on_disk() -> None:
    assert project()["tool"]["setuptools"]["packages"] == packages_on_disk()


def test_every_python_file_is_in_a_package() -> None:
    packages = set(packages_on_disk())
    for top in ("pytrace", *LINKED):
        for directory, _, files in os.walk(ROOT / top):
            if any(name.endswith(".py") for name in files):
                parts = Path(directory).relative_to(ROOT).parts
                assert ".".join(parts if top == "pytrace" else ("pytrace", *parts)) in packages


@pytest.mark.parametrize("name", LINKED)
def test_the_links_point_home(name: str) -> None:
    link = ROOT / "pytrace" / name
    assert os.readlink(link) == f"../{name}"
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", LINKED)
def test_a_room_refuses_its_short_name(name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"ImportError: import this package by its full name, pytrace.{name}" in run.stderr
    assert importlib.import_module(f"pytrace.{name}").__name__ == f"pytrace.{name}"


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        f"import sys; sys.path.append({str(ROOT)!r}); before = set(sys.modules); import pytrace; "
        "print(sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert run.stdout == "['__future__', 'pytrace']\n"


# Building and installing.


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads, with the stand-in, under a path with a space."""
    copy = tmp_path_factory.mktemp("packaging") / "a check out"
    copy.mkdir()
    for name in ("bin", "pytrace", *LINKED):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "pytrace" / "cli" / "main.py").write_text(STAND_IN)
    return copy


def build(checkout: Path, hook: str) -> Path:
    """Run a hook of setuptools' build backend, as pip would; returns the file that it made."""
    version = importlib.metadata.version("setuptools")
    if int(version.split(".")[0]) < 77:
        pytest.skip(f"needs setuptools: version 77 or later to build, {version} is installed")
    out = checkout.parent / hook
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return out / run.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return build(checkout, "build_wheel")


@pytest.fixture(scope="module")
def editable(checkout: Path) -> Path:
    return build(checkout, "build_editable")


def shipped(tree: Path) -> set[str]:
    """Every file of the package, by its name in a wheel."""
    names = set()
    for top in ("pytrace", *LINKED):
        for directory, _, files in os.walk(tree / top):
            if "__pycache__" not in directory:
                inside = Path(directory).relative_to(tree)
                place = inside if top == "pytrace" else "pytrace" / inside
                names |= {str(place / name) for name in files}
    return names


def test_the_wheel_holds_every_file_of_the_package(checkout: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("pytrace/")}
    assert names == shipped(checkout)
    assert "pytrace/grammar/__init__.py" in names
    assert "pytrace/py.typed" in names


def test_the_wheel_states_version_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"pytrace-{pytrace.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert f"\nVersion: {pytrace.__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


def test_the_source_archive_builds_the_same_wheel(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    subprocess.run(["tar", "xf", build(checkout, "build_sdist"), "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(build(unpacked, "build_wheel")) as two:
        assert set(one.namelist()) == set(two.namelist())


# The command.


class Installed(NamedTuple):
    """An environment with pytrace in it, under a path with a space."""

    prefix: Path
    package: Path  # The directory that holds the package `pytrace`.

    @property
    def command(self) -> Path:
        return self.prefix / "bin" / "pytrace"

    @property
    def site_packages(self) -> Path:
        (found,) = self.prefix.glob("lib/python3*/site-packages")
        return found


def install(prefix: Path, wheel: Path) -> None:
    """Make an environment of its own and let pip install a wheel into it, without a network."""
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)])
    assert made.returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", str(prefix / "bin" / "python3")]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run = subprocess.run([*pip, "install", *options, str(wheel)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, checkout: Path) -> Installed:
    prefix = checkout.parent / f"an environment for {request.param}"
    install(prefix, request.getfixturevalue(request.param))
    where = Installed(prefix, checkout)
    return where if request.param == "editable" else where._replace(package=where.site_packages)


def start(command: list[str], **options: Any) -> dict[str, Any]:
    run = subprocess.run(command, capture_output=True, text=True, **options)
    assert run.returncode == 7, run.stderr
    seen = json.loads(run.stdout)
    assert isinstance(seen, dict)
    return seen


def check(seen: dict[str, Any], package: Path, args: list[str]) -> None:
    """The right package ran, with its arguments untouched, isolated and without site."""
    assert Path(seen["package"]).resolve() == (package / "pytrace/cli/main.py").resolve()
    assert seen["name"] == "pytrace"
    assert seen["args"] == args
    assert seen["isolated"] == 1
    assert not seen["site"]


ARGS = ["-e", 'BEGIN { printf("%s\n", "a  b"); }', "", "*"]


def test_it_starts_by_its_path(installed: Installed) -> None:
    check(start([str(installed.command), *ARGS]), installed.package, ARGS)


def test_it_starts_by_a_relative_path(installed: Installed) -> None:
    check(start(["bin/pytrace", *ARGS], cwd=installed.prefix), installed.package, ARGS)
    check(start(["./pytrace", *ARGS], cwd=installed.prefix / "bin"), installed.package, ARGS)


def test_it_starts_by_name(installed: Installed) -> None:
    path = f"{installed.prefix / 'bin'}:/usr/bin:/bin"
    seen = start(["env", f"PATH={path}", "pytrace", *ARGS])
    check(seen, installed.package, ARGS)


def test_it_starts_through_links(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(installed.command)
    (tmp_path / "pytrace").symlink_to("first")
    check(start([str(tmp_path / "pytrace"), *ARGS]), installed.package, ARGS)
    (tmp_path / "bin").symlink_to(installed.prefix / "bin")
    check(start([str(tmp_path / "bin" / "pytrace"), *ARGS]), installed.package, ARGS)


def test_it_starts_with_the_environment_that_sudo_leaves(installed: Installed) -> None:
    clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LOGNAME": "root"}
    check(start([str(installed.command), *ARGS], env=clean, cwd="/"), installed.package, ARGS)


@pytest.mark.needs("root", "sudo")
def test_it_starts_under_sudo(installed: Installed) -> None:
    check(start(["sudo", "-n", str(installed.command), *ARGS]), installed.package, ARGS)


def test_it_interprets_scripts(installed: Installed, tmp_path: Path) -> None:
    script = tmp_path / "opens.bt"
    script.write_text("#!/usr/bin/env pytrace\n")
    script.chmod(0o755)
    env = {"PATH": f"{installed.prefix / 'bin'}:/usr/bin:/bin"}
    check(start([str(script), "42"], env=env), installed.package, [str(script), "42"])
    # A first line has no way to quote a space, so the direct form goes through a link.
    (tmp_path / "pytrace").symlink_to(installed.command)
    script.write_text(f"#!{tmp_path}/pytrace -q\n")
    check(start([str(script), "42"]), installed.package, ["-q", str(script), "42"])


def test_files_in_the_working_directory_are_not_imported(
    installed: Installed, tmp_path: Path
) -> None:
    for name in ("pytrace.py", "json.py", "struct.py", "site.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the working directory')")
    env = {"PATH": os.defpath, "PYTHONPATH": str(tmp_path)}
    check(start([str(installed.command)], cwd=tmp_path, env=env), installed.package, [])


@contextlib.contextmanager
def third_party(installed: Installed, tmp_path: Path) -> Iterator[None]:
    """Modules in site-packages and in a directory that a .pth file names, for a while."""
    direct = installed.site_packages / "third_party_direct.py"
    link = installed.site_packages / "third_party.pth"
    direct.write_text("")
    link.write_text(f"{tmp_path}\n")
    (tmp_path / "third_party_linked.py").write_text("")
    yield
    direct.unlink()
    link.unlink()


def test_third_party_packages_are_found_when_asked_for(
    installed: Installed, tmp_path: Path
) -> None:
    with third_party(installed, tmp_path):
        assert start([str(installed.command), "import", "third_party_linked"])["site"]
        start([str(installed.command), "import", "third_party_direct"])
    run = subprocess.run(
        [installed.command, "import", "third_party_linked"], capture_output=True, text=True
    )
    assert "No module named 'third_party_linked'" in run.stderr


def test_a_checkout_runs_uninstalled(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    check(start([str(checkout / "bin" / "pytrace"), *ARGS], env=env), checkout, ARGS)


def test_an_unknown_layout_runs_plain_python(checkout: Path, tmp_path: Path) -> None:
    shutil.copy(checkout / "bin" / "pytrace", tmp_path / "pytrace")
    (tmp_path / "python3").symlink_to(sys.executable)
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working directory')")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout)}
    seen = start([str(tmp_path / "pytrace"), *ARGS], env=env, cwd=tmp_path)
    assert Path(seen["package"]) == checkout / "pytrace" / "cli" / "main.py"
    assert seen["name"] == "pytrace"
    assert seen["args"] == ARGS
