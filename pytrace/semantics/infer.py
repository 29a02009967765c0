"""Whole-program type inference: all bodies again and again until no type grows (language 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.diagnostics import ERROR, Diagnostic
from pytrace.base.types import Aggregate, NoneType
from pytrace.semantics.lower.maps import DECLARED_KINDS
from pytrace.semantics.merge import settled
from pytrace.semantics.typing import Typing

if TYPE_CHECKING:
    from pytrace.semantics.env import Env, MapInfo

MAX_ROUNDS = 64
"""Types only grow and the lattice is low: a handful of rounds is usual."""


def infer(env: Env) -> None:
    """Fills the side tables of all instances and reports what does not fit."""
    for _ in range(MAX_ROUNDS):
        changed = False
        for instance in env.instances:
            round_ = Typing(env, instance, reporting=False)
            round_.run()
            changed = changed or round_.changed
        if not changed:
            break
    # What was read or incremented but never given a type of its own is an integer.
    for info in env.maps.values():
        if isinstance(info.value, NoneType) and info.assigned:
            info.assigned = True
    for instance in env.instances:
        Typing(env, instance, reporting=True).run()
    check_declarations(env)
    check_options(env)


def check_options(env: Env) -> None:
    """Named parameters on the command line that the script does not know."""
    unknown = [n for n, _ in env.settings.options if n not in env.script_options and n != "help"]
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


def check_declarations(env: Env) -> None:
    """Kinds of declared maps must fit what is stored in them."""
    for info in env.maps.values():
        if info.decl is None:
            continue
        if info.scalar is None and not info.assigned:
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
            decl.span,
        )
