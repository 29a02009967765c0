"""Large slots, the stack's limit, and scratch memory under nesting, in the running kernel."""

from __future__ import annotations

import struct

import pytest

from pytrace.base.frozen import replace
from pytrace.base.source import SourceFile, Span
from pytrace.base.types import U64
from pytrace.codegen.object import parse
from pytrace.codegen.program import deepest_chain
from pytrace.codegen.scratch import ScratchTooLargeError
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.model.events import SKIPPED_OFFSET, EventSchema, RecordField
from tests.kernel.codegen_run import (
    RESULT,
    Loaded,
    compile_checked,
    keep,
    module,
    options,
    prog,
    run_once,
)

pytestmark = pytest.mark.needs("root")


def test_slots_of_a_kilobyte() -> None:
    b = Builder()
    one, two = b.slot("one", 1024), b.slot("two", 1024)
    b.zero(b.address(one), 1024)
    b.zero(b.address(two), 1024)
    b.store(b.address(one), 1000, 8, b.load(b.context(), 0, 8))
    b.copy(b.address(two), b.address(one), 1024)
    keep(b, 0, b.load(b.address(two), 1000, 8))
    keep(b, 1, b.load(b.address(two), 0, 8))
    assert run_once(module(prog(b.finish())), 77)[:2] == (77, 0)


def test_slots_used_one_after_the_other_share_scratch() -> None:
    b = Builder()
    for number in range(30):
        slot = b.slot("s", 1024)
        b.zero(b.address(slot), 1024)
        b.store(b.address(slot), 8, 8, number)
        keep(b, number, b.load(b.address(slot), 8, 8))
    program = compile_checked(module(prog(b.finish())))
    assert program.map(".scratch").value_size == 1024
    with Loaded(program) as loaded:
        loaded.run()
        assert loaded.results(30) == tuple(range(30))


def test_more_small_slots_than_the_stack_holds() -> None:
    b = Builder()
    slots = [b.slot("s", 32) for _ in range(40)]
    for number, slot in enumerate(slots):
        b.store(b.address(slot), 24, 8, b.binop("add", b.load(b.context(), 0, 8), number))
    for number, slot in enumerate(slots):
        keep(b, number, b.load(b.address(slot), 24, 8))
    assert run_once(module(prog(b.finish())), 100)[:40] == tuple(range(100, 140))


def test_what_llvm_spills_makes_slots_move_away() -> None:
    """Sixty words live at once need 480 bytes of stack; the slots then go to scratch."""
    b = Builder()
    slots = [b.slot("s", 32) for _ in range(8)]
    for slot in slots:
        b.zero(b.address(slot), 32)
        b.helper("get_current_comm", b.address(slot), 16)
    words = [b.helper("get_prandom_u32") for _ in range(50)]
    for _ in range(2):
        for number, word in enumerate(words):
            keep(b, number, word)
        b.helper("ktime_get_ns")
    for slot in slots:
        keep(b, 60, b.load(b.address(slot), 0, 8))
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run()
        assert all(word < 1 << 32 for word in loaded.results(50))


def test_callbacks_and_callees_count_into_the_stack() -> None:
    from pytrace.codegen import generate_all

    b = Builder()
    index = b.cell("i")
    around = [b.slot("s", 32) for _ in range(10)]
    for slot in around:
        b.zero(b.address(slot), 32)
    with b.block() as body:
        inside = [b.slot("t", 32) for _ in range(10)]
        for slot in inside:
            b.zero(b.address(slot), 32)
            b.helper("get_current_comm", b.address(slot), 16)
        b.call("f", (b.get(index),))
        for slot in inside:
            keep(b, 0, b.load(b.address(slot), 0, 8))
    b.repeat(index, 0, 100, body[0])
    for number, slot in enumerate(around):
        keep(b, number, b.load(b.address(slot), 8, 8))
    f = Builder()
    slots = [f.slot("u", 32) for _ in range(10)]
    for slot in slots:
        f.zero(f.address(slot), 32)
        f.helper("get_current_comm", f.address(slot), 16)
    for slot in slots:
        f.store(f.map_value(RESULT), 400, 8, f.load(f.address(slot), 0, 8))
    f.ret(f.const(0))
    m = module(prog(b.finish()), ir.Function(name="f", body=f.finish(), params=("$i",)))
    generated = generate_all(m, options())
    assert deepest_chain(parse(generated.elf)) <= 512
    with Loaded(generated.program) as loaded:
        loaded.run()
        assert loaded.results(10) == (0,) * 10


def big(b: Builder, value: ir.Value) -> ir.Value:
    """A word that went through a slot of a kilobyte."""
    slot = b.slot("big", 1024)
    b.zero(b.address(slot), 1024)
    b.store(b.address(slot), 512, 8, value)
    return b.load(b.address(slot), 512, 8)


def test_functions_have_scratch_of_their_own() -> None:
    b = Builder()
    slot = b.slot("mine", 1024)
    b.zero(b.address(slot), 1024)
    b.store(b.address(slot), 512, 8, 5)
    keep(b, 0, b.call("f", (b.const(6),)))
    keep(b, 1, b.load(b.address(slot), 512, 8))
    f = Builder()
    f.ret(f.binop("add", big(f, f.argument(0)), f.call("g", (f.const(100),))))
    g = Builder()
    g.ret(big(g, g.argument(0)))
    m = module(
        prog(b.finish()),
        ir.Function(name="f", body=f.finish(), params=("$x",)),
        ir.Function(name="g", body=g.finish(), params=("$y",)),
    )
    program = compile_checked(m)
    assert program.map(".scratch").value_size == 3072
    with Loaded(program) as loaded:
        loaded.run()
        assert loaded.results(2) == (106, 5)


def test_scratch_in_the_body_of_a_loop() -> None:
    b = Builder()
    index, total = b.cell("i"), b.cell("sum")
    with b.block() as body:
        b.set(total, b.binop("add", b.get(total), big(b, b.get(index))))
    b.repeat(index, 0, 100, body[0])
    keep(b, 0, b.get(total))
    assert run_once(module(prog(b.finish())))[0] == 4950


def test_a_prog_that_does_not_come_to_a_large_slot_makes_no_look_up() -> None:
    b = Builder()
    with b.when(b.compare("eq", b.load(b.context(), 0, 8), 1)):
        second = b.compare("eq", b.load(b.context(), 8, 8), 1)
        with b.when(second):
            keep(b, 0, big(b, b.const(3)))
    keep(b, 1, 1)
    program = compile_checked(module(prog(b.finish())))
    insns = [code for code, _ in struct.iter_unpack("<B7s", program.progs[0].insns)]
    calls = insns.index(0x85)
    tests = [n for n, code in enumerate(insns[:calls]) if code & 7 == 5]
    assert len(tests) >= 3
    with Loaded(program) as loaded:
        loaded.run("prog", 1, 1)
        assert loaded.results(2) == (3, 1)


def test_memory_for_what_goes_into_a_record_is_taken_before_the_record() -> None:
    """A prog that finds no memory ends, which it may not while it holds a record."""
    event = EventSchema(
        id=0,
        handler="printing:printf",
        fields=(RecordField(type=U64, offset=8),),
        size=16,
    )
    b = Builder()
    record = b.reserve(0)
    with b.when(b.negate(b.is_null(record))):
        large = b.slot("large", 2048)
        b.zero(b.address(large), 2048)
        b.store(b.address(large), 8, 8, 42)
        b.store(record, 8, 8, b.load(b.address(large), 8, 8))
        b.submit(record)
    with Loaded(compile_checked(module(prog(b.finish()), events=(event,)))) as loaded:
        loaded.run()
        assert [struct.unpack_from("=Q", r, 8) for _, r in loaded.rings[".events"].read()] == [
            (42,)
        ]


def test_too_much_memory_is_an_error_for_people() -> None:
    b = Builder()
    slots = [b.slot("s", 20000) for _ in range(2)]
    for slot in slots:
        b.zero(b.address(slot), 20000)
    for slot in slots:
        keep(b, 0, b.load(b.address(slot), 0, 8))
    with pytest.raises(ScratchTooLargeError, match="32768"):
        compile_checked(module(prog(b.finish())))


def claiming() -> ir.Module:
    """A prog for uprobes, whose runs may overlap on one CPU; run by hand as a raw tracepoint."""
    b = Builder()
    keep(b, 0, big(b, b.load(b.context(), 0, 8)))
    return module(prog(b.finish(), "prog", prog_type="PROG_TYPE_KPROBE"))


def test_runs_that_may_overlap_claim_a_region_and_give_it_back() -> None:
    program = compile_checked(claiming())
    as_raw = replace(program.progs[0], prog_type="PROG_TYPE_RAW_TRACEPOINT")
    program = replace(program, progs=(as_raw,))
    with Loaded(program) as loaded:
        scratch = loaded.maps[".scratch"]
        assert scratch.value_size == 32 + 4 * 1024

        def words(busy: int) -> bytes:
            one = struct.pack("<4Q", *((1,) * busy + (0,) * (4 - busy))).ljust(32 + 4096, b"\0")
            return one * (scratch.transfer_size // len(one))

        for busy in range(4):
            scratch.update(bytes(4), words(busy))
            loaded.run("prog", 10 + busy)
            assert loaded.results(1) == (10 + busy,)
            after = scratch.lookup(bytes(4))
            assert after is not None
            assert after[:32] == words(busy)[:32]
            region = 32 + 1024 * busy + 512
            assert struct.unpack_from("<Q", after, region)[0] == 10 + busy
        assert loaded.state(SKIPPED_OFFSET) == 0
        scratch.update(bytes(4), words(4))
        loaded.run("prog", 99)
        assert loaded.results(1) == (13,)
        assert loaded.state(SKIPPED_OFFSET) == 1


def test_the_verifier_shows_the_line_of_the_script() -> None:
    from pytrace.base.errors import VerifierError

    script = SourceFile("stdin", b"BEGIN {\n  @x = 1;\n  @y = *bad;\n}\n")
    library = SourceFile("lib.bt", b"macro f() {\n  read(1)\n}\n")
    b = Builder()
    b.span = Span(source=script, start=10, end=16)
    keep(b, 0, 1)
    b.span = Span(source=library, start=14, end=21)
    keep(b, 1, 2)
    b.span = Span(source=script, start=22, end=31)
    found = b.helper("map_lookup_elem", b.map_ref(RESULT), b.address(b.slot("k", 4)))
    keep(b, 2, b.load(found, 0, 8))
    body = ir.Function(
        name="prog",
        body=b.finish(),
        prog_type="PROG_TYPE_RAW_TRACEPOINT",
        span=Span(source=script, start=0, end=5),
    )
    program = compile_checked(module(body))
    with pytest.raises(VerifierError, match="map_value_or_null") as caught:
        Loaded(program)
    log = caught.value.log
    # Linux 6.10 and later add the file and the number of the line.
    for line in ("; BEGIN {", "; @x = 1;", "; read(1)", "; @y = *bad;"):
        assert line in log
