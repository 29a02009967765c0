"""usdt: probes that a program's authors placed in it (SystemTap notes in the ELF file)."""

from __future__ import annotations

from pytrace.base.text import closest, is_wildcard, matches
from pytrace.base.types import I64, USER
from pytrace.model.probing import (
    ParseProblem,
    ProbeContext,
    ProgShape,
    Target,
    UserOperand,
    UserPlace,
)
from pytrace.probes.provider import Item, Provider
from pytrace.probes.registers import PT_REGS, registers
from pytrace.probes.uprobe import shown_path, with_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final

    from pytrace.kernel.info import KernelInfo, UsdtInfo
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.probing import AttachText, CtxValue
    from pytrace.probes.provider import Expanded, Parsed

    Site = tuple[int, int]


class UsdtProvider(Provider):
    """Target args after ``expand``: (path, argument text, sites), where ``sites`` are pairs of
    file offset and semaphore offset (0 for none) that share one argument text.

    Before it, ``parse`` gives (path, namespace or "", name).
    """

    name = "usdt"
    aliases = ("U",)
    module = "usdt"
    doc = "A static probe of a program: usdt:target:namespace:name."
    fires_forward = False

    def parse(self, ap: AttachText, pid: int | None) -> Parsed:
        parts = list(ap.parts)
        if pid is not None and parts and "/" not in parts[0] and len(parts) < 3:
            parts.insert(0, "*")
        if not 2 <= len(parts) <= 3:
            return self.count_problem(ap, "2 or 3")
        path, name = parts[0], parts[-1]
        namespace = parts[1] if len(parts) == 3 else ""
        if not path:
            path = "*"
        shown = f"usdt:{path}:{namespace + ':' if namespace else ''}{name}"
        return Target(
            provider=self.name,
            name=shown,
            args=(path, namespace, name),
            wildcard=any(is_wildcard(p) for p in (path, namespace, name)),
        )

    def expand(self, target: Target, kernel: KernelInfo, pid: int | None) -> Expanded:
        path, namespace, name = (str(a) for a in target.args)
        paths = kernel.resolve_target(path, pid)
        if not paths:
            return ParseProblem(
                code="attach-point",
                message=f"usdt target file '{path}' does not exist or is not executable",
            )
        found: list[Target] = []
        known: list[str] = []
        for full in paths if is_wildcard(path) else paths[:1]:
            info = kernel.binary(full)
            if info is None:
                continue
            known.extend(u.name for u in info.usdt)
            chosen = [u for u in info.usdt if _fits(namespace, u.namespace) and _fits(name, u.name)]
            if not namespace and not is_wildcard(name) and len({u.namespace for u in chosen}) > 1:
                spaces = ", ".join(sorted({u.namespace for u in chosen}))
                return ParseProblem(
                    code="attach-point",
                    message=f"namespace for {full}:{name} not specified, matched several: {spaces}",
                    hints=(f"say which: usdt:{full}:{chosen[0].namespace}:{name}",),
                )
            found.extend(_targets(full, shown_path(path, full), chosen))
        if found:
            return tuple(found)
        guess = closest(name, sorted(set(known)))
        return ParseProblem(
            code="no-match",
            message=f"No matches for usdt {path}:{namespace + ':' if namespace else ''}{name}.",
            hints=(f"Did you mean {guess}?",) if guess else (),
        )

    def context(self, target: Target, kernel: KernelInfo) -> ProbeContext:
        arch = kernel.identity().arch
        operands = parse_arguments(str(target.args[1]), arch)
        return ProbeContext(
            space=USER,
            values=tuple((f"arg{n}", operand) for n, operand in enumerate(operands)),
            ctx=PT_REGS,
            registers=registers(arch),
            probetype=self.name,
            per_target=True,
            missing_args=True,
            place=_place(target),
        )

    def shape(self, targets: Sequence[Target], kernel: KernelInfo) -> ProgShape:
        return ProgShape(prog_type="PROG_TYPE_KPROBE")

    def list(self, fields: Sequence[str], kernel: KernelInfo, pid: int | None) -> Iterator[Item]:
        if len(fields) == 2 and pid is not None and "/" not in fields[0] and fields[0] != "*":
            fields = ("*", *fields)
        target, *names = with_target(fields)
        namespace, name = names if len(names) == 2 else ("", names[0])
        if len(names) > 2:
            return
        for full in kernel.resolve_target(target, pid):
            info = kernel.binary(full)
            shown = shown_path(target, full)
            for usdt in info.usdt if info is not None else ():
                if _fits(namespace, usdt.namespace) and _fits(name, usdt.name):
                    yield Item(text=f"usdt:{shown}:{usdt.namespace}:{usdt.name}")


def _place(target: Target) -> UserPlace:
    path, _, sites = target.args
    assert isinstance(path, str) and isinstance(sites, tuple)
    return UserPlace(path=path, offsets=tuple(offset for offset, _ in sites))


def _fits(pattern: str, name: str) -> bool:
    return not pattern or matches(pattern, name)


def _targets(path: str, shown: str, found: Sequence[UsdtInfo]) -> list[Target]:
    """One target for each probe and argument layout; places with the same layout share it."""
    groups: dict[tuple[str, str, str], list[Site]] = {}
    for usdt in sorted(found, key=lambda u: (u.namespace, u.name)):
        key = (usdt.namespace, usdt.name, usdt.args)
        groups.setdefault(key, []).append((usdt.offset, usdt.semaphore))
    return [
        Target(
            provider="usdt",
            name=f"usdt:{shown}:{namespace}:{name}",
            args=(path, args, tuple(sites)),
        )
        for (namespace, name, args), sites in groups.items()
    ]


# ---------------------------------------------------------------- argument texts


def parse_arguments(text: str, arch: str) -> list[UserOperand]:
    """Operands of a note such as ``-4@%eax 8@-16(%rbp) -8@$5``: size (negative: signed) @ where.

    An operand that cannot be understood reads as 0 and does not shift the others.
    """
    known = dict(registers(arch))
    operands = []
    for word in _words(text):
        size_text, at, where = word.partition("@")
        size = int(size_text) if at and size_text.lstrip("-").isdigit() else 8
        operands.append(_operand(where if at else word, abs(size), size < 0, known, arch))
    return operands


def _words(text: str) -> list[str]:
    """Arguments are separated by blanks; arm64 has blanks inside brackets."""
    words: list[str] = []
    depth = 0
    for piece in text.split(" "):
        if depth and words:
            words[-1] += piece
        elif piece:
            words.append(piece)
        depth += piece.count("[") - piece.count("]")
    return words


def _operand(
    where: str, size: int, signed: bool, known: dict[str, CtxValue], arch: str
) -> UserOperand:
    kind = I64
    if arch == "aarch64":
        return _arm_operand(where, size, signed, known)
    if where.startswith("$"):
        return UserOperand(type=kind, size=size, signed=signed, constant=_number(where[1:]))
    if where.startswith("%"):
        base = known.get(x86_register(where[1:]))
        return UserOperand(type=kind, size=size, signed=signed, base=base)
    displacement, paren, inner = where.partition("(")
    if not paren:
        return UserOperand(type=kind, size=size, signed=signed)
    names = [n.strip().lstrip("%") for n in inner.rstrip(")").split(",")]
    return UserOperand(
        type=kind,
        size=size,
        signed=signed,
        base=known.get(x86_register(names[0])),
        index=known.get(x86_register(names[1])) if len(names) > 1 else None,
        scale=_number(names[2]) if len(names) > 2 else 1,
        displacement=_number(displacement) if displacement else 0,
        deref=True,
    )


def _arm_operand(where: str, size: int, signed: bool, known: dict[str, CtxValue]) -> UserOperand:
    """``x0``, ``5``, ``[sp, 16]``, ``[x1, x2]``."""
    if not where.startswith("["):
        base = known.get(_arm_register(where))
        constant = 0 if base is not None else _number(where)
        return UserOperand(type=I64, size=size, signed=signed, base=base, constant=constant)
    names = where.strip("[]").split(",")
    index = known.get(_arm_register(names[1])) if len(names) > 1 else None
    return UserOperand(
        type=I64,
        size=size,
        signed=signed,
        base=known.get(_arm_register(names[0])),
        index=index,
        displacement=_number(names[1]) if len(names) > 1 and index is None else 0,
        deref=True,
    )


def _arm_register(name: str) -> str:
    name = name.strip()
    if name[:1] in ("x", "w") and name[1:].isdigit():
        return f"r{name[1:]}"
    return name


def x86_register(name: str) -> str:
    """The ``pt_regs`` name of a register in any of its widths: ``eax``, ``al``, ``r8d``."""
    if name[:1] == "r" and name[1:2].isdigit():
        return name.rstrip("dwb")
    if name in ("rip", "eip"):
        return "ip"
    plain = name.lstrip("re") if len(name) == 3 else name
    if name in ("sil", "dil", "bpl", "spl"):
        return name[:2]
    if len(name) == 2 and name[1] in "lh" and name[0] in "abcd":
        return f"{name[0]}x"
    return plain


def _number(text: str) -> int:
    try:
        return int(text.strip(), 0)
    except ValueError:
        return 0


def attach(prog: Any, spec: AttachSpec, linux: Any) -> list[Any]:
    """A uprobe at each place; the kernel counts the semaphore up while it is attached."""
    path, _, sites = spec.args
    assert isinstance(sites, tuple)
    made: list[Any] = []
    try:
        for offset, semaphore in sites:
            made.append(
                linux.uprobe(prog, path, offset, spec.name, pid=linux.pid, ref_ctr_offset=semaphore)
            )
    except BaseException:
        for link in made:
            link.close()
        raise
    return made


PROVIDERS: Final = (UsdtProvider(),)
