"""Storing what was compiled, what is told of it, and what a run needs of the system around it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.errors import UsageError, VerifierError
from pytrace.base.source import SourceFile, Span
from pytrace.cli.build import changed_since, report, show_dump, store
from pytrace.cli.execute import find_command, open_output, refusal
from pytrace.cli.machine import open_kernel
from pytrace.cli.options import Options
from pytrace.model.compiled import CompiledProgram
from pytrace.model.request import CompileResult


class FakeCache:
    def __init__(self) -> None:
        self.saved: list[tuple[str, tuple[Any, ...]]] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def save(self, key: str, program: CompiledProgram, witnesses: tuple[Any, ...]) -> None:
        self.saved.append((key, witnesses))


class FakeKernel:
    def witnesses(self) -> tuple[tuple[str, str, str], ...]:
        return (("kernel", "", "w"),)


def result(*files: str) -> CompileResult:
    program = CompiledProgram(
        version="1",
        target="x86_64",
        sources=(),
        progs=(),
        subprogs=(),
        maps=(),
        events=(),
        attach=(),
        params=(),
        btf=b"",
        license="GPL",
        config=(),
    )
    return CompileResult(program=program, sink=DiagnosticSink(), files=files)


def stored(files: tuple[str, ...], started_ns: int) -> FakeCache:
    cache: Any = FakeCache()
    kernel: Any = FakeKernel()
    store(cache, "key", result(*files), kernel, started_ns)
    found: FakeCache = cache
    return found


def test_files_that_were_read_are_witnesses(tmp_path: Path) -> None:
    path = tmp_path / "x.bt"
    path.write_text("x")
    cache = stored((str(path), str(tmp_path / "missing")), time.time_ns() + 10**9)
    key, witnesses = cache.saved[0]
    assert key == "key"
    assert [(kind, subject) for kind, subject, _ in witnesses] == [
        ("kernel", ""),
        ("file", str(path)),
        ("file", str(tmp_path / "missing")),
    ]


def test_nothing_is_stored_when_a_file_changed_while_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "x.bt"
    path.write_text("x")
    cache = stored((str(path),), path.stat().st_mtime_ns)
    assert cache.saved == []
    assert cache.said == [f"cache: not stored: {path} has just been changed"]


def test_changes_since_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    status = path.stat()
    latest = max(status.st_mtime_ns, status.st_ctime_ns)
    assert changed_since(str(path), latest)
    assert not changed_since(str(path), latest + 1)
    assert not changed_since(str(tmp_path / "missing"), 0)


def test_where_dumps_go(capfd: pytest.CaptureFixture[str]) -> None:
    show_dump("ast", "AST after: parse\n")
    show_dump("codegen", "LLVM IR")
    assert capfd.readouterr() == ("LLVM IR\n", "AST after: parse\n")


def test_diagnostics_are_told_errors_first(capfd: pytest.CaptureFixture[str]) -> None:
    source = SourceFile("stdin", b"begin { x }")
    sink = DiagnosticSink()
    sink.warn("w", "warned", Span(source=source, start=0, end=5))
    sink.error("e", "wrong", Span(source=source, start=8, end=9))
    options = Options()
    report(sink, options, {})
    error, warning = "stdin:1:9-10: ERROR: wrong\n", "stdin:1:1-6: WARNING: warned\n"
    text = capfd.readouterr().err
    assert text.startswith(error)
    assert warning in text
    options.warnings = False
    report(sink, options, {"PYTRACE_COLOR": "always"})
    text = capfd.readouterr().err
    assert text.startswith("\033[31mstdin:1:9-10: ERROR: wrong\033[0m\n")
    assert "warned" not in text


def test_features_are_hidden_by_option_and_environment() -> None:
    options = Options()
    options.no_features = ["uprobe_multi"]
    kernel = open_kernel(options, {"PYTRACE_MASK_FEATURES": "ringbuf,loop"}, None)
    assert [kernel.supports(f) for f in ("uprobe_multi", "ringbuf", "loop")] == [False] * 3
    with pytest.raises(UsageError, match="PYTRACE_MASK_FEATURES: 'rinbuf' is no feature"):
        open_kernel(options, {"PYTRACE_MASK_FEATURES": "rinbuf"}, None)


# Around a run


def test_commands_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for place in (first, second):
        place.mkdir()
    (first / "tool").write_text("not executable")
    (second / "tool").write_text("#!/bin/sh\n")
    (second / "tool").chmod(0o755)
    (first / "sub").mkdir()
    path = f"{first}::{second}"
    assert find_command("tool", path) == f"{second}/tool"
    assert find_command(f"{second}/tool", "") == f"{second}/tool"
    assert find_command(f"{first}/tool", path) is None
    assert find_command("sub", path) is None
    assert find_command("", path) is None
    assert find_command("nosuch", path) is None


def test_output_files(tmp_path: Path) -> None:
    assert open_output(None) == 1
    path = tmp_path / "out"
    path.write_text("before")
    fd = open_output(str(path))
    try:
        os.write(fd, b"x")
    finally:
        os.close(fd)
    assert path.read_text() == "x"
    with pytest.raises(UsageError) as caught:
        open_output(str(tmp_path))
    assert str(caught.value) == f'Failed to open output file: "{tmp_path}": Is a directory'


def verifier_error(span: Span | None, summary: str) -> VerifierError:
    return VerifierError(
        "Error loading BPF program for begin.",
        errno=13,
        prog="begin",
        log="0: (95) exit\nR0 !read_ok\n",
        summary=summary,
        span=span,
    )


def test_a_refusal_shows_the_scripts_line() -> None:
    source = SourceFile("stdin", b"begin { x() }")
    error = verifier_error(Span(source=source, start=8, end=11), "R0 !read_ok")
    short = (
        "stdin:1:9-12: ERROR: R0 !read_ok\nbegin { x() }\n        ~~~\n"
        "ERROR: Error loading BPF program for begin.\n"
    )
    assert refusal(error, False, False) == short
    assert refusal(error, True, False) == f"0: (95) exit\nR0 !read_ok\n{short}"


def test_a_refusal_without_a_place_is_told_shortly() -> None:
    assert refusal(verifier_error(None, ""), False, False) == (
        "ERROR: Error loading BPF program for begin.\n"
    )
