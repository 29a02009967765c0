"""Messages about a place in the script, printed while it runs (language 14.3)."""

from __future__ import annotations

from pytrace.base.diagnostics import ERROR, RED, RESET, YELLOW, excerpt, location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytrace.base.source import Span


def place_message(severity: str, text: str, span: Span | None, *, color: bool = False) -> str:
    """What ``errorf`` and ``warnf`` print: the place without its lines, then the macro calls.

    One newline at the end of ``text`` is the message's own."""
    text = text[:-1] if text.endswith("\n") else text
    where = f"{location(span)}: " if span else ""
    head = _tint(f"{where}{severity}: {text}", severity, color)
    return f"{head}\n{_expansions(severity, span, color)}"


def fault_message(
    message: str, span: Span | None, *, helper: str = "", retcode: int = 0, color: bool = False
) -> str:
    """What a fault inside a probe prints: place, the helper that failed, the lines."""
    if span is None:
        return place_message("WARNING", message, None, color=color)
    head = _tint(f"{location(span)}: WARNING: {message}", "WARNING", color)
    info = f"Additional Info - helper: {helper}, retcode: {retcode}\n" if helper else ""
    return f"{head}\n{info}{excerpt(span)}{_expansions('WARNING', span, color)}"


def _expansions(severity: str, span: Span | None, color: bool) -> str:
    parts = []
    caller = span.expanded_from if span else None
    while caller is not None:
        head = _tint(f"{location(caller)}: {severity}: expanded from", severity, color)
        parts.append(f"{head}\n{excerpt(caller)}")
        caller = caller.expanded_from
    return "".join(parts)


def _tint(text: str, severity: str, color: bool) -> str:
    return f"{RED if severity == ERROR else YELLOW}{text}{RESET}" if color else text
