"""fentry and fexit: entry and return of kernel functions, with typed arguments."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard
from pytrace.base.types import KERNEL, Field, StructDef, Void, is_scalar
from pytrace.kernel.info import FuncRef, Unknown
from pytrace.model.probing import CtxValue, ProbeContext, ProgShape, Target
from pytrace.probes.kprobe import nearest
from pytrace.probes.provider import Item, Provider, parameters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.base.types import Type
    from pytrace.kernel.info import FuncProto, KernelInfo, KernelTexts
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText, ParseProblem
    from pytrace.probes.provider import Expanded, Parsed

VMLINUX: Final = "vmlinux"
SLOT: Final = 8
"""The context is an array of slots: arguments, each as many as it needs, then the result
(save_args in arch/x86/net/bpf_jit_comp.c)."""

POLICY: Final = "Operation not permitted"
"""What the kernel says if not it, but a rule of the machine, keeps a kind of prog out."""

ATTACH_TYPES: Final = {"fentry": 24, "fexit": 25}
"""BPF_TRACE_FENTRY, BPF_TRACE_FEXIT (include/uapi/linux/bpf.h)."""


class FentryProvider(Provider):
    """Target args: (module, function)."""

    name = "fentry"
    aliases = ("f", "kfunc")
    module = "fentry"
    doc = "A kernel function's entry with named, typed arguments: fentry:function."
    fires_forward = False
    returns = False

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        parts = ap.parts
        if parts[:1] == ("bpf",) and len(parts) > 1:
            return self.problem(
                f"{self.name} probes on BPF programs are not supported by this version of pytrace."
            )
        if len(parts) > 2:
            return self.problem(
                f"Only the 'bpf' variant of this probe supports {len(parts) + 1} arguments"
            )
        if not parts:
            return self.count_problem(ap, "1 or 3")
        module, function = parts if len(parts) == 2 else ("", parts[0])
        return Target(
            provider=self.name,
            name=f"{self.name}:{_shown(module, function)}",
            args=(module, function),
            wildcard=is_wildcard(function) or is_wildcard(module),
        )

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        module, function = (str(a) for a in target.args)
        found = kernel.typed_functions(function, module)
        if isinstance(found, Unknown):
            known = None if target.wildcard else kernel.function(function, module)
            if known is None:
                return self.problem(
                    f"{self.name} needs a list of the kernel's functions and their types: "
                    f"{found.reason}",
                    *nearest(kernel, function),
                )
            found = (FuncRef(name=known.name, module=known.module),)
        if not found:
            return self._missing(kernel, module, function)
        if not target.wildcard and len({ref.module for ref in found}) > 1:
            return self.problem(
                "ambiguous attach point, please specify module containing the function "
                f"'{function}'",
                *(f"{self.name}:{ref.module}:{ref.name}" for ref in found),
            )
        refused = self.refused(kernel)
        if refused:
            return self.problem(refused, *nearest(kernel, function), code="no-fentry")
        return tuple(self._target(ref) for ref in found)

    def _target(self, ref: FuncRef) -> Target:
        return Target(
            provider=self.name,
            name=f"{self.name}:{ref.module}:{ref.name}",
            args=(ref.module, ref.name),
        )

    def _missing(self, kernel: KernelInfo, module: str, function: str) -> ParseProblem:
        everything = kernel.typed_functions("*", module)
        names = [] if isinstance(everything, Unknown) else [ref.name for ref in everything]
        guess = closest(function, names) if not is_wildcard(function) else None
        return self.problem(
            f"No matches for {self.name} {_shown(module, function)}.",
            *((f"Did you mean {guess}?",) if guess else ()),
            code="no-match",
        )

    def refused(self, kernel: KernelInfo) -> str:
        reason = kernel.refusal("fentry")
        if reason.endswith(POLICY):
            return f"This machine lets no BPF prog onto kernel functions (fentry, fexit): {POLICY}"
        return f"fentry and fexit do not work here: {reason}" if reason else ""

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        module, function = (str(a) for a in target.args)
        proto = kernel.function(function, module)
        args, end = _arguments(proto, self.name) if proto is not None else (None, 0)
        returns = self.returns and proto is not None and _fits_slot(proto.returns)
        return ProbeContext(
            space=KERNEL,
            args=args,
            retval=CtxValue(type=proto.returns, offset=end, size=SLOT)
            if returns and proto is not None
            else None,
            func="kernel",
            probetype=self.name,
            per_target=True,
            slots=True,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        module, function = (str(a) for a in targets[0].args)
        return ProgShape(
            prog_type="PROG_TYPE_TRACING",
            expected_attach_type=f"TRACE_{self.name.upper()}",
            attach_btf=attach_btf(kernel, module, function),
            multi=False,
            filter_pid=True,
        )

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        module, function = fields if len(fields) == 2 else ("", fields[0])
        found = kernel.typed_functions(function or "*", module) if len(fields) <= 2 else ()
        for ref in found if not isinstance(found, Unknown) else ():
            yield Item(text=f"{self.name}:{ref.module}:{ref.name}", args=(ref.module, ref.name))

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        found = kernel.function_text(str(item.args[1]), str(item.args[0]))
        if found is None:
            return ()
        result = [f"{found.returns} retval"] if self.returns and found.returns != "void" else []
        return parameters(found) + result


class FexitProvider(FentryProvider):
    name = "fexit"
    aliases = ("fr", "kretfunc")
    doc = "A kernel function's return with its arguments and result: fexit:function."
    returns = True


def attach_btf(kernel: KernelInfo, module: str, function: str) -> str:
    """A function for ``ProgShape.attach_btf``, with its BTF id where that is the kernel's own."""
    proto = kernel.function(function, module) if module == VMLINUX else None
    number = f":{proto.btf_id}" if proto is not None and proto.btf_id else ""
    return f"{module}:{function}{number}"


def _shown(module: str, function: str) -> str:
    return f"{module}:{function}" if module else function


def _fits_slot(kind: Type) -> bool:
    return is_scalar(kind) and not isinstance(kind, Void)


def _arguments(proto: FuncProto, provider: str) -> tuple[StructDef, int]:
    """The arguments as members of a struct, and the offset behind them (bytes).

    A struct passed by value takes as many slots as its size needs.
    """
    fields = []
    at = 0
    for name, kind in proto.params:
        fields.append(Field(name=name, type=kind, offset=at))
        at += max(-(-kind.size // SLOT), 1) * SLOT
    name = f"_{provider}_{proto.module}_{proto.name}"
    return StructDef(kind="struct", name=name, size=at, fields=tuple(fields)), at


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """The function was chosen when the prog was loaded."""
    kind = spec.name.partition(":")[0]
    return [linux.tracing(prog, ATTACH_TYPES[kind], spec.name)]


PROVIDERS: Final = (FentryProvider(), FexitProvider())
