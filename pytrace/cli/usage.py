"""The texts of ``--help`` and ``--version``."""

from __future__ import annotations

from pytrace import __version__
from pytrace.base.config import VARIABLES
from pytrace.cli.options import OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.cli.options import Option

_HEAD = """\
pytrace - ask a running Linux machine questions, in a language compiled to BPF

USAGE:
    pytrace [options] FILE [arguments]
    pytrace [options] -e PROGRAM [arguments]
    pytrace [options] - [arguments]       the program comes from standard input
    pytrace                               on a terminal: a prompt
Named script parameters follow "--": pytrace FILE -- --name=value
"""

_CONFIG = """
Config variables, for a script's config block or, as PYTRACE_<NAME>, the environment:
"""

_TAIL = """
Environment only: PYTRACE_CACHE=off|DIR, PYTRACE_COLOR=auto|always|never,
PYTRACE_BTF=FILE, PYTRACE_KERNEL_SOURCE=DIR, PYTRACE_KERNEL_BUILD=DIR, PYTRACE_DEBUG=1.

Examples:
    pytrace -e 'tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }'
        who opens files, counted
    pytrace -e 'tracepoint:syscalls:sys_enter_openat < printf("%s %s\\n", comm, str(args.filename)); >'
        which files, one line each; blocks may be written < > too
    pytrace -e 'uretprobe:/bin/bash:readline { printf("%s\\n", str(retval)); }'
        what is typed into every bash
    pytrace -e 'interval:s:1 { print(@); clear(@); } tracepoint:raw_syscalls:sys_enter { @ = count(); }'
        system calls per second
    pytrace -l 'tracepoint:sched:*'
        attach points with "sched" for a category
"""  # noqa: E501 - commands that a reader may copy

_COLUMN = 32


def usage() -> str:
    """What ``--help`` prints."""
    parts = [_HEAD]
    section = ""
    for option in OPTIONS:
        if option.section != section:
            section = option.section
            parts.append(f"\n{section}:\n")
        parts.append(_line(_head(option), option.doc))
    parts.append(_CONFIG)
    for name, var in VARIABLES.items():
        default = str(var.default).lower() if isinstance(var.default, bool) else var.default
        parts.append(_line(f"  {name}", f"{var.doc} ({default})" if default != "" else var.doc))
    parts.append(_TAIL)
    return "".join(parts)


def version() -> str:
    """What ``--version`` prints."""
    return f"pytrace v{__version__}\n"


def _head(option: Option) -> str:
    names = []
    if option.short:
        names.append(f"-{option.short}")
    if option.long:
        names.append(f"--{option.long}")
    return "  " + ", ".join(names) + (f" {option.argument}" if option.argument else "")


def _line(head: str, doc: str) -> str:
    lines = []
    if len(head) > _COLUMN - 2:
        lines.append(head)
        head = ""
    for line in _wrap(doc, 100 - _COLUMN):
        lines.append(f"{head:<{_COLUMN}}{line}")
        head = ""
    return "".join(f"{line}\n" for line in lines)


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines
