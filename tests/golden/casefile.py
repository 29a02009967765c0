"""Case files of golden tests: reading, running and rewriting them.

    [case name]
    script
    [params]            positional parameters, one a line
    [options]           unsafe, pid=N, child, or --name=value of the script, one a line
    [diagnostics]       what is said of the script; must be there if anything is
    [types]             types of variables and maps
    [attach]            what is attached: program, attach point, the provider's own data
    [maps]              the maps of the typed IR
    [events]            the records of the typed IR
    [ir]                the typed IR

Lines that begin with ``;`` are comments. A script, its parameters and options are written by a
person, the other sections by ``--update-golden``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.diagnostics import render_all
from pytrace.base.types import NoneType
from pytrace.ir.print import print_module
from pytrace.semantics.env import Settings
from pytrace.semantics.merge import settled
from tests.compiling import Outcome, compile_to_ir

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INPUTS = ("case", "params", "options")


class Case:
    """One case: its place in the file, its sections in order of appearance."""

    def __init__(self, path: Path, name: str, line: int) -> None:
        self.path = path
        self.name = name
        self.line = line
        self.sections: dict[str, str] = {"case": ""}

    def __repr__(self) -> str:
        return f"{self.path.stem}-{self.name.replace(' ', '-')}"

    @property
    def script(self) -> str:
        return self.sections["case"]


def read(path: Path) -> tuple[str, list[Case]]:
    """The comment at the head of a file, and its cases."""
    head: list[str] = []
    cases: list[Case] = []
    section = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.startswith("[case ") and line.endswith("]"):
            cases.append(Case(path, line[6:-1], number))
            section = "case"
        elif line in HEADERS and cases:
            section = line[1:-1]
            cases[-1].sections[section] = ""
        elif not cases:
            head.append(line)
        else:
            cases[-1].sections[section] += line + "\n"
    for case in cases:
        case.sections = {n: _trimmed(t) for n, t in case.sections.items()}
    return "\n".join(head).strip(), cases


def _trimmed(text: str) -> str:
    text = text.strip("\n")
    return text + "\n" if text else ""


def run(case: Case) -> Outcome:
    options = case.sections.get("options", "").splitlines()
    given = [o.removeprefix("--").partition("=") for o in options if o.startswith("--")]
    pids = [int(o.removeprefix("pid=")) for o in options if o.startswith("pid=")]
    settings = Settings(
        unsafe="unsafe" in options,
        pid=pids[0] if pids else None,
        has_child="child" in options,
        options=tuple((name, value if sign else None) for name, sign, value in given),
    )
    params = case.sections.get("params", "").splitlines()
    return compile_to_ir(case.script.removesuffix("\n"), params=params, settings=settings)


def actual(case: Case) -> dict[str, str]:
    """All sections as they are now: inputs as written, the asked ones and diagnostics as found."""
    outcome = run(case)
    found = {n: t for n, t in case.sections.items() if n in INPUTS}
    for name, make in RENDER.items():
        text = make(outcome)
        if name in case.sections or (name == "diagnostics" and text):
            found[name] = text
    if outcome.lowered is not None and not found.get("diagnostics"):
        found.pop("diagnostics", None)
    return found


def _types(outcome: Outcome) -> str:
    if outcome.lowered is None:
        return ""
    env = outcome.lowered.env
    lines = []
    for instance in env.instances:
        names = [(v.name.split("#")[0], settled(t)) for v, t in instance.variables.items()]
        where = f"{instance.name}: " if len(env.instances) > 1 else ""
        lines += [f"{where}${name}: {kind}" for name, kind in names]
    for name, info in sorted(env.maps.items()):
        key = "" if isinstance(info.key, NoneType) else f"[{settled(info.key)}]"
        lines.append(f"{name}{key}: {settled(info.value)}")
    return "".join(f"{line}\n" for line in lines)


def _attach(outcome: Outcome) -> str:
    if outcome.lowered is None:
        return ""
    specs = outcome.lowered.module.attach
    return "".join(f"{s.prog}: {s.name} {s.provider}{s.args}\n" for s in specs)


def _ir(outcome: Outcome) -> str:
    return print_module(outcome.lowered.module).strip("\n") + "\n" if outcome.lowered else ""


def _lines_of(kind: str) -> Callable[[Outcome], str]:
    def lines(outcome: Outcome) -> str:
        return "".join(f"{x}\n" for x in _ir(outcome).splitlines() if x.startswith(f"{kind} "))

    return lines


def _diagnostics(outcome: Outcome) -> str:
    return render_all(outcome.sink)


RENDER: dict[str, Callable[[Outcome], str]] = {
    "diagnostics": _diagnostics,
    "types": _types,
    "attach": _attach,
    "maps": _lines_of("map"),
    "events": _lines_of("event"),
    "ir": _ir,
}

HEADERS = frozenset(f"[{name}]" for name in (*INPUTS, *RENDER))


def rewrite(path: Path) -> None:
    """Writes what is found now into a file."""
    head, cases = read(path)
    parts = [head] if head else []
    for case in cases:
        lines = [f"[case {case.name}]\n", case.script]
        for name, text in actual(case).items():
            if name != "case":
                lines.append(f"[{name}]\n{text}")
        parts.append("".join(lines))
    path.write_text("\n\n".join(p.rstrip("\n") for p in parts) + "\n", "utf-8")
