"""Maps and records for user space, in the running kernel."""

from __future__ import annotations

import struct

import pytest

from pytrace.base.types import U32, U64
from pytrace.ir.build import Builder
from pytrace.model.compiled import MapSpec
from pytrace.model.events import (
    CONTROL_LOST_OFFSET,
    COUNTERS_OFFSET,
    EventSchema,
    RecordField,
)
from tests.kernel.codegen_run import (
    Loaded,
    compile_checked,
    keep,
    module,
    prog,
    run_once,
)

pytestmark = pytest.mark.needs("root")

TOP = 1 << 64
ENOENT, EEXIST, E2BIG = TOP - 2, TOP - 17, TOP - 7


def hash_map(kind: str = "HASH", value_size: int = 8, max_entries: int = 16) -> MapSpec:
    return MapSpec(name="@h", kind=kind, key_size=8, value_size=value_size, max_entries=max_entries)


def test_update_look_up_delete_and_their_errors() -> None:
    b = Builder()
    key, value = b.slot("key", 8), b.slot("value", 8)
    b.store(b.address(key), 0, 8, 5)
    b.store(b.address(value), 0, 8, 55)
    keep(b, 0, b.is_null(b.lookup("@h", b.address(key))))
    keep(b, 1, b.update("@h", b.address(key), b.address(value), 2))
    keep(b, 2, b.update("@h", b.address(key), b.address(value), 1))
    keep(b, 3, b.update("@h", b.address(key), b.address(value), 1))
    found = b.lookup("@h", b.address(key))
    with b.when(b.negate(b.is_null(found))):
        keep(b, 4, b.load(found, 0, 8))
        b.atomic_add(found, 0, 1)
    b.store(b.address(key), 0, 8, 6)
    keep(b, 5, b.delete("@h", b.address(key)))
    with Loaded(compile_checked(module(prog(b.finish()), maps=(hash_map(),)))) as loaded:
        loaded.run()
        assert loaded.results(6) == (1, ENOENT, 0, EEXIST, 55, ENOENT)
        assert list(loaded.maps["@h"].items()) == [(struct.pack("<Q", 5), struct.pack("<Q", 56))]


def test_a_full_map_refuses() -> None:
    b = Builder()
    key = b.slot("key", 8)
    for number in range(3):
        b.store(b.address(key), 0, 8, number)
        keep(b, number, b.update("@h", b.address(key), b.address(key)))
    m = module(prog(b.finish()), maps=(hash_map(max_entries=2),))
    assert run_once(m)[:3] == (0, 0, E2BIG)


@pytest.mark.parametrize("kind", ["PERCPU_HASH", "LRU_PERCPU_HASH", "PERCPU_ARRAY"])
def test_per_cpu_maps_and_the_values_of_one_cpu(kind: str) -> None:
    b = Builder()
    key_size = 4 if kind == "PERCPU_ARRAY" else 8
    key, value = b.slot("key", 8), b.slot("value", 8)
    b.store(b.address(key), 0, 8, 0)
    b.store(b.address(value), 0, 8, 7)
    b.update("@h", b.address(key), b.address(value))
    mine = b.lookup("@h", b.address(key))
    with b.when(b.negate(b.is_null(mine))):
        b.store(mine, 0, 8, b.binop("add", b.load(mine, 0, 8), 1))
    for number, cpu in enumerate((0, 1 << 20)):
        theirs = b.lookup_percpu("@h", b.address(key), b.const(cpu))
        keep(b, 2 * number, b.is_null(theirs))
        with b.when(b.negate(b.is_null(theirs))):
            keep(b, 2 * number + 1, b.load(theirs, 0, 8))
    spec = MapSpec(name="@h", kind=kind, key_size=key_size, value_size=8, max_entries=8)
    assert run_once(module(prog(b.finish()), maps=(spec,)))[:4] == (0, 8, 1, 0)


def test_an_array_of_one_element_is_reached_without_a_look_up() -> None:
    b = Builder()
    for _ in range(4):
        b.atomic_add(b.map_value("@n"), 1000, 3)
    spec = MapSpec(name="@n", kind="ARRAY", key_size=4, value_size=1008, max_entries=1)
    program = compile_checked(module(prog(b.finish(), gate=False), maps=(spec,)))
    assert all(code[0] != 0x85 for code in struct.iter_unpack("<B7x", program.progs[0].insns))
    with Loaded(program) as loaded:
        loaded.run()
        data = loaded.maps["@n"].lookup(bytes(4))
        assert data is not None
        assert data[1000:] == struct.pack("<Q", 12)


def test_an_array_serves_as_map_and_as_value_at_once() -> None:
    b = Builder()
    key = b.slot("key", 4)
    b.store(b.address(key), 0, 4, 0)
    b.store(b.map_value("@n"), 0, 8, 9)
    found = b.lookup("@n", b.address(key))
    with b.when(b.negate(b.is_null(found))):
        keep(b, 0, b.load(found, 0, 8))
    spec = MapSpec(name="@n", kind="ARRAY", key_size=4, value_size=8, max_entries=1)
    assert run_once(module(prog(b.finish()), maps=(spec,)))[0] == 9


def test_a_map_is_an_argument_of_helpers() -> None:
    b = Builder()
    keep(b, 0, b.helper("ringbuf_query", b.map_ref("@ring"), b.const(1)))
    spec = MapSpec(name="@ring", kind="RINGBUF", key_size=0, value_size=0, max_entries=1 << 16)
    assert run_once(module(prog(b.finish()), maps=(spec,)))[0] == 1 << 16


def data_event(number: int, size: int = 24) -> EventSchema:
    fields = (RecordField(type=U64, offset=8), RecordField(type=U32, offset=16))
    return EventSchema(id=number, handler="printing:printf", fields=fields, size=size)


def control_event(number: int) -> EventSchema:
    fields = (RecordField(type=U64, offset=16),)
    return EventSchema(id=number, handler="printing:exit", fields=fields, size=24, control=True)


def send(b: Builder, event: EventSchema, *values: int) -> None:
    record = b.reserve(event.id)
    with b.when(b.negate(b.is_null(record))):
        for field, value in zip(event.fields, values):
            b.store(record, field.offset, field.type.size, value)
        b.submit(record)


def test_records_of_both_rings_carry_id_and_position() -> None:
    data, control = data_event(0), control_event(1)
    b = Builder()
    send(b, data, 11, 12)
    send(b, control, 13)
    send(b, data, 14, 15)
    send(b, control, 16)
    m = module(prog(b.finish()), events=(data, control))
    with Loaded(compile_checked(m)) as loaded:
        loaded.run()
        records = list(loaded.rings[".events"].read())
        controls = list(loaded.rings[".control"].read())
    assert [struct.unpack_from("<IIQI", r) for _, r in records] == [(0, 0, 11, 12), (0, 0, 14, 15)]
    assert [len(r) for _, r in records] == [24, 24]
    assert [struct.unpack("<IIQQ", r) for _, r in controls] == [(1, 0, 32, 13), (1, 0, 64, 16)]


def test_control_records_without_a_data_ring_have_position_0() -> None:
    b = Builder()
    send(b, control_event(0), 5)
    program = compile_checked(module(prog(b.finish()), events=(control_event(0),)))
    assert [m.name for m in program.maps if m.kind == "RINGBUF"] == [".control"]
    with Loaded(program) as loaded:
        loaded.run()
        assert [r for _, r in loaded.rings[".control"].read()] == [struct.pack("<QQQ", 0, 0, 5)]


def test_what_full_rings_lose_is_counted_exactly() -> None:
    data, control, other = data_event(0), control_event(1), control_event(2)
    b = Builder()
    send(b, data, 1, 2)
    send(b, control, 3)
    send(b, other, 4)
    m = module(prog(b.finish()), events=(data, control, other))
    rounds = 6000
    with Loaded(compile_checked(m)) as loaded:
        for _ in range(rounds):
            loaded.run()
        records = list(loaded.rings[".events"].read())
        controls = list(loaded.rings[".control"].read())
        first = sum(1 for _, r in controls if r[0] == 1)
        assert 0 < len(records) < rounds
        assert 0 < first < rounds
        assert loaded.state(COUNTERS_OFFSET) == rounds - len(records)
        assert loaded.state(COUNTERS_OFFSET + 16 + 8) == rounds - first
        assert loaded.state(COUNTERS_OFFSET + 32 + 8) == rounds - (len(controls) - first)
        assert loaded.state(CONTROL_LOST_OFFSET) == 2 * rounds - len(controls)
        assert loaded.state(COUNTERS_OFFSET + 8) == 0


def test_the_rings_are_only_there_when_used() -> None:
    b = Builder()
    keep(b, 0, 1)
    names = [m.name for m in compile_checked(module(prog(b.finish()))).maps]
    assert names == ["@r", ".state"]
