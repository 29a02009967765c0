"""uprobe and uretprobe: functions of programs and libraries."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard, matches, parse_integer, why_no_integer
from pytrace.base.types import USER
from pytrace.kernel.info import Unknown
from pytrace.model.probing import (
    Attachment,
    ParseProblem,
    ProbeContext,
    ProgShape,
    Target,
    UserPlace,
)
from pytrace.probes.provider import Item, Provider, parameters
from pytrace.probes.registers import (
    PT_REGS,
    arguments,
    register_arguments,
    registers,
    return_value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.base.types import Struct, StructDef
    from pytrace.kernel.info import BinaryInfo, CppFunction, KernelInfo, KernelTexts, SymbolInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText
    from pytrace.probes.provider import Expanded, Parsed

CPP: Final = "cpp"
"""Before a function's name: it is what C++ calls it."""

MULTI: Final = "TRACE_UPROBE_MULTI"
"""Attach type of a prog that one link puts on many places of a file."""


class UprobeProvider(Provider):
    """Target args after ``expand``: (path, function, file offset, offset in function).

    Before it, ``parse`` gives (path, function or "", address or -1, offset in function, whether
    the function is named as C++ does).
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
        cpp = len(parts) == 3 and parts[1] == CPP
        if cpp:
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
                  -1 if address is None else address, offset, cpp),
            wildcard=is_wildcard(path) or (is_wildcard(function) and not quoted),
        )  # fmt: skip

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        path, function, address, offset, cpp = target.args
        assert isinstance(path, str) and isinstance(function, str) and isinstance(cpp, bool)
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
            shown = shown_path(path, full)
            if address >= 0:
                made = self._at_address(info, shown, address)
            else:
                symbols = _functions(kernel, info, function, cpp)
                made = self._at_symbols(info, f"{shown}:{CPP}" if cpp else shown, symbols, offset)
            if isinstance(made, ParseProblem):
                if len(paths) == 1:
                    return made
                continue
            found.extend(made)
        if found:
            return tuple(found)
        return self._no_match(kernel, paths[0], shown_path(path, paths[0]), function)

    def _at_symbols(
        self, info: BinaryInfo, path: str, symbols: Sequence[SymbolInfo], offset: int
    ) -> Expanded:
        """Targets in one file; ``path`` is its name in ``probe``, with the language if any."""
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

    def _no_match(self, kernel: KernelInfo, path: str, shown: str, function: str) -> ParseProblem:
        info = kernel.binary(path)
        guess = None
        if info is not None and not is_wildcard(function):
            guess = closest(function, [s.name for s in info.symbols if s.function])
        return ParseProblem(
            code="no-match",
            message=f"No matches for {self.name} {shown}:{function}.",
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
            place=_place(target, self.returns),
        )

    def typed_args(self, target: Target, kernel: KernelInfo) -> StructDef | ParseProblem | None:
        path, symbol, _, offset = target.args
        if self.returns or offset or not symbol:
            return None
        proto = kernel.user_function(str(path), str(symbol))
        if proto is None:
            shown = target.name.removeprefix(f"{self.name}:").rpartition(":")[0]
            return self.problem(
                f'Could not parse arguments of "{target.name}": no debuginfo found for '
                f"{shown.removesuffix(f':{CPP}')}",
                "arg0, arg1 ... work without; --debuginfo names directories with debug files",
            )
        name = "".join(c if c.isalnum() and c.isascii() else "_" for c in target.name)


        def find(kind: Struct) -> StructDef | None:
            return kernel.user_struct(str(path), str(symbol), kind.kind, kind.name)

        return register_arguments(f"_{name}", proto, kernel.identity().arch, find)

    def debug_scope(self, target: Target) -> tuple[str, str] | None:
        path, symbol = str(target.args[0]), str(target.args[1])
        return (path, symbol) if symbol else None

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

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        target, *names = with_target(("*", *fields) if fields[0] == CPP else fields)
        if len(names) > 2 or (len(names) == 2 and names[0] != CPP):
            return
        for full in kernel.resolve_target(target, pid):
            info = kernel.binary(full)
            shown = shown_path(target, full)
            if info is not None and len(names) == 2:
                for function in kernel.cpp_functions(full, names[1]):
                    yield self._cpp_item(full, shown, function)
            elif info is not None:
                for symbol in _functions(kernel, info, names[0], False):
                    text = f"{self.name}:{shown}:{symbol.name}"
                    yield Item(text=text, args=(full, symbol.name, shown))

    def item(self, target: Target, kernel: KernelInfo) -> Item:
        path, symbol = str(target.args[0]), str(target.args[1])
        whole = target.name.removeprefix(f"{self.name}:")
        shown, language, _ = whole.rpartition(f":{CPP}:{symbol}")
        if language:
            for function in kernel.cpp_functions(path, "*"):
                if function.symbol == symbol:
                    return self._cpp_item(path, shown, function)
        shown = whole.rpartition(":")[0]
        return Item(text=target.name, args=(path, symbol, shown))

    def _cpp_item(self, path: str, shown: str, function: CppFunction) -> Item:
        text = f'{self.name}:{shown}:{CPP}:"{function.name}"'
        return Item(text=text, args=(path, function.symbol, shown))

    def arguments(self, item: Item, kernel: KernelTexts) -> Sequence[str] | Unknown:
        if self.returns:
            return ()
        path, symbol, shown = (str(a) for a in item.args)
        found = kernel.user_function_text(path, symbol)
        if isinstance(found, Unknown):
            return Unknown(reason=f'No DWARF found for "{shown}", cannot show parameter info')
        return parameters(found) if found is not None else ()


class UretprobeProvider(UprobeProvider):
    name = "uretprobe"
    aliases = ("ur",)
    doc = "A function's return in a program or library: uretprobe:target:function."
    returns = True


def _place(target: Target, returned: bool) -> UserPlace:
    path, _, offset = target.args[:3]
    assert isinstance(path, str) and isinstance(offset, int)
    return UserPlace(path=path, offsets=(offset,), returned=returned)


def _functions(
    kernel: KernelInfo, info: BinaryInfo, pattern: str, cpp: bool
) -> Sequence[SymbolInfo]:
    """Functions of a file by name, sorted; with ``cpp`` by their C++ names too."""
    if is_wildcard(pattern):
        found = [s for s in info.symbols if s.function and matches(pattern, s.name)]
    else:
        # One look-up by name: reading all symbols of a large library takes ten times as long.
        symbol = info.symbol(pattern)
        found = [symbol] if symbol is not None and symbol.function else []
    if cpp:
        names = {f.symbol for f in kernel.cpp_functions(info.path, pattern)}
        found += [s for s in info.symbols if s.function and s.name in names]
    return sorted(found, key=lambda s: s.name)


def with_target(fields: Sequence[str]) -> Sequence[str]:
    """The fields of a search, ``*`` for the target or the name if one field is all there is."""
    if len(fields) > 1:
        return fields
    return (fields[0], "*") if "/" in fields[0] else ("*", fields[0])


def shown_path(written: str, full: str) -> str:
    """How ``probe`` names a file: as the script does if that is a path, wildcards filled in."""
    if "/" not in written:
        return full
    parts = written.split("/")
    first = next((n for n, part in enumerate(parts) if is_wildcard(part)), len(parts))
    if first == len(parts):
        return written
    if any(part in ("", ".", "..") for part in parts[first:]):
        return full
    tail = full.split("/")[first - len(parts) :]
    return "/".join(parts[:first] + tail)


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
