"""Writes docs/builtins.md, the table of all builtins, from their declarations.

    python -m scripts.manual

Builtins come from the registry, what the library defines from its macros and the comments in
front of them. tests/unit/test_docs.py fails while the file is older than what it is made from.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.builtins.registry import MODULES, Builtin
from pytrace.frontend.parser import parse
from pytrace.stdlib import sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytrace.builtins.registry import Arg
    from pytrace.frontend import ast

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "builtins.md"

HEAD = """\
# Builtins

Every builtin value and function, one table for each file of `pytrace/builtins/` that declares
them, and the macros of the standard library. [language.md](language.md) explains them at length.
This file is made by `python -m scripts.manual`; edit the declarations instead.

What the columns mean:

- *Written*: parameters in parentheses, those in brackets may be left out, `...` takes more. A name
  without parentheses is a value; `()` may follow it.
- *Notes*: `--unsafe` means that the command needs this option. "not in `for`" and "not in `fn`" are
  places where there is none. An aggregate is the whole right side of an assignment to a map.
"""

PARAMETERS = {
    "text": "a string literal",
    "number": "an integer literal",
    "map": "a map without keys behind its name",
    "var": "a scratch variable, which is assigned",
    "type": "`typeof(T)`",
}
"""Kinds of parameters that take less than an expression."""


def manual() -> str:
    """The whole file."""
    parts = [HEAD]
    for module in MODULES:
        loaded = import_module(f"pytrace.builtins.{module}")
        found = [item for item in vars(loaded).values() if isinstance(item, Builtin)]
        rows = [builtin_row(b) for b in sorted(found, key=lambda b: b.name) if shown(b)]
        if rows:
            title = (loaded.__doc__ or module).split("\n\n")[0].replace("\n", " ").rstrip(".")
            parts.append(table(_without_reference(title), rows))
    for name, text in sources():
        parts.append(table(f"Macros of `{name}`", list(macro_rows(name, text))))
    return "\n".join(parts)


def shown(builtin: Builtin) -> bool:
    """False for what only the library uses."""
    return not builtin.name.startswith("__")


def builtin_row(builtin: Builtin) -> tuple[str, str, str]:
    """How it is written, what it is, and what there is to know besides."""
    notes = []
    if builtin.unsafe:
        notes.append("`--unsafe`")
    if builtin.aggregate:
        notes.append("aggregate")
    if builtin.unstable:
        notes.append(f"unstable, see config `unstable_{builtin.unstable}`")
    if not builtin.in_for:
        notes.append("not in `for`")
    if builtin.probe_only:
        notes.append("not in `fn`")
    notes += [f"`{p.name}`: {PARAMETERS[p.kind]}" for p in builtin.params if p.kind in PARAMETERS]
    return signature(builtin), builtin.doc, "; ".join(notes)


def signature(builtin: Builtin) -> str:
    """``str(address[, n])``; a value without parameters is its name."""
    if not builtin.params and builtin.bare:
        return builtin.name
    words = "".join(_parameter(p, number) for number, p in enumerate(builtin.params))
    more = ", ..." if builtin.variadic else ""
    closing = "]" * sum(1 for p in builtin.params if p.optional)
    return f"{builtin.name}({words}{more}{closing})"


def _parameter(param: Arg, number: int) -> str:
    comma = ", " if number else ""
    return f"[{comma}{param.name}" if param.optional else f"{comma}{param.name}"


def macro_rows(name: str, text: bytes) -> Iterator[tuple[str, str, str]]:
    """The macros of one library file. A comment stands for all macros up to the next one."""
    program = parse(SourceFile(name, text), DiagnosticSink())
    assert program is not None
    for macro in program.macros:
        if macro.name.startswith("__"):
            continue
        params = ", ".join(_SIGILS[p.kind] + p.name.lstrip("@$") for p in macro.params)
        written = f"{macro.name}({params})" if params else macro.name
        yield written, _comment_before(program, text, macro), ""


_SIGILS = {"expr": "", "var": "$", "map": "@"}


def _comment_before(program: ast.Program, text: bytes, macro: ast.Macro) -> str:
    """The lines of the last comment in front of a macro, later macros of the group included."""
    lines: list[str] = []
    end = -1
    for comment in program.comments:
        if comment.span.start > macro.span.start:
            break
        # Comments of one line each, with nothing but a line end between them, are one text.
        between = text[end : comment.span.start] if end >= 0 else b"-"
        if between.strip() or between.count(b"\n") > 1:
            lines = []
        raw = text[comment.span.start : comment.span.end].decode()
        lines.append(raw.lstrip("/").strip())
        end = comment.span.end
    return " ".join(lines)


def table(title: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """A section of the file."""
    lines = [f"## {title}", "", "| Written | | Notes |", "|---|---|---|"]
    lines += [f"| `{_cell(a)}` | {_cell(b)} | {_cell(c)} |" for a, b, c in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _without_reference(title: str) -> str:
    """Module texts point at sections of the language contract, which readers do not have."""
    head, mark, rest = title.partition(" (language ")
    return head + rest.partition(")")[2] if mark else title


if __name__ == "__main__":
    OUTPUT.write_text(manual(), encoding="utf-8")
    sys.stdout.write(f"{OUTPUT}: {len(manual().splitlines())} lines\n")
