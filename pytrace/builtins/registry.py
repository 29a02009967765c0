"""What a builtin is: one record with its checks, its type, its code and its words.

Each file of this package declares its builtins as module attributes of type ``Builtin``;
``load_all`` collects them. The run side never calls ``load_all``: it imports the one module whose
``HANDLERS`` or ``show`` functions a compiled program names.
"""

from __future__ import annotations

from pytrace.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final, TypeAlias

    from pytrace.base.source import Span
    from pytrace.base.types import Type
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower import Lowering
    from pytrace.semantics.typing import Typing

    TypeRule: TypeAlias = Callable[[Typing, "BuiltinCall"], Type]
    LowerRule: TypeAlias = Callable[[Lowering, "BuiltinCall"], "ir.Value | None"]
    IntoRule: TypeAlias = Callable[[Lowering, "BuiltinCall", ir.Value], None]


class BuiltinCall(Frozen):
    """One use of a builtin in the script. ``result`` is its type, known when lowering."""

    name: str
    args: tuple[ast.Expr, ...]
    span: Span
    node: ast.Expr
    result: Type | None = None


class Arg(Frozen):
    """A parameter. ``kind`` says what is accepted:

    ``any``; ``int`` (integers); ``string`` (string, pointer or integer address); ``pointer`` and
    ``address`` (pointer or integer); ``text`` (a string literal); ``number`` (an integer literal);
    ``map`` (a map without key); ``word`` (a bare identifier); ``var`` (a scratch variable, which
    is assigned).
    """

    name: str
    kind: str = "any"
    optional: bool = False


class Builtin(Frozen):
    """A builtin value or function.

    ``returns`` is the type, or a rule that finds it (and reports what is wrong). ``lower`` gives
    the word of a scalar result, or None for void; ``into`` writes a larger result to memory.
    ``bare`` builtins may be written without ``()``. ``variadic`` takes more arguments after
    ``params``. ``aggregate`` names the kind of map value that an aggregating function fills.
    ``unsafe`` needs --unsafe. ``per_target``: the value differs between the attach points of a
    probe, so that each needs a prog of its own. ``in_for``: usable in the body of a ``for``.
    ``probe_only``: there is none in a ``fn``. ``unstable`` names the feature whose config variable
    ``unstable_...`` gates it.
    """

    name: str
    doc: str
    returns: Type | TypeRule
    params: tuple[Arg, ...] = ()
    variadic: bool = False
    lower: LowerRule | None = None
    into: IntoRule | None = None
    bare: bool = False
    unsafe: bool = False
    aggregate: str = ""
    per_target: bool = False
    in_for: bool = True
    probe_only: bool = False
    unstable: str = ""

    @property
    def required(self) -> int:
        return sum(1 for p in self.params if not p.optional)


MODULES: Final = (
    "actions", "aggregates", "clock", "compile_time", "debug", "kfuncs", "lookups", "maps",
    "memory", "network", "objects", "printing", "probe", "process", "stacks", "strings", "symbols",
    "system", "task",
)  # fmt: skip
"""Files of this package that declare builtins."""


def load_all() -> Mapping[str, Builtin]:
    """Every builtin by name."""
    found: dict[str, Builtin] = {}
    for module in MODULES:
        names = __import__(f"pytrace.builtins.{module}", fromlist=["x"])
        for item in vars(names).values():
            if isinstance(item, Builtin):
                found[item.name] = item
    return found


def count_problem(builtin: Builtin, given: int) -> str | None:
    """What is wrong with a number of arguments, in the contract's words."""
    least = builtin.required
    most = None if builtin.variadic else len(builtin.params)
    name = builtin.name
    if given >= least and (most is None or given <= most):
        return None
    if most == 0:
        return f"{name}() requires no arguments ({given} provided)"
    if least == most:
        return f"{name}() requires {arguments(least)} ({given} provided)"
    if given < least:
        return f"{name}() requires at least {arguments(least)} ({given} provided)"
    return f"{name}() takes up to {arguments(most or 0)} ({given} provided)"


def arguments(count: int) -> str:
    """A number of arguments in words."""
    if count == 0:
        return "no arguments"
    return "one argument" if count == 1 else f"{count} arguments"


def names_of(builtins: Mapping[str, Builtin]) -> Sequence[str]:
    return sorted(builtins)
