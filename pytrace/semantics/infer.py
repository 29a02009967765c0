"""Whole-program type inference: all bodies again and again until no type grows (language 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.diagnostics import ERROR, HELP, Diagnostic
from pytrace.base.types import I8, I64, Aggregate, NoneType
from pytrace.semantics.lower.maps import DECLARED_KINDS
from pytrace.semantics.merge import settled
from pytrace.semantics.typing import Typing

if TYPE_CHECKING:
    from pytrace.base.source import Span
    from pytrace.semantics.env import Env, MapInfo

MAX_ROUNDS = 64
"""Types only grow and the lattice is low: a handful of rounds is usual."""


def infer(env: Env) -> None:
    """Fills the side tables of all instances and reports what does not fit."""
    _until_stable(env)
    while _default_maps(env):
        _until_stable(env)
    unresolved: list[tuple[str, Span]] = []
    for instance in env.instances:
        last = Typing(env, instance, reporting=True)
        last.run()
        unresolved.extend(last.unresolved)
    if not env.sink.failed:
        for message, span in unresolved:
            env.sink.error("unresolved-type", message, span)
    check_declarations(env)
    check_options(env)


def _until_stable(env: Env) -> None:
    for _ in range(MAX_ROUNDS):
        changed = False
        for instance in env.instances:
            round_ = Typing(env, instance, reporting=False)
            round_.run()
            changed = changed or round_.changed
        if not changed:
            break


def _default_maps(env: Env) -> bool:
    """Gives a type to maps that are only read (int8) or incremented (int64); True if there are."""
    untyped = [
        info
        for info in env.maps.values()
        if info.used and not info.copied and isinstance(info.value, NoneType)
    ]
    # What is assigned from such a map takes its type from there, unless they go round in a ring.
    first = [i for i in untyped if not i.assigned] or untyped
    for info in first:
        info.value = I64 if info.incremented else I8
    return bool(first)


def check_options(env: Env) -> None:
    """Named parameters on the command line that the script does not know."""
    if any(name == "help" for name, _ in env.settings.options):
        _explain_options(env)
        return
    unknown = [n for n, _ in env.settings.options if n not in env.script_options]
    if not unknown:
        return
    listed = ": ".join(f"--{n}" for n in sorted(env.script_options, reverse=True))
    env.sink.add(
        Diagnostic(
            severity=ERROR,
            code="unknown-option",
            message="unexpected program command line options: "
            + ", ".join(f"--{n}" for n in unknown),
            hints=(f"expected program options: {listed}",) if listed else (),
        )
    )


def _explain_options(env: Env) -> None:
    """``-- --help``: the script's named parameters with their help texts."""
    lines = ["expected program options:"]
    for name in sorted(env.script_options, reverse=True):
        _, text = env.script_options[name]
        more = f": {text.decode('utf-8', 'surrogateescape')}" if text else ""
        lines.append(f"--{name}{more}")
    env.sink.add(Diagnostic(severity=HELP, code="option-help", message="\n".join(lines)))


def check_declarations(env: Env) -> None:
    """Kinds of declared maps must fit what is stored in them."""
    for info in env.maps.values():
        if info.decl is None:
            continue
        if not info.used:
            env.sink.warn("unused-map", f"Unused map: {info.name}", info.decl.span)
            continue
        _check_kind(env, info)


def _check_kind(env: Env, info: MapInfo) -> None:
    decl = info.decl
    assert decl is not None
    if decl.kind not in DECLARED_KINDS:
        return
    aggregate = isinstance(settled(info.value), Aggregate)
    percpu = decl.kind.startswith("percpu")
    if aggregate != percpu:
        found = "percpuhash" if aggregate else "hash"
        env.sink.error(
            "map-kind",
            f"Incompatible map types. Type from declaration: {decl.kind}. Type from value/key"
            f" type: {found}",
            info.first or decl.span,
        )
