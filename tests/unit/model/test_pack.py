"""Compiled programs as bytes: round trips, determinism, and damage of every kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base import types as t
from pytrace.base.frozen import Frozen, FrozenValue
from pytrace.model.compiled import (
    AttachSpec,
    CompiledProgram,
    LineInfo,
    LoadParam,
    MapSpec,
    ProgSpec,
    Reloc,
    SourceText,
    SubprogSpec,
)
from pytrace.model.events import EventSchema, RecordField, SpanRef
from pytrace.model.pack import (
    FORMAT,
    HEADER,
    MAGIC,
    PackError,
    decode,
    digest,
    pack,
    pack_value,
    signature,
    unpack,
    unpack_value,
)


def plain(value: object) -> object:
    """A value with every record as (class, fields...), so that all of it can be compared."""
    if isinstance(value, Frozen):
        return type(value), tuple(plain(getattr(value, n)) for n in value.__fields__)
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    return type(value), value


def program() -> CompiledProgram:
    """A program of ordinary size with every kind of record in it."""
    span = SpanRef(source=0, start=3, end=9, expanded_from=SpanRef(source=1, start=0, end=4))
    lines = tuple(
        LineInfo(insn=n, file_name_off=1, line_off=70000 + n, line=n // 3, column=5)
        for n in range(60)
    )
    relocs = tuple(Reloc(insn=n * 4, kind="map", name=f"@m{n % 3}") for n in range(20))
    key = t.Tuple(elems=(t.COMM, t.U32, t.Ptr(to=t.Struct(kind="struct", name="f", bytes=8))))
    maps = tuple(
        MapSpec(
            name=name,
            kind="PERCPU_HASH",
            key_size=24,
            value_size=8,
            max_entries=4096,
            key=key,
            value=t.Aggregate(kind="hist", signed=False, params=(2,)),
        )
        for name in ("@m0", "@m1", "@m2")
    )
    event = EventSchema(
        id=1,
        handler="printing:printf",
        fields=(RecordField(type=t.Str(length=64), offset=8), RecordField(type=t.I64, offset=72)),
        size=80,
        static=("%s %d\n", -5, None, True, b"\x00\xff", ("x", ())),
        span=span,
    )
    probe = ProgSpec(
        name="p0",
        prog_type="PROG_TYPE_TRACEPOINT",
        insns=bytes(range(256)) * 4,
        relocs=relocs,
        subprogs=("s",),
        btf_func=4,
        line_info=lines,
    )
    helper = SubprogSpec(name="s", insns=b"\x95" + bytes(7), relocs=(), btf_func=5, line_info=())
    attach = AttachSpec(
        provider="tracepoint",
        name="tracepoint:a:b",
        prog="p0",
        args=("a", "b", 2**63),
        span=span,
    )
    return CompiledProgram(
        version="0.1.0",
        target="x86_64",
        sources=(SourceText(name="stdin", text=b"begin { \xff }"),),
        progs=(probe, probe),
        subprogs=(helper,),
        maps=maps,
        events=(event,),
        attach=(attach,),
        params=(LoadParam(name="", kind="start_ns", offset=0, size=8),),
        btf=b"\x9f\xeb" + bytes(2000),
        license="GPL",
        config=(("max_cat_bytes", 10240), ("str_trunc_trailer", "\udcff..")),
        structs=(
            t.StructDef(
                kind="struct", name="f", size=8, fields=(t.Field(name="x", type=t.U64, offset=0),)
            ),
        ),
        enums=(t.EnumDef(name="e", bits=32, signed=True, values=(("A", -1), ("B", 2**31))),),
        warnings=(("WARNING", "text"),),
    )


def test_a_program_comes_back_equal() -> None:
    before = program()
    after = unpack(pack(before))
    assert plain(after) == plain(before)
    assert after.progs[0].line_info[59].line_off == 70059


def test_equal_programs_give_equal_bytes() -> None:
    assert pack(program()) == pack(program())
    assert pack(unpack(pack(program()))) == pack(program())


def test_a_record_that_comes_back_is_immutable_and_hashable() -> None:
    after = unpack(pack(program()))
    with pytest.raises(AttributeError):
        after.maps[0].name = "x"  # type: ignore[misc]
    assert hash(after.maps[0]) == hash(program().maps[0])


def test_repetitions_cost_little() -> None:
    one = pack_value((program().progs[0],))
    many = pack_value((program().progs[0],) * 50)
    assert len(many) - len(one) < 50 * 4


class OtherType(t.Type):
    """A class that the container does not know."""


def test_what_has_no_place_is_refused_when_packing() -> None:
    for value in (1.5, [1], {"a": 1}, {1}, 2**64, OtherType(), object()):
        with pytest.raises(TypeError):
            pack_value((value,))


def nested(levels: int) -> object:
    value: object = ()
    for _ in range(levels):
        value = (value,)
    return value


def test_nesting_is_limited_in_both_directions() -> None:
    assert unpack_value(pack_value(nested(200))) == nested(200)
    with pytest.raises(PackError):
        pack_value(nested(300))
    with pytest.raises(PackError):
        decode(b"t\x01" * 100000 + b"N")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.text(st.characters(codec=None))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.builds(
            lambda name, value: AttachSpec(
                provider=name, name=name, prog="", args=(value,), span=None
            ),
            st.text(),
            inner,
        )
        | st.builds(lambda a, b: SpanRef(source=a, start=b, end=b), st.integers(0, 2**33), inner)
        | st.lists(
            st.builds(
                lambda a, b: LineInfo(insn=a, file_name_off=b, line_off=0, line=0, column=0),
                st.integers(-1, 2**32),
                st.integers(0, 2**32),
            ),
            max_size=4,
        ).map(tuple)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_comes_back_with_its_types(value: object) -> None:
    assert plain(unpack_value(pack_value(value))) == plain(value)


def test_equal_records_with_a_bool_for_an_int_stay_apart() -> None:
    value = (SpanRef(source=1, start=0, end=0), SpanRef(source=True, start=0, end=0))
    assert plain(unpack_value(pack_value(value))) == plain(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_one_error(data: bytes) -> None:
    for whole in (data, HEADER.pack(MAGIC, FORMAT, len(data), digest(data)) + data):
        try:
            unpack(whole)
        except PackError:
            continue
        raise AssertionError("random bytes made a program")


@given(st.data())
def test_damage_under_a_right_checksum_is_one_error_or_another_value(data: st.DataObject) -> None:
    payload = bytearray(pack(program())[HEADER.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    for damaged in (bytes(payload), bytes(payload[:cut])):
        try:
            decode(damaged)
        except PackError:
            continue


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    blob = bytearray(pack(program()))
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PackError):
        unpack(bytes(blob))


@given(st.integers(0, 200))
def test_any_cut_is_noticed(kept: int) -> None:
    with pytest.raises(PackError):
        unpack(pack(program())[:kept])


def test_a_value_that_is_no_program_is_refused() -> None:
    with pytest.raises(PackError):
        unpack(pack_value((1, 2)))


def test_classes_with_other_fields_do_not_load() -> None:
    payload = pack_value(SpanRef(source=0, start=1, end=2))[HEADER.size :]
    other = payload.replace(b"SpanRef(source,", b"SpanRef(sourcf,")
    assert other != payload
    with pytest.raises(PackError, match="unknown class"):
        decode(other)


def test_every_type_of_the_language_has_a_place() -> None:
    def below(cls: type[t.Type]) -> list[type[t.Type]]:
        found = [c for c in cls.__subclasses__() if c.__module__ == t.__name__]
        return found + [c for child in found for c in below(child)]

    assert len(below(t.Type)) > 15
    for cls in below(t.Type):
        record = cls(**dict.fromkeys(cls.__fields__, 1))
        assert plain(unpack_value(pack_value(record))) == plain(record), signature(cls)
    assert issubclass(t.Type, FrozenValue)
