"""Slots, copies, offsets and reads of foreign memory, in the running kernel."""

from __future__ import annotations

import ctypes

import pytest

from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from tests.kernel.codegen_run import (
    RESULT,
    Loaded,
    compile_checked,
    keep,
    module,
    prog,
    run_once,
)

pytestmark = pytest.mark.needs("root")

SIZES = (1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 64, 100, 127, 128, 129, 200, 256, 500)
EFAULT = (1 << 64) - 14


def fill(b: Builder, pointer: ir.Value, size: int) -> None:
    """Bytes 1, 2, 3 ... at a pointer."""
    for at in range(size):
        b.store(pointer, at, 1, (at + 1) & 255)


def user_buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("on_stack_limit", [512, 16], ids=["stack", "scratch"])
def test_copy_and_zero_of_any_size(size: int, on_stack_limit: int) -> None:
    b = Builder()
    here, there = b.slot("here", size), b.slot("there", size)
    fill(b, b.address(here), size)
    b.copy(b.address(there), b.address(here), size)
    b.copy(b.map_value(RESULT), b.address(there), size)
    b.zero(b.address(here), size)
    cell = b.cell("sum")
    total = b.const(0)
    for at in range(size):
        total = b.binop("or", total, b.load(b.address(here), at, 1))
    b.set(cell, total)
    b.store(b.map_value(RESULT), 504, 8, b.get(cell))
    program = compile_checked(module(prog(b.finish())), on_stack_limit=on_stack_limit)
    with Loaded(program) as loaded:
        loaded.run()
        data = loaded.maps[RESULT].lookup(bytes(4))
    assert data is not None
    assert data[:size] == bytes((n + 1) & 255 for n in range(size))
    assert data[504:] == bytes(8)
    assert data[size:504] == bytes(504 - size)


def test_copies_of_misaligned_parts_of_slots() -> None:
    b = Builder()
    here, there = b.slot("here", 32), b.slot("there", 32)
    fill(b, b.address(here), 32)
    b.zero(b.address(there), 32)
    b.copy(b.offset(b.address(there), 3), b.offset(b.address(here), 5), 19)
    b.copy(b.offset(b.map_value(RESULT), 1), b.address(there), 32)
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run()
        data = loaded.maps[RESULT].lookup(bytes(4))
    assert data is not None
    assert data[1:33] == bytes(3) + bytes(range(6, 25)) + bytes(10)


def test_loads_and_stores_of_every_width_at_any_place_of_a_slot() -> None:
    b = Builder()
    slot = b.slot("s", 24)
    b.zero(b.address(slot), 24)
    b.store(b.address(slot), 3, 8, 0x8877665544332211)
    keep(b, 0, b.load(b.address(slot), 3, 8))
    keep(b, 1, b.load(b.address(slot), 5, 4, signed=True))
    keep(b, 2, b.load(b.offset(b.address(slot), 9), 0, 2, signed=True))
    b.store(b.offset(b.address(slot), 1), 0, 2, -2)
    keep(b, 3, b.load(b.address(slot), 0, 8))
    results = run_once(module(prog(b.finish())))
    assert results[:2] == (0x8877665544332211, 0x66554433)
    assert results[2] == 0x8877 | ~0xFFFF & (1 << 64) - 1
    assert results[3] == 0x5544332211FFFE00


@pytest.mark.parametrize("step", [1, 2, 4, 8])
@pytest.mark.parametrize("on_stack_limit", [512, 16], ids=["stack", "scratch"])
@pytest.mark.parametrize("limit", [48, 31])
def test_variable_offsets_are_bounded_for_the_verifier(
    step: int, on_stack_limit: int, limit: int
) -> None:
    b = Builder()
    slot = b.slot("s", 64)
    fill(b, b.address(slot), 64)
    index = b.binop("mul", b.load(b.context(), 0, 8), step)
    at = b.offset(b.address(slot), index, limit)
    keep(b, 0, b.load(at, 0, step))
    keep(b, 1, b.load(b.offset(at, step), 0, 1))
    program = compile_checked(module(prog(b.finish())), on_stack_limit=on_stack_limit)
    with Loaded(program) as loaded:
        for number in range(limit // step + 1):
            loaded.run("prog", number)
            first = number * step
            expected = int.from_bytes(bytes(range(first + 1, first + 1 + step)), "little")
            assert loaded.results(2) == (expected, first + step + 1)


def test_a_word_that_llvm_knows_to_fit_is_bounded_too() -> None:
    """LLVM knows that a byte is below 256 and would drop a check; the verifier may not."""
    b = Builder()
    slot = b.slot("s", 32)
    b.zero(b.address(slot), 32)
    b.store(b.address(slot), 9, 1, 99)
    cell = b.cell("n")
    b.set(cell, b.extend(b.load(b.context(), 0, 8), 8, False))
    with b.when(b.compare("ugt", b.get(cell), 24)):
        b.set(cell, 0)
    keep(b, 0, b.load(b.offset(b.address(slot), b.get(cell), 24), 0, 1))
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", 9)
        assert loaded.results(1) == (99,)
        loaded.run("prog", 200)
        assert loaded.results(1) == (0,)


@pytest.mark.parametrize("space", ["user", "either"])
def test_reads_of_user_memory(space: str) -> None:
    text = user_buffer(b"hello, world, how are you today\0")
    b = Builder()
    slot, key = b.slot("s", 32), b.load(b.context(), 0, 8)
    keep(b, 8, b.read(space, b.address(slot), 32, key))
    b.copy(b.map_value(RESULT), b.address(slot), 32)
    keep(b, 9, b.read(space, b.address(slot), 8, b.const(8)))
    keep(b, 10, b.load(b.address(slot), 0, 8))
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", ctypes.addressof(text))
        data = loaded.maps[RESULT].lookup(bytes(4))
        assert data is not None
        assert data[:32] == text.raw
        assert loaded.results(11)[8:] == (0, EFAULT, 0)


def test_reads_by_either_space_reach_the_kernel_too() -> None:
    b = Builder()
    slot = b.slot("s", 8)
    value = b.address_word(b.map_value(RESULT))
    keep(b, 5, 0x1234)
    keep(b, 1, b.read("either", b.address(slot), 8, b.add(value, 40)))
    keep(b, 0, b.load(b.address(slot), 0, 8))
    keep(b, 3, b.read("user", b.address(slot), 8, b.add(value, 40)))
    keep(b, 2, b.load(b.address(slot), 0, 8))
    assert run_once(module(prog(b.finish())))[:4] == (0x1234, 0, 0, EFAULT)


@pytest.mark.parametrize("space", ["user", "either"])
@pytest.mark.parametrize("size", [5, 6, 16, 200], ids=str)
def test_strings_end_at_their_zero_or_at_the_size(space: str, size: int) -> None:
    text = user_buffer(b"hello\0rest")
    b = Builder()
    slot = b.slot("s", 200)
    b.zero(b.address(slot), 200)
    keep(b, 25, b.read_string(space, b.address(slot), size, b.load(b.context(), 0, 8)))
    b.copy(b.map_value(RESULT), b.address(slot), 200)
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", ctypes.addressof(text))
        data = loaded.maps[RESULT].lookup(bytes(4))
        assert data is not None
        expected = b"hello"[: size - 1]
        assert data[:200] == expected.ljust(200, b"\0")
        assert loaded.results(26)[25] == len(expected) + 1


def test_a_failed_string_read_gives_an_error_and_nothing() -> None:
    b = Builder()
    slot = b.slot("s", 16)
    fill(b, b.address(slot), 16)
    keep(b, 0, b.read_string("either", b.address(slot), 16, b.const(16)))
    keep(b, 1, b.load(b.address(slot), 0, 8))
    keep(b, 2, b.load(b.address(slot), 8, 8))
    assert run_once(module(prog(b.finish())))[:3] == (EFAULT, 0, 0)


@pytest.mark.parametrize("limit", [63, 64, 50])
def test_reads_of_variable_size(limit: int) -> None:
    text = user_buffer(bytes(range(1, 65)))
    b = Builder()
    slot = b.slot("s", 64)
    b.zero(b.address(slot), 64)
    address, size = b.load(b.context(), 0, 8), b.load(b.context(), 8, 8)
    keep(b, 8, b.read("user", b.address(slot), size, address, limit))
    b.copy(b.map_value(RESULT), b.address(slot), 64)
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        for size_now in (0, 1, 7, limit):
            loaded.run("prog", ctypes.addressof(text), size_now)
            data = loaded.maps[RESULT].lookup(bytes(4))
            assert data is not None
            assert data[:64] == bytes(range(1, size_now + 1)).ljust(64, b"\0")
            assert loaded.results(9)[8] == 0


def test_a_string_read_in_pieces_of_variable_size_at_variable_offsets() -> None:
    text, more = user_buffer(b"first\0"), user_buffer(b"second\0")
    b = Builder()
    slot = b.slot("s", 64)
    b.zero(b.address(slot), 64)
    count = b.read_string("user", b.address(slot), 32, b.load(b.context(), 0, 8))
    at = b.offset(b.address(slot), b.binop("sub", count, 1), 31)
    room = b.binop("sub", 64, count)
    keep(b, 9, b.read_string("user", at, room, b.load(b.context(), 8, 8), 33))
    b.copy(b.map_value(RESULT), b.address(slot), 64)
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", ctypes.addressof(text), ctypes.addressof(more))
        data = loaded.maps[RESULT].lookup(bytes(4))
        assert data is not None
        assert data[:64] == b"firstsecond".ljust(64, b"\0")
        assert loaded.results(10)[9] == 7


def test_without_the_new_readers_the_old_one_serves() -> None:
    b = Builder()
    slot = b.slot("s", 300)
    b.zero(b.address(slot), 300)
    keep(b, 5, 77)
    keep(b, 0, b.read("kernel", b.address(slot), 8, b.add(b.address_word(b.map_value(RESULT)), 40)))
    keep(b, 1, b.load(b.address(slot), 0, 8))
    m = module(prog(b.finish()))
    assert run_once(m, features=frozenset({"loop"}))[:2] == (0, 77)


def test_kernel_objects_are_loaded_from_directly() -> None:
    """The task of the current thread through a BTF pointer, against the helper's answer."""
    b = Builder()
    task = b.helper("get_current_task_btf")
    keep(b, 0, b.compare("eq", b.address_word(task), b.helper("get_current_task")))
    keep(b, 1, b.load(task, 0, 8))
    results = run_once(module(prog(b.finish())))
    assert results[0] == 1


@pytest.mark.parametrize("cpu", ["v2", "v3", pytest.param("v4", marks=pytest.mark.needs("cpu_v4"))])
def test_atomic_additions_of_both_widths(cpu: str) -> None:
    b = Builder()
    b.atomic_add(b.map_value(RESULT), 0, b.load(b.context(), 0, 8))
    b.atomic_add(b.map_value(RESULT), 8, b.load(b.context(), 0, 8), size=4)
    b.atomic_add(b.state(64 - 8), 0, 5)
    with Loaded(compile_checked(module(prog(b.finish())), cpu=cpu)) as loaded:
        for _ in range(3):
            loaded.run("prog", (1 << 64) - 1)
        assert loaded.results(2) == ((1 << 64) - 3, (1 << 32) - 3)
        assert loaded.state(56) == 15
