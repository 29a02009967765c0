"""What a provider says about attach points to the compiler: targets, contexts, prog shapes."""

from __future__ import annotations

from pytrace.base.frozen import Frozen, FrozenValue
from pytrace.base.source import Span
from pytrace.base.types import StructDef, Type


class Target(FrozenValue):
    """One attach point as its provider understands it, after ``Provider.parse``.

    ``provider`` is the provider's name; ``name`` is what ``probe`` gives (language 7.3);
    ``args`` the provider's own data; ``wildcard`` asks for ``Provider.expand``.
    """

    provider: str
    name: str
    args: tuple[object, ...]
    wildcard: bool = False


class CtxValue(FrozenValue):
    """A value that a prog loads from its context with one fixed-size load.

    ``offset`` and ``size`` are bytes within the context; ``type`` is what the script sees;
    ``signed`` tells how the loaded bytes widen.
    """

    type: Type
    offset: int
    size: int
    signed: bool = False


class UserOperand(FrozenValue):
    """A USDT argument: a constant, a register, or user memory that registers point to.

    The value is ``constant``, or ``base`` plus ``displacement`` plus ``index`` times ``scale``;
    if ``deref`` it is what user memory holds there. ``size`` bytes of it count, widened by
    ``signed``.
    """

    type: Type
    size: int
    signed: bool
    constant: int = 0
    base: CtxValue | None = None
    index: CtxValue | None = None
    scale: int = 1
    displacement: int = 0
    deref: bool = False


class UserPlace(FrozenValue):
    """Where a probe of a file fires: at one of some file offsets of ``path``.

    ``returned``: the prog runs when a function is left, and only the kernel knows its entry.
    """

    path: str
    offsets: tuple[int, ...]
    returned: bool = False


class ProbeContext(Frozen):
    """Which builtins exist in a probe, with their types and where to load them.

    ``space`` is the address space of pointers in this probe (language 3.6), "none" where none is
    known. ``args`` describes the fields of ``args``: each is read from the context at its own
    offset. ``values`` maps ``arg0`` ... to where they are, ``retval`` is the return value's place.
    ``ctx`` is the type of the ``ctx`` builtin, None if it may not be used. ``per_target`` tells
    that two targets may differ in layout, so that a body that looks at ``args`` is compiled for
    each. ``missing_args``: an ``argN`` that the target does not have is 0, no error.
    ``registers`` maps names for ``reg()`` to context loads.
    ``slots``: the context is an array of 8-byte slots, each loaded whole and narrowed then.
    ``iterates``: the prog runs for each of many objects, the context's second word, and once
    more without one. ``place`` is where a probe of a user space file fires.
    """

    space: str
    args: StructDef | None = None
    values: tuple[tuple[str, CtxValue | UserOperand], ...] = ()
    retval: CtxValue | None = None
    ctx: Type | None = None
    registers: tuple[tuple[str, CtxValue], ...] = ()
    func: str = ""  # "kernel" or "user": which symbols ``func`` names; empty: no ``func``
    probetype: str = ""
    user_stack: bool = True
    per_target: bool = False
    missing_args: bool = False
    slots: bool = False
    iterates: bool = False
    place: UserPlace | None = None

    def value(self, name: str) -> CtxValue | UserOperand | None:
        return next((v for n, v in self.values if n == name), None)


class ProgShape(FrozenValue):
    """How the prog of a probe must be loaded; ``prog_type`` and the rest as in ``ProgSpec``.

    ``multi``: one prog serves all targets. ``filter_pid``: ``-p`` is compiled in (language 7.6).
    """

    prog_type: str
    expected_attach_type: str = ""
    attach_btf: str = ""
    multi: bool = True
    filter_pid: bool = False
    flags: int = 0


class ParseProblem(FrozenValue):
    """Why an attach point is wrong: a diagnostic without its severity.

    ``warnings`` are told besides. With an empty ``message`` they are all there is to tell, and
    ``instead`` holds the targets that are attached to all the same.
    """

    code: str
    message: str
    hints: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    instead: tuple[Target, ...] = ()


class Attachment(FrozenValue):
    """What ``Provider.attach`` attaches with one call: the data of one ``AttachSpec``.

    ``count`` is how many attach points it stands for.
    """

    name: str
    args: tuple[object, ...]
    count: int = 1


class AttachText(Frozen):
    """An attach point's text, parameters already substituted: what ``Provider.parse`` reads.

    The same fields as ``ast.AttachPoint``, which providers must not know. ``unsafe`` is --unsafe.
    """

    provider: str
    parts: tuple[str, ...]
    quoted: tuple[bool, ...]
    text: str
    label: str
    location: str
    span: Span
    unsafe: bool = False
