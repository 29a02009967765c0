"""Compile a script for this machine: what a run does when the cache has nothing for it."""

from __future__ import annotations

import os
import time

from pytrace.base.config import lookup
from pytrace.base.diagnostics import render_all
from pytrace.base.errors import PytraceError, UsageError
from pytrace.base.frozen import replace
from pytrace.cache import take_witnesses
from pytrace.cli.machine import open_kernel
from pytrace.cli.run import config_of, make_request, read_source, wants_color
from pytrace.compiler import compile_program, list_script
from pytrace.output.stream import write_all, write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.cache import Cache
    from pytrace.cli.options import Options
    from pytrace.kernel.info import KernelInfo
    from pytrace.kernel.record import RecordingKernel
    from pytrace.model.compiled import CompiledProgram
    from pytrace.model.request import CompileRequest, CompileResult
    from pytrace.probes.provider import Item, Provider

    Rewrite = Callable[[DiagnosticSink], DiagnosticSink]

# Stages whose text goes to stderr, as it is about the script; the others' is the answer itself.
_TO_STDERR: Final = ("ast", "parse")

# A file that changed less than this before it was read may change again unnoticed: file times
# have the granularity of the timer interrupt.
_GRANULARITY_NS: Final = 20_000_000


def build(
    request: CompileRequest,
    options: Options,
    environ: Mapping[str, str],
    cache: Cache | None,
    key: str,
    *,
    rewrite: Rewrite | None = None,
) -> tuple[CompiledProgram | None, int]:
    """Compile, tell what there is to tell, store. Gives the program, or None and an exit code."""
    directory = cache.directory if cache else None
    kernel = open_kernel(options, environ, directory)
    clock = lookup(environ, "DUMMY_TS_MAP")
    request = replace(request, clock_map=clock) if clock else request
    started = time.time_ns()
    result = compile_program(request, kernel)
    sink = rewrite(result.sink) if rewrite else result.sink
    report(sink, options, environ)
    for stage, text in result.dumps:
        show_dump(stage, text)
    if result.program is None:
        return None, result.exit_code if sink.failed else 0
    if "dis" in request.stages or "all" in request.stages:
        from pytrace.codegen.disassemble import disassemble

        text = disassemble(result.program)
        show_dump("dis", f"\nDisassembled bytecode\n{'-' * 28}\n{text}")
    write_artifacts(result, options)
    if cache is not None and not options.stages:
        store(cache, key, result, kernel, started)
    return result.program, 0


def write_artifacts(result: CompileResult, options: Options) -> None:
    """What ``--emit-elf`` and ``--emit-llvm`` ask for. ``UsageError`` if a file cannot be made."""
    wanted = []
    if options.emit_elf:
        wanted.append((options.emit_elf, result.elf))
    if options.emit_llvm:
        wanted.append((f"{options.emit_llvm}.original.ll", result.llvm.encode()))
        wanted.append((f"{options.emit_llvm}.optimized.ll", result.optimised.encode()))
    for path, data in wanted:
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise UsageError(f"failed to write file '{path}': {error.strerror}") from None


def report(sink: DiagnosticSink, options: Options, environ: Mapping[str, str]) -> None:
    """Print a compilation's diagnostics on stderr."""
    if sink.items:
        color = wants_color(environ)
        write_error(render_all(sink, color=color, warnings=options.warnings))


def show_dump(stage: str, text: str) -> None:
    """Print what a stage of ``-d`` made."""
    if not text.endswith("\n"):
        text += "\n"
    if stage in _TO_STDERR:
        write_error(text)
    else:
        write_all(1, text.encode("utf-8", "surrogateescape"))


def store(
    cache: Cache, key: str, result: CompileResult, kernel: RecordingKernel, started_ns: int
) -> None:
    """Keep the program, unless a file that it was made from was changed while it was read."""
    if result.program is None:
        return
    for path in result.files:
        if changed_since(path, started_ns - _GRANULARITY_NS):
            cache.say(f"cache: not stored: {path} has just been changed")
            return
    files = take_witnesses(("file", path) for path in result.files)
    cache.save(key, result.program, (*kernel.witnesses(), *files))


def changed_since(path: str, time_ns: int) -> bool:
    """True if a file was changed at or after a time (ns since 1970)."""
    try:
        status = os.stat(path)
    except OSError:
        return False  # It was looked for and is not there: a witness too.
    return max(status.st_mtime_ns, status.st_ctime_ns) >= time_ns


def script_items(
    options: Options, environ: Mapping[str, str], kernel: KernelInfo
) -> list[tuple[Provider, Item]] | None:
    """The attach points of a script as ``-l`` shows them; None after errors, which are told."""
    settings, problem = config_of(environ)
    if problem:
        raise PytraceError(problem)
    request = make_request(options, read_source(options), settings)
    items, sink = list_script(request, kernel)
    report(sink, options, environ)
    return None if sink.failed else items
