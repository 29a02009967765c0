"""Where a value is: memory that the prog may touch, its context, or foreign memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import Frozen, replace
from pytrace.base.types import KERNEL, USER, Ptr, Type

if TYPE_CHECKING:
    from pytrace.ir import nodes as ir
    from pytrace.semantics.lower.core import Lowering


class Place(Frozen):
    """``offset`` bytes behind ``base``.

    ``kind`` ``memory``: ``base`` is a pointer. ``context``: the prog's context (``base`` None),
    read by loads of fixed size. ``foreign``: ``base`` is an address (a word) in ``space``
    (kernel, user, either).
    """

    kind: str
    base: ir.Value | None = None
    space: str = KERNEL
    offset: int = 0

    def at(self, offset: int) -> Place:
        """The place ``offset`` bytes further on."""
        return replace(self, offset=self.offset + offset) if offset else self


CONTEXT_PLACE = Place(kind="context")


def space_of(t: Type) -> str:
    """How to read behind a pointer: by its own space, or by the address where nobody told."""
    if isinstance(t, Ptr) and t.space in (KERNEL, USER):
        return t.space
    return "either"


def foreign(lo: Lowering, pointer: ir.Value, t: Type) -> Place:
    """The place that a pointer of type ``t`` points to."""
    return Place(kind="foreign", base=pointer, space=space_of(t))


def address_of(lo: Lowering, place: Place) -> tuple[str, ir.Value]:
    """Space and address (a word) of a place, for reading it with a helper."""
    b = lo.b
    if place.kind == "foreign":
        assert place.base is not None
        return place.space, b.add(place.base, place.offset)
    return KERNEL, b.address_word(pointer_to(lo, place))


def pointer_to(lo: Lowering, place: Place) -> ir.Value:
    """A pointer to a place in memory or in the context."""
    if place.kind == "context":
        return lo.b.offset(lo.b.context(), place.offset)
    assert place.kind == "memory" and place.base is not None
    return lo.b.offset(place.base, place.offset)


def load(lo: Lowering, place: Place, size: int, signed: bool) -> ir.Value:
    """A word of ``size`` bytes at a place; foreign memory that cannot be read gives 0."""
    b = lo.b
    if place.kind == "context" and lo.context.slots:
        return _from_slot(lo, place.offset, size, signed)
    if place.kind == "context":
        return b.load(b.context(), place.offset, size, signed)
    if place.kind == "memory":
        assert place.base is not None
        return b.load(place.base, place.offset, size, signed)
    slot = b.address(b.slot("read", 8))
    space, address = address_of(lo, place)
    lo.read(space, slot, size, address)
    return b.load(slot, 0, size, signed)


def _from_slot(lo: Lowering, offset: int, size: int, signed: bool) -> ir.Value:
    """Part of a context that the verifier lets be read in whole slots of 8 bytes."""
    b = lo.b
    word = b.load(b.context(), offset // 8 * 8, 8)
    if offset % 8:
        word = b.binop("lshr", word, offset % 8 * 8)
    return b.extend(word, size * 8, signed) if size < 8 else word


def copy(lo: Lowering, place: Place, target: ir.Value, size: int) -> None:
    """Copies ``size`` bytes of a place to ``target``."""
    b = lo.b
    if place.kind == "memory":
        assert place.base is not None
        b.copy(target, b.offset(place.base, place.offset), size)
        return
    space, address = address_of(lo, place)
    lo.read(space, target, size, address)
