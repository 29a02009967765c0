"""KernelInfo that remembers or repeats: for cached programs, fixtures and other machines.

``RecordingKernel`` notes every fact that is asked of another kernel, ``ReplayKernel`` answers
from such notes. ``snapshot`` keeps them as files.
"""

from __future__ import annotations

from pytrace.kernel import witness
from pytrace.kernel.info import BinaryInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Final, TypeVar

    from pytrace.base.types import EnumDef, StructDef, Type
    from pytrace.kernel.info import (
        CppFunction,
        FuncProto,
        FuncRef,
        KernelIdentity,
        KernelInfo,
        SymbolInfo,
        TracepointFormat,
        TracepointRef,
        Unknown,
    )

    T = TypeVar("T")
    Facts = dict[tuple[str, tuple[object, ...]], object]
    """(method, arguments) -> answer."""
    RestsOn = Callable[[str, tuple[object, ...]], Iterable[tuple[str, str]]]
    """Further (witness kind, subject) of an answer, by method and arguments."""


_TYPES: Final = (witness.KERNEL,)
_METHOD_WITNESSES: Final = {
    "binary": (),
    "cpp_functions": (),
    "functions": (witness.KERNEL, witness.BOOT),
    "has_symbol": (witness.KERNEL, witness.BOOT),
    "refusal": (witness.KERNEL, witness.BOOT),
    "resolve_target": (),
    "supports": (witness.KERNEL, witness.BOOT),
    "tracepoint": (witness.KERNEL, witness.EVENTS),
    "tracepoints": (witness.KERNEL, witness.EVENTS),
    "typed_functions": (witness.KERNEL, witness.BOOT),
    "user_enum": (),
    "user_function": (),
    "user_struct": (),
}

_OF_A_FILE: Final = ("binary", "cpp_functions", "user_enum", "user_function", "user_struct")
"""Questions whose first argument is a file's path."""


class UnrecordedFact(LookupError):
    """A replayed kernel was asked something that was not asked when it was recorded."""


class RecordingKernel:
    """Passes questions on to ``inner`` and notes them, with their answers.

    ``rests_on`` adds witnesses that only the inner kernel knows (``LiveKernel.rests_on``);
    ``check`` gives a witness's present value. Values are taken before the question is passed on:
    a change in between makes the note worthless instead of wrong.
    """

    def __init__(
        self,
        inner: KernelInfo,
        rests_on: RestsOn | None = None,
        check: Callable[[str, str], str] = witness.check_witness,
    ) -> None:
        self._inner = inner
        self._rests_on = rests_on
        self._check = check
        self._facts: Facts = {}
        self._witnesses: dict[tuple[str, str], str] = {}

    def facts(self) -> Facts:
        """All answers so far. Of a binary only the symbols that were asked for."""
        return {
            key: answer.recorded() if isinstance(answer, _RecordingBinary) else answer
            for key, answer in self._facts.items()
        }

    def witnesses(self) -> tuple[tuple[str, str, str], ...]:
        """(kind, subject, value) of the cheap facts that the answers rest on, sorted."""
        return tuple(sorted((*key, value) for key, value in self._witnesses.items()))

    def _ask(self, ask: Callable[..., T], *args: object) -> T:
        method = ask.__name__
        key = (method, args)
        if key in self._facts:
            return self._facts[key]  # type: ignore[return-value]
        for kind in _METHOD_WITNESSES.get(method, _TYPES):
            self._note(kind, "")
        if method in _OF_A_FILE:
            self._note(witness.FILE, str(args[0]))
        answer = ask(*args)
        for kind, subject in self._rests_on(method, args) if self._rests_on else ():
            self._note(kind, subject)
        self._facts[key] = answer
        return answer

    def _note(self, kind: str, subject: str) -> None:
        if (kind, subject) not in self._witnesses:
            value = self._check(kind, subject)
            if kind == witness.UNSTABLE:
                value = "unstable"  # never what a check gives
            self._witnesses[kind, subject] = value

    def identity(self) -> KernelIdentity:
        return self._ask(self._inner.identity)

    def struct(self, kind: str, name: str) -> StructDef | None:
        return self._ask(self._inner.struct, kind, name)

    def enum(self, name: str) -> EnumDef | None:
        return self._ask(self._inner.enum, name)

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        return self._ask(self._inner.enum_constant, name)

    def typedef(self, name: str) -> Type | None:
        return self._ask(self._inner.typedef, name)

    def function(self, name: str, module: str = "") -> FuncProto | None:
        return self._ask(self._inner.function, name, module)

    def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._ask(self._inner.functions, pattern, module)

    def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._ask(self._inner.typed_functions, pattern, module)

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        return self._ask(self._inner.tracepoint, category, event)

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        return self._ask(self._inner.tracepoints, category, event)

    def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
        return self._ask(self._inner.raw_tracepoint, event, module)

    def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._ask(self._inner.raw_tracepoints, pattern, module)

    def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
        return self._ask(self._inner.iterators, pattern)

    def has_symbol(self, name: str) -> bool:
        return self._ask(self._inner.has_symbol, name)

    def supports(self, feature: str) -> bool:
        return self._ask(self._inner.supports, feature)

    def refusal(self, feature: str) -> str:
        return self._ask(self._inner.refusal, feature)

    def binary(self, path: str) -> BinaryInfo | None:
        answer = self._ask(self._inner.binary, path)
        if answer is not None and not isinstance(answer, _RecordingBinary):
            answer = _RecordingBinary(answer)
            self._facts["binary", (path,)] = answer
        return answer

    def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
        return self._ask(self._inner.cpp_functions, path, pattern)

    def user_function(self, path: str, symbol: str) -> FuncProto | None:
        return self._ask(self._inner.user_function, path, symbol)

    def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
        return self._ask(self._inner.user_struct, path, symbol, kind, name)

    def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None:
        return self._ask(self._inner.user_enum, path, symbol, name)

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        return self._ask(self._inner.resolve_target, name, pid)

    def typeless_memory(self) -> bool:
        return self._ask(self._inner.typeless_memory)


class _RecordingBinary(BinaryInfo):
    """A binary that notes which symbols were asked for."""

    _whole: BinaryInfo
    _asked: dict[str, SymbolInfo | None]
    _listed: bool

    def __init__(self, whole: BinaryInfo) -> None:
        for name in ("path", "kind", "machine", "build_id", "usdt"):
            object.__setattr__(self, name, getattr(whole, name))
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_asked", {})
        object.__setattr__(self, "_listed", False)

    @property  # type: ignore[misc]  # a field may become a property: both are read-only
    def symbols(self) -> tuple[SymbolInfo, ...]:
        object.__setattr__(self, "_listed", True)
        return self._whole.symbols

    def symbol(self, name: str) -> SymbolInfo | None:
        found = self._whole.symbol(name)
        self._asked[name] = found
        return found

    def recorded(self) -> BinaryInfo:
        """The plain record, with all symbols only if their list was read."""
        symbols = self._whole.symbols
        if not self._listed:
            found = {s.name: s for s in self._asked.values() if s is not None}
            symbols = tuple(found[name] for name in sorted(found))
        return BinaryInfo(
            path=self.path,
            kind=self.kind,
            machine=self.machine,
            build_id=self.build_id,
            symbols=symbols,
            usdt=self.usdt,
        )

    def __eq__(self, other: object) -> bool:
        return self._whole == (other._whole if isinstance(other, _RecordingBinary) else other)

    def __hash__(self) -> int:
        return hash(self._whole)


class ReplayKernel:
    """Answers what was recorded.

    Anything else is passed to ``fallback``, or raises ``UnrecordedFact`` without one.
    """

    def __init__(
        self,
        facts: Mapping[tuple[str, tuple[object, ...]], object],
        fallback: KernelInfo | None = None,
    ) -> None:
        self._facts = dict(facts)
        self._fallback = fallback

    def facts(self) -> Facts:
        return dict(self._facts)

    def _recall(self, like: Callable[..., T], *args: object) -> T:
        key = (like.__name__, args)
        if key not in self._facts:
            if self._fallback is not None:
                ask: Callable[..., T] = getattr(self._fallback, like.__name__)
                return ask(*args)
            question = ", ".join(repr(a) for a in args)
            raise UnrecordedFact(f"not recorded: {like.__name__}({question})")
        return self._facts[key]  # type: ignore[return-value]

    def identity(self) -> KernelIdentity:
        return self._recall(self.identity)

    def struct(self, kind: str, name: str) -> StructDef | None:
        return self._recall(self.struct, kind, name)

    def enum(self, name: str) -> EnumDef | None:
        return self._recall(self.enum, name)

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        return self._recall(self.enum_constant, name)

    def typedef(self, name: str) -> Type | None:
        return self._recall(self.typedef, name)

    def function(self, name: str, module: str = "") -> FuncProto | None:
        return self._recall(self.function, name, module)

    def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._recall(self.functions, pattern, module)

    def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._recall(self.typed_functions, pattern, module)

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        return self._recall(self.tracepoint, category, event)

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        return self._recall(self.tracepoints, category, event)

    def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
        return self._recall(self.raw_tracepoint, event, module)

    def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self._recall(self.raw_tracepoints, pattern, module)

    def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
        return self._recall(self.iterators, pattern)

    def has_symbol(self, name: str) -> bool:
        return self._recall(self.has_symbol, name)

    def supports(self, feature: str) -> bool:
        return self._recall(self.supports, feature)

    def refusal(self, feature: str) -> str:
        return self._recall(self.refusal, feature)

    def binary(self, path: str) -> BinaryInfo | None:
        return self._recall(self.binary, path)

    def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
        return self._recall(self.cpp_functions, path, pattern)

    def user_function(self, path: str, symbol: str) -> FuncProto | None:
        return self._recall(self.user_function, path, symbol)

    def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
        return self._recall(self.user_struct, path, symbol, kind, name)

    def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None:
        return self._recall(self.user_enum, path, symbol, name)

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        return self._recall(self.resolve_target, name, pid)

    def typeless_memory(self) -> bool:
        return self._recall(self.typeless_memory)
