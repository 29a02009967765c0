"""The text of the typed IR."""

from __future__ import annotations

from pytrace.base.types import U64
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.ir.print import describe, print_function, print_module
from pytrace.model.compiled import LoadParam, MapSpec
from pytrace.model.events import EventSchema, RecordField

EVERYTHING = """\
map @h: HASH key 8 value 8 entries 16
map @n: ARRAY key 4 value 8 entries 1 flags 0x400
map @p: PERCPU_HASH key 8 value 8 entries 16
event 0: printing:printf data size 16 (uint64 @8)
event 1: printing:exit control size 24 (uint64 @16)
param start: start_ns @0 size 8

prog p() PROG_TYPE_TRACING TRACE_FENTRY on vfs_read flags 0x10 gate "fentry:vfs_read"
  slots key[8], text[64], text.2[16]
  cells x, i, x.2
  %1 = load.s32 ctx+16
  store.64 &key, %1
  %2 = mul param(start), 3
  store.16 &key+6, -1
  zero &text, 64
  %3 = offset &text, 4
  %4 = offset &text, %1<=60
  %5 = read.either %3, 8, %1
  %6 = read_str.user &text, %1<=64, %2
  copy &text.2, &text, 16
  %7 = lookup @h, &key
  %8 = is_null %7
  if %8 {
    %9 = update if_absent @h, &key, value(@n)
    %10 = delete @h, &key
  } else {
    atomic_add.32 %7, 1
    %11 = address %7
  }
  %12 = get x
  %13 = sext8 %12
  %14 = bswap32 %13
  %15 = sle %14, -5
  %16 = select %15, 1, %12
  set x, %16
  repeat i = 0 .. %16 {
    %17 = get i
    set x.2, %17
    continue
  }
  for_each @h {
    %18 = element_key
    %19 = element_value
    %20 = load.u64 %19
    return %20
  }
  loop {
    break
  }
  %21 = helper ringbuf_query(map(@h), 0)
  %22 = call f(%21, 7)
  %23 = lookup_percpu @p, &key, cpu %22
  %24 = load.u64 state(64)
  %25 = reserve event 0
  submit %25
  return

fn f($a, $b)
  %1 = add arg($a), arg($b)
  return %1
"""


def everything() -> ir.Module:
    b = Builder()
    key, text, other = ir.Slot("key", 8), ir.Slot("text", 64), ir.Slot("text", 16)
    i, x, y = ir.Cell("i"), ir.Cell("x"), ir.Cell("x")
    word = b.load(b.context(), 16, 4, signed=True)
    b.store(b.address(key), 0, 8, word)
    product = b.binop("mul", b.param("start"), 3)
    b.store(b.address(key), 6, 2, -1)
    b.zero(b.address(text), 64)
    inside = b.offset(b.address(text), 4)
    b.offset(b.address(text), word, 60)
    b.read("either", inside, 8, word)
    b.read_string("user", b.address(text), word, product, 64)
    b.copy(b.address(other), b.address(text), 16)
    found = b.lookup("@h", b.address(key))
    missing = b.is_null(found)
    with b.block() as then:
        b.update("@h", b.address(key), b.map_value("@n"), 1)
        b.delete("@h", b.address(key))
    with b.block() as orelse:
        b.atomic_add(found, 0, 1, size=4)
        b.address_word(found)
    b.if_else(missing, then[0], orelse[0])
    old = b.get(x)
    swapped = b.byte_swap(b.extend(old, 8, True), 32)
    chosen = b.select(b.compare("sle", swapped, -5), 1, old)
    b.set(x, chosen)
    with b.block() as body:
        b.set(y, b.get(i))
        b.jump("continue")
    b.repeat(i, 0, chosen, body[0])
    with b.block() as body:
        b.element_key()
        b.ret(b.load(b.element_value(), 0, 8))
    b.for_each("@h", body[0])
    with b.block() as body:
        b.jump("break")
    b.loop(body[0])
    answer = b.call("f", (b.helper("ringbuf_query", b.map_ref("@h"), 0), b.const(7)))
    b.lookup_percpu("@p", b.address(key), answer)
    b.load(b.state(64), 0, 8)
    b.submit(b.reserve(0))
    b.ret()
    f = Builder()
    f.ret(f.binop("add", f.argument(0), f.argument(1)))
    prog = ir.Function(
        name="p", body=b.finish(), prog_type="PROG_TYPE_TRACING",
        expected_attach_type="TRACE_FENTRY", attach_btf="vfs_read", flags=16,
        label="fentry:vfs_read",
    )  # fmt: skip
    word_field = RecordField(type=U64, offset=8)
    control_field = RecordField(type=U64, offset=16)
    return ir.Module(
        functions=(prog, ir.Function(name="f", body=f.finish(), params=("$a", "$b"))),
        maps=(
            MapSpec(name="@h", kind="HASH", key_size=8, value_size=8, max_entries=16),
            MapSpec(name="@n", kind="ARRAY", key_size=4, value_size=8, max_entries=1, flags=1024),
            MapSpec(name="@p", kind="PERCPU_HASH", key_size=8, value_size=8, max_entries=16),
        ),
        events=(
            EventSchema(id=0, handler="printing:printf", fields=(word_field,), size=16),
            EventSchema(
                id=1, handler="printing:exit", fields=(control_field,), size=24, control=True
            ),
        ),
        params=(LoadParam(name="start", kind="start_ns", offset=0, size=8),),
        attach=(),
        sources=(),
    )


def test_every_kind_of_node_has_a_text() -> None:
    assert print_module(everything()) == EVERYTHING


def test_an_instruction_is_described_by_its_line() -> None:
    function = everything().functions[0]
    assert describe(function, function.body.instrs[0]) == "ctx"
    assert describe(function, function.body.instrs[1]) == "%1 = load.s32 ctx+16"


def test_values_from_elsewhere_are_shown_as_unknown() -> None:
    foreign = ir.GetCell(cell=ir.Cell("c"))
    body = ir.Block(instrs=(ir.Return(value=foreign),))
    assert print_function(ir.Function(name="f", body=body)) == "fn f()\n  return ?GetCell\n"


def test_a_module_without_declarations_starts_with_its_function() -> None:
    f = ir.Function(name="f", body=ir.Block(instrs=()))
    m = ir.Module(functions=(f,), maps=(), events=(), params=(), attach=(), sources=())
    assert print_module(m) == "fn f()\n"
