"""Config blocks and map declarations: what stands outside of probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base import config as config_table
from pytrace.base.diagnostics import Diagnostic
from pytrace.base.text import closest
from pytrace.semantics.lower.maps import DECLARED_KINDS

if TYPE_CHECKING:
    from pytrace.base.config import Config
    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.frontend import ast
    from pytrace.semantics.env import Env


def configure(
    program: ast.Program, environment: config_table.Settings, sink: DiagnosticSink
) -> Config:
    """Default, then the script's block, then the environment."""
    if program.config is None:
        return config_table.Config(environment)
    entries = program.config.entries
    settings, problems = config_table.from_entries((e.key, e.value) for e in entries)
    for problem in problems:
        entry = entries[problem.index]
        name = config_table.bare_name(entry.key)
        hints: tuple[str, ...] = ()
        if problem.code == "config-unknown":
            guess = closest(name, sorted(config_table.VARIABLES))
            hints = (f"Did you mean {guess}?",) if guess else ()
        sink.add(
            Diagnostic(
                severity=problem.severity,
                code=problem.code,
                message=problem.text,
                span=entry.span,
                hints=hints,
            )
        )
    return config_table.Config(settings, environment)


def declare_maps(env: Env, program: ast.Program) -> None:
    """Remembers ``let @m = kind(n)`` for the maps they name."""
    for decl in program.map_decls:
        info = env.map(decl.map.name)
        if decl.kind not in DECLARED_KINDS:
            env.sink.error(
                "map-kind",
                f"Invalid bpf map type: {decl.kind}",
                decl.kind_span,
                hints=["Valid map types: percpulruhash, percpuhash, lruhash, hash"],
            )
            continue
        info.decl = decl
