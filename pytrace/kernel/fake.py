"""A kernel made of literals: what a test says is there, and nothing else."""

from __future__ import annotations

from pytrace.base.text import matches
from pytrace.kernel.info import (
    FEATURES,
    CppFunction,
    FuncRef,
    KernelIdentity,
    TracepointRef,
    Unknown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Final

    from pytrace.base.types import EnumDef, StructDef, Type
    from pytrace.kernel.info import BinaryInfo, FuncProto, FuncText, TracepointFormat

IDENTITY: Final = KernelIdentity(release="6.18.0-fake", arch="x86_64", build_id="fa4e")


class FakeKernel:
    """Answers from its arguments. All features work unless ``features`` lists those that do.

    ``functions`` are prototypes and at the same time the traceable functions; ``unknown`` is the
    answer to questions for lists, as a locked-down machine gives it. ``targets`` maps names to
    paths; a path of one of the ``binaries`` stands for itself. With ``types=False`` there is no
    type information. ``cpp`` maps symbols to C++ names. ``texts`` maps (kind, name) to C text:
    "function", "rawtracepoint", "iter" and "user" to prototypes, "struct", "union" and "enum" to
    definitions. ``user_functions`` are those with debug information, by path and symbol. Every
    iterator is a struct of ``structs``.
    """

    def __init__(
        self,
        *,
        structs: Iterable[StructDef] = (),
        enums: Iterable[EnumDef] = (),
        typedefs: Mapping[str, Type] | None = None,
        functions: Iterable[FuncProto] = (),
        tracepoints: Iterable[TracepointFormat] = (),
        raw_tracepoints: Iterable[FuncProto] = (),
        binaries: Iterable[BinaryInfo] = (),
        targets: Mapping[str, Sequence[str]] | None = None,
        features: Iterable[str] = FEATURES,
        identity: KernelIdentity = IDENTITY,
        unknown: Unknown | None = None,
        types: bool = True,
        cpp: Mapping[str, str] | None = None,
        texts: Mapping[tuple[str, str], FuncText | str] | None = None,
        user_functions: Mapping[tuple[str, str], FuncProto] | None = None,
        user_structs: Iterable[StructDef] = (),
        user_enums: Iterable[EnumDef] = (),
    ) -> None:
        self._structs = {(s.kind, s.name): s for s in structs}
        self._enums = {e.name: e for e in enums}
        self._typedefs = dict(typedefs or {})
        self._functions = tuple(functions)
        self._tracepoints = {(t.category, t.event): t for t in tracepoints}
        self._raw_tracepoints = tuple(raw_tracepoints)
        self._binaries = {b.path: b for b in binaries}
        self._targets = dict(targets or {})
        self._features = frozenset(features)
        self._identity = identity
        self._unknown = unknown
        self._types = types
        self._cpp = dict(cpp or {})
        self._texts = dict(texts or {})
        self._user_functions = dict(user_functions or {})
        self._user_structs = {(s.kind, s.name): s for s in user_structs}
        self._user_enums = {e.name: e for e in user_enums}

    def identity(self) -> KernelIdentity:
        return self._identity

    def struct(self, kind: str, name: str) -> StructDef | None:
        return self._structs.get((kind, name))

    def enum(self, name: str) -> EnumDef | None:
        return self._enums.get(name)

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        for definition in self._enums.values():
            for known, value in definition.values:
                if known == name:
                    return value, definition.type
        return None

    def typedef(self, name: str) -> Type | None:
        return self._typedefs.get(name)

    def function(self, name: str, module: str = "") -> FuncProto | None:
        return _find(self._functions, name, module)

    def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return _select(self._functions, pattern, module) if not self._unknown else self._unknown

    def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        return self.functions(pattern, module) if self._types else Unknown(reason="no types")

    def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
        prefix = "bpf_iter__"
        kinds = [n.removeprefix(prefix) for _, n in self._structs if n.startswith(prefix)]
        return tuple(
            FuncRef(name=kind, module="vmlinux") for kind in sorted(kinds) if matches(pattern, kind)
        )

    def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
        return _find(self._raw_tracepoints, event, module)

    def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        known = self._raw_tracepoints
        return _select(known, pattern, module) if not self._unknown else self._unknown

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        return self._tracepoints.get((category, event))

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        if self._unknown is not None:
            return self._unknown
        return tuple(
            TracepointRef(category=c, event=e)
            for c, e in sorted(self._tracepoints)
            if matches(category, c) and matches(event, e)
        )

    def has_symbol(self, name: str) -> bool:
        return any(f.name == name for f in self._functions)

    def supports(self, feature: str) -> bool:
        return feature in self._features

    def refusal(self, feature: str) -> str:
        return "" if feature in self._features else "Operation not permitted"

    def binary(self, path: str) -> BinaryInfo | None:
        return self._binaries.get(path)

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        if name in self._targets:
            return tuple(self._targets[name])
        return tuple(path for path in sorted(self._binaries) if matches(name, path))

    def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
        info = self.binary(path)
        names = [s.name for s in info.symbols if s.function and s.name in self._cpp] if info else []
        found = [CppFunction(name=self._cpp[n], symbol=n) for n in names]
        fits = (pattern, f"{pattern}(*")
        return tuple(f for f in found if any(matches(p, f.name) for p in fits))

    def user_function(self, path: str, symbol: str) -> FuncProto | None:
        return self._user_functions.get((path, symbol))

    def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
        return self._user_structs.get((kind, name)) if self.user_function(path, symbol) else None

    def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None:
        return self._user_enums.get(name) if self.user_function(path, symbol) else None

    def typeless_memory(self) -> bool:
        return not self._types

    # For listings (``KernelTexts``)

    def function_text(self, name: str, module: str = "") -> FuncText | None:
        return self._prototype("function", name)

    def raw_tracepoint_text(self, event: str, module: str = "") -> FuncText | None:
        return self._prototype("rawtracepoint", event)

    def iterator_text(self, kind: str) -> FuncText | None:
        return self._prototype("iter", kind)

    def user_function_text(self, path: str, symbol: str) -> FuncText | None | Unknown:
        if not any(kind == "user" for kind, _ in self._texts):
            return Unknown(reason=f'No DWARF found for "{path}"')
        return self._prototype("user", symbol)

    def _prototype(self, kind: str, name: str) -> FuncText | None:
        found = self._texts.get((kind, name))
        return None if isinstance(found, str) else found

    def type_names(self, word: str, pattern: str) -> Sequence[str]:
        return sorted(name for kind, name in self._texts if kind == word and matches(pattern, name))

    def type_texts(self, word: str, pattern: str) -> Iterator[tuple[str, str]]:
        for name in self.type_names(word, pattern):
            yield "vmlinux", str(self._texts[word, name])


def _find(protos: Iterable[FuncProto], name: str, module: str) -> FuncProto | None:
    return next((p for p in protos if p.name == name and module in ("", p.module)), None)


def _select(protos: Iterable[FuncProto], pattern: str, module: str) -> tuple[FuncRef, ...]:
    found = {
        (p.name, p.module)
        for p in protos
        if matches(pattern, p.name) and (not module or matches(module, p.module))
    }
    return tuple(FuncRef(name=name, module=where) for name, where in sorted(found))
