"""iter: one look at each object of a kind that the kernel keeps, such as tasks or sockets."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard
from pytrace.base.types import CONTEXT, KERNEL, Ptr
from pytrace.kernel.info import Unknown
from pytrace.model.probing import ProbeContext, ProgShape, Target
from pytrace.probes.fentry import attach_btf
from pytrace.probes.provider import Item, Provider, parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo, KernelTexts
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed


OF_A_MAP: Final = ("bpf_map_elem", "bpf_sk_storage_map", "sockmap")
"""Iterators that the kernel attaches only together with a map."""


class IterProvider(Provider):
    """Target args: (kind, module whose type information has it)."""

    name = "iter"
    aliases = ("it",)
    module = "iter"
    doc = "Each object of a kind, once: iter:task."
    fires_forward = False
    alone = True

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if not 1 <= len(ap.parts) <= 2:
            return self.problem("iter probe type takes 2 arguments (1 optional)")
        if is_wildcard(ap.parts[0]):
            return self.problem("iter probe type does not support wildcards")
        kind, *pin = ap.parts
        if kind in OF_A_MAP:
            return self.problem(
                f"iter {kind} looks at the elements of one map, which an attach point cannot name."
            )
        if pin:
            return self.problem(
                "Pinned iterators are not supported by this version of pytrace.",
                f"iter:{kind} prints its output once",
            )
        return Target(provider=self.name, name=f"iter:{kind}", args=(kind, "vmlinux"))

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        kind = str(target.args[0])
        found = kernel.iterators(kind)
        if isinstance(found, Unknown):
            return self.problem(f"Iterators cannot be found here: {found.reason}")
        if not found:
            known = kernel.iterators("*")
            names = [] if isinstance(known, Unknown) else [ref.name for ref in known]
            guess = closest(kind, names)
            return self.problem(
                f"iter {kind} not available for your kernel version.",
                f"Did you mean {guess}?" if guess else "pytrace -l 'iter:*' lists them",
            )
        refused = self.refused(kernel)
        if refused:
            return self.problem(refused)
        return (Target(provider=self.name, name=target.name, args=(kind, found[0].module)),)

    def refused(self, kernel: KernelInfo) -> str:
        reason = kernel.refusal("iter")
        return f"iterators do not work on this machine: {reason}" if reason else ""

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        definition = kernel.struct("struct", f"bpf_iter__{target.args[0]}")
        return ProbeContext(
            space=KERNEL,
            ctx=Ptr(to=definition.type, space=CONTEXT) if definition is not None else None,
            probetype=self.name,
            iterates=True,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        kind, module = (str(a) for a in targets[0].args)
        return ProgShape(
            prog_type="PROG_TYPE_TRACING",
            expected_attach_type="TRACE_ITER",
            attach_btf=attach_btf(kernel, module, f"bpf_iter_{kind}"),
            multi=False,
        )

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        found = kernel.iterators(fields[0]) if len(fields) == 1 else ()
        for ref in found if not isinstance(found, Unknown) else ():
            yield Item(text=f"iter:{ref.name}", args=(ref.name,))

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        found = kernel.iterator_text(str(item.args[0]))
        return parameters(found) if found is not None else ()


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """The session reads the iterator once it is attached."""
    return [linux.iterator(prog, spec.name, cgroups=spec.args[0] == "cgroup")]


PROVIDERS: Final = (IterProvider(),)
