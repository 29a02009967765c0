"""C texts for listings, looked up over all of a kernel's type information. Pure."""

from __future__ import annotations

from pytrace.kernel import btf_index as k
from pytrace.kernel.ctext import WORDS, CText
from pytrace.kernel.info import FuncText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytrace.kernel.btf import Btf


class KernelTypeTexts:
    """``blobs`` gives vmlinux's types, then those of the modules in whose names a word occurs."""

    def __init__(self, blobs: Callable[[str], Iterable[Btf]]) -> None:
        self._blobs = blobs
        self._writers: dict[str, CText] = {}

    def function(self, name: str, module: str) -> FuncText | None:
        for btf in self._blobs(name):
            if module in ("", btf.module):
                found = btf.find(name, (k.FUNC,))
                if found is not None and found >= btf.first_id:
                    params, returns = self._writer(btf).prototype(btf.head(found)[2])
                    return FuncText(params=params, returns=returns)
        return None

    def raw_tracepoint(self, event: str, module: str) -> FuncText | None:
        for btf in self._blobs(f"btf_trace_{event}"):
            if module in ("", btf.module):
                found = btf.raw_tracepoint_prototype(event)
                if found is not None:
                    # The first argument is the tracepoint's own data.
                    params, _ = self._writer(btf).prototype(found)
                    return FuncText(params=params[1:], returns="void")
        return None

    def iterator(self, kind: str) -> FuncText | None:
        """The members of an iterator's context."""
        name = f"bpf_iter__{kind}"
        for btf in self._blobs(name):
            found = btf.named((k.STRUCT,), name)
            if found:
                return FuncText(params=self._writer(btf).members(found[0][1]), returns="void")
        return None

    def names(self, word: str, pattern: str) -> list[str]:
        """Names of types that ``word`` (struct, union, enum) declares, sorted."""
        found = {
            name
            for btf in self._blobs(_core(pattern))
            for name, _ in btf.named(_kinds(word), pattern)
        }
        return sorted(found)

    def definitions(self, word: str, pattern: str) -> Iterator[tuple[str, str]]:
        """(module, C text) of their definitions, by name; modules after vmlinux."""
        found: list[tuple[str, int, Btf, int]] = []
        for btf in self._blobs(_core(pattern)):
            for name, type_id in btf.named(_kinds(word), pattern):
                found.append((name, len(found), btf, type_id))
        for _, _, btf, type_id in sorted(found, key=lambda row: row[:2]):
            yield btf.module, self._writer(btf).definition(type_id)

    def _writer(self, btf: Btf) -> CText:
        known = self._writers.get(btf.module)
        if known is None:
            known = self._writers[btf.module] = CText(btf)
        return known


def _kinds(word: str) -> tuple[int, ...]:
    return (k.ENUM, k.ENUM64) if word == "enum" else (WORDS[word],)


def _core(pattern: str) -> str:
    """A word that is in every name that fits the pattern."""
    return max(pattern.split("*"), key=len)
