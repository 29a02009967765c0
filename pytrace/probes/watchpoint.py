"""watchpoint: accesses to memory or execution of an address, by the processor's debug registers."""

from __future__ import annotations

from pytrace.base.text import parse_integer, why_no_integer
from pytrace.base.types import UNKNOWN
from pytrace.model.probing import ProbeContext, ProgShape, Target
from pytrace.probes.interval import PERF_CONTEXT
from pytrace.probes.provider import Provider
from pytrace.probes.registers import registers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed

LENGTHS: Final = (1, 2, 4, 8)

HW_BREAKPOINT: Final = {"r": 1, "w": 2, "x": 4}
"""Bits of include/uapi/linux/hw_breakpoint.h."""

MODES: Final = {"x86_64": ("x", "w", "rw")}
OTHER_MODES: Final = ("r", "w", "x", "rw")
"""What an architecture can watch; x86 cannot tell reads alone."""

EXECUTED_LENGTH: Final = 8
"""What the kernel wants for executed addresses, whatever the script says (arch_build_bp_info)."""


class WatchpointProvider(Provider):
    """Target args: (address, length, mode letters)."""

    name = "watchpoint"
    aliases = ("w",)
    module = "watchpoint"
    doc = "Accesses to an address: watchpoint:address:length:mode, mode of r, w and x."

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if len(ap.parts) != 3:
            return self.count_problem(ap, "3")
        address, length = parse_integer(ap.parts[0]), parse_integer(ap.parts[1])
        if address is None:
            reason = why_no_integer(ap.parts[0])
            return self.problem(f"Invalid function/address argument: {reason}")
        if length is None:
            return self.problem(f"Invalid length argument: {why_no_integer(ap.parts[1])}")
        if not address:
            return self.problem("watchpoint must be attached to a non-zero address")
        if length not in LENGTHS:
            return self.problem("watchpoint length must be one of (1,2,4,8)")
        mode = "".join(sorted(ap.parts[2]))
        if not mode or not set(mode) <= set(HW_BREAKPOINT):
            return self.problem("watchpoint mode must be combination of (r,w,x)")
        if len(set(mode)) != len(mode):
            return self.problem("watchpoint modes may not be duplicated")
        name = f"{self.name}:{address}:{length}:{mode}"
        return Target(provider=self.name, name=name, args=(address, length, mode))

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        modes = MODES.get(kernel.identity().arch, OTHER_MODES)
        if target.args[2] not in modes:
            return self.problem(
                f"invalid watchpoint mode: {target.args[2]}",
                f"supported modes: {','.join(modes)}",
            )
        return (target,)

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        return ProbeContext(
            space=UNKNOWN,
            ctx=PERF_CONTEXT,
            registers=registers(kernel.identity().arch),
            probetype=self.name,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_PERF_EVENT")


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """With -p or -c every thread of that process, without the kernel's own memory."""
    address, length, mode = spec.args
    bits = sum(HW_BREAKPOINT[letter] for letter in str(mode))
    if bits == HW_BREAKPOINT["x"]:
        length = EXECUTED_LENGTH
    pid = linux.pid if linux.pid != -1 else linux.child
    return list(linux.watchpoint(prog, spec.name, address, length, bits, pid=pid))


PROVIDERS: Final = (WatchpointProvider(),)
