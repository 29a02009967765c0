"""The running kernel as the compiler and listings see it, made from options and environment."""

from __future__ import annotations

from pytrace.base.config import lookup
from pytrace.base.errors import UsageError
from pytrace.kernel.live import DEBUG_ROOTS, LiveKernel
from pytrace.kernel.mask import MaskedKernel, MaskedTexts, parse_mask
from pytrace.kernel.record import RecordingKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrace.cli.options import Options
    from pytrace.kernel.info import KernelInfo, KernelTexts


def open_kernel(
    options: Options, environ: Mapping[str, str], directory: str | None
) -> RecordingKernel:
    """This machine's kernel, noting what is asked of it.

    ``directory`` is a trusted place for indexes, None without. ``PYTRACE_MASK_FEATURES`` hides
    features, to try how scripts do without; ``UsageError`` if it names none.
    """
    live = _live(options, environ, directory)
    hidden = _hidden(options, environ)
    kernel: KernelInfo = MaskedKernel(live, hidden) if hidden else live
    return RecordingKernel(kernel, live.rests_on)


def open_texts(options: Options, environ: Mapping[str, str], directory: str | None) -> KernelTexts:
    """As ``open_kernel``, for listings: with C texts, without notes."""
    live = _live(options, environ, directory)
    hidden = _hidden(options, environ)
    return MaskedTexts(live, hidden) if hidden else live


def _live(options: Options, environ: Mapping[str, str], directory: str | None) -> LiveKernel:
    roots = [root.removeprefix("+") for root in options.debuginfo.split(":") if root]
    return LiveKernel(
        btf_path=lookup(environ, "BTF") or "",
        cache_directory=directory or "",
        traceable=options.traceable_functions,
        debug_roots=(*roots, *DEBUG_ROOTS),
    )


def _hidden(options: Options, environ: Mapping[str, str]) -> frozenset[str]:
    try:
        masked = parse_mask(lookup(environ, "MASK_FEATURES") or "")
    except ValueError as error:
        raise UsageError(f"PYTRACE_MASK_FEATURES: {error}") from None
    return masked | set(options.no_features)
