"""software and hardware: the perf subsystem's counters, each event after a number of counts."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard, matches, parse_integer, why_no_integer
from pytrace.base.types import UNKNOWN
from pytrace.model.probing import ProbeContext, ProgShape, Target
from pytrace.probes.interval import PERF_CONTEXT
from pytrace.probes.provider import Item, Provider
from pytrace.probes.registers import registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Parsed

PERF_TYPE_HARDWARE: Final = 0
PERF_TYPE_SOFTWARE: Final = 1

SOFTWARE: Final = {
    "alignment-faults": (7, 1), "bpf-output": (10, 1), "context-switches": (3, 1000),
    "cs": (3, 1000), "cpu-clock": (0, 1000000), "cpu": (0, 1000000), "cpu-migrations": (4, 1),
    "dummy": (9, 1), "emulation-faults": (8, 1), "major-faults": (6, 1),
    "minor-faults": (5, 100), "page-faults": (2, 100), "faults": (2, 100), "task-clock": (1, 1),
}  # fmt: skip
"""Event name: number (PERF_COUNT_SW_*, include/uapi/linux/perf_event.h) and default count."""

HARDWARE: Final = {
    "backend-stalls": (8, 1000000), "branch-instructions": (4, 100000), "branches": (4, 100000),
    "branch-misses": (5, 100000), "bus-cycles": (6, 100000), "cache-misses": (3, 1000000),
    "cache-references": (2, 1000000), "cpu-cycles": (0, 1000000), "cycles": (0, 1000000),
    "frontend-stalls": (7, 1000000), "instructions": (1, 1000000), "ref-cycles": (9, 1000000),
}  # fmt: skip
"""Event name: number (PERF_COUNT_HW_*) and default count."""


class CounterProvider(Provider):
    """Target args: (PERF_TYPE_*, event number, count)."""

    module = "counters"
    table = SOFTWARE
    kind = PERF_TYPE_SOFTWARE

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if not 1 <= len(ap.parts) <= 2:
            return self.count_problem(ap, "1 or 2")
        event = ap.parts[0]
        if is_wildcard(event):
            return self.problem(f"wildcards are not allowed for {self.name} probe type")
        if event not in self.table:
            guess = closest(event, list(self.table))
            hints = (f"Did you mean {guess}?",) if guess else ()
            return self.problem(f"{event} is not a {self.name} probe", *hints)
        number, count = self.table[event]
        name = f"{self.name}:{event}"
        if len(ap.parts) == 2:
            text = ap.parts[1]
            given = parse_integer(text)
            if given is None:
                return self.problem(f"Invalid count for {self.name} probe: {why_no_integer(text)}")
            # A count of 0 asks for the usual one.
            if given:
                count, name = given, f"{name}:{given}"
        return Target(provider=self.name, name=name, args=(self.kind, number, count))

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        return ProbeContext(
            space=UNKNOWN,
            ctx=PERF_CONTEXT,
            registers=registers(kernel.identity().arch),
            probetype=self.name,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_PERF_EVENT")

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        for event in self.table if len(fields) <= 2 else ():
            if matches(fields[0], event):
                yield Item(text=f"{self.name}:{event}:")

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        return Item(text=f"{self.name}:{target.name.split(':')[1]}:")


class SoftwareProvider(CounterProvider):
    name = "software"
    aliases = ("s",)
    doc = "A software event of the kernel, such as page faults: software:event:count."


class HardwareProvider(CounterProvider):
    name = "hardware"
    aliases = ("h",)
    doc = "A counter of the processor, such as cache misses: hardware:event:count."
    table = HARDWARE
    kind = PERF_TYPE_HARDWARE


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """One event on each CPU; -p makes them count that process only."""
    kind, number, count = spec.args
    made = linux.counter(prog, spec.name, kind, number, period=count, pid=linux.pid)
    return list(made)


PROVIDERS: Final = (SoftwareProvider(), HardwareProvider())
