"""A kernel that hides some of what it can do, so that every fallback can be tried anywhere."""

from __future__ import annotations

from pytrace.base.text import closest
from pytrace.kernel.info import FEATURES, Unknown
from pytrace.kernel.tracefs import format_from_types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from pytrace.base.types import EnumDef, StructDef, Type
    from pytrace.kernel.info import (
        BinaryInfo,
        CppFunction,
        FuncProto,
        FuncRef,
        FuncText,
        KernelIdentity,
        KernelInfo,
        KernelTexts,
        TracepointFormat,
        TracepointRef,
    )

BTF: Final = "btf"
TRACEFS: Final = "tracefs"
FUNCTIONS: Final = "functions"
_TYPE_PREFIX: Final = "type:"


def parse_mask(text: str) -> frozenset[str]:
    """The names in a comma list as PYTRACE_MASK_FEATURES holds it.

    Besides features: ``tracefs`` (closed), ``functions`` (their list is refused), ``type:NAME``
    (a struct, enum, typedef or function that is not there). ``ValueError`` for other names.
    """
    names = [n.strip() for n in text.split(",") if n.strip()]
    known = (*FEATURES, TRACEFS, FUNCTIONS)
    for name in names:
        if name not in known and not name.startswith(_TYPE_PREFIX):
            guess = closest(name, known)
            hint = f", did you mean {guess}?" if guess else ""
            raise ValueError(f"{name!r} is no feature that can be masked{hint}")
    return frozenset(names)


class MaskedKernel:
    """``inner`` without the features and facts in ``hidden`` (names as for ``parse_mask``).

    Without ``btf`` there are no types, no prototypes and no list of traceable functions either
    where that list rests on types.
    """

    def __init__(self, inner: KernelInfo, hidden: frozenset[str]) -> None:
        self._inner = inner
        self._hidden = hidden

    def _hides(self, name: str) -> bool:
        return BTF in self._hidden or _TYPE_PREFIX + name in self._hidden

    def identity(self) -> KernelIdentity:
        return self._inner.identity()

    def struct(self, kind: str, name: str) -> StructDef | None:
        return None if self._hides(name) else self._inner.struct(kind, name)

    def enum(self, name: str) -> EnumDef | None:
        return None if self._hides(name) else self._inner.enum(name)

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        return None if self._hides(name) else self._inner.enum_constant(name)

    def typedef(self, name: str) -> Type | None:
        return None if self._hides(name) else self._inner.typedef(name)

    def function(self, name: str, module: str = "") -> FuncProto | None:
        return None if self._hides(name) else self._inner.function(name, module)

    def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        if FUNCTIONS in self._hidden:
            return Unknown(reason="masked")
        return self._inner.functions(pattern, module)

    def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        if FUNCTIONS in self._hidden or BTF in self._hidden:
            return Unknown(reason="masked")
        return self._inner.typed_functions(pattern, module)

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        if TRACEFS in self._hidden:
            return format_from_types(self, category, event)
        return self._inner.tracepoint(category, event)

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        if TRACEFS in self._hidden:
            return Unknown(reason="masked")
        return self._inner.tracepoints(category, event)

    def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
        return None if self._hides(event) else self._inner.raw_tracepoint(event, module)

    def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        if BTF in self._hidden:
            return Unknown(reason="masked")
        return self._inner.raw_tracepoints(pattern, module)

    def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
        return Unknown(reason="masked") if BTF in self._hidden else self._inner.iterators(pattern)

    def has_symbol(self, name: str) -> bool:
        return self._inner.has_symbol(name)

    def supports(self, feature: str) -> bool:
        return feature not in self._hidden and self._inner.supports(feature)

    def refusal(self, feature: str) -> str:
        return "masked" if feature in self._hidden else self._inner.refusal(feature)

    def binary(self, path: str) -> BinaryInfo | None:
        return self._inner.binary(path)

    def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
        return self._inner.cpp_functions(path, pattern)

    def user_function(self, path: str, symbol: str) -> FuncProto | None:
        return self._inner.user_function(path, symbol)

    def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
        return self._inner.user_struct(path, symbol, kind, name)

    def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None:
        return self._inner.user_enum(path, symbol, name)

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        return self._inner.resolve_target(name, pid)

    def typeless_memory(self) -> bool:
        return BTF in self._hidden or self._inner.typeless_memory()


class MaskedTexts(MaskedKernel):
    """A ``MaskedKernel`` for listings."""

    def __init__(self, inner: KernelTexts, hidden: frozenset[str]) -> None:
        super().__init__(inner, hidden)
        self._texts = inner

    def function_text(self, name: str, module: str = "") -> FuncText | None:
        return None if self._hides(name) else self._texts.function_text(name, module)

    def raw_tracepoint_text(self, event: str, module: str = "") -> FuncText | None:
        return None if self._hides(event) else self._texts.raw_tracepoint_text(event, module)

    def iterator_text(self, kind: str) -> FuncText | None:
        return None if self._hides(f"bpf_iter__{kind}") else self._texts.iterator_text(kind)

    def type_names(self, word: str, pattern: str) -> Sequence[str]:
        found = () if BTF in self._hidden else self._texts.type_names(word, pattern)
        return [name for name in found if not self._hides(name)]

    def type_texts(self, word: str, pattern: str) -> Iterator[tuple[str, str]]:
        return iter(()) if BTF in self._hidden else self._texts.type_texts(word, pattern)

    def user_function_text(self, path: str, symbol: str) -> FuncText | None | Unknown:
        return self._texts.user_function_text(path, symbol)
