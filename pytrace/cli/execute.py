"""Runs a compiled program: child or process to follow, output, load, session."""

from __future__ import annotations

import os

from pytrace.base.errors import UsageError
from pytrace.cli.checks import check_machine
from pytrace.cli.run import wants_color
from pytrace.linux.attach import Linux
from pytrace.linux.process import name_process
from pytrace.linux.syscall import Syscalls
from pytrace.output.sink import SinkOptions, create
from pytrace.output.stream import OutputStream
from pytrace.runtime.loader import load
from pytrace.runtime.params import RunParams
from pytrace.runtime.session import Session, SessionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrace.cli.options import Options
    from pytrace.linux.process import Child
    from pytrace.model.compiled import CompiledProgram


def execute(program: CompiledProgram, options: Options, environ: Mapping[str, str]) -> int:
    """Runs ``program`` to its end and gives the exit code."""
    check_machine()
    name_process("pytrace")
    sys = Syscalls()
    stream = _open_output(options)
    sink_options = SinkOptions(
        quiet=options.quiet, warnings=options.warnings, color=wants_color(environ)
    )
    sink = create(options.format, stream, sink_options)
    child: Child | None = None
    pidfd = -1
    try:
        if options.command is not None:
            child = _start(sys, options.command, _needs_exec(program))
        if options.pid is not None:
            pidfd = _follow(sys, options.pid)
        linux = Linux(sys, pid=-1 if options.pid is None else options.pid)
        params = RunParams(
            child_pid=child.pid if child is not None else 0, filter_pid=options.pid or 0
        )
        loaded = load(program, linux, params)
        try:
            session = Session(
                loaded,
                sink,
                SessionOptions(
                    child=child, pidfd=pidfd, verbose=options.verbose, dry_run=options.dry_run
                ),
            )
            return session.run()
        finally:
            loaded.close()
    finally:
        if child is not None:
            child.close()
        if pidfd >= 0:
            os.close(pidfd)
        if stream.fd != 1:
            os.close(stream.fd)


def _open_output(options: Options) -> OutputStream:
    if options.output is None:
        return OutputStream(1, options.buffering)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(options.output, flags, 0o644)
    except OSError as error:
        raise UsageError(f"failed to open file '{options.output}': {error.strerror}") from None
    return OutputStream(fd, options.buffering)


def _needs_exec(program: CompiledProgram) -> bool:
    """USDT semaphores can be raised only in a process whose program is already loaded."""
    return any(spec.provider == "usdt" for spec in program.attach)


def _start(sys: Syscalls, command: str, stop_after_exec: bool) -> Child:
    from pytrace.linux.process import start_child

    words = command.split()
    if not words:
        raise UsageError("Failed to fork child: the command is empty")
    path = _find_program(words[0])
    try:
        return start_child(sys, path, words, stop_after_exec=stop_after_exec)
    except OSError as error:
        raise UsageError(
            f"Failed to fork child: Path '{words[0]}' does not exist or is not executable"
            f" ({error.strerror})"
        ) from None


def _find_program(name: str) -> str:
    if "/" in name:
        return name
    for directory in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(directory or ".", name)
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return name


def _follow(sys: Syscalls, pid: int) -> int:
    from pytrace.linux.process import open_pidfd

    try:
        return open_pidfd(sys, pid)
    except OSError as error:
        raise UsageError(
            f"Failed to attach to pid: Unable to open pidfd ({error.strerror})"
        ) from None
