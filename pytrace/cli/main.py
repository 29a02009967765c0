"""The pytrace command: what to do by the command line, and how each kind of failure ends."""

from __future__ import annotations

import os
import sys

from pytrace.base.errors import AttachError, PytraceError, UsageError
from pytrace.cli.options import OptionError, parse
from pytrace.output.stream import write_all, write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from pytrace.cli.options import Options

INTERNAL_ERROR: Final = 2
INTERRUPTED: Final = 130
READER_GONE: Final = 141
"""Exit codes of an internal error, and as a shell shows death by SIGINT and by SIGPIPE."""


def main(argv: list[str] | None = None, *, after: Callable[[], None] | None = None) -> int:
    """Run the command with ``argv`` (without the command's name); gives the exit code.

    Without ``argv`` this is the installed command: it takes the words from the interpreter and
    ends the process itself, without the interpreter's tidying up, which takes longer than many a
    script (everything that others see is written and closed by then). ``after`` is called before.
    """
    if argv is not None:
        return guarded(lambda: dispatch(argv))
    code = guarded(lambda: dispatch(sys.argv[1:]))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or READER_GONE
    if after is not None:
        after()
    os._exit(code & 0xFF)


def guarded(action: Callable[[], int]) -> int:
    """The exit code of an action, with every failure told in the way that its kind is told."""
    try:
        return action()
    except PytraceError as error:
        write_error(told(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return READER_GONE
    except OSError as error:
        write_error(f"ERROR: {os_error_text(error)}\n")
        return 255
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pytrace"):
            write_error(internal_error(error))
        else:
            write_error(
                f"ERROR: The Python package {error.name} is not installed for {sys.executable}; "
                "pytrace needs it to compile scripts.\n"
            )
        return INTERNAL_ERROR
    except Exception as error:
        write_error(internal_error(error))
        return INTERNAL_ERROR


def dispatch(words: Sequence[str]) -> int:
    """Do what the command line says; gives the exit code or raises."""
    if not words:
        return _without_words()
    options = parse([os.fsencode(word).decode("utf-8", "surrogateescape") for word in words])
    if options.action == "run":
        from pytrace.cli.run import run

        return run(options, os.environ)
    if options.action == "help" or options.action == "version":
        from pytrace.cli.usage import usage, version

        text = usage() if options.action == "help" else version()
        write_all(1, text.encode())
        return 0
    return _rare_action(options)


def _without_words() -> int:
    if os.isatty(0) and os.isatty(1):
        from pytrace.cli.options import Options

        options = Options()
        options.action = "repl"
        return _rare_action(options)
    from pytrace.cli.usage import usage

    write_error(usage())
    return 1


def _rare_action(options: Options) -> int:
    if options.action == "list":
        from pytrace.cli.listing import list_items

        return list_items(options, os.environ)
    if options.action == "info":
        from pytrace.cli.info import show_info

        return show_info()
    from pytrace.cli.repl import repl

    return repl(options, os.environ)


def told(error: PytraceError) -> str:
    """The text on stderr for an error made on purpose."""
    text = str(error)
    lines = [text if isinstance(error, OptionError) else f"ERROR: {text}"]
    if isinstance(error, AttachError):
        reasons = (error.cause,) if error.cause else ()
        lines += [f"HINT: {hint}" for hint in (*reasons, *error.hints)]
    text = "".join(f"{line}\n" for line in lines)
    if isinstance(error, UsageError) and error.usage:
        from pytrace.cli.usage import usage

        text += usage()
    return text


def os_error_text(error: OSError) -> str:
    """``what: why`` of a failed system call; ``what`` is a file or, of our own, what was tried."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def internal_error(error: Exception) -> str:
    """The text for an error that nobody foresaw: never a traceback, unless it is asked for."""
    if os.environ.get("PYTRACE_DEBUG", "") not in ("", "0"):
        import traceback

        return "".join(traceback.format_exception(error))
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = ""
    if at is not None:
        path = at.tb_frame.f_code.co_filename
        place = f" at {'/'.join(path.split('/')[-2:])}:{at.tb_lineno}"
    from pytrace import __version__

    return (
        f"ERROR: internal error: {type(error).__name__}: {error}{place}\n"
        f"This is a fault of pytrace {__version__}, not of the script. Please report it to the "
        "project with the script\nand the traceback, which PYTRACE_DEBUG=1 shows.\n"
    )
