"""What a provider is: the two halves of one kind of probe, in one file each.

The compile half is the methods of a ``Provider``; it sees the machine through ``KernelInfo``
alone. The run half is the module's function ``attach``: the session imports the module that
``AttachSpec.provider`` names and nothing of the compile side.
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.text import closest
from pytrace.base.types import KERNEL
from pytrace.model.probing import Attachment, ParseProblem, ProbeContext, ProgShape, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, Union

    from pytrace.base.types import StructDef
    from pytrace.kernel.info import FuncText, KernelInfo, KernelTexts, Unknown
    from pytrace.model.probing import AttachText

    Parsed = Union[Target, ParseProblem]
    Expanded = Union[Sequence[Target], ParseProblem]


class Item(FrozenValue):
    """One line of ``-l``. ``args`` is what its provider needs to tell of its arguments."""

    text: str
    args: tuple[object, ...] = ()


class Provider:
    """Base of providers. ``module`` names the file; ``order`` tells how probes of one event fire.

    ``fires_forward``: the kernel runs the progs of an event in the order of attaching; where it
    runs the last one first, the session attaches backwards (language 7.5). ``alone``: such a probe
    has one attach point, and no other is attached beside it.
    """

    name = ""
    aliases: tuple[str, ...] = ()
    module = ""
    doc = ""
    fires_forward = True
    alone = False
    mode = ""
    """The ``--mode`` that its probes run in, empty for an ordinary run; in another they idle."""

    def __init__(self, name: str = "") -> None:
        if name:
            self.name = name

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        """The target that a text means. ``pid`` is that of -p."""
        raise NotImplementedError

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        """The distinct attach points of a target that may be a wildcard; checks that they exist."""
        return (target,)

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        """What a probe on this target offers."""
        return ProbeContext(space=KERNEL, probetype=self.name)

    def typed_args(self, target: Target, kernel: KernelInfo) -> StructDef | ParseProblem | None:
        """The fields of ``args`` where they are costly to find: asked if a body uses them, for
        what ``context`` leaves out."""
        return None

    def debug_scope(self, target: Target) -> tuple[str, str] | None:
        """(file, symbol) of the function whose debug information knows further types."""
        return None

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        """How the prog is loaded."""
        raise NotImplementedError

    def gather(self, targets: Sequence[Target], shape: ProgShape) -> Sequence[Attachment]:
        """How the targets of one prog are attached: each by itself, or many with one call."""
        return [Attachment(name=t.name, args=t.args) for t in targets]

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        """Items of ``-l`` that fit the fields of a search, in any order.

        ``fields`` are what follows the provider; one alone is the last one, an event's or a
        function's name. What does not work on this kernel is listed too, as far as it is known.
        """
        return iter(())

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        """An expanded target as ``-l`` writes it; without text if it leaves that out."""
        return Item(text=target.name, args=target.args)

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        """The lines that ``-lv`` shows below an item; ``Unknown`` says why there are none."""
        return ()

    def refused(self, kernel: KernelInfo) -> str:
        """Why none of these probes works on this kernel, empty if they do."""
        return ""

    def problem(self, message: str, *hints: str, code: str = "attach-point") -> ParseProblem:
        """What is wrong with an attach point, and what to do."""
        return ParseProblem(code=code, message=message, hints=hints)

    def count_problem(self, ap: AttachText, wanted: str) -> ParseProblem:
        found = len(ap.parts)
        return self.problem(f"{self.name} probe type requires {wanted} arguments, found {found}")


def parameters(text: FuncText) -> list[str]:
    """A prototype's parameters, one a line."""
    return [f"{kind} {name}".rstrip() for kind, name in text.params]


KERNEL_PROVIDERS: Final = (
    "fentry",
    "hardware",
    "iter",
    "kprobe",
    "rawtracepoint",
    "software",
    "tracepoint",
)
USER_PROVIDERS: Final = ("uprobe", "usdt")
"""What a pattern in a provider's place may mean: the second if a file follows."""

MODULES: Final = (
    "counters",
    "fentry",
    "interval",
    "iter",
    "kprobe",
    "rawtracepoint",
    "special",
    "tracepoint",
    "trial",
    "uprobe",
    "usdt",
    "watchpoint",
)


def load_all() -> dict[str, Provider]:
    """Every provider by name and by alias, in lower case (``u`` and ``U`` differ)."""
    found: dict[str, Provider] = {}
    for module in MODULES:
        loaded = __import__(f"pytrace.probes.{module}", fromlist=["PROVIDERS"])
        for provider in loaded.PROVIDERS:
            for name in (provider.name, *provider.aliases):
                found[name] = provider
    return found


def find(providers: dict[str, Provider], name: str) -> Provider | None:
    """Names are case-insensitive, but for the short names of uprobe and usdt."""
    return providers.get(name) or (providers.get(name.lower()) if name not in ("u", "U") else None)


def unknown(providers: dict[str, Provider], name: str) -> ParseProblem:
    guess = closest(name, [n for n in providers if len(n) > 2])
    return ParseProblem(
        code="unknown-provider",
        message=f"Invalid probe type: {name}",
        hints=(f"Did you mean {guess}?",) if guess else (),
    )
