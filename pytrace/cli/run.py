"""Run one script: from the cache if it is there, else compiled first.

This is the path of every start. Whatever only a compilation needs is imported there.
"""

from __future__ import annotations

import os

from pytrace.base.errors import PytraceError, UsageError
from pytrace.base.source import SourceFile
from pytrace.cache import key_of, open_cache
from pytrace.cli.checks import check_machine
from pytrace.cli.verbose import teller
from pytrace.model.request import RUN_STAGES, CompileRequest
from pytrace.output.stream import write_all, write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.base.config import Settings
    from pytrace.cli.options import Options
    from pytrace.model.compiled import CompiledProgram

BAD_ENVIRONMENT: Final = 2
"""Exit code for a config variable with a wrong value in the environment."""

UNSUPPORTED_MODES: Final = ("compiler-bench",)

_PREFIXES: Final = ("PYTRACE_", "BPFTRACE_")
_NO_CONFIG: Final = ("PYTRACE_CACHE", "PYTRACE_COLOR", "PYTRACE_DEBUG")
"""Variables that are no config values, which are then not looked up."""


def run(options: Options, environ: Mapping[str, str]) -> int:
    """Do what the options ask for with the script that they name; gives the exit code."""
    if options.mode == "format":
        from pytrace.cli.tidy import tidy

        return tidy(read_source(options), options, environ)
    if options.mode in UNSUPPORTED_MODES:
        raise PytraceError(f"--mode {options.mode} is not supported by this version of pytrace.")
    return run_source(options, environ, read_source(options))


def run_source(
    options: Options,
    environ: Mapping[str, str],
    source: SourceFile,
    *,
    settings: Settings = (),
) -> int:
    """``run`` for a given text. ``settings`` are config values stronger than all others."""
    from_environment, problem = config_of(environ)
    if problem:
        write_error(f"{problem}\n")
        return BAD_ENVIRONMENT
    request = make_request(options, source, (*from_environment, *settings))
    compile_only = options.mode == "codegen" or bool(options.emit_elf)
    if not compile_only and not needs_compiler(options):
        check_machine()
    say = teller(options.verbose)
    cache = open_cache(environ, say)
    key = key_of(request, environ) if cache else ""
    program = None
    if cache is not None and not needs_compiler(options):
        program = cache.load(key)
    if program is not None:
        if options.warnings:
            repeat_warnings(program, wants_color(environ))
    else:
        from pytrace.cli.build import build

        program, code = build(request, options, environ, cache, key)
        if program is None or compile_only:
            return code
        if options.stages:
            check_machine()
    program = filtered(program, options.probe_filter)
    if not program.attach:
        write_all(1, b"No probes to attach\n")
        return 1
    from pytrace.cli.execute import execute

    return execute(program, options, environ)


def needs_compiler(options: Options) -> bool:
    """True if something is asked for that only a compilation shows."""
    return bool(
        set(options.stages) - set(RUN_STAGES)
        or options.emit_elf
        or options.emit_llvm
        or options.mode == "codegen"
    )


def read_source(options: Options) -> SourceFile:
    """The script that the options name. ``UsageError`` if there is none to read."""
    if options.program is not None:
        return SourceFile("stdin", options.program.encode("utf-8", "surrogateescape"))
    name = options.file or "-"
    if name == "-":
        return SourceFile("stdin", _read(0))
    try:
        fd = os.open(os.fsencode(name), os.O_RDONLY)
        try:
            text = _read(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(f"failed to open file '{name}': {error.strerror}") from None
    return SourceFile(name, text, name)


def _read(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def config_of(environ: Mapping[str, str]) -> tuple[Settings, str]:
    """Config values of the environment, and what is wrong with the first wrong one, if any."""
    if not any(name.startswith(_PREFIXES) and name not in _NO_CONFIG for name in environ):
        return (), ""
    from pytrace.base.config import from_environment

    settings, problems = from_environment(environ)
    return settings, problems[0].text if problems else ""


def make_request(options: Options, source: SourceFile, settings: Settings) -> CompileRequest:
    """What the compiler is asked for."""
    return CompileRequest(
        source=source,
        params=options.params,
        options=options.script_options,
        config_environment=tuple(sorted(dict(settings).items())),
        unsafe=options.unsafe,
        pid=options.pid,
        has_child=bool(options.command),
        runtime_warnings=options.runtime_warnings,
        mode=options.mode,
        no_features=tuple(sorted(set(options.no_features))),
        include_dirs=tuple(options.include_dirs),
        include_files=tuple(options.include_files),
        debuginfo=tuple(part for part in options.debuginfo.split(":") if part),
        traceable_functions=options.traceable_functions,
        stages=(*options.stages, *(("emit-llvm",) if options.emit_llvm else ())),
    )


def repeat_warnings(program: CompiledProgram, color: bool) -> None:
    """Say again what compiling the program had to say."""
    if color and program.warnings:
        from pytrace.base.diagnostics import RESET, YELLOW

        for _, text in program.warnings:
            first, newline, rest = text.partition("\n")
            write_error(f"{YELLOW}{first}{RESET}{newline}{rest}")
        return
    for _, text in program.warnings:
        write_error(text)


def wants_color(environ: Mapping[str, str]) -> bool:
    """Whether messages are coloured: ``PYTRACE_COLOR``, or if both streams are terminals."""
    wanted = "auto"
    for prefix in _PREFIXES:
        if f"{prefix}COLOR" in environ:
            wanted = environ[f"{prefix}COLOR"]
            break
    if wanted in ("always", "never"):
        return wanted == "always"
    if wanted != "auto":
        write_error(
            "WARNING: Invalid env value! The valid values of `PYTRACE_COLOR` are "
            f"[auto|always|never]. The current value is {wanted}!\n"
        )
    return os.isatty(1) and os.isatty(2)


def filtered(program: CompiledProgram, pattern: str) -> CompiledProgram:
    """The program with only the probes whose name a pattern is found in; begin and end stay.

    ``PytraceError`` for a pattern that is no regular expression.
    """
    if not pattern:
        return program
    import re

    from pytrace.base.frozen import replace

    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise PytraceError(f"Invalid --probe-filter regex '{pattern}': {error}") from None
    attach = tuple(
        spec
        for spec in program.attach
        if spec.provider == "special" or search(spec.label or spec.name)
    )
    if not any(spec.provider != "special" for spec in attach):
        attach = ()
    used = {spec.prog for spec in attach}
    progs = tuple(prog for prog in program.progs if prog.name in used)
    return replace(program, attach=attach, progs=progs)
