"""Names of allocation flags, as bpftrace 0.27.1 prints them."""

from __future__ import annotations

import pytest

from pytrace.base.gfp import gfp_text
from pytrace.output.values import value_text


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0, "0"),
        (0xCC0, "GFP_KERNEL"),
        (0x400DC0, "GFP_KERNEL_ACCOUNT|__GFP_ZERO"),
        (0x100CC2, "GFP_HIGHUSER"),
        (0x3100CCA, "GFP_HIGHUSER_MOVABLE|__GFP_SKIP_ZERO"),
        (0x820, "GFP_ATOMIC"),
        (0x2800, "GFP_NOWAIT"),
        (0x1, "GFP_DMA"),
        (0x18, "0x18"),
        (0x80000000, "0x80000000"),
        (
            0x1F0CCA,
            "GFP_HIGHUSER|__GFP_NORETRY|__GFP_MEMALLOC|__GFP_COMP|__GFP_NOMEMALLOC|0x8",
        ),
        (
            -1,
            "GFP_TRANSHUGE|GFP_ATOMIC|GFP_DMA|GFP_DMA32|__GFP_ZERO|__GFP_WRITE|"
            "__GFP_RETRY_MAYFAIL|__GFP_NOFAIL|__GFP_NORETRY|__GFP_MEMALLOC|__GFP_THISNODE|"
            "__GFP_ACCOUNT|__GFP_ZEROTAGS|__GFP_SKIP_ZERO|__GFP_NO_OBJ_EXT|0xfffffffff8000210",
        ),
    ],
)
def test_names(flags: int, names: str) -> None:
    assert gfp_text(flags, value_text) == names


def test_a_bool_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid GFP flags conversion: true"):
        gfp_text(True, value_text)
