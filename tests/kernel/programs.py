"""Compiled programs made by hand, for tests of the run side that need no compiler.

A prog is made of parts as ``asm.assemble`` takes them and of references to maps. Its records go
through ``send``; what arrives is noted by handlers of a module that ``handlers`` puts in place.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from pytrace.base.types import U64
from pytrace.linux.attach import Linux
from pytrace.linux.syscall import Syscalls
from pytrace.model.compiled import AttachSpec, CompiledProgram, MapSpec, ProgSpec, Reloc, SourceText
from pytrace.model.events import (
    CONTROL_LOST_OFFSET,
    CONTROL_MAP,
    COUNTERS_OFFSET,
    EVENTS_MAP,
    EXIT_CODE_OFFSET,
    EXIT_OFFSET,
    GATE_OFFSET,
    STATE_MAP,
    EventSchema,
    RecordField,
    state_size,
)
from pytrace.output.sink import SinkOptions, create
from pytrace.output.stream import OutputStream
from pytrace.runtime.loader import LoadedProgram, load
from pytrace.runtime.session import Session, SessionOptions
from tests.kernel import asm
from tests.kernel.asm import R0, R1, R2, R3, R9

RINGBUF_QUERY = 134
BPF_RB_PROD_POS = 3
MMAPABLE = 1 << 10

RAW_TRACEPOINT = "PROG_TYPE_RAW_TRACEPOINT"
PERF_EVENT = "PROG_TYPE_PERF_EVENT"


class MapRef(NamedTuple):
    """``register`` = the map, or with ``offset`` >= 0 the address within its only value."""

    register: int
    name: str
    offset: int = -1


Part = bytes | str | asm.Jump | MapRef


def prog(name: str, *parts: Part, prog_type: str = RAW_TRACEPOINT) -> ProgSpec:
    relocs: list[Reloc] = []
    plain: list[bytes | str | asm.Jump] = []
    at = 0
    for part in parts:
        if isinstance(part, MapRef):
            kind = "map" if part.offset < 0 else "map_value"
            offset = max(part.offset, 0)
            relocs.append(Reloc(insn=at, kind=kind, name=part.name, offset=offset))
            source = 1 if kind == "map" else 2
            plain.append(asm.insn(0x18, part.register, source) + asm.insn(0))
            at += 2
        else:
            plain.append(part)
            at += (
                0 if isinstance(part, str) else 1 if isinstance(part, asm.Jump) else len(part) // 8
            )
    return ProgSpec(
        name=name,
        prog_type=prog_type,
        insns=asm.assemble(*plain),
        relocs=tuple(relocs),
        subprogs=(),
        btf_func=0,
        line_info=(),
    )


def event(
    number: int, handler: str, *, control: bool = False, size: int = 8, **more: Any
) -> EventSchema:
    """A record with one u64; ``size`` is that of all fields."""
    start = 16 if control else 8
    return EventSchema(
        id=number,
        handler=handler,
        fields=(RecordField(type=U64, offset=start),),
        size=start + size,
        control=control,
        **more,
    )


_labels = iter(range(1, 1 << 30))


def send(schema: EventSchema, value: int) -> tuple[Part, ...]:
    """Send a record with ``value``, or count its loss, as the code generator does."""
    full, done = (f"{what}{next(_labels)}" for what in ("full", "done"))
    own = COUNTERS_OFFSET + 16 * schema.id
    ring = CONTROL_MAP if schema.control else EVENTS_MAP
    counters = (CONTROL_LOST_OFFSET, own + 8) if schema.control else (own,)
    position: tuple[Part, ...] = (asm.mov(R9, 0),)
    if schema.control:
        query = (asm.mov(R2, BPF_RB_PROD_POS), asm.call(RINGBUF_QUERY), asm.insn(0xBF, R9, R0))
        position = (MapRef(R1, EVENTS_MAP), *query)
    lost: list[Part] = []
    for offset in counters:
        lost += [MapRef(R1, STATE_MAP, offset), asm.mov(R2, 1), asm.atomic_add(R1, 0, R2)]
    start = schema.fields[0].offset
    return (
        *position,
        MapRef(R1, ring),
        asm.mov(R2, schema.size),
        asm.mov(R3, 0),
        asm.call(asm.RINGBUF_RESERVE),
        asm.jump_if(R0, "!=", 0, full),
        *lost,
        asm.jump(done),
        full,
        asm.mov(R1, schema.id),
        asm.store(8, R0, 0, R1),
        *((asm.store(8, R0, 8, R9),) if schema.control else ()),
        asm.mov(R1, value),
        asm.store(8, R0, start, R1),
        asm.insn(0xBF, R1, R0),
        asm.mov(R2, 0),
        asm.call(asm.RINGBUF_SUBMIT),
        done,
    )


def send_exit(schema: EventSchema, code: int, *, gate: bool = True) -> tuple[Part, ...]:
    """``exit(code)``: the flags in the state, then the control record."""
    parts: list[Part] = []
    for offset, word in ((EXIT_CODE_OFFSET, code), (EXIT_OFFSET, 1), (GATE_OFFSET, int(gate))):
        parts += [MapRef(R1, STATE_MAP, offset), asm.mov(R2, word), asm.store(8, R1, 0, R2)]
    return (*parts, *send(schema, code))


def gate() -> tuple[Part, ...]:
    """Leave for the label ``out`` when all progs are to stop."""
    return (
        MapRef(R1, STATE_MAP, GATE_OFFSET),
        asm.load(8, R2, R1, 0),
        asm.jump_if(R2, "!=", 0, "out"),
    )


def place(name: str, prog_name: str, provider: str = "special", args: Any = ()) -> AttachSpec:
    return AttachSpec(provider=provider, name=name, prog=prog_name, args=args, span=None)


def program(
    progs: Sequence[ProgSpec],
    events: Sequence[EventSchema],
    attach: Sequence[AttachSpec],
    *,
    maps: Sequence[MapSpec] = (),
    ring_size: int = 65536,
    control_size: int = 65536,
    config: tuple[tuple[str, object], ...] = (),
    **more: Any,
) -> CompiledProgram:
    own = [
        _map(STATE_MAP, "ARRAY", 4, state_size(len(events)), 1, MMAPABLE),
        _map(EVENTS_MAP, "RINGBUF", 0, 0, ring_size),
        _map(CONTROL_MAP, "RINGBUF", 0, 0, control_size),
    ]
    return CompiledProgram(
        version="test",
        target="x86_64",
        sources=(SourceText(name="stdin", text=b"begin { }\n"),),
        progs=tuple(progs),
        subprogs=(),
        maps=(*own, *maps),
        events=tuple(events),
        attach=tuple(attach),
        params=(),
        btf=b"",
        license="GPL",
        config=config,
        **more,
    )


def _map(name: str, kind: str, key: int, value: int, entries: int, flags: int = 0) -> MapSpec:
    return MapSpec(
        name=name, kind=kind, key_size=key, value_size=value, max_entries=entries, flags=flags
    )


@contextmanager
def handlers(**functions: Callable[[Any, Any], None]) -> Iterator[list[Any]]:
    """A module ``handmade`` of builtins. Its handler ``note`` appends the record's value to the
    list that this yields, ``exit`` ends the run with it; ``functions`` are further handlers."""
    noted: list[Any] = []
    module = ModuleType("pytrace.builtins.handmade")

    def note(event: Any, session: Any) -> None:
        noted.append(event.values[0] if event.values else "lost")

    def leave(event: Any, session: Any) -> None:
        session.exit(event.values[0])

    module.HANDLERS = {"note": note, "exit": leave, **functions}  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    try:
        yield noted
    finally:
        del sys.modules[module.__name__]


@contextmanager
def loaded(compiled: CompiledProgram) -> Iterator[LoadedProgram]:
    found = load(compiled, Linux(Syscalls()))
    try:
        yield found
    finally:
        found.close()


def run(compiled: CompiledProgram, options: SessionOptions | None = None, fd: int = 1) -> int:
    """Load and run to the end; gives the exit code. Closes links before it returns."""
    with loaded(compiled) as found:
        sink = create("text", OutputStream(fd), SinkOptions())
        return Session(found, sink, options or SessionOptions(leave=False)).run()


def words(raw: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(raw) // 8}Q", raw)
