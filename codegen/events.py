"""Records for user space: room in a ring, the header, and what a full ring costs.

The layout of records and counters is that of ``model.events``.
"""

from __future__ import annotations

from pytrace.codegen.function import FunctionText
from pytrace.codegen.memory import add, pointer
from pytrace.ir import nodes as ir
from pytrace.model.events import (
    CONTROL_LOST_OFFSET,
    CONTROL_MAP,
    COUNTERS_OFFSET,
    EVENTS_MAP,
    POSITION_OFFSET,
    STATE_MAP,
    EventSchema,
)

# ``flags`` of bpf_ringbuf_query, include/uapi/linux/bpf.h.
_BPF_RB_PROD_POS = 3


def reserve(f: FunctionText, node: ir.Reserve) -> str:
    """The record, or null after its loss was counted.

    A control record carries how far the data ring was filled when it was made, so that the reader
    can put both in order.
    """
    event = f.module.module.events[node.event]
    f.module.used_features.add("ringbuf")
    position = _data_position(f) if event.control else ""
    ring = f.module.map(CONTROL_MAP if event.control else EVENTS_MAP)
    record = f.helper("ringbuf_reserve", f"ptr {ring}", f"i64 {event.size}", "i64 0")
    full, room, after = f.label(), f.label(), f.label()
    f.branch(f.op(f"icmp eq ptr {record}, null"), full, room, unlikely=True)
    f.start(full)
    for counter in _lost_counters(event):
        add(f, f.offset(f.module.value(STATE_MAP), counter), "1")
    f.jump(after)
    f.start(room)
    f.do(f"store i64 {event.id}, ptr {record}, align 8")
    if event.control:
        f.do(f"store i64 {position}, ptr {f.offset(record, POSITION_OFFSET)}, align 8")
    f.jump(after)
    f.start(after)
    return record


def _data_position(f: FunctionText) -> str:
    if all(e.control for e in f.module.module.events):
        return "0"
    ring = f.module.map(EVENTS_MAP)
    return f.helper("ringbuf_query", f"ptr {ring}", f"i64 {_BPF_RB_PROD_POS}")


def _lost_counters(event: EventSchema) -> tuple[int, ...]:
    """Offsets in ``.state`` of the words that count what a full ring cost."""
    own = COUNTERS_OFFSET + 16 * event.id
    return (CONTROL_LOST_OFFSET, own + 8) if event.control else (own,)


def submit(f: FunctionText, node: ir.Submit) -> None:
    f.helper("ringbuf_submit", f"ptr {pointer(f, node.record)}", "i64 0")
