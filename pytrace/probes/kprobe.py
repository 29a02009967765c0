"""kprobe and kretprobe: entry and return of kernel functions."""

from __future__ import annotations

from pytrace.base.errors import AttachError, NotSupported
from pytrace.base.text import closest, is_wildcard, parse_integer, why_no_integer
from pytrace.base.types import KERNEL
from pytrace.kernel.info import Unknown
from pytrace.model.probing import Attachment, ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import Item, Provider
from pytrace.probes.registers import PT_REGS, arguments, registers, return_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import FuncRef, KernelInfo, KernelTexts
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed


MULTI: Final = "TRACE_KPROBE_MULTI"
"""Attach type of a prog that one link puts on many functions."""

ENTRY_SYSCALLS: Final = {
    "do_sys_openat2": "sys_enter_openat", "do_sys_open": "sys_enter_openat",
    "vfs_read": "sys_enter_read", "ksys_read": "sys_enter_read", "vfs_write": "sys_enter_write",
    "ksys_write": "sys_enter_write", "do_nanosleep": "sys_enter_clock_nanosleep",
    "vfs_open": "sys_enter_openat", "do_unlinkat": "sys_enter_unlinkat",
    "tcp_sendmsg": "sys_enter_sendto", "tcp_recvmsg": "sys_enter_recvfrom",
    "do_filp_open": "sys_enter_openat", "vfs_fsync": "sys_enter_fsync",
    "kernel_clone": "sys_enter_clone", "do_exit": "sys_enter_exit_group",
}  # fmt: skip
"""Kernel functions people often probe, and the system call tracepoint nearest to each."""


NO_KPROBES: Final = "This kernel has no kprobes (it was built without CONFIG_KPROBES)"

NOT_TRACEABLE: Final = (
    '{} is not traceable (either non-existing, inlined, or marked as "notrace"); attaching to it'
    " will likely fail"
)


class KprobeProvider(Provider):
    """Target args: (module, function, offset, unsafe); an address is an offset of no function."""

    name = "kprobe"
    aliases = ("k",)
    module = "kprobe"
    doc = "A kernel function's entry: kprobe:function."
    fires_forward = False
    returns = False

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        if not 1 <= len(ap.parts) <= 2:
            return self.count_problem(ap, "1 or 2")
        module, text = ap.parts if len(ap.parts) == 2 else ("", ap.parts[0])
        address = parse_integer(text)
        if address is not None:
            return self._address(ap, address)
        function, plus, offset_text = text.partition("+")
        offset = parse_integer(offset_text) if plus else 0
        if offset is None:
            return self.problem(f"Invalid offset: {why_no_integer(offset_text)}")
        if plus and self.returns:
            return self.problem("Offset not allowed")
        name = f"{self.name}:{module + ':' if module else ''}{function}"
        return Target(
            provider=self.name,
            name=f"{name}+{offset}" if offset else name,
            args=(module, function, offset, ap.unsafe),
            wildcard=is_wildcard(function) or is_wildcard(module),
        )

    def _address(self, ap: AttachText, address: int) -> Parsed:
        if not ap.unsafe:
            return self.problem("Probing by address requires --unsafe.")
        return Target(
            provider=self.name, name=f"{self.name}:{address}", args=("", "", address, True)
        )

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        module, function, offset, unsafe = target.args
        assert isinstance(module, str)
        assert isinstance(function, str)
        if not function:
            return (target,)
        found = kernel.functions(function, module)
        if target.wildcard:
            return self._wildcard(kernel, function, found, bool(module))
        known = isinstance(found, Unknown) or bool(found)
        if not known and not unsafe:
            return self._missing(kernel, target, module, function)
        if not kernel.supports("kprobe"):
            return _unsupported(kernel, function)
        if not known:
            return ParseProblem(
                code="no-match",
                message="",
                warnings=(NOT_TRACEABLE.format(function),),
                instead=(target,),
            )
        return (target,)

    def _missing(
        self, kernel: KernelInfo, target: Target, module: str, function: str
    ) -> ParseProblem:
        """No such function: the module may be missing, or the name mistyped."""
        if module not in ("", "vmlinux") and not kernel.functions("*", module):
            return self.problem(
                f"specified module {module} in probe {target.name} is not loaded.",
                code="no-match",
            )
        everything = kernel.functions("*", module)
        names = [] if isinstance(everything, Unknown) else [f.name for f in everything]
        guess = closest(function, names)
        shown = f"{module}:{function}" if module else function
        return ParseProblem(
            code="no-match",
            message=f"No matches for {self.name} {shown}.",
            hints=(f"Did you mean {guess}?",) if guess else (),
            warnings=(NOT_TRACEABLE.format(function),),
        )

    def _wildcard(
        self,
        kernel: KernelInfo,
        function: str,
        found: Sequence[FuncRef] | Unknown,
        modules: bool,
    ) -> Expanded:
        if not kernel.supports("kprobe"):
            return _unsupported(kernel, function.strip("*"))
        if isinstance(found, Unknown):
            return self.problem(
                f"Functions cannot be listed here: {found.reason}",
                "name the function without wildcards",
            )
        if not found:
            return self.problem(f"No matches for {self.name} {function}.", code="no-match")
        targets = {}
        for ref in found:
            name = f"{self.name}:{ref.module + ':' if modules else ''}{ref.name}"
            targets[name] = Target(
                provider=self.name,
                name=name,
                args=(ref.module if modules else "", ref.name, 0, False),
            )
        return tuple(targets.values())

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        arch = kernel.identity().arch
        return ProbeContext(
            space=KERNEL,
            values=() if self.returns else arguments(arch),
            retval=return_value(arch) if self.returns else None,
            ctx=PT_REGS,
            registers=registers(arch),
            func="kernel",
            probetype=self.name,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        """Many functions are one link where the kernel has it, so one prog of another kind."""
        plain = all(t.args[1] and not t.args[2] for t in targets)
        many = len(targets) > 1 and plain and kernel.supports("kprobe_multi")
        return ProgShape(
            prog_type="PROG_TYPE_KPROBE",
            expected_attach_type=MULTI if many else "",
            filter_pid=True,
        )

    def gather(self, targets: Sequence[Target], shape: ProgShape) -> Sequence[Attachment]:
        if shape.expected_attach_type != MULTI:
            return super().gather(targets, shape)
        functions = tuple(str(t.args[1]) for t in targets)
        return [Attachment(name=targets[0].name, args=(MULTI, functions), count=len(targets))]

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        module, function = fields if len(fields) == 2 else ("", fields[0])
        found = kernel.functions(function or "*", module) if len(fields) <= 2 else ()
        for ref in found if not isinstance(found, Unknown) else ():
            shown = f"{ref.module}:{ref.name}" if module else ref.name
            yield Item(text=f"{self.name}:{shown}", args=(ref.module, ref.name))

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        found = kernel.function_text(str(item.args[1]), str(item.args[0]))
        if found is None:
            return ()
        if self.returns:
            return [f"{found.returns} retval"] if found.returns != "void" else ()
        return [f"{kind} arg{n}" for n, (kind, _) in enumerate(found.params) if kind != "..."]

    def refused(self, kernel: KernelInfo) -> str:
        return "" if kernel.supports("kprobe") else NO_KPROBES


class KretprobeProvider(KprobeProvider):
    name = "kretprobe"
    aliases = ("kr",)
    doc = "A kernel function's return: kretprobe:function."
    returns = True


def _unsupported(kernel: KernelInfo, function: str) -> ParseProblem:
    """Why kprobes do not work here, and what does."""
    return ParseProblem(code="no-kprobes", message=NO_KPROBES, hints=nearest(kernel, function))


def nearest(kernel: KernelInfo, function: str) -> tuple[str, ...]:
    """What to trace where a function cannot be: hints for a person."""
    if kernel.supports("kprobe"):
        return (f"here works: kprobe:{function} (its arguments are arg0, arg1 ...)",)
    hints = []
    event = ENTRY_SYSCALLS.get(function)
    if event is None and function.startswith(("__x64_sys_", "__arm64_sys_", "__se_sys_")):
        event = "sys_enter_" + function.split("_sys_", 1)[1]
    if event is not None and kernel.tracepoint("syscalls", event) is not None:
        hints.append(f"here works: tracepoint:syscalls:{event}")
    else:
        known = kernel.tracepoints("*", "*")
        if not isinstance(known, Unknown):
            guess = closest(function, [ref.event for ref in known])
            found = next((r for r in known if r.event == guess), None)
            if found is not None:
                hints.append(f"near to it: tracepoint:{found.category}:{found.event}")
    hints.append("pytrace -l 'tracepoint:*' lists what can be traced on this kernel")
    return tuple(hints)


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """A perf kprobe through the kernel's kprobe PMU, or one link for many functions."""
    returns = spec.name.startswith("kretprobe")
    if spec.args[0] == MULTI:
        return [linux.kprobe_multi(prog, spec.args[1], spec.name, retprobe=returns)]
    module, function, offset, _ = spec.args
    symbol = f"{module}:{function}" if module and module != "vmlinux" else str(function)
    try:
        link = linux.kprobe(prog, symbol, spec.name, offset=offset, retprobe=returns)
    except NotSupported as problem:
        raise AttachError(
            f"Unable to attach probe: {spec.name}: {problem} (CONFIG_KPROBES)",
            probe=spec.name,
            cause="CONFIG_KPROBES",
        ) from problem
    return [link]


PROVIDERS: Final = (KprobeProvider(), KretprobeProvider())
