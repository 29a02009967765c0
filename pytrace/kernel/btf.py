"""Types of a kernel from its BTF, as the language's types. Pure; bytes (or an mmap) in.

Layouts are those of Documentation/bpf/btf.rst. Structs without a name get one,
``anon_<type id>`` (with ``_<module>`` for those of a module), by which ``struct`` finds them.
"""

from __future__ import annotations

from struct import Struct as Layout
from struct import error as StructError

from pytrace.base.text import matches
from pytrace.base.types import (
    BOOL,
    KERNEL,
    U8,
    U64,
    USER,
    VOID,
    Array,
    Bool,
    Enum,
    EnumDef,
    Field,
    Int,
    Opaque,
    Ptr,
    Str,
    Struct,
    StructDef,
)
from pytrace.kernel import btf_index as k
from pytrace.kernel.btf_index import BtfError, BtfHeader, BtfIndex, candidates
from pytrace.kernel.info import FuncProto

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from pytrace.base.types import Type
    from pytrace.kernel.btf_index import Data

_KINDS: Final = {"struct": k.STRUCT, "union": k.UNION}
_MODIFIERS: Final = (k.TYPEDEF, k.VOLATILE, k.CONST, k.RESTRICT, k.TYPE_TAG)
_NAMED_TYPES: Final = (k.TYPEDEF, k.INT, k.FLOAT)
_MAX_DEPTH: Final = 64
_INT_SIGNED: Final = 1
_INT_CHAR: Final = 2
_INT_BOOL: Final = 4


class Btf:
    """One BTF blob: the kernel's, or with ``base`` the split one of a module.

    ``index`` saves the scan of the blob, which otherwise happens now. ``data`` must stay as it
    is. Names are C names without ``struct``; look-ups give None for what is not there and raise
    ``BtfError`` for broken data.
    """

    def __init__(
        self,
        data: Data,
        index: BtfIndex | None = None,
        base: Btf | None = None,
        module: str = "vmlinux",
    ) -> None:
        self.module = module
        self._data = data
        self._base = base
        self._header = header = BtfHeader(data)
        self.first_id = len(base) if base else 0
        self._first_string = base.string_end if base else 0
        self.string_end: int = self._first_string + header.string_size
        if index is None:
            index = BtfIndex.scan(data, header, base.strings() if base else b"", self.first_id)
        self.index = index
        self._three = Layout(header.order + "III")
        self._types: dict[int, Type] = {}

    def __len__(self) -> int:
        """Number of types, those of the base included: the first id that is not used."""
        return self.first_id + len(self.index.offsets)

    # Definitions by name

    def struct(self, kind: str, name: str) -> StructDef | None:
        found = self._find_struct(_KINDS[kind], name)
        if found is None:
            return None
        fields: list[Field] = []
        self._flatten(found, 0, fields, 0)
        size = self.head(found)[2]
        return StructDef(kind=kind, name=name, size=size, fields=tuple(fields))

    def enum(self, name: str) -> EnumDef | None:
        found = self._find_named(name, (k.ENUM, k.ENUM64))
        return None if found is None else self._enum_def(found)

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        """Value of an enumerator and its enum's type."""
        for type_id in candidates(self.index.enumerators, name.encode()):
            definition = self._enum_def(type_id)
            for known, value in definition.values:
                if known == name:
                    return value, definition.type
        return self._base.enum_constant(name) if self._base else None

    def typedef(self, name: str) -> Type | None:
        """What a typedef stands for; also C's own names (``unsigned int``, ``_Bool``)."""
        found = self.find(name, _NAMED_TYPES)
        return None if found is None else self.type(found)

    def function(self, name: str) -> FuncProto | None:
        found = self.find(name, (k.FUNC,))
        return None if found is None else self._prototype(name, found)

    def raw_tracepoint(self, event: str) -> FuncProto | None:
        """Arguments of a raw tracepoint: of ``btf_trace_<event>`` without its first, the data."""
        proto = self.raw_tracepoint_prototype(event)
        if proto is None:
            return None
        params = self._params(proto)[1:]
        return FuncProto(name=event, module=self.module, params=params, returns=VOID)

    def raw_tracepoint_prototype(self, event: str) -> int | None:
        """The type id of a raw tracepoint's prototype, with its first argument.

        That of the typedef has no names; names come from the function that the kernel defines
        with the same arguments for each tracepoint (__probestub_*, or before it __traceiter_*;
        include/linux/tracepoint.h).
        """
        pointer = self._resolved(self.find(f"btf_trace_{event}", (k.TYPEDEF,)) or 0)
        proto = self._resolved(self.head(pointer)[2]) if self.kind(pointer) == k.PTR else 0
        if self.kind(proto) != k.FUNC_PROTO:
            return None
        for prefix in ("__probestub_", "__traceiter_", "__bpf_trace_"):
            func = self.find(prefix + event, (k.FUNC,))
            named = self.head(func)[2] if func else 0
            if self.kind(named) == k.FUNC_PROTO and self._count(named) == self._count(proto):
                return named
        return proto

    def _count(self, type_id: int) -> int:
        return self.head(type_id)[1] & 0xFFFF

    def find(self, name: str, kinds: tuple[int, ...]) -> int | None:
        """The first type of that name and of one of these kinds, in this blob or its base."""
        raw = name.encode()
        if raw:
            for type_id in candidates(self.index.names, raw):
                head = self.head(type_id)
                if head[1] >> 24 & 31 in kinds and self._raw_string(head[0]) == raw:
                    return type_id
        return self._base.find(name, kinds) if self._base else None

    def names(self, kind: int) -> Iterator[str]:
        """Names of all types of a kind in this blob alone, in its order, with repetitions."""
        return (name.decode("utf-8", "replace") for name in self.raw_names(kind))

    def raw_names(self, kind: int) -> Iterator[bytes]:
        unpack, at = self._three.unpack_from, self._header.type_at
        for offset in self.index.offsets[0 if self._base else 1 :]:
            name, info, _ = unpack(self._data, at + offset)
            if info >> 24 & 31 == kind and name:
                yield self._raw_string(name)

    def named(self, kinds: tuple[int, ...], pattern: str) -> list[tuple[str, int]]:
        """(name, id) of the types of these kinds in this blob whose name matches, sorted."""
        found = []
        if "*" not in pattern:
            raw = pattern.encode()
            for type_id in candidates(self.index.names, raw):
                name, info, _ = self.head(type_id)
                if info >> 24 & 31 in kinds and self._raw_string(name) == raw:
                    found.append((pattern, type_id))
            return found
        unpack, at, base = self._three.unpack_from, self._header.type_at, self.first_id
        for number, offset in enumerate(self.index.offsets):
            if not base + number:
                continue  # void
            name, info, _ = unpack(self._data, at + offset)
            if info >> 24 & 31 in kinds and name:
                text = self.string(name)
                if matches(pattern, text):
                    found.append((text, base + number))
        return sorted(found)

    def functions(self) -> Iterator[str]:
        return self.names(k.FUNC)

    # Types by id

    def type(self, type_id: int) -> Type:
        """The language's type for a type id: typedefs and qualifiers resolved, 0 is void."""
        known = self._types.get(type_id)
        if known is None:
            known = self._types[type_id] = self._make_type(type_id, 0)
        return known

    def _make_type(self, type_id: int, depth: int) -> Type:
        if depth > _MAX_DEPTH:
            raise BtfError(f"BTF type {type_id} is nested too deeply")
        type_id = self._resolved(type_id)
        if not type_id:
            return VOID
        _, info, value = self.head(type_id)
        kind = info >> 24 & 31
        if kind == k.INT:
            return self._int(type_id, value)
        if kind == k.PTR:
            return self._pointer(value, depth)
        if kind == k.ARRAY:
            return self._array(type_id, depth)
        if kind in (k.STRUCT, k.UNION):
            word = "struct" if kind == k.STRUCT else "union"
            return Struct(kind=word, name=self._type_name(type_id), bytes=value)
        if kind == k.FWD:
            return self._forward(type_id, "union" if info >> 31 else "struct")
        if kind in (k.ENUM, k.ENUM64):
            bits = value * 8 if value in (1, 2, 4, 8) else 32
            return Enum(name=self._type_name(type_id), bits=bits, signed=bool(info >> 31))
        if kind == k.FLOAT:
            return Opaque(bytes=value)
        if kind == k.FUNC_PROTO:
            return VOID
        raise BtfError(f"BTF type {type_id} is no type of a value")

    def _int(self, type_id: int, size: int) -> Type:
        data = self.words(type_id, 1)[0]
        if data >> 24 & _INT_BOOL and size == 1:
            return BOOL
        if size in (1, 2, 4, 8):
            return Int(bits=size * 8, signed=bool(data >> 24 & _INT_SIGNED))
        return Array(elem=U64, count=size // 8) if size % 8 == 0 else Array(elem=U8, count=size)

    def _pointer(self, to: int, depth: int) -> Type:
        space = USER if "user" in self._tags(to) else KERNEL
        return Ptr(to=self._make_type(to, depth + 1), space=space)

    def _array(self, type_id: int, depth: int) -> Type:
        elem, _, count = self.words(type_id, 3)
        if self._is_char(elem):
            return Str(length=count)
        return Array(elem=self._make_type(elem, depth + 1), count=count)

    def _is_char(self, type_id: int) -> bool:
        """True for elements of what the language calls a string: char and signed bytes.

        Kernels since 6.2 have unsigned chars, which only their name tells from u8.
        """
        found = self._resolved(type_id)
        name, info, size = self.head(found) if found else (0, 0, 0)
        if info >> 24 & 31 != k.INT or size != 1:
            return False
        encoding = self.words(found, 1)[0] >> 24
        plain = self._raw_string(name) == b"char"
        return plain or bool(encoding & _INT_CHAR) or encoding & 7 == _INT_SIGNED

    def _forward(self, type_id: int, word: str) -> Struct:
        """A struct that is only announced here; of known size if it is defined elsewhere."""
        name = self._type_name(type_id)
        full = self.find(name, (_KINDS[word],))
        return Struct(kind=word, name=name, bytes=self.head(full)[2] if full else 0)

    def _enum_def(self, type_id: int) -> EnumDef:
        _, info, size = self.head(type_id)
        signed = bool(info >> 31)
        wide = info >> 24 & 31 == k.ENUM64
        count = info & 0xFFFF
        words = self.words(type_id, count * (3 if wide else 2))
        values = []
        for i in range(count):
            row = words[i * 3 : i * 3 + 3] if wide else words[i * 2 : i * 2 + 2]
            value = row[1] | row[2] << 32 if wide else row[1]
            top = 1 << (63 if wide else 31)
            values.append(
                (self.string(row[0]), value - 2 * top if signed and value & top else value)
            )
        bits = size * 8 if size in (1, 2, 4, 8) else 32
        name = self._type_name(type_id)
        return EnumDef(name=name, bits=bits, signed=signed, values=tuple(values))

    def enumerators(self, type_id: int) -> tuple[tuple[str, int], ...]:
        """(name, value) of each constant of an enum."""
        return self._enum_def(type_id).values

    def _prototype(self, name: str, func: int) -> FuncProto | None:
        proto = self.head(func)[2]
        if self.kind(proto) != k.FUNC_PROTO:
            return None
        returns = self.type(self.head(proto)[2])
        module = self.module if func >= self.first_id else "vmlinux"
        params = self._params(proto)
        return FuncProto(name=name, module=module, params=params, returns=returns, btf_id=func)

    def _params(self, proto: int) -> tuple[tuple[str, Type], ...]:
        """(name, type) of each parameter; nameless ones are ``arg0`` ..., ``...`` is left out."""
        count = self.head(proto)[1] & 0xFFFF
        words = self.words(proto, count * 2)
        found = []
        for i in range(count):
            name, type_id = words[i * 2], words[i * 2 + 1]
            if name or type_id:
                found.append((self.string(name) or f"arg{i}", self.type(type_id)))
        return tuple(found)

    # Members

    def _flatten(self, type_id: int, base_bits: int, fields: list[Field], depth: int) -> None:
        """Append a struct's members, those of anonymous members in their place."""
        if depth > _MAX_DEPTH:
            raise BtfError(f"BTF type {type_id} is nested too deeply")
        info = self.head(type_id)[1]
        count = info & 0xFFFF
        words = self.words(type_id, count * 3)
        for i in range(count):
            name, member, place = words[i * 3 : i * 3 + 3]
            bits, width = (place & 0xFFFFFF, place >> 24) if info >> 31 else (place, 0)
            bits += base_bits
            if name:
                fields.append(self._field(self.string(name), member, bits, width))
            elif self.kind(member) in (k.STRUCT, k.UNION):
                self._flatten(member, bits, fields, depth + 1)

    def _field(self, name: str, type_id: int, bits: int, width: int) -> Field:
        made = self.type(type_id)
        found = self._resolved(type_id)
        kind = self.kind(found)
        if kind == k.INT and not width:
            # Before kind_flag (4.20), bit fields were integers of so many bits at an offset.
            data = self.words(found, 1)[0]
            if data & 0xFF and (data & 0xFF) < made.size * 8 and not isinstance(made, Bool):
                bits, width = bits + (data >> 16 & 0xFF), data & 0xFF
        if width:
            return self._bit_field(name, made, bits, width)
        tag = ""
        if kind == k.PTR:
            tag = next((t for t in self._tags(self.head(found)[2]) if t != "user"), "")
        return Field(name=name, type=made, offset=bits // 8, tag=tag)

    def _bit_field(self, name: str, made: Type, bits: int, width: int) -> Field:
        """The bits within an integer of the declared size, counted from its lowest bit.

        A packed bit field may not fit its declared size; then it is read as a larger integer.
        """
        size = made.size or 1
        start = bits // (size * 8) * size
        if bits - start * 8 + width > size * 8:
            start = bits // 8
            while bits - start * 8 + width > size * 8 and size < 8:
                size *= 2
            made = Int(bits=size * 8, signed=isinstance(made, (Int, Enum)) and made.signed)
        shift = bits - start * 8
        if self._header.order == ">":
            shift = size * 8 - shift - width
        return Field(name=name, type=made, offset=start, bit_offset=shift, bit_size=width)

    # Raw access

    def head(self, type_id: int) -> tuple[int, int, int]:
        """(name's offset, info, size or type) of a type."""
        if type_id < self.first_id and self._base:
            return self._base.head(type_id)
        try:
            offset = self.index.offsets[type_id - self.first_id]
            name, info, value = self._three.unpack_from(self._data, self._header.type_at + offset)
        except (IndexError, StructError):
            raise BtfError(f"there is no BTF type {type_id}") from None
        return name, info, value

    def kind(self, type_id: int) -> int:
        """The kind of a type; 0 for void."""
        return self.head(type_id)[1] >> 24 & 31 if type_id else 0

    def words(self, type_id: int, count: int) -> tuple[int, ...]:
        """The words that follow a type's head."""
        if type_id < self.first_id and self._base:
            return self._base.words(type_id, count)
        at = self._header.type_at + self.index.offsets[type_id - self.first_id] + 12
        try:
            return Layout(f"{self._header.order}{count}I").unpack_from(self._data, at)
        except StructError:
            raise BtfError(f"BTF type {type_id} is cut short") from None

    def _resolved(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and tags."""
        for _ in range(_MAX_DEPTH):
            if not type_id:
                return 0
            _, info, value = self.head(type_id)
            if info >> 24 & 31 not in _MODIFIERS:
                return type_id
            type_id = value
        raise BtfError("BTF types refer to each other in a circle")

    def _tags(self, type_id: int) -> list[str]:
        """Type tags on the way to the type itself, as a pointer to it carries them."""
        tags = []
        for _ in range(_MAX_DEPTH):
            if not type_id:
                break
            name, info, value = self.head(type_id)
            kind = info >> 24 & 31
            if kind == k.TYPE_TAG:
                tags.append(self.string(name))
            elif kind not in (k.VOLATILE, k.CONST, k.RESTRICT):
                break
            type_id = value
        return tags

    def _type_name(self, type_id: int) -> str:
        name = self.string(self.head(type_id)[0])
        if name:
            return name
        suffix = "" if type_id < self.first_id or not self._base else f"_{self.module}"
        return f"anon_{type_id}{suffix}"

    def _find_named(self, name: str, kinds: tuple[int, ...]) -> int | None:
        """As ``find``, and types without a name by the one that they got here."""
        found = self.find(name, kinds)
        if found is None and name.startswith("anon_"):
            number = name[5:].partition("_")[0]
            if number.isdecimal() and 0 < int(number) < len(self):
                type_id = int(number)
                if self.kind(type_id) in kinds and self._type_name(type_id) == name:
                    return type_id
        return found

    def _find_struct(self, kind: int, name: str) -> int | None:
        return self._find_named(name, (kind,))

    def string(self, offset: int) -> str:
        return self._raw_string(offset).decode("utf-8", "replace")

    def _raw_string(self, offset: int) -> bytes:
        if offset < self._first_string and self._base:
            return self._base._raw_string(offset)
        own = offset - self._first_string
        if own >= self._header.string_size:
            raise BtfError(f"there is no BTF string {offset}")
        start = self._header.string_at + own
        limit = self._header.string_at + self._header.string_size
        size = 64
        while True:
            piece = bytes(self._data[start : min(start + size, limit)])
            end = piece.find(b"\0")
            if end >= 0 or start + size >= limit:
                return piece[:end] if end >= 0 else piece
            size *= 8

    def strings(self) -> bytes:
        """All strings, for the scan of split BTF on top."""
        start = self._header.string_at
        own = bytes(self._data[start : start + self._header.string_size])
        return (self._base.strings() if self._base else b"") + own
