"""Faults inside a probe, sent to user space with their place in the script (language 14.3)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from pytrace.model.running import Event, Handler, SessionView

MAP_FULL: Final = (
    "Map full; can't update element. Try increasing max_map_keys config or manually setting the"
    " max entries in a map declaration e.g. `let @a = hash(5000)`"
)
OUT_OF_BOUNDS: Final = "Array access out of bounds. This can lead to unexpected results."
NO_ELEMENT: Final = "Can't lookup map element because it does not exist."
NOT_DELETED: Final = "Can't delete map element because it does not exist."
DIVISION_BY_ZERO: Final = (
    "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the"
    " result."
)


BY_ERROR: Final = ""
"""Message of a fault that is told by what the helper's error number means."""

_E2BIG: Final = 7


def _handle_fault(event: Event, session: SessionView) -> None:
    """Map updates also fail for other reasons than a full map, which the error number tells."""
    message, helper = event.static
    retcode = event.values[0] if event.values else 0
    assert isinstance(message, str) and isinstance(helper, str) and isinstance(retcode, int)
    if message == BY_ERROR or (message == MAP_FULL and retcode not in (0, -_E2BIG)):
        message = _error_text(-retcode)
    session.sink.runtime_error(message, event.span, helper=helper, retcode=retcode)


def _error_text(number: int) -> str:
    """What the C library's strerror() says."""
    from pytrace.builtins.names import errors

    texts = errors()
    known = texts[number] if 0 <= number < len(texts) else ""
    return known or f"Unknown error {number}"


HANDLERS: Final[Mapping[str, Handler]] = {"fault": _handle_fault}
