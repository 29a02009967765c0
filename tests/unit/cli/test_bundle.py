"""The modules of a start in one file: written by a run that missed some, believed only while true.

Each run is a process of its own with a small package in the place of ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUNDLE = Path(__file__).resolve().parents[3] / "pytrace" / "cli" / "bundle.py"

RUN = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("bundle", {bundle!r})
bundle = module_from_spec(spec)
spec.loader.exec_module(bundle)
sys.path.append({root!r})
finder = bundle.Bundle({root!r})
sys.meta_path.insert(0, finder)
import pytrace.runtime.session
{more}
from_bundle = [n for n, m in sys.modules.items() if m.__spec__ and m.__spec__.loader is finder]
print(pytrace.runtime.session.VALUE, pytrace.runtime.session.__file__, *sorted(from_bundle))
finder.save()
"""


class Package:
    """A package with the module whose presence tells of a run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pytrace" / "runtime").mkdir(parents=True)
        self.session = root / "pytrace" / "runtime" / "session.py"
        for init in ("pytrace/__init__.py", "pytrace/runtime/__init__.py"):
            (root / init).write_text("")
        self.session.write_text("VALUE = 1\n")

    @property
    def file(self) -> Path:
        return self.root / "pytrace/__pycache__" / f"start.{sys.implementation.cache_tag}.bundle"

    def run(self, more: str = "") -> list[str]:
        """What the module holds, where it is, and which modules the bundle gave."""
        code = RUN.format(bundle=str(BUNDLE), root=str(self.root), more=more)
        words = [sys.executable, "-I", "-S", "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path)


ALL = ["pytrace", "pytrace.runtime", "pytrace.runtime.session"]


def test_the_first_run_writes_and_the_second_reads(package: Package) -> None:
    assert package.run() == ["1", str(package.session)]
    assert package.run() == ["1", str(package.session), *ALL]


def test_a_complete_bundle_is_left_alone(package: Package) -> None:
    package.run()
    before = package.file.stat().st_ino
    package.run()
    assert package.file.stat().st_ino == before


def test_an_edited_module_is_imported_as_ever_and_kept_anew(package: Package) -> None:
    package.run()
    package.session.write_text("VALUE = 23\n")
    assert package.run() == ["23", str(package.session), *ALL[:2]]
    assert package.run() == ["23", str(package.session), *ALL]


def test_a_touched_module_of_the_same_size_is_stale(package: Package) -> None:
    package.run()
    status = package.session.stat()
    package.session.write_text("VALUE = 2\n")
    os.utime(package.session, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert package.run()[0] == "2"


def test_further_modules_join_those_known(package: Package) -> None:
    package.run()
    (package.root / "pytrace" / "more.py").write_text("")
    package.run("import pytrace.more")
    assert package.run("import pytrace.more")[2:] == sorted([*ALL, "pytrace.more"])


def test_a_compilation_writes_nothing(package: Package) -> None:
    (package.root / "pytrace" / "compiler.py").write_text("")
    package.run("import pytrace.compiler")
    assert not package.file.exists()


@pytest.mark.parametrize("content", [b"", b"what is this", "cut"])
def test_a_damaged_bundle_is_none_and_is_replaced(package: Package, content: bytes | str) -> None:
    package.run()
    whole = package.file.read_bytes()
    package.file.write_bytes(content if isinstance(content, bytes) else whole[: len(whole) // 2])
    assert package.run() == ["1", str(package.session)]
    assert package.run() == ["1", str(package.session), *ALL]


def test_where_it_cannot_be_written_runs_go_on_without(package: Package) -> None:
    package.file.mkdir(parents=True)
    (package.file / "in the way").write_text("")
    assert package.run() == ["1", str(package.session)]
    assert package.run() == ["1", str(package.session)]
    assert sorted(p.suffix for p in package.file.parent.iterdir()) == [".bundle", ".pyc"]
