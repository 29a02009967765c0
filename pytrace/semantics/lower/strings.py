"""Text: reading it zero padded, comparing it, measuring it.

A string in memory is always zero from its end to its capacity: equal strings are equal bytes, so
they can be map keys and be compared eight bytes at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import Array, Buf, Ptr, Record, Stack, Str, Tuple, Type, USym, is_scalar
from pytrace.semantics.lower import memory, places
from pytrace.semantics.lower.places import Place
from pytrace.semantics.merge import merge

if TYPE_CHECKING:
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering

UNROLL_BYTES = 64
"""Memory up to this size is compared without a loop."""

SMALL_ARRAY = 64
"""Character arrays up to this size are read with one byte to spare, see ``copy_text``."""


def store_text(lo: Lowering, target: ir.Value, text: bytes, size: int) -> None:
    """Writes a constant text, zero padded to ``size``, in the widest stores that fit."""
    b = lo.b
    padded = text[:size].ljust(size, b"\0")
    tail = size
    used = min(size, -(-(len(text) + 1) // 8) * 8)
    if size - used > 64:
        tail = used
    at = 0
    while at < tail:
        width = next(w for w in (8, 4, 2, 1) if at % w == 0 and at + w <= tail)
        b.store(target, at, width, int.from_bytes(padded[at : at + width], "little"))
        at += width
    if tail < size:
        b.zero(b.offset(target, tail), size - tail)


def read_into(
    lo: Lowering, node: ast.Expr, target: ir.Value, size: int, limit: ir.Value | int
) -> None:
    """``str(node)`` into ``size`` bytes: at most ``limit`` of them, its zero included.

    A text that fills all of ``size`` and goes on keeps its last byte instead of a zero: that is
    how output knows that it was cut.
    """
    b = lo.b
    literal = lo.literal(node)
    if isinstance(literal, bytes) and isinstance(limit, int):
        store_text(lo, target, literal, size)
        return
    found = lo.type(node)
    if isinstance(found, Str):
        _cut_text(lo, node, found, target, size, limit)
        return
    at = memory.argument(lo, node)
    space, address = places.address_of(lo, at)
    b.zero(target, size)
    if limit == 0:
        return
    whole = None if isinstance(limit, int) else size
    taken = lo.read_string(space, target, limit, address, whole)
    if isinstance(limit, int) and limit == size:
        with b.when(b.compare("eq", taken, size)):
            b.read(space, b.offset(target, size - 1), 1, b.add(address, size - 1))


def _cut_text(
    lo: Lowering, node: ast.Expr, found: Str, target: ir.Value, size: int, limit: ir.Value | int
) -> None:
    """``str(text, n)`` of a string: its first n - 1 bytes."""
    b = lo.b
    if isinstance(limit, int):
        kept = limit - 1 if limit < size else size
        memory.convert_place(lo, lo.place(node), found, target, Str(length=max(kept, 0)))
        b.zero(b.offset(target, kept), size - kept)
        return
    space, address = places.address_of(lo, lo.place(node))
    b.zero(target, size)
    lo.read_string(space, target, limit, address, size)


def copy_text(lo: Lowering, at: Place, length: int, target: ir.Value, wanted: int) -> None:
    """Copies a string value of capacity ``length`` to one of capacity ``wanted``, zero padded.

    In memory of our own it is zero padded already. A character array elsewhere may hold anything
    behind its zero, and may be full to the last byte without one: so it is read as a string into
    one byte more than it has.
    """
    b = lo.b
    size = min(length, wanted)
    if at.kind == "memory":
        b.copy(target, places.pointer_to(lo, at), size)
    else:
        space, address = places.address_of(lo, at)
        if length <= SMALL_ARRAY:
            slot = b.address(b.slot("text", length + 1))
            b.zero(slot, length + 1)
            lo.read_string(space, slot, length + 1, address)
            b.copy(target, slot, size)
        else:
            b.zero(target, size)
            lo.read_string(space, target, size, address)
    if wanted > size:
        b.zero(b.offset(target, size), wanted - size)


# ---------------------------------------------------------------- comparing


def equal_values(
    lo: Lowering, left: ast.Expr, right: ast.Expr, left_type: Type, right_type: Type
) -> ir.Value:
    """1 if two values in memory are equal (language 3.4)."""
    if isinstance(left_type, Str) and isinstance(right_type, Str):
        return _equal_texts(lo, left, right, left_type.length, right_type.length)
    if isinstance(left_type, Buf) and isinstance(right_type, Buf):
        size = min(left_type.size, right_type.size)
        return equal_bytes(lo, lo.address(left), lo.address(right), size)
    if isinstance(left_type, (Array, Stack, USym)):
        return equal_bytes(lo, lo.address(left), lo.address(right), left_type.size)
    merged = merge(left_type, right_type)
    assert isinstance(merged, (Tuple, Record))
    pointers = []
    for node in (left, right):
        slot = lo.b.address(lo.b.slot("compared", merged.size))
        lo.into(node, slot, merged)
        pointers.append(slot)
    return equal_bytes(lo, pointers[0], pointers[1], merged.size)


def _equal_texts(
    lo: Lowering, left: ast.Expr, right: ast.Expr, left_size: int, right_size: int
) -> ir.Value:
    b = lo.b
    for node, other in ((left, right), (right, left)):
        text = lo.literal(node)
        if isinstance(text, bytes):
            capacity = right_size if node is left else left_size
            return _equals_literal(lo, other, text, capacity)
    shorter = min(left_size, right_size)
    a, c = lo.address(left), lo.address(right)
    equal = equal_bytes(lo, a, c, shorter)
    if left_size == right_size:
        return equal
    # Equal as far as the shorter goes: it must end there, or the longer must.
    longer = a if left_size > right_size else c
    ends = b.negate(b.load(longer, shorter, 1))
    return b.binop("and", equal, ends)


def _equals_literal(lo: Lowering, node: ast.Expr, text: bytes, capacity: int) -> ir.Value:
    """Compares a string in memory with a constant, as few words as the constant has."""
    b = lo.b
    text = text.split(b"\0")[0]
    if len(text) > capacity:
        lo.address(node)
        return b.const(0)
    wanted = (text + b"\0")[:capacity]
    pointer = lo.address(node)
    same: ir.Value | None = None
    at = 0
    while at < len(wanted):
        width = next(w for w in (8, 4, 2, 1) if at + w <= len(wanted))
        number = int.from_bytes(wanted[at : at + width], "little")
        equal = b.compare("eq", b.load(pointer, at, width), number)
        same = equal if same is None else b.binop("and", same, equal)
        at += width
    return same if same is not None else b.const(1)


def equal_bytes(lo: Lowering, left: ir.Value, right: ir.Value, size: int) -> ir.Value:
    """1 if ``size`` bytes of two pieces of memory are equal."""
    b = lo.b
    if size > UNROLL_BYTES:
        return _equal_bytes_loop(lo, left, right, size)
    differ: ir.Value = b.const(0)
    at = 0
    while at < size:
        width = next(w for w in (8, 4, 2, 1) if at + w <= size)
        piece = b.binop("xor", b.load(left, at, width), b.load(right, at, width))
        differ = b.binop("or", differ, piece)
        at += width
    return b.negate(differ)


def _equal_bytes_loop(lo: Lowering, left: ir.Value, right: ir.Value, size: int) -> ir.Value:
    """Eight bytes a turn, leaving at the first difference; then the rest.

    The loop is native: its body sees the pointers made outside it.
    """
    b = lo.b
    whole = size // 8 * 8
    same, at = b.cell("same"), b.cell("at")
    b.set(same, 1)
    b.set(at, 0)
    with b.block() as body:
        offset = b.get(at)
        with b.when(b.compare("uge", offset, whole)):
            b.jump("break")
        left_word = b.load(b.offset(left, offset, limit=whole - 8), 0, 8)
        right_word = b.load(b.offset(right, offset, limit=whole - 8), 0, 8)
        with b.when(b.compare("ne", left_word, right_word)):
            b.set(same, 0)
            b.jump("break")
        b.set(at, b.add(offset, 8))
    b.loop(body[0])
    if whole < size:
        rest = equal_bytes(lo, b.offset(left, whole), b.offset(right, whole), size - whole)
        return b.binop("and", b.get(same), rest)
    return b.get(same)


def differ(lo: Lowering, left: ast.Expr, right: ast.Expr, count: int) -> ir.Value:
    """``strncmp``: 0 if the first ``count`` bytes are equal, up to a zero."""
    b = lo.b
    result = b.cell("differ")
    left_type, right_type = lo.type(left), lo.type(right)
    assert isinstance(left_type, Str) and isinstance(right_type, Str)
    size = min(count, left_type.length, right_type.length)
    a, c = lo.address(left), lo.address(right)
    b.set(result, b.negate(equal_bytes(lo, a, c, size)))
    if size < count and left_type.length != right_type.length:
        longer, _ = (a, c) if left_type.length > right_type.length else (c, a)
        with b.when(b.negate(b.get(result))):
            b.set(result, b.truth(b.load(longer, size, 1)))
    return b.get(result)


def length(lo: Lowering, node: ast.Expr) -> ir.Value:
    """``strlen``: reads as a string and takes the helper's count, which includes the zero."""
    b = lo.b
    found = lo.type(node)
    size = found.size if isinstance(found, (Str, Array)) else lo.env.config.max_strlen
    if isinstance(found, Ptr) or not is_scalar(found):
        at = memory.argument(lo, node)
        space, address = places.address_of(lo, at)
        slot = b.address(b.slot("text", size + 1))
        count = lo.read_string(space, slot, size + 1, address)
        return b.select(b.compare("sgt", count, 0), b.add(count, -1), 0)
    return b.const(0)


# ---------------------------------------------------------------- searching


def find(lo: Lowering, haystack: ast.Expr, needle: ast.Expr) -> ir.Value:
    """Index of the needle's first place in the haystack, -1 if there is none.

    A place is tried by a loop over the needle. Both loops are ``Repeat``: their bodies are
    verified once, whatever the lengths are.
    """
    b = lo.b
    sizes, slots = [], []
    for node in (haystack, needle):
        kind = lo.type(node)
        assert isinstance(kind, Str)
        slot = b.slot("text", kind.length)
        lo.into(node, b.address(slot), kind)
        sizes.append(kind.length)
        slots.append(slot)
    result, at, step, hit = b.cell("found"), b.cell("at"), b.cell("step"), b.cell("hit")
    b.set(result, -1)
    with b.block() as place:
        b.set(hit, 1)
        with b.block() as letter:
            wanted = byte(lo, slots[1], b.get(step), sizes[1])
            with b.when(b.negate(wanted)):
                b.jump("break")
            index = b.add(b.get(at), b.get(step))
            with b.when(b.compare("uge", index, sizes[0])):
                b.set(hit, 0)
                b.jump("break")
            with b.when(b.compare("ne", byte(lo, slots[0], index, sizes[0]), wanted)):
                b.set(hit, 0)
                b.jump("break")
        b.repeat(step, 0, sizes[1], letter[0])
        with b.when(b.get(hit)):
            b.set(result, b.get(at))
            b.jump("break")
        with b.when(b.negate(byte(lo, slots[0], b.get(at), sizes[0]))):
            b.jump("break")
    b.repeat(at, 0, sizes[0], place[0])
    return b.get(result)


def byte(lo: Lowering, slot: ir.Slot, index: ir.Value, size: int) -> ir.Value:
    """A byte of a slot by a run-time index, which the verifier sees stay inside."""
    b = lo.b
    inside = b.compare("ult", index, size)
    safe = b.select(inside, index, 0)
    return b.load(b.offset(b.address(slot), safe, limit=size - 1), 0, 1)
