"""Reading the two rings in order, and the counters of what did not fit into them.

The order (``model.events.EventSchema``): a control record carries the data ring's producer
position of its making, P. It is handled after the data records below P and before those from P on.
One pass looks at the data ring's position first and then reads the control ring to its end; a
control record that it does not see was made later, so its P is at or above that position, and data
below the position can be handed out without asking again.
"""

from __future__ import annotations

import os
import time
from struct import Struct

from pytrace.linux.ringbuf import RingBuffer
from pytrace.model.events import (
    CONTROL_LOST_OFFSET,
    CONTROL_MAP,
    COUNTERS_OFFSET,
    EVENTS_MAP,
    EXIT_CODE_OFFSET,
    POSITION_OFFSET,
)
from pytrace.runtime.records import RecordEvent, Sources, find_batch_handler, find_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from pytrace.linux.maps import BpfMap
    from pytrace.model.running import BatchHandler, Handler, SessionView
    from pytrace.runtime.decode import Codecs
    from pytrace.runtime.loader import LoadedProgram

_ID: Final = Struct("=I").unpack_from
_POSITION: Final = Struct("=Q").unpack_from

EXIT_HANDLER: Final = "printing:exit"

_SLICE: Final = 1 << 16  # bytes of data between two looks at whether to stop
_PATIENCE_S: Final = 1.0
_SHORT_RUN: Final = 8  # records that are handled one by one rather than as a batch
_SKIP: Final = 16  # portions without a look for batches after a short run


class Reader:
    """Hands the records of a loaded program to their handlers. ``close`` unmaps the rings."""

    def __init__(self, loaded: LoadedProgram, codecs: Codecs, session: SessionView) -> None:
        compiled = loaded.compiled
        self._session = session
        self._codecs = codecs
        self._events = compiled.events
        self._sources = Sources(compiled)
        self._made: list[tuple[RecordEvent, Handler] | None] = [None] * len(compiled.events)
        self.data = _ring(loaded.maps.get(EVENTS_MAP))
        self.control = _ring(loaded.maps.get(CONTROL_MAP))
        self._state = loaded.state
        counters = COUNTERS_OFFSET // 8
        self._lost = loaded.state[counters::2]
        self._acted = [0] * len(compiled.events)
        self.lost_reported = 0
        self._batch_handlers: dict[int, BatchHandler | None] = {}
        self._skip_batches = 0
        self.stopped = False
        self._interrupted: Callable[[], bool] | None = None

    @property
    def lost(self) -> int:
        """Data records that found their ring full, so far."""
        return sum(self._lost)

    @property
    def filling(self) -> bool:
        """True if a ring is more than half full."""
        return any(r.available * 2 > r.size for r in (self.data, self.control) if r)

    def poll(self, interrupted: Callable[[], bool] | None = None) -> int:
        """Handle what was sent before this call, in order; the number of records.

        Ends early when a handler calls ``exit``, which sets ``stopped`` (``stop``), or when
        ``interrupted`` gives true.
        """
        self._interrupted = interrupted
        limit = self.data.producer_position if self.data else 0
        count = 0
        for record in self._controls():
            (position,) = _POSITION(record, POSITION_OFFSET)
            count += self._data_below(position, wait=True)
            if self.stopped:
                return count
            event, handler = self._event(_ID(record, 0)[0])
            event.at(record, 0)
            handler(event, self._session)
            count += 1
            if self.stopped:
                return count
        count += self._data_below(limit, wait=False)
        self._lost_controls()
        self._report_losses()
        return count

    def stop(self) -> None:
        """Called while a record is handled: the records after it are not."""
        self.stopped = True

    def discard(self) -> None:
        """Drop all that is in the rings now, and go on with what comes later."""
        for ring in (self.data, self.control):
            if ring is not None:
                ring.drain(lambda data, offset, length: None, ring.producer_position)
        self._acted = self._pending()
        self.stopped = False

    def close(self) -> None:
        self._lost.release()
        for ring in (self.data, self.control):
            if ring is not None:
                ring.close()

    # --- rings

    def _controls(self) -> Iterator[bytes]:
        ring = self.control
        if ring is None:
            return
        end = ring.producer_position
        deadline = 0.0
        while ring.consumer_position < end:
            records = [record for _, record in ring.read(end)]
            yield from records
            if not records:
                deadline = _wait(deadline)
                if deadline < 0:
                    return

    def _data_below(self, limit: int, *, wait: bool) -> int:
        """Handle the data records below a position. ``wait`` for those that a prog on another CPU
        has not finished yet, which is a matter of microseconds."""
        ring = self.data
        count, deadline = 0, 0.0
        while ring is not None and not self.stopped:
            here = ring.consumer_position
            if here >= limit:
                break
            below = min(limit, here + _SLICE)
            count += self._batch(ring, below) or ring.drain(self._record, below)
            if self._interrupted is not None and self._interrupted():
                self.stopped = True
            if ring.consumer_position == here:
                if not wait:
                    break
                deadline = _wait(deadline)
                if deadline < 0:
                    break
        return count

    def _batch(self, ring: RingBuffer, limit: int) -> int:
        """Handle several records of one kind at once, if that is what comes next and its handler
        can; gives their number.

        Looking for a run costs as much as handling some records: after a run that was short, the
        records of a portion are handled one by one.
        """
        if self._skip_batches:
            self._skip_batches -= 1
            return 0
        run = ring.uniform(limit, _SLICE)
        if run is None:
            return 0
        data, start, stride, count = run
        number = _ID(data, start)[0]
        handler = self._batch_handler(number) if count >= _SHORT_RUN else None
        if handler is None:
            self._skip_batches = _SKIP
            return 0
        handler(self._event(number)[0].texts(data, start, stride, count), self._session)
        ring.skip_to(ring.consumer_position + stride * count)
        return count

    def _batch_handler(self, number: int) -> BatchHandler | None:
        if number not in self._batch_handlers:
            self._batch_handlers[number] = find_batch_handler(self._events[number].handler)
        return self._batch_handlers[number]

    def _record(self, data: memoryview, offset: int, length: int) -> bool:
        event, handler = self._made[_ID(data, offset)[0]] or self._event(_ID(data, offset)[0])
        event.at(data, offset)
        handler(event, self._session)
        return self.stopped

    def _event(self, number: int) -> tuple[RecordEvent, Handler]:
        made = self._made[number]
        if made is None:
            schema = self._events[number]
            event = RecordEvent(schema, self._codecs, self._sources)
            made = self._made[number] = (event, find_handler(schema.handler))
        return made

    # --- counters

    def _pending(self) -> list[int]:
        first = COUNTERS_OFFSET // 8
        return [self._state[first + 2 * e.id + 1] if e.control else 0 for e in self._events]

    def _lost_controls(self) -> None:
        """Do what control records that found their ring full would have asked for."""
        if self._state[CONTROL_LOST_OFFSET // 8] == sum(self._acted) or self.stopped:
            return
        for number, count in enumerate(self._pending()):
            while self._acted[number] < count:
                self._acted[number] += 1
                if self._events[number].handler == EXIT_HANDLER:
                    self._session.exit(self._state[EXIT_CODE_OFFSET // 8] & 0xFF)
                    continue
                event, handler = self._event(number)
                event.lost()
                handler(event, self._session)

    def _report_losses(self) -> None:
        lost = self.lost
        if lost > self.lost_reported:
            self._session.sink.lost(lost - self.lost_reported)
            self.lost_reported = lost


def _ring(bpf_map: BpfMap | None) -> RingBuffer | None:
    return None if bpf_map is None else RingBuffer(bpf_map.fd, bpf_map.max_entries)


def _wait(deadline: float) -> float:
    """Let the CPU go once. Gives the deadline (a new one for 0), or -1 when it has passed."""
    os.sched_yield()
    now = time.monotonic()
    if not deadline:
        return now + _PATIENCE_S
    return deadline if now < deadline else -1.0
