"""What a start from the cache imports and opens, and what makes it compile again. No clock.

A cached run is owed in a few hundredths of a second. What would cost time is asserted by name: the
modules and the files, each list literal, so that whoever lengthens one sees it here.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.needs("root", "tracefs")

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = (
    "tracepoint:syscalls:sys_enter_openat { @[comm] = count(); } "
    'begin { printf("%s %d\\n", comm, 7); exit(); }'
)

# The standard library: what the interpreter brings by itself, and what we need of it.
STANDARD = set(
    "__future__ __main__ _abc _blake2 _codecs _collections_abc _ctypes _frozen_importlib "
    "_frozen_importlib_external _imp _io _signal _stat _struct _thread _warnings _weakref abc "
    "builtins codecs encodings encodings.aliases encodings.utf_8 errno gc genericpath io itertools "
    "marshal mmap os os.path posix posixpath select stat struct sys time winreg zipimport".split()
)
PYTRACE = set(
    "pytrace pytrace.base pytrace.base.errors pytrace.base.format pytrace.base.frozen "
    "pytrace.base.modules pytrace.base.source pytrace.base.text pytrace.base.types "
    "pytrace.builtins pytrace.builtins.printing pytrace.builtins.registry pytrace.cache "
    "pytrace.cli pytrace.cli.checks pytrace.cli.execute pytrace.cli.main pytrace.cli.options "
    "pytrace.cli.run pytrace.cli.start pytrace.cli.verbose pytrace.kernel pytrace.kernel.info "
    "pytrace.kernel.witness pytrace.linux pytrace.linux.attach pytrace.linux.btf "
    "pytrace.linux.closing pytrace.linux.cpus pytrace.linux.descriptor pytrace.linux.links "
    "pytrace.linux.maps pytrace.linux.perf pytrace.linux.process pytrace.linux.progs "
    "pytrace.linux.rights pytrace.linux.ringbuf pytrace.linux.signals pytrace.linux.syscall "
    "pytrace.linux.uapi pytrace.model pytrace.model.compiled pytrace.model.events "
    "pytrace.model.pack pytrace.model.probing pytrace.model.request pytrace.model.values "
    "pytrace.output pytrace.output.sink pytrace.output.stream pytrace.output.text "
    "pytrace.output.values pytrace.probes pytrace.probes.provider pytrace.probes.tracepoint "
    "pytrace.runtime pytrace.runtime.columns pytrace.runtime.decode pytrace.runtime.environment "
    "pytrace.runtime.loader pytrace.runtime.maps pytrace.runtime.notify pytrace.runtime.params "
    "pytrace.runtime.reader pytrace.runtime.records pytrace.runtime.session".split()
)
OPENED = {
    "/proc/self/comm",
    "/proc/self/status",
    "/proc/modules",
    "/proc/sys/kernel/random/boot_id",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/possible",
    "/sys/kernel/notes",
    "/sys/kernel/security/lockdown",
    "/sys/kernel/tracing/dynamic_events",
    "/sys/kernel/tracing/events/syscalls/sys_enter_openat/id",
}

# Runs the command in the way of bin/pytrace, then tells what it imported and opened.
PROBE = """
import os, sys
opened = []
def hook(event, arguments):
    if event == "open":
        opened.append(arguments[0])
sys.addaudithook(hook)
sys.path.append(ROOT)
from pytrace.cli.start import SiteOnDemand
sys.meta_path.append(SiteOnDemand())
from pytrace.cli.main import main
code = main(sys.argv[1:])
os.write(REPORT, repr((code, sorted(sys.modules), list(map(str, opened)))).encode())
os._exit(0)
"""


class Report(NamedTuple):
    code: int
    modules: set[str]
    opened: set[str]
    out: str
    err: str

    @property
    def compiled(self) -> bool:
        return "pytrace.compiler" in self.modules


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that may hold a cache, unlike anything below /tmp."""
    path = tempfile.mkdtemp(prefix=".pytrace-test-", dir=os.path.expanduser("~"))
    try:
        yield Path(path)
    finally:
        shutil.rmtree(path)


def run(place: Path, *words: str, env: Mapping[str, str] | None = None) -> Report:
    reader, writer = os.pipe()
    try:
        code = PROBE.replace("ROOT", repr(str(ROOT))).replace("REPORT", str(writer))
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", code, *words],
            env={"PATH": os.environ["PATH"], "PYTRACE_CACHE": str(place / "cache"), **(env or {})},
            pass_fds=(writer,),
            capture_output=True,
            text=True,
            timeout=120,
        )
        os.close(writer)
        writer = -1
        with open(reader, "rb", closefd=False) as pipe:
            told = pipe.read().decode()
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    assert told, done.stderr
    exit_code, modules, opened = ast.literal_eval(told)
    return Report(exit_code, set(modules), set(opened), done.stdout, done.stderr)


def cached(place: Path, *words: str, env: Mapping[str, str] | None = None) -> Report:
    """A run from the cache, after one that filled it."""
    first = run(place, *words, env=env)
    assert first.code == 0, first.err
    assert first.compiled
    second = run(place, *words, env=env)
    assert not second.compiled, second.err
    assert (second.code, second.out, second.err) == (0, first.out, first.err)
    return second


def test_a_hit_imports_nothing_of_the_compiler_and_nothing_slow(place: Path) -> None:
    report = cached(place, "-q", "-e", SCRIPT)
    assert report.out.startswith("pytrace 7\n")
    assert "pytrace.runtime.session" in report.modules
    assert report.modules - STANDARD - PYTRACE == set()


def test_a_hit_opens_no_types_symbols_or_formats(place: Path) -> None:
    report = cached(place, "-q", "-e", SCRIPT)
    entry = next((place / "cache").glob("*.program")).name
    directories = set((place / "cache").parts)
    code = re.compile(r".*\.(py|pyc|so)$")
    others = {path for path in report.opened if not code.match(path)}
    assert entry in others
    assert others - OPENED - directories - {entry} == set()


def test_the_second_of_two_equal_runs_is_a_hit_and_gives_the_same(place: Path) -> None:
    cached(place, "-e", 'begin { @a = hist(5); @["x", 1] = "y"; print(@a); exit(); }')


def test_warnings_of_the_compiler_are_told_on_each_run(place: Path) -> None:
    report = cached(place, "-e", "begin { print($1); exit(); }")
    assert "WARNING: Positional parameter $1 is empty or not provided." in report.err


@pytest.mark.parametrize(
    "change",
    [
        ("-e", SCRIPT + " "),
        ("-e", SCRIPT, "argument"),
        ("--unsafe", "-e", SCRIPT),
        ("-k", "-e", SCRIPT),
        ("--no-feature", "uprobe_multi", "-e", SCRIPT),
        ("-p", str(os.getpid()), "-e", SCRIPT),
        ("-c", "true", "-e", SCRIPT),
    ],
    ids=["text", "argument", "unsafe", "warnings", "feature", "pid", "child"],
)
def test_another_request_compiles_again(place: Path, change: tuple[str, ...]) -> None:
    cached(place, "-q", "-e", SCRIPT)
    assert run(place, "-q", *change).compiled


@pytest.mark.parametrize("name", ["PYTRACE_MAX_STRLEN", "BPFTRACE_LOG_SIZE"])
def test_another_environment_compiles_again(place: Path, name: str) -> None:
    cached(place, "-q", "-e", SCRIPT)
    assert run(place, "-q", "-e", SCRIPT, env={name: "100"}).compiled
    assert not run(place, "-q", "-e", SCRIPT, env={"LANG": "C", "PYTRACE_COLOR": "never"}).compiled


def test_options_that_do_not_change_the_program_do_not_compile_again(place: Path) -> None:
    cached(place, "-q", "-e", SCRIPT)
    for words in (("-v",), ("-B", "full"), ("-f", "json"), ("-o", str(place / "out"))):
        assert not run(place, *words, "-e", SCRIPT).compiled, words


def test_another_process_is_no_reason_to_compile_again(place: Path) -> None:
    words = ("-q", "-p", str(os.getpid()), "-e", SCRIPT)
    cached(place, *words)
    assert not run(place, "-q", "-p", str(os.getppid()), "-e", SCRIPT).compiled


@pytest.mark.needs("bash-readline")
def test_an_edited_binary_compiles_again(place: Path) -> None:
    binary = place / "bash"
    shutil.copy("/bin/bash", binary)
    words = ("-q", "-e", f"uprobe:{binary}:readline {{ @ = count(); }} begin {{ exit(); }}")
    cached(place, *words)
    with open(binary, "ab") as file:
        file.write(b"\0")
    report = run(place, "-v", *words[1:])
    assert report.compiled
    assert f"is stale: file {binary} changed" in report.err
    assert not run(place, *words).compiled


def test_an_edited_script_compiles_again(place: Path) -> None:
    script = place / "x.bt"
    script.write_text("begin { print(1); exit(); }")
    cached(place, "-q", str(script))
    script.write_text("begin { print(2); exit(); }")
    report = run(place, "-q", str(script))
    assert report.compiled
    assert report.out.startswith("2\n")


def test_damage_is_repaired(place: Path) -> None:
    cached(place, "-q", "-e", SCRIPT)
    entry = next((place / "cache").glob("*.program"))
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)
    report = run(place, "-v", "-e", SCRIPT)
    assert report.compiled
    assert f"cache: {entry.name} is ignored: damaged" in report.err
    assert not run(place, "-q", "-e", SCRIPT).compiled


def test_the_cache_can_be_switched_off(place: Path) -> None:
    for _ in range(2):
        report = run(place, "-v", "-e", SCRIPT, env={"PYTRACE_CACHE": "off"})
        assert report.compiled
        assert "cache: switched off" in report.err
    assert list(place.iterdir()) == []


def test_a_directory_of_others_is_no_cache_and_the_run_says_why(place: Path) -> None:
    place.chmod(0o777)
    for _ in range(2):
        report = run(place, "-v", "-e", SCRIPT)
        assert report.compiled
        assert f"cache: none: {place} is writable by others" in report.err
        assert report.out.startswith("pytrace 7\n")
    assert list(place.iterdir()) == []
