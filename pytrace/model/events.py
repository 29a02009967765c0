"""Layout of the records that progs send to user space. The only description of it."""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.types import Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class SpanRef(FrozenValue):
    """A span by index into ``CompiledProgram.sources``; ``expanded_from`` as in ``Span``."""

    source: int
    start: int
    end: int
    expanded_from: SpanRef | None = None


class RecordField(FrozenValue):
    """A value within a record: ``offset`` counts from the record's start, its size is the type's.

    ``text`` fields may be cut: a string is zero terminated and what follows the zero is
    undefined.
    """

    type: Type
    offset: int


class EventSchema(FrozenValue):
    """One kind of record, made by one place of the script.

    A record starts with a u32 event id, which is ``id``, an index into
    ``CompiledProgram.events``. In the data ring (map ``.events``) fields follow. In the control
    ring (map ``.control``) a u64 at offset 8 holds the data ring's producer position when the
    record was made: the reader handles data records below that position first. Fields of control
    records start at offset 16, of data records at offset 8; bytes 4..8 are zero.

    ``handler`` is ``module:name`` of pytrace.builtins (``printing:printf``), whose ``HANDLERS``
    has the function that acts on it. ``static`` holds what the compiler knew: the format string,
    a map's name. ``control`` tells the ring. ``size`` is the whole record's, in bytes.
    """

    id: int
    handler: str
    fields: tuple[RecordField, ...]
    size: int
    static: tuple[object, ...] = ()
    span: SpanRef | None = None
    control: bool = False


ID_OFFSET: Final = 0
POSITION_OFFSET: Final = 8
DATA_HEADER: Final = 8
CONTROL_HEADER: Final = 16

EVENTS_MAP: Final = ".events"
CONTROL_MAP: Final = ".control"
STATE_MAP: Final = ".state"
PARAMS_MAP: Final = ".params"
SCRATCH_MAP: Final = ".scratch"

# Layout of the map ``.state`` (an mmapable ARRAY of one element): what progs and the session
# share while running. All words are u64.
GATE_OFFSET: Final = 0
"""Non-zero stops every prog at its first instructions (set by exit() and by the session)."""
EXIT_OFFSET: Final = 8
"""Set to 1 by exit(), beside its control record."""
EXIT_CODE_OFFSET: Final = 16
"""Code of the last exit()."""
CONTROL_LOST_OFFSET: Final = 24
"""Control records that found their ring full, whatever their kind."""
SKIPPED_OFFSET: Final = 32
"""Runs of progs that found no free region of scratch memory, and did nothing."""
ZERO_OFFSET: Final = 40
"""Always 0, which the verifier does not know."""
COUNTERS_OFFSET: Final = 64
"""For each event id two u64: records lost for want of space; control actions still pending."""


def state_size(events: int) -> int:
    """Bytes of the ``.state`` value for a number of event kinds."""
    return COUNTERS_OFFSET + 16 * events
