"""Loops, native and by callbacks, in the running kernel."""

from __future__ import annotations

import struct

import pytest

from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder, Operand
from pytrace.model.compiled import MapSpec
from tests.kernel.codegen_run import (
    FEATURES,
    Loaded,
    compile_checked,
    keep,
    module,
    prog,
    run_once,
)

pytestmark = pytest.mark.needs("root")

TOP = 1 << 64
NATIVE, CALLBACK = FEATURES - {"loop"}, FEATURES
BOTH = pytest.mark.parametrize("features", [NATIVE, CALLBACK], ids=["native", "callback"])


def summing(b: Builder, start: Operand, end: Operand) -> None:
    """Sum of indexes, number of rounds and last index as results 0, 1 and 2."""
    index, total, count, last = b.cell("i"), b.cell("sum"), b.cell("n"), b.cell("last")
    with b.block() as body:
        i = b.get(index)
        b.set(total, b.binop("add", b.get(total), i))
        b.set(count, b.binop("add", b.get(count), 1))
        b.set(last, i)
        b.set(index, 1000)
    b.repeat(index, start, end, body[0])
    for number, cell in enumerate((total, count, last)):
        keep(b, number, b.get(cell))


@BOTH
@pytest.mark.parametrize(
    ("start", "end"), [(0, 10), (0, 0), (5, 3), (-4, 5), (100, 103), (0, 100), (-50, -20)]
)
def test_constant_ranges(features: frozenset[str], start: int, end: int) -> None:
    b = Builder()
    summing(b, b.const(start), b.const(end))
    rounds = range(start, end)
    expected = (sum(rounds) % TOP, len(rounds), (rounds[-1] if rounds else 0) % TOP)
    assert run_once(module(prog(b.finish())), features=features)[:3] == expected


@BOTH
def test_ranges_known_only_when_running(features: frozenset[str]) -> None:
    b = Builder()
    summing(b, b.load(b.context(), 0, 8), b.load(b.context(), 8, 8))
    with Loaded(compile_checked(module(prog(b.finish())), features=features)) as loaded:
        for start, end in ((0, 5), (-3, 3), (7, 7), (8, 2), (1 << 40, (1 << 40) + 9)):
            loaded.maps["@r"].update(bytes(4), bytes(512))
            loaded.run("prog", start % TOP, end % TOP)
            rounds = range(start, end)
            last = rounds[-1] if rounds else 0
            assert loaded.results(3) == (sum(rounds) % TOP, len(rounds), last % TOP)


def test_a_million_rounds() -> None:
    b = Builder()
    summing(b, b.const(0), b.const(1_000_000))
    assert run_once(module(prog(b.finish())))[:3] == (499999500000, 1_000_000, 999_999)


@BOTH
def test_break_and_continue(features: frozenset[str]) -> None:
    b = Builder()
    index, total = b.cell("i"), b.cell("sum")
    with b.block() as body:
        with b.when(b.compare("eq", b.get(index), 3)):
            b.jump("continue")
        with b.when(b.compare("eq", b.get(index), 40)):
            b.jump("break")
        b.set(total, b.binop("add", b.get(total), b.get(index)))
    b.repeat(index, 0, 60, body[0])
    keep(b, 0, b.get(total))
    expected = sum(n for n in range(40) if n != 3)
    assert run_once(module(prog(b.finish())), features=features)[0] == expected


@BOTH
def test_return_inside_nested_loops_ends_the_prog(features: frozenset[str]) -> None:
    b = Builder()
    outer, inner, total = b.cell("i"), b.cell("j"), b.cell("sum")
    with b.block() as body:
        with b.block() as deep:
            b.set(total, b.binop("add", b.get(total), 1))
            keep(b, 0, b.get(total))
            both = b.binop("mul", b.get(outer), b.get(inner))
            with b.when(b.compare("eq", both, 12)):
                b.ret(b.binop("add", b.get(total), 100))
        b.repeat(inner, 0, 7, deep[0])
        keep(b, 1, b.get(outer))
    b.repeat(outer, 0, 40, body[0])
    keep(b, 2, 1)
    with Loaded(compile_checked(module(prog(b.finish())), features=features)) as loaded:
        # 0 and 1 and rounds 2*0 .. 2*6: the first product of 12 is 2 * 6.
        assert loaded.run() == 121
        assert loaded.results(3) == (21, 1, 0)


@BOTH
def test_break_leaves_the_inner_loop_only(features: frozenset[str]) -> None:
    b = Builder()
    outer, inner, total = b.cell("i"), b.cell("j"), b.cell("sum")
    with b.block() as body:
        with b.block() as deep:
            with b.when(b.compare("uge", b.get(inner), b.get(outer))):
                b.jump("break")
            b.set(total, b.binop("add", b.get(total), 1))
        b.repeat(inner, 0, 50, deep[0])
    b.repeat(outer, 0, 20, body[0])
    keep(b, 0, b.get(total))
    assert run_once(module(prog(b.finish())), features=features)[0] == sum(range(20))


@BOTH
@pytest.mark.parametrize("on_stack_limit", [64, 4], ids=["stack", "scratch"])
def test_slots_inside_and_across_bodies(features: frozenset[str], on_stack_limit: int) -> None:
    b = Builder()
    index, shared = b.cell("i"), b.slot("shared", 40)
    b.zero(b.address(shared), 40)
    with b.block() as body:
        own = b.slot("own", 40)
        b.zero(b.address(own), 40)
        b.store(b.address(own), 8, 8, b.get(index))
        at = b.offset(b.address(shared), b.binop("mul", b.get(index), 8), 32)
        b.copy(at, b.offset(b.address(own), 8), 8)
    b.repeat(index, 0, b.load(b.context(), 0, 8), body[0])
    for number in range(5):
        keep(b, number, b.load(b.address(shared), 8 * number, 8))
    m = module(prog(b.finish()))
    program = compile_checked(m, features=features, on_stack_limit=on_stack_limit)
    with Loaded(program) as loaded:
        loaded.run("prog", 5)
        assert loaded.results(5) == (0, 1, 2, 3, 4)


def test_loops_that_count_by_themselves() -> None:
    b = Builder()
    n, total = b.cell("n"), b.cell("sum")
    with b.block() as body:
        with b.when(b.compare("uge", b.get(n), 50)):
            b.jump("break")
        b.set(n, b.binop("add", b.get(n), 1))
        with b.when(b.binop("urem", b.get(n), 2)):
            b.jump("continue")
        b.set(total, b.binop("add", b.get(total), b.binop("mul", b.get(n), b.get(n))))
    b.loop(body[0])
    keep(b, 0, b.get(total))
    assert run_once(module(prog(b.finish())))[0] == sum(k * k for k in range(2, 51, 2))


def test_a_loop_that_llvm_would_make_a_memset_or_a_product_of() -> None:
    b = Builder()
    index, slot, n = b.cell("i"), b.slot("s", 64), b.cell("n")
    with b.block() as body:
        with b.when(b.compare("uge", b.get(n), 64)):
            b.jump("break")
        b.store(b.offset(b.address(slot), b.get(n), 63), 0, 1, 0x5A)
        b.set(n, b.binop("add", b.get(n), 1))
    b.loop(body[0])
    with b.block() as body:
        b.store(b.offset(b.address(slot), b.get(index), 63), 0, 1, 0x6B)
    b.repeat(index, 0, 32, body[0])
    keep(b, 0, b.load(b.address(slot), 24, 8))
    keep(b, 1, b.load(b.address(slot), 32, 8))
    m = module(prog(b.finish()))
    assert run_once(m, on_stack_limit=64)[:2] == (0x6B6B6B6B6B6B6B6B, 0x5A5A5A5A5A5A5A5A)


def loop_map(kind: str) -> MapSpec:
    return MapSpec(name="@h", kind=kind, key_size=8, value_size=16, max_entries=64)


def put(b: Builder, count: int) -> None:
    key, value = b.slot("key", 8), b.slot("value", 16)
    for number in range(count):
        b.store(b.address(key), 0, 8, number)
        b.store(b.address(value), 0, 8, 10 * number)
        b.store(b.address(value), 8, 8, 1)
        b.update("@h", b.address(key), b.address(value))


@pytest.mark.parametrize("kind", ["HASH", "PERCPU_HASH", "LRU_HASH"])
def test_for_each_element_of_a_map(kind: str) -> None:
    b = Builder()
    put(b, 9)
    keys, values = b.cell("keys"), b.cell("values")
    with b.block() as body:
        b.set(keys, b.binop("add", b.get(keys), b.load(b.element_key(), 0, 8)))
        value = b.element_value()
        b.set(values, b.binop("add", b.get(values), b.load(value, 0, 8)))
        b.store(value, 8, 8, 2)
    b.for_each("@h", body[0])
    keep(b, 0, b.get(keys))
    keep(b, 1, b.get(values))
    m = module(prog(b.finish()), maps=(loop_map(kind),))
    with Loaded(compile_checked(m)) as loaded:
        loaded.run()
        assert loaded.results(2) == (36, 360)
        marks = [struct.unpack_from("<Q", v, 8)[0] for _, v in loaded.maps["@h"].items()]
        assert marks == [2] * 9


def test_deleting_breaking_and_returning_in_for_each() -> None:
    b = Builder()
    put(b, 20)
    seen = b.cell("seen")
    with b.block() as body:
        with b.when(b.compare("eq", b.get(seen), 5)):
            b.jump("break")
        b.set(seen, b.binop("add", b.get(seen), 1))
        keep(b, 0, b.delete("@h", b.element_key()))
    b.for_each("@h", body[0])
    keep(b, 1, b.get(seen))
    with b.block() as body:
        b.set(seen, b.binop("add", b.get(seen), 1))
        with b.when(b.compare("eq", b.get(seen), 8)):
            b.ret(b.const(9))
    b.for_each("@h", body[0])
    keep(b, 2, 1)
    m = module(prog(b.finish()), maps=(loop_map("HASH"),))
    with Loaded(compile_checked(m)) as loaded:
        assert loaded.run() == 9
        assert loaded.results(3) == (0, 5, 0)
        assert len(list(loaded.maps["@h"].items())) == 15


def test_a_range_inside_for_each_inside_a_range() -> None:
    b = Builder()
    put(b, 3)
    i, j, total, value = b.cell("i"), b.cell("j"), b.cell("sum"), b.cell("v")
    with b.block() as outer:
        with b.block() as middle:
            b.set(value, b.load(b.element_value(), 0, 8))
            with b.block() as inner:
                product = b.binop("mul", b.get(value), b.get(j))
                b.set(total, b.binop("add", b.get(total), b.binop("add", product, b.get(i))))
            b.repeat(j, 1, 40, inner[0])
        b.for_each("@h", middle[0])
    b.repeat(i, 0, 2, outer[0])
    keep(b, 0, b.get(total))
    m = module(prog(b.finish()), maps=(loop_map("HASH"),))
    expected = sum(10 * k * j + i for i in range(2) for k in range(3) for j in range(1, 40))
    assert run_once(m)[0] == expected


def test_loops_in_functions_and_functions_in_loops() -> None:
    b = Builder()
    index, total = b.cell("i"), b.cell("sum")
    with b.block() as body:
        result = b.call("triangle", (b.get(index),))
        b.set(total, b.binop("add", b.get(total), result))
    b.repeat(index, 0, 50, body[0])
    keep(b, 0, b.get(total))
    f = Builder()
    k, acc = f.cell("k"), f.cell("acc")
    with f.block() as body:
        f.set(acc, f.binop("add", f.get(acc), f.get(k)))
        with f.when(f.compare("eq", f.get(k), 45)):
            f.ret(f.const(0))
    f.repeat(k, 0, f.binop("add", f.argument(0), 1), body[0])
    f.ret(f.get(acc))
    function = ir.Function(name="triangle", body=f.finish(), params=("$n",))
    expected = sum(sum(range(n + 1)) for n in range(45))
    assert run_once(module(prog(b.finish()), function))[0] == expected


def test_records_are_sent_from_inside_a_callback() -> None:
    from tests.kernel.test_codegen_maps import data_event, send

    b = Builder()
    index = b.cell("i")
    with b.block() as body:
        send(b, data_event(0), 3, 4)
    b.repeat(index, 0, 100, body[0])
    m = module(prog(b.finish()), events=(data_event(0),))
    with Loaded(compile_checked(m)) as loaded:
        loaded.run()
        assert len(list(loaded.rings[".events"].read())) == 100
