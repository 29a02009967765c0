"""Makes ``BinaryInfo`` of an ELF file, its symbols turned into records only as they are asked."""

from __future__ import annotations

from pytrace.kernel.elf import STT_FUNC, STT_GNU_IFUNC
from pytrace.kernel.info import BinaryInfo, SymbolInfo, UsdtInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.kernel.elf import Elf, SymbolTable

_FUNCTIONS = (STT_FUNC, STT_GNU_IFUNC)
_set = object.__setattr__


class ElfBinary(BinaryInfo):
    """A ``BinaryInfo`` over an ELF file: to find one symbol makes no record of all the others.

    ``more`` are files with further symbols for the same addresses (separate debug information).
    ``sources`` are the files that were looked for, so that a cache can tell when to look again.
    The bytes under ``elf`` must stay readable as long as this is used. Equal to any
    ``BinaryInfo`` of the same contents.
    """

    _sources: tuple[str, ...]
    _elf: Elf
    _tables: tuple[SymbolTable, ...]
    _all: tuple[SymbolInfo, ...] | None

    def __init__(
        self, path: str, elf: Elf, more: Sequence[Elf] = (), sources: Sequence[str] = ()
    ) -> None:
        _set(self, "_sources", tuple(sources) or (path,))
        _set(self, "path", path)
        _set(self, "kind", elf.kind)
        _set(self, "machine", elf.machine)
        _set(self, "build_id", elf.build_id())
        _set(self, "usdt", usdt_sites(elf))
        _set(self, "_elf", elf)
        _set(self, "_tables", tuple(t for e in (elf, *more) for t in e.symbol_tables()))
        _set(self, "_all", None)

    @property
    def sources(self) -> tuple[str, ...]:
        return self._sources

    @property  # type: ignore[misc]  # a field may become a property: both are read-only
    def symbols(self) -> tuple[SymbolInfo, ...]:
        """Every defined symbol once, by name; of one name, default versions come first."""
        if self._all is None:
            _set(self, "_all", self._collect())
        return self._all or ()

    def _collect(self) -> tuple[SymbolInfo, ...]:
        seen: dict[tuple[str, int], tuple[int, int]] = {}
        for table in self._tables:
            for index, address, size, kind in table.rows():
                key = (table.name(index), address)
                if key not in seen or not seen[key][0]:
                    seen[key] = (size, kind)
        rows = sorted(seen.items(), key=lambda row: row[0][0])
        return tuple(self._symbol(name, at, size, kind) for (name, at), (size, kind) in rows)

    def symbol(self, name: str) -> SymbolInfo | None:
        """The function of that name, or else another symbol of that name."""
        for table in self._tables:
            for address, size, kind in table.find(name):
                return self._symbol(name, address, size, kind)
        return None

    def _symbol(self, name: str, address: int, size: int, kind: int) -> SymbolInfo:
        return SymbolInfo(
            name=name,
            address=address,
            offset=self._elf.file_offset(address) or 0,
            size=size,
            function=kind in _FUNCTIONS,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BinaryInfo) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.path, self.build_id))


def usdt_sites(elf: Elf) -> tuple[UsdtInfo, ...]:
    """USDT probes by namespace, name, offset; sites that lie in no segment are left out."""
    sites = []
    for namespace, name, address, semaphore, args in elf.usdt():
        offset = elf.file_offset(address)
        if offset is not None:
            sites.append(
                UsdtInfo(
                    namespace=namespace,
                    name=name,
                    offset=offset,
                    semaphore=(elf.file_offset(semaphore) or 0) if semaphore else 0,
                    args=args,
                )
            )
    return tuple(sorted(sites, key=lambda u: (u.namespace, u.name, u.offset)))
