"""begin, end: before the first and after the last event. They run by BPF_PROG_TEST_RUN."""

from __future__ import annotations

from pytrace.base.text import matches
from pytrace.base.types import UNKNOWN
from pytrace.model.probing import ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import Item, Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from pytrace.kernel.info import KernelInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Parsed

BEGIN: Final = "begin"
END: Final = "end"
SELF: Final = "self"


class SpecialProvider(Provider):
    """A moment of the tracer's own life."""

    module = "special"

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if ap.parts:
            return self.count_problem(ap, "0")
        return Target(provider=self.name, name=self.name, args=(self.name,))

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        return ProbeContext(space=UNKNOWN, probetype="special", user_stack=False)

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_RAW_TRACEPOINT")

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        return Item(text="")


def attach(prog: object, spec: AttachSpec, linux: object) -> tuple[object, ...]:
    """Nothing is attached: the session runs these progs itself."""
    return ()


class BeginProvider(SpecialProvider):
    name = BEGIN
    doc = "Runs once, before any other probe is attached."


class EndProvider(SpecialProvider):
    name = END
    doc = "Runs once, after all other probes are detached."


class SelfProvider(Provider):
    """A signal that the tracer itself gets. Target args: ("self", signal name)."""

    name = "self"
    module = "special"
    doc = "Runs when the tracer gets SIGUSR1: self:signal:SIGUSR1."

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if len(ap.parts) != 2:
            return self.count_problem(ap, "2")
        trigger, signal = ap.parts
        if trigger != "signal":
            return ParseProblem(
                code="attach-point",
                message=f"{trigger} is not a supported trigger",
                hints=("the only one is signal: self:signal:SIGUSR1",),
            )
        if signal != "SIGUSR1":
            return ParseProblem(code="attach-point", message=f"{signal} is not a supported signal")
        return Target(provider=self.name, name=f"self:signal:{signal}", args=(SELF, signal))

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        return ProbeContext(space=UNKNOWN, probetype="special", user_stack=False)

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_RAW_TRACEPOINT")

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        trigger, signal = fields if len(fields) == 2 else ("*", fields[0])
        if len(fields) <= 2 and matches(trigger, "signal") and matches(signal, "SIGUSR1"):
            yield Item(text="self:signal:SIGUSR1")


PROVIDERS: Final = (BeginProvider(), EndProvider(), SelfProvider())
