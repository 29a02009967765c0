"""Builds the traced programs, on demand, into the directory that cases run in.

The directory holds testprogs/, testlibs/ and runtime/, is named by a hash of everything that went
into it, and is kept for later runs. It is built in place, under a lock, because debug
information names absolute paths.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUILD_VARIABLE = "PYTRACE_TEST_BUILD"
SOURCES = Path(__file__).resolve().parent / "progs"

COMMON = ("-Wall", "-Wextra", "-g", "-O0")
FRAME_POINTER = "-fno-omit-frame-pointer"
"""Also what makes a program's own frames walkable: every program but uprobe_nofp has it."""

FLAGS: dict[str, tuple[str, ...]] = {
    "multi_threads": ("-pthread",),
    "watchpoint_threaded": ("-pthread",),
    "usdt_lib": ("-Ltestlibs", "-lusdt_tp", "-Wl,-rpath,$ORIGIN/../testlibs"),
}
TOOL_SECONDS = 60
LIBRARIES = ("libsimple", "libusdt_tp")


class BuildError(Exception):
    """A traced program could not be built; the text has the tool's own words."""


def working_directory(files: dict[str, str]) -> Path:
    """The directory to run cases in, built if it is not there yet.

    ``files`` are the data's own files, by path below it. Raises BuildError.
    """
    base = _base_directory()
    target = base / _digest(files)
    with _locked(base / (target.name + ".lock")):
        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            _build(target, files)
            (target / "complete").touch()
    return target


def missing(directory: Path, names: tuple[str, ...]) -> str:
    """The first of these traced programs or libraries that could not be built, or ''."""
    for name in names:
        if not (directory / name).exists():
            return name
    return ""


def _base_directory() -> Path:
    """PYTRACE_TEST_BUILD, or a directory below the temporary one that only we can write."""
    named = os.environ.get(BUILD_VARIABLE, "")
    base = Path(named or os.path.join(tempfile.gettempdir(), f"pytrace-conformance-{os.geteuid()}"))
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise BuildError(f"{base} is not a directory that only this user can write")
    return base.resolve()


def _digest(files: dict[str, str]) -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + files[name].encode() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(target: Path, files: dict[str, str]) -> None:
    programs = target / "testprogs"
    programs.mkdir(parents=True)
    (target / "testlibs").mkdir()
    for name in LIBRARIES:
        _compile(target, name, f"testlibs/{name}.so", ("-shared", "-fPIC"))
    for source in sorted(SOURCES.glob("*.c")):
        name = source.stem
        if name in LIBRARIES:
            continue
        _compile(target, name, f"testprogs/{name}", ("-no-pie",))
        _compile(target, name, f"testprogs/{name}-pie", ("-pie",))
    for suffix in ("", "-pie"):
        _strip(programs, "uprobe_test" + suffix, f"uprobe_test-stripped{suffix}")
    _split(programs / "external_debug" / "dwo", "-gdwarf-5")
    # binutils 2.40's dwp crashes on version 5.
    _split(programs / "external_debug" / "dwp", "-gdwarf-4")
    _pack(programs / "external_debug" / "dwp")
    with zipfile.ZipFile(programs / "archive.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.write(programs / "true", "true")
    for path, text in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, encoding="utf-8")


def _compile(target: Path, name: str, output: str, mode: tuple[str, ...]) -> None:
    frames = "-fomit-frame-pointer" if name == "uprobe_nofp" else FRAME_POINTER
    # The sources' own path may hold anything; cases match the recorded one as letters and slashes.
    mapping = f"-ffile-prefix-map={SOURCES}=/progs"
    source = str(SOURCES / f"{name}.c")
    _run(target, "gcc", *COMMON, frames, mapping, *mode, "-o", output, source, *FLAGS.get(name, ()))


def _strip(programs: Path, name: str, stripped: str) -> None:
    debug = f"external_debug/{stripped}.debug"
    (programs / "external_debug").mkdir(exist_ok=True)
    _run(programs, "objcopy", "--only-keep-debug", name, debug)
    link = f"--add-gnu-debuglink={debug}"
    _run(programs, "objcopy", "--strip-debug", link, name, stripped)


def _split(directory: Path, dwarf_version: str) -> None:
    """Compile uprobe_test with its debug information in a .dwo file beside the executable."""
    directory.mkdir(parents=True)
    source = str(SOURCES / "uprobe_test.c")
    options = (*COMMON, FRAME_POINTER, dwarf_version, "-gsplit-dwarf", "-no-pie")
    _run(directory, "gcc", *options, "-o", "uprobe_test-split", source)


def _pack(directory: Path) -> None:
    """Turn the .dwo files of a directory into one .dwp. Without the tool for it the executable
    goes too, so that its cases are skipped."""
    if shutil.which("dwp"):
        _run(directory, "dwp", "-e", "uprobe_test-split", "-o", "uprobe_test-split.dwp")
    else:
        (directory / "uprobe_test-split").unlink()
    for path in directory.glob("*.dwo"):
        path.unlink()


def _run(directory: Path, *command: str) -> None:
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TOOL_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} did not end in {TOOL_SECONDS} s") from error
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{result.stdout}")
