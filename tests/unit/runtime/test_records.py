"""Events: values, texts one by one and in batches, spans."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.types import BOOL, I32, I64, U8, U32, U64, Ptr, Str, Tuple, Type, lay_out
from pytrace.model.compiled import CompiledProgram, SourceText
from pytrace.model.events import EventSchema, RecordField, SpanRef
from pytrace.runtime.records import RecordEvent, Sources, find_batch_handler, find_handler
from tests.unit.runtime.machine import codecs

SCRIPT = b"macro m() { 1 }\nbegin { m(); }\n"


def sources() -> Sources:
    return Sources(
        CompiledProgram(
            version="1",
            target="x86_64",
            sources=(SourceText(name="stdin", text=SCRIPT),),
            progs=(),
            subprogs=(),
            maps=(),
            events=(),
            attach=(),
            params=(),
            btf=b"",
            license="GPL",
            config=(),
        )
    )


def make_event(format: str, *types: Type, span: SpanRef | None = None) -> RecordEvent:
    offsets, size = lay_out((U64, *types))
    fields = tuple(RecordField(type=t, offset=o) for t, o in zip(types, offsets[1:]))
    schema = EventSchema(
        id=3, handler="printing:printf", fields=fields, size=size, static=(format,), span=span
    )
    return RecordEvent(schema, codecs(), sources())


def record(event: RecordEvent, *raws: bytes) -> bytes:
    data = bytearray(event.schema.size)
    struct.pack_into("=I", data, 0, 3)
    for field, raw in zip(event.schema.fields, raws):
        data[field.offset : field.offset + len(raw)] = raw
    return bytes(data)


def test_values_text_and_raw_bytes() -> None:
    event = make_event("%d %s!", I32, Str(length=6))
    event.at(memoryview(b"\xee" * 8 + record(event, struct.pack("=i", -5), b"ab")), 8)
    assert event.values == (-5, "ab")
    assert event.text == "-5 ab!"
    assert event.raw(1) == b"ab\0\0\0\0"


def test_the_same_object_serves_the_next_record() -> None:
    event = make_event("%d", I32)
    for number in (1, 2):
        event.at(record(event, struct.pack("=i", number)), 0)
        assert event.text == str(number)


def test_a_lost_control_action_has_no_values() -> None:
    event = make_event("%d", I32)
    event.lost()
    assert event.values == ()


def test_spans_have_source_and_expansions() -> None:
    call = SpanRef(source=0, start=24, end=27)
    event = make_event("x", span=SpanRef(source=0, start=12, end=13, expanded_from=call))
    span = event.span
    assert span is not None and span.expanded_from is not None
    assert (span.text, span.begin(), span.source.name) == ("1", (1, 13), "stdin")
    assert (span.expanded_from.text, span.expanded_from.begin()) == ("m()", (2, 9))
    assert span.source is span.expanded_from.source
    assert make_event("x").span is None


ITEMS: dict[Type, Any] = {
    I32: st.integers(-(1 << 31), (1 << 31) - 1).map(lambda n: struct.pack("=i", n)),
    U32: st.integers(0, (1 << 32) - 1).map(lambda n: struct.pack("=I", n)),
    I64: st.integers(-(1 << 63), (1 << 63) - 1).map(lambda n: struct.pack("=q", n)),
    U8: st.integers(0, 255).map(lambda n: struct.pack("=B", n)),
    BOOL: st.sampled_from([b"\0", b"\1"]),
    Str(length=5): st.sampled_from([b"", b"a", b"abcd", b"abcde", b"\xc3\xa9", b"\xff"]),
    Ptr(to=U8): st.integers(0, (1 << 64) - 1).map(lambda n: struct.pack("=Q", n)),
    Tuple(elems=(I32, Str(length=4))): st.just(struct.pack("=i4s", -1, b"x")),
}


@given(st.data())
def test_batches_give_the_texts_of_their_records(data: st.DataObject) -> None:
    types = data.draw(st.lists(st.sampled_from(sorted(ITEMS, key=str)), max_size=4))
    conversions = [
        data.draw(
            st.sampled_from(["%s", "%9s", "%-7s"])
            if isinstance(t, (Str, Tuple))
            else st.sampled_from(["%d", "%5d", "%-05d", "%x", "%lu", "%s", "%+s", "%8s", "%p"])
        )
        for t in types
    ]
    event = make_event(f"100%% {' '.join(conversions)}\n", *types)
    count = data.draw(st.integers(1, 5))
    records = [record(event, *[data.draw(ITEMS[t]) for t in types]) for _ in range(count)]
    stride = (len(records[0]) + 15) & -8
    memory = memoryview(b"".join(r.ljust(stride, b"\xee") for r in records))
    expected = []
    for raw in records:
        event.at(raw, 0)
        expected.append(event.text)
    assert event.texts(memory, 0, stride, count) == expected


def test_many_different_strings_do_not_fill_memory() -> None:
    event = make_event("%s", Str(length=8))
    records = [record(event, str(n).encode()) for n in range(10000)]
    memory = memoryview(b"".join(r.ljust(24, b"\0") for r in records))
    assert event.texts(memory, 0, 24, 10000) == [str(n) for n in range(10000)]


def test_handlers_are_found_by_name() -> None:
    assert find_handler("printing:printf").__name__ == "_handle_printf"
    assert find_batch_handler("printing:printf") is not None
    assert find_batch_handler("printing:exit") is None
    assert find_batch_handler("maps:clear") is None
    with pytest.raises(KeyError):
        find_handler("printing:nothing")
