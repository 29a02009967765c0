"""Turns the answers of a ``KernelInfo`` into what JSON can hold, and back.

A record becomes ``{"is": "Int", "bits": 32, ...}`` with only the values that differ from its
defaults; tuples become lists, and lists tuples again. Only classes of ``base.types`` and
``kernel.info`` exist for the reader: nothing else can be made by a file.
"""

from __future__ import annotations

from pytrace.base import types
from pytrace.base.frozen import Frozen
from pytrace.kernel import info
from pytrace.kernel.binary import ElfBinary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Plain = None | bool | int | str | list["Plain"] | dict[str, "Plain"]
    """What JSON can hold."""

_CLASSES: Final = {
    name: found
    for module in (types, info)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, Frozen)
}


class PlainError(ValueError):
    """Data that stands for no answer of a kernel."""


def to_plain(value: object) -> Plain:
    """Plain data for an answer. ``TypeError`` for what no kernel answers."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    name = "BinaryInfo" if isinstance(value, ElfBinary) else type(value).__name__
    made = _CLASSES.get(name)
    if made is None or not isinstance(value, made):
        raise TypeError(f"no answer of a kernel: {value!r}")
    plain: dict[str, Plain] = {"is": name}
    for field in made.__fields__:
        item = getattr(value, field)
        if field not in made._defaults or item != made._defaults[field]:
            plain[field] = to_plain(item)
    return plain


def from_plain(plain: Plain) -> object:
    """The answer that ``to_plain`` turned into this. ``PlainError`` for other data."""
    if plain is None or isinstance(plain, (bool, int, str)):
        return plain
    if isinstance(plain, list):
        return tuple(from_plain(item) for item in plain)
    if not isinstance(plain, dict):
        raise PlainError(f"unexpected {type(plain).__name__} in recorded facts")
    made = _CLASSES.get(str(plain.get("is")))
    if made is None:
        raise PlainError(f"unknown record {plain.get('is')!r} in recorded facts")
    values = {name: from_plain(item) for name, item in plain.items() if name != "is"}
    try:
        return made(**values)
    except TypeError as error:
        raise PlainError(str(error)) from None
