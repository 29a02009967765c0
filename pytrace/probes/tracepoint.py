"""tracepoint: events that the kernel's authors placed, with named fields."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard
from pytrace.base.types import KERNEL, USER, StructDef
from pytrace.kernel.info import Unknown
from pytrace.model.probing import ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import Item, Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo, KernelTexts
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed

SYSCALLS: Final = "syscalls"


class TracepointProvider(Provider):
    """Target args: (category, event)."""

    name = "tracepoint"
    aliases = ("t",)
    module = "tracepoint"
    doc = "A static tracepoint of the kernel: tracepoint:category:event."

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if len(ap.parts) != 2:
            return self.count_problem(ap, "2")
        category, event = ap.parts
        return Target(
            provider=self.name,
            name=f"tracepoint:{category}:{event}",
            args=(category, event),
            wildcard=is_wildcard(category) or is_wildcard(event),
        )

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        category, event = (str(a) for a in target.args)
        found = kernel.tracepoints(category, event)
        if isinstance(found, Unknown):
            return (target,) if not target.wildcard else _closed(found)
        if not found:
            return _missing(category, event, kernel)
        return tuple(
            Target(
                provider=self.name,
                name=f"tracepoint:{ref.category}:{ref.event}",
                args=(ref.category, ref.event),
            )
            for ref in found
        )

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        category, event = (str(a) for a in target.args)
        layout = kernel.tracepoint(category, event)
        args = None
        if layout is not None:
            args = StructDef(
                kind="struct",
                name=f"tracepoint:{category}:{event}_args",
                size=layout.size,
                fields=layout.fields,
            )
        return ProbeContext(
            space=USER if category == SYSCALLS else KERNEL,
            args=args,
            probetype=self.name,
            per_target=True,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_TRACEPOINT", filter_pid=True)

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        category, event = fields if len(fields) == 2 else ("*", fields[0])
        found = kernel.tracepoints(category, event or "*") if len(fields) <= 2 else ()
        if not isinstance(found, Unknown):
            for ref in found:
                yield Item(
                    text=f"tracepoint:{ref.category}:{ref.event}", args=(ref.category, ref.event)
                )

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        category, event = (str(a) for a in item.args)
        layout = kernel.tracepoint(category, event)
        return layout.declarations if layout is not None else ()

    def refused(self, kernel: KernelInfo) -> str:
        found = kernel.tracepoints("*", "*")
        return f"tracepoints cannot be listed: {found.reason}" if isinstance(found, Unknown) else ""


def _closed(why: Unknown) -> ParseProblem:
    return ParseProblem(
        code="attach-point",
        message=f"Tracepoints cannot be listed here: {why.reason}",
        hints=("name the tracepoint without wildcards, or run as root",),
    )


def _missing(category: str, event: str, kernel: KernelInfo) -> ParseProblem:
    """No such tracepoint: the nearest name in its category, or the nearest category."""
    hints = []
    same = kernel.tracepoints(category, "*")
    if not isinstance(same, Unknown) and not is_wildcard(event):
        guess = closest(event, [r.event for r in same])
        if guess is None and not same:
            everything = kernel.tracepoints("*", "*")
            refs = [] if isinstance(everything, Unknown) else list(everything)
            exact = [r for r in refs if r.event == event]
            near = closest(category, sorted({r.category for r in refs}))
            if exact:
                hints.append(f"Did you mean tracepoint:{exact[0].category}:{event}?")
            elif near:
                hints.append(f"Did you mean the category {near}?")
        elif guess:
            hints.append(f"Did you mean tracepoint:{category}:{guess}?")
    return ParseProblem(
        code="no-match",
        message=f"No matches for tracepoint {category}:{event}.",
        hints=tuple(hints),
    )


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """A perf event of the tracepoint; its id differs from boot to boot and is read now."""
    category, event = spec.args
    return [linux.tracepoint(prog, str(category), str(event))]


PROVIDERS: Final = (TracepointProvider(),)
