"""Names of page allocation flags, for ``%gr``.

Values are those of ``include/linux/gfp_types.h`` of Linux 6.18, the order that of
``include/trace/events/mmflags.h`` (``gfpflag_string``): combinations first, larger ones earlier.
The bits of __GFP_MOVABLE and __GFP_RECLAIMABLE have no name of their own here, as in bpftrace
0.27.1.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from pytrace.base.format import ValueText

_RECLAIM: Final = 1 << 10 | 1 << 11
_KERNEL: Final = _RECLAIM | 1 << 6 | 1 << 7
_HIGHUSER: Final = _KERNEL | 1 << 20 | 1 << 1
_MOVABLE_USER: Final = _HIGHUSER | 1 << 3 | 1 << 25
_HUGE_LIGHT: Final = (_MOVABLE_USER | 1 << 18 | 1 << 19 | 1 << 13) & ~_RECLAIM

_NAMES: Final = (
    (_HUGE_LIGHT | 1 << 10, "GFP_TRANSHUGE"),
    (_HUGE_LIGHT, "GFP_TRANSHUGE_LIGHT"),
    (_MOVABLE_USER, "GFP_HIGHUSER_MOVABLE"),
    (_HIGHUSER, "GFP_HIGHUSER"),
    (_KERNEL | 1 << 20, "GFP_USER"),
    (_KERNEL | 1 << 22, "GFP_KERNEL_ACCOUNT"),
    (_KERNEL, "GFP_KERNEL"),
    (_RECLAIM | 1 << 6, "GFP_NOFS"),
    (1 << 5 | 1 << 11, "GFP_ATOMIC"),
    (_RECLAIM, "GFP_NOIO"),
    (1 << 11 | 1 << 13, "GFP_NOWAIT"),
    (1 << 0, "GFP_DMA"),
    (1 << 1, "__GFP_HIGHMEM"),
    (1 << 2, "GFP_DMA32"),
    (1 << 5, "__GFP_HIGH"),
    (1 << 6, "__GFP_IO"),
    (1 << 7, "__GFP_FS"),
    (1 << 8, "__GFP_ZERO"),
    (1 << 10, "__GFP_DIRECT_RECLAIM"),
    (1 << 11, "__GFP_KSWAPD_RECLAIM"),
    (1 << 12, "__GFP_WRITE"),
    (1 << 13, "__GFP_NOWARN"),
    (1 << 14, "__GFP_RETRY_MAYFAIL"),
    (1 << 15, "__GFP_NOFAIL"),
    (1 << 16, "__GFP_NORETRY"),
    (1 << 17, "__GFP_MEMALLOC"),
    (1 << 18, "__GFP_COMP"),
    (1 << 19, "__GFP_NOMEMALLOC"),
    (1 << 20, "__GFP_HARDWALL"),
    (1 << 21, "__GFP_THISNODE"),
    (1 << 22, "__GFP_ACCOUNT"),
    (1 << 23, "__GFP_ZEROTAGS"),
    (1 << 24, "__GFP_SKIP_ZERO"),
    (1 << 25, "__GFP_SKIP_KASAN"),
    (1 << 26, "__GFP_NO_OBJ_EXT"),
)


def gfp_text(value: Any, value_text: ValueText) -> str:
    """``GFP_KERNEL|__GFP_ZERO``. ``ValueError`` for a bool, which the checks let through."""
    if isinstance(value, bool):
        raise ValueError(f"invalid GFP flags conversion: {value_text(value)}")
    left = value & 0xFFFFFFFFFFFFFFFF
    if not left:
        return "0"
    names = []
    for bits, name in _NAMES:
        if left & bits == bits:
            names.append(name)
            left &= ~bits
    if left:
        names.append(f"0x{left:x}")
    return "|".join(names)
