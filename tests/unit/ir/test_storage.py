"""Where slots and cells are placed."""

from __future__ import annotations

import pytest

from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.ir.storage import FRAME, SCRATCH, STACK, Outlined, Placement, place_module

ALL, NONE = True, False


def place(*bodies: ir.Block, outlined: bool = ALL, budget: int = 512, limit: int = 32) -> Placement:
    """The placement of the first of some functions (``f0``, ``f1`` ...)."""
    return place_all(*bodies, outlined=outlined, budget=budget, limit=limit)["f0"]


def place_all(
    *bodies: ir.Block, outlined: bool = ALL, budget: int = 512, limit: int = 32
) -> dict[str, Placement]:
    functions = tuple(
        ir.Function(name=f"f{n}", body=body, prog_type="" if n else "PROG_TYPE_KPROBE")
        for n, body in enumerate(bodies)
    )
    module = ir.Module(functions=functions, maps=(), events=(), params=(), attach=(), sources=())

    def decide(loop: Outlined, around: tuple[ir.Instruction, ...]) -> bool:
        return outlined

    return place_module(module, outlined=decide, on_stack_limit=limit, stack_budget=budget)


def use(b: Builder, slot: ir.Slot) -> None:
    b.store(b.address(slot), 0, 1, 0)


def repeat(b: Builder, body: ir.Block) -> ir.Repeat:
    b.repeat(b.cell("i"), 0, 100, body)
    made = b._blocks[-1][-1]
    assert isinstance(made, ir.Repeat)
    return made


def test_small_slots_lie_on_the_stack_and_large_ones_in_scratch() -> None:
    b = Builder()
    small, large = b.slot("small", 32), b.slot("large", 33)
    use(b, small)
    use(b, large)
    p = place(b.finish())
    assert (p.slots[small].kind, p.slots[large].kind) == (STACK, SCRATCH)
    assert p.scratch_size == 40
    assert p.scratch_needed


def test_slots_that_are_never_live_together_share() -> None:
    b = Builder()
    slots = [b.slot("s", 64) for _ in range(3)] + [b.slot("t", 8) for _ in range(3)]
    for slot in slots:
        use(b, slot)
    p = place(b.finish())
    assert {p.slots[s].at for s in slots[:3]} == {0}
    assert {p.slots[s].at for s in slots[3:]} == {0}
    assert p.areas[None] == (8,)
    assert p.scratch_size == 64


def test_slots_that_overlap_do_not_share() -> None:
    b = Builder()
    one, two, three = b.slot("1", 64), b.slot("2", 100), b.slot("3", 48)
    use(b, one)
    use(b, two)
    use(b, one)
    use(b, three)
    use(b, two)
    p = place(b.finish())
    assert (p.slots[one].at, p.slots[two].at, p.slots[three].at) == (0, 64, 0)
    assert p.scratch_size == 168


def test_a_pointer_into_a_slot_is_a_use_of_it() -> None:
    b = Builder()
    one, two = b.slot("1", 64), b.slot("2", 64)
    inside = b.offset(b.offset(b.address(one), 8), 8)
    use(b, two)
    b.load(inside, 0, 8)
    p = place(b.finish())
    assert p.slots[one].at != p.slots[two].at


def test_a_slot_whose_address_is_known_is_never_shared() -> None:
    b = Builder()
    one, two = b.slot("1", 64), b.slot("2", 64)
    word = b.address_word(b.address(one))
    use(b, two)
    b.set(b.cell("x"), word)
    p = place(b.finish())
    assert p.slots[one].at != p.slots[two].at


def test_what_a_loop_keeps_over_its_rounds_lives_as_long_as_the_loop() -> None:
    b = Builder()
    kept, other = b.slot("kept", 64), b.slot("other", 64)
    with b.block() as body:
        use(b, kept)
        use(b, other)
        b.jump("break")
    b.loop(body[0])
    p = place(b.finish())
    assert p.slots[kept].at != p.slots[other].at


def test_a_slot_used_before_and_in_a_loop_is_live_to_the_loops_end() -> None:
    b = Builder()
    outer, inner = b.slot("outer", 64), b.slot("inner", 64)
    use(b, outer)
    with b.block() as body:
        use(b, outer)
        use(b, inner)
    repeat(b, body[0])
    p = place(b.finish(), outlined=NONE)
    assert p.slots[outer].at != p.slots[inner].at


def test_what_a_callback_shares_lies_in_the_frame() -> None:
    b = Builder()
    shared, own, large = b.slot("shared", 16), b.slot("own", 16), b.slot("large", 64)
    cell, temporary = b.cell("x"), b.cell("t")
    use(b, shared)
    use(b, large)
    with b.block() as body:
        use(b, shared)
        use(b, own)
        use(b, large)
        b.set(temporary, 1)
        b.set(cell, b.get(temporary))
    loop = repeat(b, body[0])
    b.get(cell)
    p = place(b.finish())
    assert p.slots[shared].kind == FRAME
    assert (p.slots[own].kind, p.slots[own].body) == (STACK, loop)
    assert p.slots[large].kind == SCRATCH
    assert p.cells[cell].kind == FRAME
    assert temporary not in p.cells
    assert loop.index not in p.cells
    # The cell, the slot and the address of the scratch memory.
    assert p.frame_size == 8 + 16 + 8
    assert p.scratch_pointer is not None
    places = [p.cells[cell].at, p.slots[shared].at, p.scratch_pointer]
    assert len(set(places)) == 3


def test_a_cell_that_a_body_reads_first_keeps_its_value() -> None:
    b = Builder()
    counter, sometimes, fresh = b.cell("n"), b.cell("s"), b.cell("f")
    with b.block() as body:
        b.set(counter, b.binop("add", b.get(counter), 1))
        with b.when(b.get(counter)):
            b.set(sometimes, 1)
        b.set(fresh, 1)
        b.get(sometimes)
    repeat(b, body[0])
    p = place(b.finish())
    assert set(p.cells) == {counter, sometimes}


def test_without_callbacks_cells_need_no_memory() -> None:
    b = Builder()
    cell = b.cell("x")
    with b.block() as body:
        b.set(cell, b.binop("add", b.get(cell), 1))
    repeat(b, body[0])
    p = place(b.finish(), outlined=NONE)
    assert not p.cells
    assert p.frame_size == 0
    assert p.scratch_pointer is None


def test_returns_in_bodies_and_unknown_starts_have_words_in_the_frame() -> None:
    b = Builder()
    with b.block() as body:
        b.ret()
    start = b.get(b.cell("x"))
    b.repeat(b.cell("i"), start, 100, body[0])
    p = place(b.finish())
    assert p.returned is not None
    assert len(p.starts) == 1
    assert {p.returned, *p.starts.values(), p.scratch_pointer} == {0, 8, 24}
    assert p.frame_size == 32


@pytest.mark.parametrize("count", [10, 100])
def test_the_stack_is_never_exceeded(count: int) -> None:
    b = Builder()
    slots = [b.slot("s", 32) for _ in range(count)]
    for _ in range(2):
        for slot in slots:
            use(b, slot)
    p = place(b.finish())
    on_stack = sum(1 for home in p.slots.values() if home.kind == STACK)
    assert p.chain <= 512
    assert on_stack == min(count, 14)
    assert p.scratch_size == 32 * (count - on_stack)


def test_callbacks_and_callees_share_the_stacks_512_bytes() -> None:
    b, f = Builder(), Builder()
    outside, inside = ([b.slot("s", 32) for _ in range(8)] for _ in range(2))
    for slot in outside:
        use(b, slot)
    with b.block() as body:
        for _ in range(2):
            for slot in inside:
                use(b, slot)
        b.call("f1", ())
    repeat(b, body[0])
    for slot in outside:
        use(b, slot)
    mine = [f.slot("s", 32) for _ in range(3)]
    for _ in range(2):
        for slot in mine:
            use(f, slot)
    placed = place_all(b.finish(), f.finish())
    assert placed["f0"].chain <= 512
    assert placed["f1"].chain == 96 + 64
    kinds = [placed["f0"].slots[s].kind for s in outside + inside]
    assert STACK in kinds
    assert SCRATCH in kinds


def test_with_no_budget_everything_goes_to_scratch() -> None:
    b = Builder()
    slot, cell = b.slot("s", 8), b.cell("x")
    with b.block() as body:
        use(b, slot)
        b.set(cell, b.binop("add", b.get(cell), 1))
    repeat(b, body[0])
    use(b, slot)
    p = place(b.finish(), budget=0)
    assert p.slots[slot].kind == SCRATCH
    assert p.cells[cell].kind == SCRATCH
    assert p.slots[slot].at != p.cells[cell].at


def test_functions_have_their_scratch_behind_that_of_their_callers() -> None:
    b, f, g = Builder(), Builder(), Builder()
    for builder, size in ((b, 100), (f, 200), (g, 300)):
        use(builder, builder.slot("s", size))
    b.call("f1", ())
    b.call("f2", ())
    f.call("f2", ())
    placed = place_all(b.finish(), f.finish(), g.finish())
    assert [placed[f"f{n}"].scratch_base for n in range(3)] == [0, 104, 304]


def test_a_caller_of_a_function_that_needs_scratch_needs_it_too() -> None:
    b, f = Builder(), Builder()
    use(f, f.slot("s", 100))
    b.call("f1", ())
    placed = place_all(b.finish(), f.finish())
    assert placed["f0"].scratch_size == 0
    assert placed["f0"].scratch_needed


def test_recursion_is_refused() -> None:
    b, f = Builder(), Builder()
    f.call("f1", ())
    with pytest.raises(ValueError, match="f1 calls itself"):
        place(b.finish(), f.finish())


def test_thousands_of_slots_used_in_turn_share_one_place() -> None:
    b = Builder()
    for _ in range(3000):
        use(b, b.slot("key", 8))
        use(b, b.slot("text", 1024))
    p = place(b.finish())
    assert p.areas[None] == (8,)
    assert p.scratch_size == 1024
