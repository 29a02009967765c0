"""What showing values needs of this machine and this run: clocks, names, symbols."""

from __future__ import annotations

import time

from pytrace.model.values import StackTrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Final

    from pytrace.base.types import Stack
    from pytrace.runtime.symbols import Symbols

_SECOND: Final = 1_000_000_000
_CLOCK_TAI: Final = 11  # include/uapi/linux/time.h; the time module has no name for it


class Environment:
    """Fulfils ``model.running.ShowEnv``, and shows stacks. Everything is found when first asked
    for: most scripts need none of it."""

    def __init__(self, config: Mapping[str, object]) -> None:
        self.config = config
        self.trailer = str(config.get("str_trunc_trailer", ".."))
        self._boot_epoch_ns: int | None = None
        self._symbols: Symbols | None = None
        self._cgroups: Callable[[int], Sequence[tuple[str, str]]] | None = None

    @property
    def boot_epoch_ns(self) -> int:
        """Wall clock at boot-clock zero. Taken once, so that equal times print equally."""
        if self._boot_epoch_ns is None:
            boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._boot_epoch_ns = time.time_ns() - boot
        return self._boot_epoch_ns

    @property
    def tai_offset_ns(self) -> int:
        """Whole seconds; 0 where no time daemon told the kernel."""
        ahead = time.clock_gettime_ns(_CLOCK_TAI) - time.time_ns()
        return (ahead + _SECOND // 2) // _SECOND * _SECOND

    def local_time(self, format: str, wall_ns: int) -> str:
        """strftime(3) in local time and nothing more. ``ValueError`` if nothing comes out."""
        try:
            text = time.strftime(format, time.localtime(wall_ns // _SECOND))
        except (OverflowError, OSError) as error:  # OSError EOVERFLOW: the year does not fit.
            raise ValueError(str(error)) from None
        if not text:
            raise ValueError("strftime returned 0")
        return text

    def strftime(self, format: str, wall_ns: int) -> str:
        """As ``local_time``, with ``%f`` microseconds, ``%l`` milliseconds, ``%k`` nanoseconds."""
        parts = []
        fraction = wall_ns % _SECOND
        at = 0
        while True:
            mark = format.find("%", at)
            if mark < 0:
                break
            letter = format[mark + 1 : mark + 2]
            parts.append(format[at:mark])
            if letter == "f":
                parts.append(f"{fraction // 1000:06}")
            elif letter == "l":
                parts.append(f"{fraction // 1_000_000:03}")
            elif letter == "k":
                parts.append(f"{fraction:09}")
            else:
                parts.append(f"%{letter}")
            at = mark + 2
        parts.append(format[at:])
        return self.local_time("".join(parts), wall_ns)

    @property
    def symbols(self) -> Symbols:
        if self._symbols is None:
            from pytrace.runtime.symbols import Symbols

            self._symbols = Symbols(self.config)
        return self._symbols

    def kernel_symbol(self, address: int) -> str:
        return self.symbols.kernel(address)

    def user_symbol(self, address: int, pid: int) -> str:
        return self.symbols.user(address, pid)

    def stack(self, type_: Stack, raw: bytes) -> StackTrace:
        """A stack as ``types.Stack`` lays it out."""
        return StackTrace(self.symbols.stack(type_, raw))

    def user_name(self, uid: int) -> str:
        import pwd

        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return ""

    def cgroup_paths(self, id: int) -> Sequence[tuple[str, str]]:
        """(hierarchy, path) of each mounted hierarchy with a group of that id, unified first."""
        if self._cgroups is None:
            from pytrace.runtime.cgroups import Cgroups

            self._cgroups = Cgroups().paths
        return self._cgroups(id)
