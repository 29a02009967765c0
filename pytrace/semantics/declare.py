"""Config blocks and map declarations: what stands outside of probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base import config as config_table
from pytrace.base.diagnostics import Diagnostic, DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.base.text import closest
from pytrace.frontend import ast, cdecl
from pytrace.frontend.parser import parse
from pytrace.semantics.lower.maps import DECLARED_KINDS

if TYPE_CHECKING:
    from pytrace.base.config import Config
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


def declare_types(env: Env, program: ast.Program) -> None:
    """Structs, unions, enums and object macros that the script defines itself."""
    found = cdecl.Definitions()
    for part in program.c_parts:
        if isinstance(part, ast.CppLine):
            _cpp_line(env, part)
            continue
        try:
            cdecl.parse(part.text, found, env.tag, env.kernel.typedef)
        except cdecl.BadDeclaration as problem:
            env.sink.error("bad-definition", f"Bad C definition: {problem}", part.span)
    env.structs.update(found.structs)
    env.enums.update(found.enums)
    env.typedefs.update(found.typedefs)


def _cpp_line(env: Env, part: ast.CppLine) -> None:
    """``#define NAME value``: an expression that stands where the name does."""
    words = part.text.lstrip("# \t").split(None, 2)
    if len(words) < 2 or words[0] != "define" or "(" in words[1]:
        return
    text = words[2].strip() if len(words) > 2 else ""
    source = SourceFile(part.span.source.name, b"begin{_=" + text.encode() + b";}")
    tree = parse(source, DiagnosticSink())
    if tree is None or len(tree.probes) != 1:
        return
    stmts = tree.probes[0].body.stmts
    if len(stmts) == 1 and isinstance(stmts[0], ast.Discard):
        env.defines[words[1]] = stmts[0].expr


def declare_maps(env: Env, program: ast.Program) -> None:
    """Remembers ``let @m = kind(n)`` for the maps they name."""
    for decl in program.map_decls:
        info = env.map(decl.map.name)
        if decl.kind not in DECLARED_KINDS:
            hints = ["Valid map types: percpulruhash, percpuhash, lruhash, hash"]
            guess = closest(decl.kind, sorted(DECLARED_KINDS))
            if guess:
                hints.insert(0, f"Did you mean {guess}?")
            message = f"Invalid bpf map type: {decl.kind}"
            env.sink.error("map-kind", message, decl.span, hints=hints)
            continue
        info.decl = decl
