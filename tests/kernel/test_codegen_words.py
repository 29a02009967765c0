"""Words, cells and branches, computed by generated code in the running kernel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytrace.ir import nodes as ir
from pytrace.ir.build import EMPTY, Builder
from pytrace.model.compiled import LoadParam
from pytrace.model.events import GATE_OFFSET
from tests.kernel.codegen_run import (
    Loaded,
    compile_checked,
    keep,
    module,
    prog,
    run_once,
)

pytestmark = pytest.mark.needs("root")

MASK = (1 << 64) - 1
MIN = 1 << 63
CPUS = ("v2", "v3", pytest.param("v4", marks=pytest.mark.needs("cpu_v4")))
EDGES = (0, 1, 2, 3, 7, 63, 64, 65, 255, 1 << 31, (1 << 32) - 1, 1 << 32, MIN - 1, MIN, MIN + 1,
         MASK - 6, MASK - 1, MASK)  # fmt: skip


def signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def quotient(a: int, b: int) -> int:
    """C's division: towards zero."""
    q = abs(signed(a)) // abs(signed(b))
    return q if (signed(a) < 0) == (signed(b) < 0) else -q


EXPECTED: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << (b & 63),
    "lshr": lambda a, b: a >> (b & 63),
    "ashr": lambda a, b: signed(a) >> (b & 63),
    "udiv": lambda a, b: a // b,
    "urem": lambda a, b: a % b,
    "sdiv": quotient,
    "srem": lambda a, b: signed(a) - quotient(a, b) * signed(b),
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "ult": lambda a, b: a < b,
    "ule": lambda a, b: a <= b,
    "ugt": lambda a, b: a > b,
    "uge": lambda a, b: a >= b,
    "slt": lambda a, b: signed(a) < signed(b),
    "sle": lambda a, b: signed(a) <= signed(b),
    "sgt": lambda a, b: signed(a) > signed(b),
    "sge": lambda a, b: signed(a) >= signed(b),
}
BINARY = tuple(list(EXPECTED)[:13])
COMPARISONS = tuple(list(EXPECTED)[13:])


def allowed(op: str, a: int, b: int) -> bool:
    """The lowering guards divisions by zero and the one signed division that overflows."""
    if op in ("udiv", "urem"):
        return b != 0
    return op not in ("sdiv", "srem") or (b != 0 and (a, b) != (MIN, MASK))


@pytest.mark.parametrize("cpu", CPUS)
def test_binary_operations_of_variables(cpu: str) -> None:
    b = Builder()
    left, right = b.load(b.context(), 0, 8), b.load(b.context(), 8, 8)
    which = b.load(b.context(), 16, 8)
    for number, op in enumerate((*BINARY, *COMPARISONS)):
        with b.when(b.compare("eq", which, number)):
            value = b.binop(op, left, right) if op in BINARY else b.compare(op, left, right)
            keep(b, 0, value)
    with Loaded(compile_checked(module(prog(b.finish())), cpu=cpu)) as loaded:
        wrong = []
        for number, (op, expected) in enumerate(EXPECTED.items()):
            for x in EDGES:
                for y in EDGES:
                    if allowed(op, x, y):
                        loaded.run("prog", x, y, number)
                        got = loaded.results(1)[0]
                        if got != expected(x, y) & MASK:
                            wrong.append((op, x, y, got))
    assert not wrong


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("op", BINARY)
def test_binary_operations_by_constants(cpu: str, op: str) -> None:
    b = Builder()
    left = b.load(b.context(), 0, 8)
    constants = [c for c in EDGES if allowed(op, 0, c)][:20]
    for number, constant in enumerate(constants):
        keep(b, number, b.binop(op, left, constant))
    with Loaded(compile_checked(module(prog(b.finish())), cpu=cpu)) as loaded:
        for x in EDGES:
            loaded.run("prog", x)
            got = loaded.results(len(constants))
            for constant, word in zip(constants, got):
                if allowed(op, x, constant):
                    assert word == EXPECTED[op](x, constant) & MASK, (op, x, constant)


def test_an_overflow_check_by_division_needs_no_wide_arithmetic() -> None:
    b = Builder()
    x, y = b.load(b.context(), 0, 8), b.load(b.context(), 8, 8)
    keep(b, 0, b.compare("eq", b.binop("udiv", b.binop("mul", x, y), y), x))
    keep(b, 1, b.compare("eq", b.binop("udiv", b.binop("mul", x, 5), 5), x))
    keep(b, 2, b.compare("ugt", x, b.binop("udiv", -1, y)))
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", 3, 5)
        assert loaded.results(3) == (1, 1, 0)
        loaded.run("prog", MASK, 5)
        assert loaded.results(3) == (0, 0, 1)


def test_extensions_swaps_and_selection() -> None:
    b = Builder()
    word = b.load(b.context(), 0, 8)
    place = 0
    for bits in (8, 16, 32):
        for is_signed in (False, True):
            keep(b, place, b.extend(word, bits, is_signed))
            place += 1
    for bits in (16, 32, 64):
        keep(b, place, b.byte_swap(word, bits))
        place += 1
    keep(b, place, b.select(b.compare("slt", word, 0), 11, 22))
    keep(b, place + 1, b.select(word, 33, 44))
    results = run_once(module(prog(b.finish())), 0x8182838485868788)
    top = 1 << 64
    assert results[:6] == (0x88, top - 0x78, 0x8788, top - 0x7878, 0x85868788, top - 0x7A797878)
    assert results[6:9] == (0x8887, 0x88878685, 0x8887868584838281)
    assert results[9:11] == (11, 33)


def test_context_loads_extend_and_need_no_alignment() -> None:
    b = Builder()
    ctx = b.context()
    keep(b, 0, b.load(ctx, 0, 1, signed=True))
    keep(b, 1, b.load(ctx, 0, 2, signed=True))
    keep(b, 2, b.load(ctx, 0, 4, signed=True))
    keep(b, 3, b.load(ctx, 4, 8))
    keep(b, 4, b.load(ctx, 3, 4))
    keep(b, 5, b.load(b.offset(ctx, 8), 0, 8))
    results = run_once(module(prog(b.finish())), 0x1122334485868788, 0x99AABBCCDDEEFF00)
    top = 1 << 64
    assert results[:3] == (top - 0x78, top - 0x7878, top - 0x7A797878)
    assert results[3:6] == (0xDDEEFF0011223344, 0x22334485, 0x99AABBCCDDEEFF00)


def test_context_loads_in_two_branches_are_not_merged() -> None:
    b = Builder()
    which, cell = b.load(b.context(), 0, 8), b.cell("x")
    with b.block() as then:
        b.set(cell, b.load(b.context(), 8, 8))
    with b.block() as orelse:
        b.set(cell, b.load(b.context(), 16, 8))
    b.if_else(which, then[0], orelse[0])
    keep(b, 0, b.get(cell))
    assert run_once(module(prog(b.finish())), 1, 10, 20)[0] == 10


def test_cells_are_zero_at_first_and_keep_what_branches_set() -> None:
    b = Builder()
    cell = b.cell("x")
    keep(b, 0, b.get(cell))
    with b.when(b.load(b.context(), 0, 8)):
        b.set(cell, 7)
    keep(b, 1, b.get(cell))
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        loaded.run("prog", 0)
        assert loaded.results(2) == (0, 0)
        loaded.run("prog", 1)
        assert loaded.results(2) == (0, 7)


def test_return_gives_a_result_and_ends_the_prog() -> None:
    b = Builder()
    with b.when(b.load(b.context(), 0, 8)):
        b.ret(b.const(5))
    keep(b, 0, 1)
    b.ret()
    keep(b, 1, 1)
    with Loaded(compile_checked(module(prog(b.finish())))) as loaded:
        assert loaded.run("prog", 1) == 5
        assert loaded.results(1) == (0,)
        assert loaded.run("prog", 0) == 0
        assert loaded.results(2) == (1, 0)


@pytest.mark.parametrize("gate", [True, False])
def test_the_gate_stops_progs_that_look_at_it(gate: bool) -> None:
    b = Builder()
    keep(b, 0, 1)
    with Loaded(compile_checked(module(prog(b.finish(), gate=gate)))) as loaded:
        state = loaded.maps[".state"]
        closed = bytearray(state.value_size)
        closed[GATE_OFFSET] = 1
        state.update(bytes(4), closed)
        loaded.run()
        assert loaded.results(1) == (0 if gate else 1,)


def test_params_are_constants_of_the_load() -> None:
    b = Builder()
    keep(b, 0, b.param("wide"))
    b.span = None
    narrow = ir.Param(name="narrow", size=4)
    keep(b, 1, narrow)
    with b.when(b.compare("eq", b.param("wide"), 0)):
        keep(b, 2, 1)
    params = (
        LoadParam(name="narrow", kind="x", offset=0, size=4),
        LoadParam(name="wide", kind="x", offset=8, size=8),
    )
    program = compile_checked(module(prog(b.finish()), params=params))
    assert program.map(".params").value_size == 16
    data = (7).to_bytes(8, "little") + (MASK - 1).to_bytes(8, "little")
    with Loaded(program, data) as loaded:
        loaded.run()
        assert loaded.results(3) == (MASK - 1, 7, 0)
        # The verifier knew them: what could not run is gone from the kernel's copy.
        without = len(loaded.progs["prog"].xlated_insns())
    with Loaded(program, bytes(16)) as loaded:
        loaded.run()
        assert loaded.results(3) == (0, 0, 1)
        assert len(loaded.progs["prog"].xlated_insns()) > without


def test_functions_are_called_with_words_however_many() -> None:
    b = Builder()
    args = tuple(b.load(b.context(), 8 * n, 8) for n in range(8))
    keep(b, 0, b.call("many", args))
    keep(b, 1, b.call("few", args[:2]))
    many = Builder()
    total = many.const(0)
    for n in range(8):
        total = many.binop("add", many.binop("mul", total, 10), many.argument(n))
    many.ret(total)
    few = Builder()
    few.ret(few.binop("sub", few.argument(0), few.argument(1)))
    m = module(
        prog(b.finish()),
        ir.Function(name="many", body=many.finish(), params=tuple(f"${c}" for c in "abcdefgh")),
        ir.Function(name="few", body=few.finish(), params=("$a", "$b")),
    )
    assert run_once(m, *range(1, 9))[:2] == (12345678, MASK)


def test_code_after_a_jump_is_left_out() -> None:
    b = Builder()
    with b.block() as both:
        b.ret()
        keep(b, 0, 1)
    b.if_else(b.const(1), both[0], ir.Block(instrs=(ir.Return(), *EMPTY.instrs)))
    keep(b, 1, 1)
    assert run_once(module(prog(b.finish())))[:2] == (0, 0)
