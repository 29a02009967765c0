"""``--fmt``: a script in house style, on stdout or in place of a file."""

from __future__ import annotations

import os

from pytrace.base.diagnostics import DiagnosticSink, render_all
from pytrace.base.errors import UsageError
from pytrace.cli.run import wants_color
from pytrace.frontend.print import format_source
from pytrace.output.stream import write_all, write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrace.base.source import SourceFile
    from pytrace.cli.options import Options


def tidy(source: SourceFile, options: Options, environ: Mapping[str, str]) -> int:
    """Format a script; gives the exit code, 1 after syntax errors, which are told."""
    sink = DiagnosticSink()
    text = format_source(source, sink)
    if sink.items:
        write_error(render_all(sink, color=wants_color(environ), warnings=options.warnings))
    if text is None:
        return 1
    data = text.encode("utf-8", "surrogateescape")
    if options.output is None:
        write_all(1, data)
    else:
        replace_file(options.output, data)
    return 0


def replace_file(path: str, data: bytes) -> None:
    """Write a file as a whole or not at all: beside it first, then into its place."""
    beside = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            if os.path.exists(path):
                os.fchmod(fd, os.stat(path).st_mode & 0o7777)
            write_all(fd, data)
        finally:
            os.close(fd)
        os.replace(beside, path)
    except OSError as error:
        if os.path.exists(beside):
            os.unlink(beside)
        raise UsageError(f"failed to write file '{path}': {error.strerror}") from None
