"""The BTF reader on blobs made type by type."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    U8,
    U16,
    U32,
    U64,
    VOID,
    Array,
    Enum,
    EnumDef,
    Field,
    Int,
    Opaque,
    Ptr,
    Str,
    Struct,
)
from pytrace.kernel.btf import Btf
from pytrace.kernel.btf_index import STRUCT, BtfError, BtfHeader, BtfIndex
from pytrace.kernel.info import FuncProto
from tests.unit.kernel.blobs import (
    BOOL as BOOLEAN,
)
from tests.unit.kernel.blobs import (
    CONST,
    DATASEC,
    DECL_TAG,
    FLOAT,
    FWD,
    RESTRICT,
    SIGNED,
    TYPE_TAG,
    TYPEDEF,
    VAR,
    VOLATILE,
    Blob,
)

ORDERS = ["<", ">"]


def kernel(order: str = "<") -> Blob:
    """A kernel of a dozen types; ids are those of the calls in order."""
    b = Blob(order)
    i32 = b.integer("int", 4, SIGNED)  # 1
    char = b.integer("char", 1)  # 2
    u64 = b.integer("long unsigned int", 8)  # 3
    pid = b.add(TYPEDEF, "pid_t", b.add(CONST, "", i32))  # 4, 5
    comm = b.array(char, 16)  # 6
    task = b.ptr(b.next_id + 1)  # 7
    inner = b.struct("", 8, ("left", u64, 0), ("right", i32, 0), union=True)  # 8 (see below)
    assert (pid, task, inner) == (5, 7, 8)
    b.struct(  # 9
        "task", 40, ("pid", pid, 0), ("comm", comm, 32), ("next", 10, 192), ("", inner, 256)
    )
    b.ptr(9)  # 10
    b.function("wake", i32, ("t", 10), ("flags", u64))  # 11, 12
    b.enum("state", 4, ("RUNNING", 0), ("DEAD", -1), signed=True)  # 13
    return b


@pytest.mark.parametrize("order", ORDERS)
def test_a_struct_with_an_anonymous_member(order: str) -> None:
    found = Btf(kernel(order).data()).struct("struct", "task")
    assert found is not None
    assert (found.name, found.kind, found.size) == ("task", "struct", 40)
    task = Struct(kind="struct", name="task", bytes=40)
    assert found.fields == (
        Field(name="pid", type=I32, offset=0),
        Field(name="comm", type=Str(length=16), offset=4),
        Field(name="next", type=Ptr(to=task, space="kernel"), offset=24),
        Field(name="left", type=U64, offset=32),
        Field(name="right", type=I32, offset=32),
    )


def test_names_are_looked_up_by_kind() -> None:
    btf = Btf(kernel().data())
    assert btf.struct("union", "task") is None
    assert btf.struct("struct", "pid_t") is None
    assert btf.struct("struct", "") is None
    assert btf.typedef("pid_t") == I32
    assert btf.typedef("int") == I32
    assert btf.typedef("task") is None
    assert btf.function("task") is None
    assert btf.enum("task") is None
    assert list(btf.names(STRUCT)) == ["task"]
    assert list(btf.functions()) == ["wake"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_functions_prototype(order: str) -> None:
    task = Struct(kind="struct", name="task", bytes=40)
    assert Btf(kernel(order).data()).function("wake") == FuncProto(
        name="wake",
        module="vmlinux",
        params=(("t", Ptr(to=task, space="kernel")), ("flags", U64)),
        returns=I32,
        btf_id=12,
    )


def test_nameless_parameters_get_names_and_dots_are_left_out() -> None:
    b = Blob()
    i32 = b.integer("int", 4, SIGNED)
    b.function("printk", 0, ("", i32), ("", 0))
    found = Btf(b.data()).function("printk")
    assert found is not None
    assert found.params == (("arg0", I32),)
    assert found.returns == VOID


@pytest.mark.parametrize("order", ORDERS)
def test_enums_and_their_constants(order: str) -> None:
    b = kernel(order)
    b.enum64("wide", ("BIG", 1 << 40), ("LOW", 3))
    b.enum64("wide_signed", ("NEGATIVE", -5), signed=True)
    b.enum("", 1, ("TINY", 200))
    btf = Btf(b.data())
    state = EnumDef(name="state", bits=32, signed=True, values=(("RUNNING", 0), ("DEAD", -1)))
    found = btf.enum("state")
    assert found is not None
    assert (found.values, found.bits, found.signed) == (state.values, 32, True)
    assert btf.enum_constant("DEAD") == (-1, Enum(name="state", signed=True))
    assert btf.enum_constant("BIG") == (1 << 40, Enum(name="wide", bits=64))
    assert btf.enum_constant("NEGATIVE") == (-5, Enum(name="wide_signed", bits=64, signed=True))
    assert btf.enum_constant("ALIVE") is None
    tiny = btf.enum_constant("TINY")
    assert tiny is not None
    assert isinstance(tiny[1], Enum)
    anonymous = btf.enum(tiny[1].name)
    assert (tiny[0], anonymous and anonymous.values) == (200, (("TINY", 200),))


@pytest.mark.parametrize("order", ORDERS)
def test_bit_fields_lie_in_their_declared_type(order: str) -> None:
    b = Blob(order)
    u32 = b.integer("unsigned int", 4)
    u8 = b.integer("unsigned char", 1)
    b.struct("flags", 8, ("a", u32, 0, 3), ("b", u32, 35, 5), ("c", u8, 8, 8), ("d", u32, 32, 0))
    found = Btf(b.data()).struct("struct", "flags")
    assert found is not None

    def shift(size: int, offset: int, width: int) -> int:
        """From the lowest bit: big-endian compilers fill from the highest."""
        return offset if order == "<" else size - offset - width

    assert found.fields == (
        Field(name="a", type=U32, offset=0, bit_offset=shift(32, 0, 3), bit_size=3),
        Field(name="b", type=U32, offset=4, bit_offset=shift(32, 3, 5), bit_size=5),
        Field(name="c", type=U8, offset=1, bit_offset=0, bit_size=8),
        Field(name="d", type=U32, offset=4),
    )


def test_a_packed_bit_field_is_read_as_a_larger_integer() -> None:
    b = Blob()
    u16 = b.integer("short unsigned int", 2)
    b.struct("packed", 4, ("a", u16, 0, 12), ("b", u16, 12, 5), ("c", u16, 17, 16))
    found = Btf(b.data()).struct("struct", "packed")
    assert found is not None
    assert found.fields[1:] == (
        Field(name="b", type=U16, offset=1, bit_offset=4, bit_size=5),
        Field(name="c", type=U32, offset=2, bit_offset=1, bit_size=16),
    )


def test_bit_fields_of_kernels_before_kind_flag() -> None:
    b = Blob()
    field = b.integer("unsigned int", 4, bits=5, offset=3)
    b.struct("old", 4, ("x", field, 0))
    found = Btf(b.data()).struct("struct", "old")
    assert found is not None
    assert found.fields == (Field(name="x", type=U32, offset=0, bit_offset=3, bit_size=5),)


def test_arrays_of_char_are_strings_and_others_stay_arrays() -> None:
    b = Blob()
    char, s8, u8 = (
        b.integer("char", 1),
        b.integer("signed char", 1, SIGNED),
        b.integer("unsigned char", 1),
    )
    i32 = b.integer("int", 4, SIGNED)
    tick = b.add(TYPEDEF, "tick_t", char)
    b.struct(
        "s",
        0,
        ("a", b.array(char, 8), 0),
        ("b", b.array(s8, 8), 0),
        ("c", b.array(u8, 6), 0),
        ("d", b.array(b.array(i32, 3), 2), 0),
        ("e", b.array(tick, 0), 0),
        ("f", b.array(b.array(char, 4), 2), 0),
    )
    found = Btf(b.data()).struct("struct", "s")
    assert found is not None
    assert [f.type for f in found.fields] == [
        Str(length=8),
        Str(length=8),
        Array(elem=U8, count=6),
        Array(elem=Array(elem=I32, count=3), count=2),
        Str(length=0),
        Array(elem=Str(length=4), count=2),
    ]


def test_integers_by_size_and_encoding() -> None:
    b = Blob()
    for name, size, encoding in (
        ("_Bool", 1, BOOLEAN),
        ("short unsigned int", 2, 0),
        ("signed char", 1, SIGNED),
        ("__int128", 16, SIGNED),
    ):
        b.integer(name, size, encoding)
    b.add(FLOAT, "double", 8)
    btf = Btf(b.data())
    assert btf.typedef("_Bool") == BOOL
    assert btf.typedef("short unsigned int") == U16
    assert btf.typedef("signed char") == I8
    assert btf.typedef("__int128") == Array(elem=U64, count=2)
    assert btf.typedef("double") == Opaque(bytes=8)


def test_pointers_carry_their_space_and_fields_their_tag() -> None:
    b = Blob()
    i32 = b.integer("int", 4, SIGNED)
    user = b.ptr(b.add(TYPE_TAG, "user", b.add(CONST, "", i32)))
    percpu = b.add(TYPEDEF, "counter_t", b.ptr(b.add(TYPE_TAG, "percpu", i32)))
    rcu = b.ptr(b.add(TYPE_TAG, "rcu", b.add(VOLATILE, "", 0)))
    plain = b.add(RESTRICT, "", b.ptr(i32))
    function = b.ptr(b.proto(i32, ("x", i32)))
    members = [("u", user), ("p", percpu), ("r", rcu), ("n", plain), ("f", function)]
    b.struct("s", 40, *((n, t, i * 64) for i, (n, t) in enumerate(members)))
    found = Btf(b.data()).struct("struct", "s")
    assert found is not None
    assert [(f.type, f.tag) for f in found.fields] == [
        (Ptr(to=I32, space="user"), ""),
        (Ptr(to=I32, space="kernel"), "percpu"),
        (Ptr(to=VOID, space="kernel"), "rcu"),
        (Ptr(to=I32, space="kernel"), ""),
        (Ptr(to=VOID, space="kernel"), ""),
    ]


def test_an_announced_struct_has_the_size_of_its_definition() -> None:
    b = Blob()
    known = b.ptr(b.add(FWD, "known", 0))
    unknown = b.ptr(b.add(FWD, "unknown", 0, flag=True))
    b.struct("known", 24)
    b.struct("s", 16, ("k", known, 0), ("u", unknown, 64))
    btf = Btf(b.data())
    found = btf.struct("struct", "s")
    assert found is not None
    assert found.fields[0].type == Ptr(
        to=Struct(kind="struct", name="known", bytes=24), space="kernel"
    )
    assert found.fields[1].type == Ptr(
        to=Struct(kind="union", name="unknown", bytes=0), space="kernel"
    )
    assert btf.struct("union", "unknown") is None


def test_a_struct_without_a_name_is_found_by_the_one_it_got() -> None:
    b = Blob()
    i32 = b.integer("int", 4, SIGNED)
    hidden = b.struct("", 4, ("x", i32, 0))
    b.add(TYPEDEF, "atomic_t", hidden)
    btf = Btf(b.data())
    made = btf.typedef("atomic_t")
    assert made == Struct(kind="struct", name=f"anon_{hidden}", bytes=4)
    found = btf.struct("struct", f"anon_{hidden}")
    assert found is not None
    assert found.fields == (Field(name="x", type=I32, offset=0),)
    assert btf.struct("union", f"anon_{hidden}") is None
    assert btf.struct("struct", "anon_1") is None
    assert btf.struct("struct", "anon_99999") is None
    assert btf.struct("struct", "anon_x") is None


def test_raw_tracepoints_take_the_names_of_the_probe_function() -> None:
    b = Blob()
    void_p, flag = b.ptr(0), b.integer("_Bool", 1, BOOLEAN)
    b.add(TYPEDEF, "btf_trace_switch", b.ptr(b.proto(0, ("", void_p), ("", flag))))
    b.add(TYPEDEF, "btf_trace_plain", b.ptr(b.proto(0, ("", void_p), ("", flag))))
    b.add(TYPEDEF, "btf_trace_odd", flag)
    b.function("__probestub_switch", 0, ("__data", void_p), ("preempt", flag))
    btf = Btf(b.data())
    found = btf.raw_tracepoint("switch")
    assert found is not None
    assert (found.name, found.params) == ("switch", (("preempt", BOOL),))
    plain = btf.raw_tracepoint("plain")
    assert plain is not None
    assert plain.params == (("arg1", BOOL),)
    assert btf.raw_tracepoint("odd") is None
    assert btf.raw_tracepoint("none") is None


def test_a_modules_types_continue_those_of_the_kernel() -> None:
    base = kernel()
    m = Blob(base=base)
    mine = m.struct("mine", 16, ("task", 10, 0), ("pid", 5, 64))
    hidden = m.struct("", 8, ("x", 3, 0))
    m.add(TYPEDEF, "mine_t", hidden)
    m.function("wake_all", 1, ("first", 10), ("m", m.ptr(mine)))
    m.enum("state2", 4, ("RUNNING", 7), ("FRESH", 8))
    vmlinux = Btf(base.data())
    btf = Btf(m.data(), base=vmlinux, module="mod")
    found = btf.struct("struct", "mine")
    assert found is not None
    assert [f.name for f in found.fields] == ["task", "pid"]
    assert found.fields[1].type == I32
    assert btf.struct("struct", "task") is not None
    wake = btf.function("wake_all")
    assert wake is not None
    assert (wake.module, [n for n, _ in wake.params]) == ("mod", ["first", "m"])
    inherited = btf.function("wake")
    assert inherited is not None
    assert inherited.module == "vmlinux"
    assert btf.typedef("mine_t") == Struct(kind="struct", name=f"anon_{hidden}_mod", bytes=8)
    assert btf.struct("struct", f"anon_{hidden}_mod") is not None
    assert btf.struct("struct", f"anon_{hidden}") is None
    assert btf.enum_constant("FRESH") == (8, Enum(name="state2"))
    assert btf.enum_constant("DEAD") == (-1, Enum(name="state", signed=True))
    assert vmlinux.struct("struct", "mine") is None
    assert list(btf.functions()) == ["wake_all"]


def test_the_index_is_kept_for_one_blob_and_one_key() -> None:
    blob = kernel()
    blob.add(VAR, "jiffies", 3, 1)
    blob.add(DATASEC, ".data..percpu", 8, 1, 0, 8, vlen=1)
    blob.add(DECL_TAG, "bpf_kfunc", 12, 0xFFFFFFFF)
    data = blob.data()
    saved = Btf(data).index.save(len(data), "build")
    index = BtfIndex.load(saved, len(data), "build")
    assert index is not None
    again = Btf(data, index)
    assert again.function("wake") == Btf(data).function("wake")
    assert again.enum_constant("DEAD") == Btf(data).enum_constant("DEAD")
    assert BtfIndex.load(saved, len(data), "another build") is None
    assert BtfIndex.load(saved, len(data) + 1, "build") is None
    assert BtfIndex.load(saved[:-1], len(data), "build") is None
    assert BtfIndex.load(saved[:-1] + b"\xff", len(data), "build") is None
    assert BtfIndex.load(saved[:20], len(data), "build") is None
    assert BtfIndex.load(b"", len(data), "build") is None


def test_a_foreign_index_finds_nothing_or_says_that_it_is_broken() -> None:
    other = Blob()
    other.integer("x", 4)
    data, strange = kernel().data(), other.data()
    index = BtfIndex.scan(data, BtfHeader(data))
    with pytest.raises(BtfError):
        Btf(strange, index).struct("struct", "task")


def use(data: bytes) -> None:
    """Ask for everything: only ``BtfError`` may come out."""
    try:
        btf = Btf(data)
        btf.struct("struct", "task")
        btf.enum("state")
        btf.enum_constant("DEAD")
        btf.function("wake")
        list(btf.functions())
        for type_id in range(len(btf)):
            if btf.kind(type_id) not in (12, 14, 15, 17):
                btf.type(type_id)
    except BtfError:
        return


@pytest.mark.parametrize("order", ORDERS)
def test_a_blob_cut_anywhere_is_refused(order: str) -> None:
    data = kernel(order).data()
    for end in range(len(data)):
        with pytest.raises(BtfError):
            Btf(data[:end])
    use(data)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8))
def test_a_damaged_blob_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(kernel().data())
    for where, value in changes:
        data[where % len(data)] = value
    use(bytes(data))


def test_types_in_a_circle_are_refused() -> None:
    b = Blob()
    b.add(TYPEDEF, "a", 2)
    b.add(TYPEDEF, "b", 1)
    b.ptr(3)
    with pytest.raises(BtfError):
        Btf(b.data()).typedef("a")
    with pytest.raises(BtfError):
        Btf(b.data()).type(3)


def test_int_type_compares_with_the_languages() -> None:
    assert Btf(kernel().data()).type(1) == Int(bits=32, signed=True)
