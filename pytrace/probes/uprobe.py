"""uprobe and uretprobe: functions of programs and libraries."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard, matches, parse_integer, why_no_integer
from pytrace.base.types import USER
from pytrace.model.probing import Attachment, ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import Provider
from pytrace.probes.registers import PT_REGS, arguments, registers, return_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import BinaryInfo, KernelInfo, SymbolInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed

MULTI: Final = "TRACE_UPROBE_MULTI"
"""Attach type of a prog that one link puts on many places of a file."""


class UprobeProvider(Provider):
    """Target args after ``expand``: (path, function, file offset, offset in function).

    Before it, ``parse`` gives (path, function or "", address or -1, offset in function).
    """

    name = "uprobe"
    aliases = ("u",)
    module = "uprobe"
    doc = "A function's entry in a program or library: uprobe:target:function."
    fires_forward = False
    returns = False

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        parts = list(ap.parts)
        if len(parts) == 1 and pid is not None:
            parts.insert(0, "*")
        if len(parts) == 3 and parts[1] == "cpp":
            parts.pop(1)
        if len(parts) != 2:
            return self.count_problem(ap, "2 or 3")
        path, text = parts
        quoted = ap.quoted[-1]
        function, plus, offset_text = text.partition("+") if not quoted else (text, "", "")
        offset = parse_integer(offset_text) if plus else 0
        if offset is None:
            return self.problem(f"Invalid offset: {why_no_integer(offset_text)}")
        if offset and self.returns:
            return self.problem("Offset not allowed")
        address = parse_integer(function)
        return Target(
            provider=self.name,
            name=f"{self.name}:{path}:{text}",
            args=(path, "" if address is not None else function,
                  -1 if address is None else address, offset),
            wildcard=is_wildcard(path) or (is_wildcard(function) and not quoted),
        )  # fmt: skip

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        path, function, address, offset = target.args
        assert isinstance(path, str) and isinstance(function, str)
        assert isinstance(address, int) and isinstance(offset, int)
        paths = kernel.resolve_target(path, pid)
        unreadable = not is_wildcard(path) and paths and kernel.binary(paths[0]) is None
        if not paths or unreadable:
            return self.problem(
                f"{self.name} target file '{path}' does not exist or is not executable"
            )
        found: list[Target] = []
        for full in paths if is_wildcard(path) else paths[:1]:
            info = kernel.binary(full)
            if info is None:
                continue
            made = self._in_binary(info, shown_path(path, full), function, address, offset)
            if isinstance(made, ParseProblem):
                if len(paths) == 1:
                    return made
                continue
            found.extend(made)
        if found:
            return tuple(found)
        return self._no_match(kernel, paths[0], function)

    def _in_binary(
        self, info: BinaryInfo, path: str, function: str, address: int, offset: int
    ) -> Expanded:
        """Targets in one file; ``path`` is its name in ``probe``."""
        if address >= 0:
            return self._at_address(info, path, address)
        if is_wildcard(function):
            symbols = [s for s in info.symbols if s.function and matches(function, s.name)]
        else:
            # One look-up by name: reading all symbols of a large library takes ten times as long.
            found = info.symbol(function)
            symbols = [found] if found is not None and found.function else []
        made = []
        seen = set()
        for symbol in sorted(symbols, key=lambda s: s.name):
            if (symbol.name, symbol.offset) in seen:
                continue
            seen.add((symbol.name, symbol.offset))
            if offset and offset >= max(symbol.size, 1):
                return self.problem(
                    f"Offset outside the function bounds ('{symbol.name}' size is {symbol.size})"
                )
            made.append(self._target(info, path, symbol, offset))
        return tuple(made)

    def _target(self, info: BinaryInfo, path: str, symbol: SymbolInfo, offset: int) -> Target:
        plus = f"+{offset}" if offset else ""
        return Target(
            provider=self.name,
            name=f"{self.name}:{path}:{symbol.name}{plus}",
            args=(info.path, symbol.name, symbol.offset + offset, offset),
        )

    def _at_address(self, info: BinaryInfo, path: str, address: int) -> Expanded:
        """An address of the file as its symbols count: the symbol around it gives the offset."""
        around = [s for s in info.symbols if s.address <= address < s.address + max(s.size, 1)]
        if not around:
            return self.problem(f"Could not resolve address: {path}:0x{address:x}")
        symbol = around[0]
        return (
            Target(
                provider=self.name,
                name=f"{self.name}:{path}:{address}",
                args=(info.path, "", symbol.offset + address - symbol.address, 0),
            ),
        )

    def _no_match(self, kernel: KernelInfo, path: str, function: str) -> ParseProblem:
        info = kernel.binary(path)
        guess = None
        if info is not None and not is_wildcard(function):
            guess = closest(function, [s.name for s in info.symbols if s.function])
        return ParseProblem(
            code="no-match",
            message=f"No matches for {self.name} {path}:{function}.",
            hints=(f"Did you mean {guess}?",) if guess else (),
        )

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        arch = kernel.identity().arch
        return ProbeContext(
            space=USER,
            values=() if self.returns else arguments(arch),
            retval=return_value(arch) if self.returns else None,
            ctx=PT_REGS,
            registers=registers(arch),
            func="user",
            probetype=self.name,
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        """Many places are one link for each file where the kernel has it."""
        many = len(targets) > 1 and kernel.supports("uprobe_multi")
        return ProgShape(prog_type="PROG_TYPE_KPROBE", expected_attach_type=MULTI if many else "")

    def gather(self, targets: Sequence[Target], shape: ProgShape) -> Sequence[Attachment]:
        if shape.expected_attach_type != MULTI:
            return super().gather(targets, shape)
        by_path: dict[str, list[Target]] = {}
        for target in targets:
            by_path.setdefault(str(target.args[0]), []).append(target)
        return [
            Attachment(
                name=group[0].name,
                args=(MULTI, path, tuple(t.args[2] for t in group)),
                count=len(group),
            )
            for path, group in by_path.items()
        ]

    def list(self, pattern: str, kernel: KernelInfo) -> Iterator[str]:
        """Functions of the file that ``target`` in ``target:function`` names."""
        target = pattern.split(":", 1)[0]
        for path in kernel.resolve_target(target, None):
            info = kernel.binary(path)
            for name in sorted({s.name for s in info.symbols if s.function}) if info else ():
                yield f"{self.name}:{path}:{name}"


class UretprobeProvider(UprobeProvider):
    name = "uretprobe"
    aliases = ("ur",)
    doc = "A function's return in a program or library: uretprobe:target:function."
    returns = True


def shown_path(written: str, full: str) -> str:
    """How ``probe`` names a file: as the script does, if that is a path and no wildcard."""
    return written if "/" in written and not is_wildcard(written) else full


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """A perf uprobe at the file offset; -p is the kernel's own filter."""
    returns = spec.name.startswith("uretprobe")
    if spec.args[0] == MULTI:
        _, path, offsets = spec.args
        pid = max(linux.pid, 0)
        return [linux.uprobe_multi(prog, path, offsets, spec.name, retprobe=returns, pid=pid)]
    path, _, offset, _ = spec.args
    return [linux.uprobe(prog, path, offset, spec.name, retprobe=returns, pid=linux.pid)]


PROVIDERS: Final = (UprobeProvider(), UretprobeProvider())
