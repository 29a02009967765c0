"""How failures of each kind end, and what is decided before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.base.errors import AttachError, LoadError, PytraceError, UsageError
from pytrace.base.source import SourceFile
from pytrace.cli import checks
from pytrace.cli.main import guarded, main
from pytrace.cli.options import parse
from pytrace.cli.run import (
    config_of,
    filtered,
    make_request,
    read_source,
    repeat_warnings,
    wants_color,
)
from pytrace.cli.usage import usage
from pytrace.linux.rights import Rights
from pytrace.model.compiled import AttachSpec, CompiledProgram, ProgSpec


def raising(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (PytraceError("so"), 1, "ERROR: so\n"),
        (UsageError("USAGE: no"), 1, "ERROR: USAGE: no\n"),
        (LoadError("it", errno=1), 255, "ERROR: it\n"),
        (AttachError("no", hints=("try", "that")), 255, "ERROR: no\nHINT: try\nHINT: that\n"),
        (
            AttachError("no", cause="busy", hints=("try",)),
            255,
            "ERROR: no\nHINT: busy\nHINT: try\n",
        ),
        (
            OSError(1, "Not permitted", "create map @x"),
            255,
            "ERROR: create map @x: Not permitted\n",
        ),
        (OSError("odd"), 255, "ERROR: odd\n"),
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_failures_made_on_purpose(
    error: BaseException, code: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error)) == code
    assert capfd.readouterr() == ("", text)


def test_an_unforeseen_failure_is_reported_without_a_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTRACE_DEBUG", raising=False)
    assert guarded(raising(KeyError("x"))) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("ERROR: internal error: KeyError: 'x' at cli/test_main.py:")
    assert "PYTRACE_DEBUG=1" in err
    assert "Traceback" not in err


def test_the_traceback_is_there_for_who_asks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTRACE_DEBUG", "1")
    assert guarded(raising(KeyError("x"))) == 2
    assert "Traceback (most recent call last)" in capfd.readouterr().err


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert capfd.readouterr() == (usage(), "")
    assert main(["-V"]) == 0
    assert capfd.readouterr() == ("pytrace v0.1.0\n", "")


def test_no_words_without_a_terminal_show_the_usage(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: False)
    assert main([]) == 1
    assert capfd.readouterr() == ("", usage())


def test_wrong_words_show_the_usage_after_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-z"]) == 1
    assert capfd.readouterr().err == "pytrace: invalid option -- 'z'\n" + usage()
    assert main(["-c", "true", "-p", "1", "x"]) == 1
    assert capfd.readouterr().err == "ERROR: USAGE: Cannot use both -c and -p.\n" + usage()


def test_a_mode_that_is_to_come_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--mode", "compiler-bench", "-e", "begin {}"]) == 1
    assert "--mode compiler-bench is not supported" in capfd.readouterr().err


# Sources


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "x.bt"
    path.write_bytes(b"begin { \xff }")
    source = read_source(parse(["-q", str(path)]))
    assert (source.name, source.path, source.text) == (str(path), str(path), b"begin { \xff }")
    source = read_source(parse(["-e", "begin { \udcff }"]))
    assert (source.name, source.path, source.text) == ("stdin", None, b"begin { \xff }")


def test_standard_input_as_a_source(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * 200000)
    kept = os.dup(0)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.dup2(fd, 0)
        source = read_source(parse(["-"]))
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(fd)
    assert (source.name, len(source.text)) == ("stdin", 200000)


def test_a_source_that_cannot_be_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "no.bt")]) == 1
    text = f"ERROR: failed to open file '{tmp_path}/no.bt': No such file or directory\n"
    assert capfd.readouterr() == ("", text)
    assert main([str(tmp_path)]) == 1
    assert capfd.readouterr().err == f"ERROR: failed to open file '{tmp_path}': Is a directory\n"


# Requests


def test_a_request_has_what_the_options_say() -> None:
    words = ["-p", "7", "-k", "--unsafe", "-I", "d", "-e", "x", "1", "--", "--a=b", "--no-feature"]
    options = parse([*words[:-1], "--c"])
    request = make_request(options, read_source(options), (("b", 1), ("a", 2), ("b", 3)))
    assert request.params == ("1",)
    assert request.options == (("a", "b"), ("c", None))
    assert request.config_environment == (("a", 2), ("b", 3))
    assert (request.pid, request.unsafe, request.runtime_warnings) == (7, True, True)
    assert request.include_dirs == ("d",)
    assert not request.has_child


def test_an_empty_command_is_none() -> None:
    options = parse(["-c", "", "-e", "x"])
    assert not make_request(options, SourceFile("stdin", b"x"), ()).has_child


def test_config_of_the_environment() -> None:
    assert config_of({"HOME": "/"}) == ((), "")
    assert config_of({"PYTRACE_CACHE": "off"}) == ((), "")
    assert config_of({"PYTRACE_MAX_STRLEN": "5"}) == ((("max_strlen", 5),), "")
    environ = {"PYTRACE_MAX_STRLEN": "x", "PYTRACE_CPP_DEMANGLE": "y"}
    assert config_of(environ)[1].startswith("cpp_demangle: Invalid bool value")


def test_a_wrong_environment_ends_the_run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BPFTRACE_MAX_STRLEN", "x")
    assert main(["-e", "begin {}"]) == 2
    assert capfd.readouterr() == ("", "max_strlen: expecting a number, got x\n")


@pytest.mark.parametrize(
    ("environ", "terminals", "color"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"PYTRACE_COLOR": "auto"}, True, True),
        ({"PYTRACE_COLOR": "always"}, False, True),
        ({"PYTRACE_COLOR": "never"}, True, False),
        ({"BPFTRACE_COLOR": "always", "PYTRACE_COLOR": "never"}, False, False),
        ({"BPFTRACE_COLOR": "always"}, False, True),
    ],
)
def test_colors(
    environ: dict[str, str], terminals: bool, color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: terminals)
    assert wants_color(environ) is color


def test_an_odd_color_is_warned_about(capfd: pytest.CaptureFixture[str]) -> None:
    wants_color({"PYTRACE_COLOR": "foo"})
    assert capfd.readouterr().err == (
        "WARNING: Invalid env value! The valid values of `PYTRACE_COLOR` are "
        "[auto|always|never]. The current value is foo!\n"
    )


# Programs


def prog(name: str) -> ProgSpec:
    return ProgSpec(
        name=name, prog_type="", insns=b"", relocs=(), subprogs=(), btf_func=0, line_info=()
    )


def program(*points: tuple[str, str, str], warnings: tuple[str, ...] = ()) -> CompiledProgram:
    attach = tuple(
        AttachSpec(provider=provider, name=name, prog=f"p{n}", args=(), span=None, label=label)
        for n, (provider, name, label) in enumerate(points)
    )
    return CompiledProgram(
        version="1",
        target="x86_64",
        sources=(),
        progs=tuple(prog(f"p{n}") for n in range(len(points))),
        subprogs=(),
        maps=(),
        events=(),
        attach=attach,
        params=(),
        btf=b"",
        license="GPL",
        config=(),
        warnings=tuple(("WARNING", text) for text in warnings),
    )


POINTS = (
    ("special", "begin", ""),
    ("tracepoint", "tracepoint:a:b", ""),
    ("tracepoint", "tracepoint:a:c", "mine"),
)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["begin", "tracepoint:a:b", "tracepoint:a:c"]),
        ("a:b$", ["begin", "tracepoint:a:b"]),
        ("^mine", ["begin", "tracepoint:a:c"]),
        ("tracepoint:a:c", []),
        ("nosuch", []),
    ],
)
def test_the_probe_filter(pattern: str, names: list[str]) -> None:
    found = filtered(program(*POINTS), pattern)
    assert [spec.name for spec in found.attach] == names
    assert {spec.prog for spec in found.attach} == {p.name for p in found.progs}


def test_a_wrong_probe_filter() -> None:
    with pytest.raises(PytraceError, match=r"Invalid --probe-filter regex '\(': "):
        filtered(program(*POINTS), "(")


def test_warnings_are_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    told = program(warnings=("stdin:1: WARNING: a\nline\n~~\n", "WARNING: b\n"))
    repeat_warnings(told, False)
    assert capfd.readouterr().err == "stdin:1: WARNING: a\nline\n~~\nWARNING: b\n"
    repeat_warnings(told, True)
    assert capfd.readouterr().err == (
        "\033[33mstdin:1: WARNING: a\033[0m\nline\n~~\n\033[33mWARNING: b\033[0m\n"
    )


# Checks


def capabilities(*numbers: int) -> Rights:
    return Rights(uid=1000, capabilities=sum(1 << n for n in numbers))


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        (capabilities(), "CAP_BPF"),
        (capabilities(39), "CAP_PERFMON"),
        (capabilities(38), "CAP_BPF"),
        (capabilities(38, 39), ""),
        (capabilities(21), ""),
    ],
)
def test_missing_capabilities(
    rights: Rights, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "rights", lambda: rights)
    monkeypatch.setattr(checks, "lockdown", lambda: "integrity")
    if not missing:
        checks.check_machine()
        return
    with pytest.raises(PytraceError) as caught:
        checks.check_machine()
    assert caught.value.exit_code == 1
    assert str(caught.value) == (
        f"Missing {missing} capability, please run pytrace as the root user."
    )


def test_a_kernel_that_is_locked_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "rights", lambda: capabilities(21))
    monkeypatch.setattr(checks, "lockdown", lambda: "confidentiality")
    with pytest.raises(PytraceError, match="locked down") as caught:
        checks.check_machine()
    assert caught.value.exit_code == 1
