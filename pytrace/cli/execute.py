"""A compiled program on this machine: load it, attach it, and stay until it ends."""

from __future__ import annotations

import os

from pytrace.base.errors import UsageError, VerifierError
from pytrace.cli.run import wants_color
from pytrace.linux.attach import Linux
from pytrace.linux.process import name_process, open_pidfd
from pytrace.linux.syscall import Syscalls
from pytrace.output.sink import SinkOptions, create
from pytrace.output.stream import OutputStream, write_error
from pytrace.runtime.loader import load
from pytrace.runtime.params import RunParams
from pytrace.runtime.session import Session, SessionOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.cli.options import Options
    from pytrace.linux.process import Child
    from pytrace.model.compiled import CompiledProgram

NAME: Final = "pytrace"
"""What scripts see as the ``comm`` of this process."""

STDOUT: Final = 1


def execute(program: CompiledProgram, options: Options, environ: Mapping[str, str]) -> int:
    """Run to the end; gives the exit code. The process is expected to end soon after.

    Raises ``PytraceError`` for what the user can do something about.
    """
    name_process(NAME)
    sys = open_syscalls(options)
    fd = open_output(options.output)
    pidfd = -1
    child = None
    try:
        if options.pid is not None:
            pidfd = open_process(sys, options.pid)
        if options.command:
            held = any(spec.provider == "usdt" for spec in program.attach)
            child = start_command(sys, options.command, environ, stop_after_exec=held)
        color = wants_color(environ)
        sink_options = SinkOptions(quiet=options.quiet, warnings=options.warnings, color=color)
        sink = create(options.format, OutputStream(fd, options.buffering), sink_options)
        params = RunParams(
            child_pid=child.pid if child else 0,
            filter_pid=options.pid or 0,
        )
        linux = Linux(
            sys,
            pid=options.pid if options.pid is not None else -1,
            child=child.pid if child else -1,
        )
        loaded = load(program, linux, params)
        try:
            return Session(loaded, sink, session_options(options, child, pidfd)).run()
        finally:
            sink.flush()
            loaded.close()
    except VerifierError as error:
        write_error(refusal(error, options.verbose, wants_color(environ)))
        return error.exit_code
    finally:
        if child is not None:
            child.close()
        for opened in (pidfd, fd if fd != STDOUT else -1):
            if opened >= 0:
                os.close(opened)


def open_syscalls(options: Options) -> Syscalls:
    """The system calls of this run; ``-d syscalls`` tells each, decoded, on stderr."""
    if not {"syscalls", "all"} & set(options.stages):
        return Syscalls()
    from pytrace.linux.trace import TracedSyscalls, format_call

    def report(name: str, args: Mapping[str, object], result: int) -> None:
        write_error(f"{format_call(name, args, result)}\n")

    return TracedSyscalls(report)


def session_options(options: Options, child: Child | None, pidfd: int) -> SessionOptions:
    return SessionOptions(
        child=child,
        pidfd=pidfd,
        verbose=options.verbose,
        dry_run=options.dry_run,
        mode=options.mode if options.mode in ("test", "bench") else "",
    )


def open_output(path: str | None) -> int:
    """The descriptor that the program's output goes to; of ``-o`` a new one."""
    if path is None:
        return STDOUT
    try:
        return os.open(os.fsencode(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise UsageError(f'Failed to open output file: "{path}": {error.strerror}') from None


def open_process(sys: Syscalls, pid: int) -> int:
    """A descriptor of the process of ``-p``, readable once it has ended."""
    try:
        return open_pidfd(sys, pid)
    except OSError as error:
        raise UsageError(
            f"Failed to attach to pid: Unable to open pidfd ({error.strerror})"
        ) from None


def start_command(
    sys: Syscalls, command: str, environ: Mapping[str, str], *, stop_after_exec: bool
) -> Child:
    """The command of ``-c``, started and waiting. It is split at each single space.

    ``stop_after_exec``: the kernel counts a USDT semaphore up only in a process that has already
    become the traced program.
    """
    from pytrace.linux.process import start_child

    words = command.split(" ")
    path = find_command(words[0], environ.get("PATH", os.defpath))
    if path is not None:
        try:
            return start_child(sys, path, words, stop_after_exec=stop_after_exec)
        except OSError as error:
            raise UsageError(f"Failed to fork child: {path}: {error.strerror}") from None
    raise UsageError(
        f"Failed to fork child: Path '{words[0]}' does not exist or is not executable "
        "(No such file or directory)"
    )


def find_command(name: str, path: str) -> str | None:
    """The executable file that a command's first word means, or None."""
    places = [""] if "/" in name else [f"{place}/" for place in path.split(":") if place]
    for place in places:
        if name and os.path.isfile(place + name) and os.access(place + name, os.X_OK):
            return place + name
    return None


def refusal(error: VerifierError, verbose: bool, color: bool) -> str:
    """What is told when the verifier refuses a prog: the kernel's reason under the script's line,
    and with ``-v`` the whole log."""
    from pytrace.base.diagnostics import ERROR, Diagnostic, render

    text = f"ERROR: {error}\n"
    if error.summary:
        reason = Diagnostic(severity=ERROR, code="verifier", message=error.summary, span=error.span)
        told = render(reason, color=color)
        text = told if error.summary == str(error) else f"{told}{text}"
    return f"{error.log.rstrip()}\n{text}" if verbose else text
