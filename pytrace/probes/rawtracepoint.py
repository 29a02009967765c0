"""rawtracepoint: a tracepoint's arguments before anything is copied into a record."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard
from pytrace.base.types import KERNEL, U64, Bool, Enum, Field, Int, StructDef
from pytrace.kernel.info import Unknown
from pytrace.model.probing import CtxValue, ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import Item, Provider, parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo, KernelTexts
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed

MAX_ARGUMENTS: Final = 12
"""Arguments that a raw tracepoint's context can hold (include/trace/bpf_probe.h)."""


class RawTracepointProvider(Provider):
    """Target args: (module, event)."""

    name = "rawtracepoint"
    aliases = ("rt",)
    module = "rawtracepoint"
    doc = "A tracepoint's raw arguments: rawtracepoint:event."

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if not 1 <= len(ap.parts) <= 2:
            return self.count_problem(ap, "1 or 2")
        module, event = ap.parts if len(ap.parts) == 2 else ("", ap.parts[0])
        return Target(
            provider=self.name,
            name=_name(module, event),
            args=(module, event),
            wildcard=is_wildcard(module) or is_wildcard(event),
        )

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        module, event = (str(a) for a in target.args)
        found = kernel.raw_tracepoints(event, module)
        if isinstance(found, Unknown):
            return (target,)
        if not found:
            known = kernel.raw_tracepoints("*", "")
            names = [] if isinstance(known, Unknown) else [r.name for r in known]
            guess = closest(event, names)
            return ParseProblem(
                code="no-match",
                message=f"No matches for {self.name} {event}.",
                hints=(f"Did you mean {guess}?",) if guess else (),
            )
        return tuple(
            Target(
                provider=self.name, name=_name(ref.module, ref.name), args=(ref.module, ref.name)
            )
            for ref in found
        )

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        module, event = (str(a) for a in target.args)
        proto = kernel.raw_tracepoint(event, module)
        args = None
        if proto is not None:
            fields = tuple(
                Field(name=name, type=kind, offset=8 * index)
                for index, (name, kind) in enumerate(proto.params)
                if isinstance(kind, (Int, Bool, Enum)) or kind.size == 8
            )
            args = StructDef(
                kind="struct",
                name=f"rawtracepoint:{event}_args",
                size=8 * len(proto.params),
                fields=fields,
            )
        return ProbeContext(
            space=KERNEL,
            args=args,
            values=tuple(
                (f"arg{n}", CtxValue(type=U64, offset=8 * n, size=8)) for n in range(MAX_ARGUMENTS)
            ),
            probetype=self.name,
            per_target=True,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_RAW_TRACEPOINT", filter_pid=True)

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        module, event = fields if len(fields) == 2 else ("", fields[0])
        found = kernel.raw_tracepoints(event or "*", module) if len(fields) <= 2 else ()
        if not isinstance(found, Unknown):
            for ref in found:
                yield Item(text=_name(ref.module, ref.name), args=(ref.module, ref.name))

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        module, event = (str(a) for a in item.args)
        found = kernel.raw_tracepoint_text(event, module)
        return parameters(found) if found is not None else ()

    def refused(self, kernel: KernelInfo) -> str:
        found = kernel.raw_tracepoints("*", "")
        reason = found.reason if isinstance(found, Unknown) else ""
        return f"raw tracepoints cannot be listed: {reason}" if reason else ""


def _name(module: str, event: str) -> str:
    return f"rawtracepoint:{module}:{event}" if module else f"rawtracepoint:{event}"


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    return [linux.raw_tracepoint(prog, spec.args[1])]


PROVIDERS: Final = (RawTracepointProvider(),)
