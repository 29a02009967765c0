"""test and bench: probes that the tracer runs itself, when --test or --bench asks for it.

A test is a raw tracepoint prog, since all helpers of tracing work there. A benchmark is an XDP
prog: the kernel runs that kind many times in one system call and tells how long it took
(net/bpf/test_run.c, bpf_test_run).
"""

from __future__ import annotations

from pytrace.base.types import UNKNOWN
from pytrace.model.probing import ProbeContext, ProgShape, Target
from pytrace.probes.provider import Item, Provider

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from pytrace.kernel.info import KernelInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Parsed


class TrialProvider(Provider):
    """Target args: (name,). ``mode`` is the command's mode that runs these probes."""

    module = "trial"
    probetype = ""
    prog_type = ""

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if len(ap.parts) != 1:
            return self.count_problem(ap, "1")
        name = ap.parts[0]
        return Target(provider=self.name, name=f"{self.name}:{name}", args=(name,))

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        return ProbeContext(space=UNKNOWN, probetype=self.probetype, user_stack=False)

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type=self.prog_type, multi=False)

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        return iter(())

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        return Item(text=f"{self.probetype}:{target.args[0]}:")


class TestProvider(TrialProvider):
    name = "test"
    mode = "test"
    doc = "A test, run with --test: it passes if it returns 0 and reports no error."
    probetype = "test"
    prog_type = "PROG_TYPE_RAW_TRACEPOINT"


class BenchProvider(TrialProvider):
    name = "bench"
    mode = "bench"
    doc = "A benchmark, run with --bench until it has taken a millisecond; returning 1 skips it."
    probetype = "benchmark"
    prog_type = "PROG_TYPE_XDP"


def attach(prog: object, spec: AttachSpec, linux: object) -> tuple[object, ...]:
    """Nothing is attached: the session runs these progs itself."""
    return ()


PROVIDERS: Final = (TestProvider(), BenchProvider())
