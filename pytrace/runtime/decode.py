"""From bytes to values: one ``Codec`` for each type, made once, and rows of fields.

A row is unpacked by one ``struct.Struct`` whatever its fields are: scalars by their own code,
everything else as bytes that the field's converter takes apart. Byte order is the machine's: the
bytes come from this kernel.
"""

from __future__ import annotations

import struct
import sys

from pytrace.base.modules import load_module
from pytrace.base.types import (
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    KSym,
    NoneType,
    Opaque,
    Printable,
    Ptr,
    Record,
    Stack,
    Str,
    Struct,
    Tuple,
    USym,
    Void,
)
from pytrace.model.values import (
    Average,
    Buffer,
    EnumValue,
    Histogram,
    Pointer,
    Stats,
    StructValue,
    Text,
    divide,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from pytrace.base.types import EnumDef, Field, StructDef, Type
    from pytrace.model.running import Show
    from pytrace.model.values import Value
    from pytrace.runtime.environment import Environment

    Converter = Callable[[Any], Any]

_SIGNED: Final = {1: "b", 2: "h", 4: "i", 8: "q"}
_UNSIGNED: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MASK: Final = (1 << 64) - 1
_ORDER: Final = sys.byteorder


class Codec:
    """How a type is unpacked: ``code`` is its struct code (one item), ``convert`` makes the value
    of the item (None: the item is the value)."""

    __slots__ = ("code", "convert")

    def __init__(self, code: str, convert: Converter | None = None) -> None:
        self.code = code
        self.convert = convert

    def value(self, item: Any) -> Any:
        return item if self.convert is None else self.convert(item)


class Row:
    """Several fields at fixed offsets, unpacked by one ``struct``; ``values`` orders them."""

    __slots__ = ("_order", "converters", "struct")

    def __init__(self, fields: Sequence[tuple[int, str, int, Converter | None]], size: int) -> None:
        """``fields`` are (offset, code, bytes, converter); they may be in any order of offset but
        must not overlap. ``size`` is what ``struct`` spans, 0: up to the last field's end."""
        order = sorted(range(len(fields)), key=lambda i: (fields[i][0], fields[i][2]))
        at = 0
        layout = ["="]
        for index in order:
            offset, code, length, _ = fields[index]
            if offset > at:
                layout.append(f"{offset - at}x")
            layout.append(code)
            at = offset + length
        if size > at:
            layout.append(f"{size - at}x")
        self.struct = struct.Struct("".join(layout))
        self.converters = tuple(f[3] for f in fields)
        # Item i of a field order[i]: the position of each field among the items.
        places = sorted(range(len(order)), key=order.__getitem__)
        self._order = None if places == sorted(places) else tuple(places)

    @property
    def plain(self) -> bool:
        """True if the unpacked items are the values."""
        return self._order is None and all(c is None for c in self.converters)

    def values(self, items: Sequence[Any]) -> tuple[Any, ...]:
        """The values of one unpacked row."""
        if self._order is not None:
            items = [items[i] for i in self._order]
        return tuple(
            [item if c is None else c(item) for c, item in zip(self.converters, items)],
        )

    def unpacker(self) -> Callable[[Any, int], tuple[Any, ...]]:
        """A function of a buffer and an offset in it that gives the values."""
        unpack, values = self.struct.unpack_from, self.values
        if self.plain:
            return unpack
        return lambda data, offset: values(unpack(data, offset))


class Codecs:
    """Codecs of one compiled program's types, made on demand and kept."""

    def __init__(
        self, structs: Sequence[StructDef], enums: Sequence[EnumDef], env: Environment
    ) -> None:
        self._structs = {(s.kind, s.name): s for s in structs}
        self._enums = {e.name: e for e in enums}
        self._env = env
        self._made: dict[Type, Codec] = {}

    def codec(self, type_: Type) -> Codec:
        found = self._made.get(type_)
        if found is None:
            found = self._made[type_] = self._make(type_)
        return found

    def row(self, types: Sequence[Type], offsets: Sequence[int], size: int = 0) -> Row:
        """Values of ``types`` at ``offsets``. Fields without size come out as None."""
        fields = []
        for type_, offset in zip(types, offsets):
            codec = self.codec(type_)
            fields.append((offset, codec.code, type_.size, codec.convert))
        return Row(fields, size)

    def _make(self, type_: Type) -> Codec:
        kind = type(type_)
        if kind is Int:
            assert isinstance(type_, Int)
            return Codec((_SIGNED if type_.signed else _UNSIGNED)[type_.size])
        if isinstance(type_, (Void, NoneType)):
            return Codec("0s", lambda raw: None)
        if isinstance(type_, Opaque):
            return Codec(f"{type_.size}s", lambda raw: None)
        make = _MAKERS.get(kind)
        if make is None:
            raise TypeError(f"values of type {type_} are not decoded")
        return make(self, type_)

    # --- scalars and texts

    def _bool(self, type_: Bool) -> Codec:
        return Codec("?")

    def _enum(self, type_: Enum) -> Codec:
        names = {}
        definition = self._enums.get(type_.name)
        for name, value in reversed(definition.values) if definition else ():
            names[value] = name
        code = (_SIGNED if type_.signed else _UNSIGNED)[type_.size]
        return Codec(code, lambda v: EnumValue(v, names.get(v)))

    def _pointer(self, type_: Ptr) -> Codec:
        return Codec("Q", Pointer)

    def _string(self, type_: Str) -> Codec:
        trailer = self._env.trailer

        def text(raw: bytes) -> str:
            end = raw.find(0)
            if end >= 0:
                return raw[:end].decode("utf-8", "surrogateescape")
            return raw.decode("utf-8", "surrogateescape") + trailer

        return Codec(f"{type_.length}s", text)

    def _buffer(self, type_: Buf) -> Codec:
        def buffer(raw: bytes) -> Buffer:
            length = int.from_bytes(raw[:4], _ORDER)
            return Buffer(raw[4 : 4 + length])

        return Codec(f"{type_.size}s", buffer)

    # --- compound values

    def _array(self, type_: Array) -> Codec:
        elem = self.codec(type_.elem)
        size = type_.elem.size
        if len(elem.code) == 1:
            layout = struct.Struct(f"={type_.count}{elem.code}")
        else:
            layout = struct.Struct("=" + f"{size}s" * type_.count)
        convert = elem.convert
        if convert is None:
            return Codec(f"{type_.size}s", lambda raw: list(layout.unpack(raw)))
        each = convert
        return Codec(f"{type_.size}s", lambda raw: [each(i) for i in layout.unpack(raw)])

    def _tuple(self, type_: Tuple) -> Codec:
        row = self.row(type_.elems, type_.offsets, type_.size)
        unpack, values = row.struct.unpack, row.values
        return Codec(f"{type_.size}s", lambda raw: values(unpack(raw)))

    def _record(self, type_: Record) -> Codec:
        row = self.row(type_.elems, type_.offsets, type_.size)
        unpack, values, names = row.struct.unpack, row.values, type_.names
        return Codec(f"{type_.size}s", lambda raw: StructValue(names, values(unpack(raw))))

    def _struct(self, type_: Struct) -> Codec:
        definition = self._structs.get((type_.kind, type_.name))
        if definition is None:
            raise TypeError(f"the definition of {type_} is missing from the compiled program")
        names = tuple(f.name for f in definition.fields)
        readers = [self._member(f) for f in definition.fields]
        code = f"{type_.size}s"
        return Codec(code, lambda raw: StructValue(names, tuple([r(raw) for r in readers])))

    def _member(self, field: Field) -> Callable[[bytes], Any]:
        """Members of unions overlap, so each is read on its own."""
        if field.bit_size:
            return _bit_field(field)
        codec = self.codec(field.type)
        layout, at = struct.Struct(f"={codec.code}"), field.offset
        return lambda raw: codec.value(layout.unpack_from(raw, at)[0])

    # --- values that need the machine

    def _kernel_symbol(self, type_: KSym) -> Codec:
        env = self._env
        return Codec("Q", lambda address: Text(env.kernel_symbol(address)))

    def _user_symbol(self, type_: USym) -> Codec:
        env, layout = self._env, struct.Struct("=QI4x")

        def symbol(raw: bytes) -> Text:
            address, pid = layout.unpack(raw)
            return Text(env.user_symbol(address, pid))

        return Codec(f"{type_.size}s", symbol)

    def _stack(self, type_: Stack) -> Codec:
        env = self._env
        return Codec(f"{type_.size}s", lambda raw: env.stack(type_, raw))

    def _printable(self, type_: Printable) -> Codec:
        env, static = self._env, type_.static
        shows: list[Show] = []

        def text(raw: bytes) -> Text:
            if not shows:
                shows.append(find_show(type_.show))
            try:
                return Text(shows[0](raw, static, env))
            except ValueError as error:
                return Text(f"!{{{error}}}")

        return Codec(f"{type_.size}s", text)

    def _aggregate(self, type_: Aggregate) -> Codec:
        layout = struct.Struct(f"={type_.words}Q")
        return Codec(f"{type_.size}s", lambda raw: aggregate_value(type_, layout.unpack(raw)))


_MAKERS: Final[dict[type, Callable[[Codecs, Any], Codec]]] = {
    Bool: Codecs._bool,
    Enum: Codecs._enum,
    Ptr: Codecs._pointer,
    Str: Codecs._string,
    Buf: Codecs._buffer,
    Array: Codecs._array,
    Tuple: Codecs._tuple,
    Record: Codecs._record,
    Struct: Codecs._struct,
    KSym: Codecs._kernel_symbol,
    USym: Codecs._user_symbol,
    Stack: Codecs._stack,
    Printable: Codecs._printable,
    Aggregate: Codecs._aggregate,
}


def _bit_field(field: Field) -> Callable[[bytes], int]:
    """Bits counted from the lowest of the unit at ``field.offset`` on little-endian machines, from
    the highest on big-endian ones, as compilers lay them out."""
    size = (field.bit_offset + field.bit_size + 7) // 8
    shift = field.bit_offset if _ORDER == "little" else size * 8 - field.bit_offset - field.bit_size
    mask = (1 << field.bit_size) - 1
    sign = 1 << (field.bit_size - 1) if getattr(field.type, "signed", False) else 0
    at = field.offset

    def read(raw: bytes) -> int:
        bits = int.from_bytes(raw[at : at + size], _ORDER) >> shift & mask
        return bits - 2 * sign if bits & sign else bits

    return read


def signed(word: int) -> int:
    """A u64 read as an int64."""
    word &= _MASK
    return word - (1 << 64) if word >> 63 else word


def aggregate_value(type_: Aggregate, words: Sequence[int]) -> Value:
    """The value of an aggregate whose words (u64, layout in ``Aggregate``) are one CPU's, or have
    been reduced over CPUs."""
    kind = type_.kind
    if kind in ("hist", "lhist"):
        return Histogram(kind, type_.params, tuple(words))
    if kind == "tseries":
        raise TypeError("a time series is read as a map only")
    first = signed(words[0]) if type_.signed else words[0] & _MASK
    if kind in ("avg", "stats"):
        calls = words[1]
        if kind == "stats":
            return Stats(calls, first)
        return Average(divide(first, calls) if calls else 0)
    return first


def find_show(name: str) -> Show:
    """The function that ``Printable.show`` names."""
    module, _, entry = name.partition(":")
    show: Show = load_module(f"pytrace.builtins.{module}").SHOWS[entry]
    return show
