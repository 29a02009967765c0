"""interval and profile: time itself, on one CPU or on each."""

from __future__ import annotations

from pytrace.base.text import matches, parse_integer, why_no_integer
from pytrace.base.types import CONTEXT, UNKNOWN, Ptr, Struct
from pytrace.model.probing import ProbeContext, ProgShape, Target
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

UNITS: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "hz": 0}
MINIMUM_NS: Final = 1000

PERF_CONTEXT: Final = Ptr(
    to=Struct(kind="struct", name="bpf_perf_event_data", bytes=0), space=CONTEXT
)
"""Type of ``ctx`` in probes on perf events: ``struct bpf_perf_event_data *``."""


class TimerProvider(Provider):
    """A period or a frequency. Target args: (period ns, frequency); one of them is 0."""

    module = "interval"

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if len(ap.parts) == 1:
            return self._one_field(ap.parts[0])
        if len(ap.parts) != 2:
            return self.count_problem(ap, "1 or 2")
        unit, text = ap.parts
        if unit not in UNITS:
            return self.problem(
                f"{unit} is not an accepted unit of time",
                f"the units are {', '.join(UNITS)}: {self.name}:s:1, {self.name}:hz:99",
            )
        number = parse_integer(text.removeprefix("-"))
        if number is None:
            return self.problem(f"Invalid rate of {self.name} probe: {why_no_integer(text)}")
        if number == 0 or text.startswith("-"):
            return self.problem(f"{self.name} frequency should be a positive integer")
        name = f"{self.name}:{unit}:{number}"
        if unit == "hz":
            return Target(provider=self.name, name=name, args=(0, number))
        return Target(provider=self.name, name=name, args=(number * UNITS[unit], 0))

    def _one_field(self, text: str) -> Parsed:
        """Nanoseconds or a duration such as ``10ms``."""
        period = parse_integer(text)
        if period is None:
            return self.problem(f"Invalid rate of {self.name} probe: {why_no_integer(text)}")
        if period < MINIMUM_NS:
            return self.problem(
                f"Invalid rate of {self.name} probe. Minimum is 1000 or 1us. Found: {period}"
                " nanoseconds"
            )
        name = f"{self.name}:us:{period // 1000}"
        return Target(provider=self.name, name=name, args=(period, 0))

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
        for unit in UNITS if len(fields) <= 2 else ():
            if matches(fields[0], unit):
                yield Item(text=f"{self.name}:{unit}:")

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        return Item(text=f"{self.name}:{target.name.split(':')[1]}:")


class IntervalProvider(TimerProvider):
    name = "interval"
    aliases = ("i",)
    doc = "Fires regularly on one CPU."


class ProfileProvider(TimerProvider):
    name = "profile"
    aliases = ("p",)
    doc = "Fires regularly on every CPU, whatever runs there."


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """A cpu-clock event on the first CPU that is online, or on each for profile."""
    period, frequency = spec.args
    if spec.name.startswith("profile"):
        made = linux.profile(prog, spec.name, period_ns=period, freq=frequency, pid=linux.pid)
        return list(made)
    return [linux.interval(prog, spec.name, period_ns=period, freq=frequency)]


PROVIDERS: Final = (IntervalProvider(), ProfileProvider())
