"""Bytes of any values: comparing them in order, joining texts (language 9.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import Array, Buf, Ptr, Str, is_scalar
from pytrace.semantics.lower import memory, places, strings
from pytrace.semantics.lower.places import Place

if TYPE_CHECKING:
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering


def compare(
    lo: Lowering, left: ast.Expr, right: ast.Expr, count: ir.Value | int, limit: int
) -> ir.Value:
    """``memcmp``: the difference of the first bytes that differ within ``count`` (at most
    ``limit``) bytes, 0 without one. What lies behind a value counts as zero."""
    b = lo.b
    slots = [_copy(lo, node, count, limit) for node in (left, right)]
    result, at = b.cell("difference"), b.cell("at")
    b.set(result, 0)
    with b.block() as body:
        first, second = (strings.byte(lo, slot, b.get(at), limit) for slot in slots)
        with b.when(b.compare("ne", first, second)):
            b.set(result, b.binop("sub", first, second))
            b.jump("break")
    b.repeat(at, 0, count, body[0])
    return b.get(result)


def _copy(lo: Lowering, node: ast.Expr, count: ir.Value | int, limit: int) -> ir.Slot:
    """The first bytes of a value, or of what a pointer points to, in a slot of ``limit``."""
    b = lo.b
    slot = b.slot("bytes", limit)
    target = b.address(slot)
    b.zero(target, limit)
    found = lo.type(node)
    if isinstance(found, Ptr):
        lo.read_place(memory.argument(lo, node), target, count, limit)
        return slot
    if is_scalar(found):
        whole = b.address(b.slot("whole", found.size))
        lo.into(node, whole, found)
        b.copy(target, whole, min(found.size, limit))
        return slot
    place = lo.place(node).at(4 if isinstance(found, Buf) else 0)
    size = found.length if isinstance(found, Buf) else found.size
    places.copy(lo, place, target, min(size, limit))
    return slot


def concatenate(
    lo: Lowering, left: ast.Expr, right: ast.Expr, target: ir.Value, size: int
) -> None:
    """``str_concat``: one text behind the other in ``size`` bytes, zero padded.

    The second is read to where the first ends, by helpers that find its own end. The verifier
    cannot see that both fit together, so there is room for twice as much.
    """
    b = lo.b
    slot = b.address(b.slot("joined", 2 * size))
    b.zero(slot, 2 * size)
    end = b.cell("end")
    for part, node in enumerate((left, right)):
        place, most = _text(lo, node, size)
        space, address = places.address_of(lo, place)
        at = b.offset(slot, b.get(end), limit=size) if part else slot
        taken = lo.read_string(space, at, most, address)
        length = b.select(b.compare("sgt", taken, 0), b.add(taken, -1), 0)
        if not part:
            b.set(end, b.select(b.compare("ult", length, size), length, size))
    b.copy(target, slot, size)


def _text(lo: Lowering, node: ast.Expr, size: int) -> tuple[Place, int]:
    """Where a text is, and the bytes to read of it at most, its zero included."""
    b = lo.b
    found = lo.type(node)
    if not isinstance(found, Str):
        count = found.size if isinstance(found, Array) else size
        return memory.argument(lo, node), min(count, size)
    slot = b.address(b.slot("text", found.length + 1))
    lo.into(node, slot, found)
    b.store(slot, found.length, 1, 0)
    return Place(kind="memory", base=slot), min(found.length + 1, size)
