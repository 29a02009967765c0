"""Immutable records: what frozen dataclasses give, without what they cost.

Importing ``dataclasses`` takes 12 to 26 ms and each decorated class compiles code of its own; a
cached run of pytrace is owed in about 30 ms altogether. Type checkers see a frozen, keyword-only
dataclass through ``dataclass_transform``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from typing_extensions import dataclass_transform

    _T = TypeVar("_T")
else:

    def dataclass_transform(**_: object):
        return lambda cls: cls


_set = object.__setattr__


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
class Frozen:
    """Base of immutable records. Fields are the class annotations, in order, parents first.

    Keyword arguments only. A class attribute of a field's name is its default (and is then shared
    by all instances: use immutable defaults). Subclasses compare by identity; derive from
    ``FrozenValue`` for records that compare and hash by value.
    """

    __fields__: tuple[str, ...] = ()
    _defaults: dict[str, object] = {}
    _known: frozenset[str] = frozenset()
    _needed: frozenset[str] = frozenset()

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        own = tuple(n for n in cls.__dict__.get("__annotations__", ()) if n[0] != "_")
        parents = cls.__mro__[1].__fields__ if hasattr(cls.__mro__[1], "__fields__") else ()
        cls.__fields__ = parents + tuple(n for n in own if n not in parents)
        defaults = dict(cls._defaults)
        for name in own:
            if name in cls.__dict__:
                defaults[name] = cls.__dict__[name]
        cls._defaults = defaults
        cls._known = frozenset(cls.__fields__)
        cls._needed = cls._known - defaults.keys()

    def __init__(self, **values: Any) -> None:
        # A script becomes thousands of nodes, so this is written for speed: two comparisons of
        # sets and one update instead of a loop over the fields.
        names = values.keys()
        if not self._needed <= names <= self._known:
            self._refuse(values)
        self.__dict__.update(values)

    def _refuse(self, values: dict[str, object]) -> None:
        for name in self.__fields__:
            if name not in values and name not in self._defaults:
                raise TypeError(f"{type(self).__name__}: missing field {name!r}")
        unknown = [n for n in values if n not in self.__fields__]
        raise TypeError(f"{type(self).__name__}: unknown field {unknown[0]!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__fields__ if n != "span")
        return f"{type(self).__name__}({inner})"


class FrozenValue(Frozen):
    """A ``Frozen`` that compares and hashes by its class and field values."""

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, n) for n in self.__fields__)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._key()))


def replace(record: _T, **changes: Any) -> _T:
    """A copy of ``record`` with the named fields changed."""
    values = {n: getattr(record, n) for n in record.__fields__}  # type: ignore[attr-defined]
    values.update(changes)
    return type(record)(**values)


if TYPE_CHECKING:
    Factory = Callable[[], object]
