"""``CompiledProgram`` to bytes and back: a container of our own, never pickle or marshal.

A cached program is read by a process with high privileges, so reading one builds nothing but
plain values and the passive records listed here, whatever the bytes are, and damage of any kind is
one exception, ``PackError``. Equal values give equal bytes.

Layout, integers little endian::

    0   8  magic
    8   4  format version
    12  4  length of the payload
    16 32  BLAKE2b of the payload
    48     payload: one value

A value is a tag byte and what the tag needs. ``n`` is an unsigned LEB128 number.

    ====== ===========================================================================
    80..ff the integer 0..127
    N T F  None, True, False
    i      integer: n, zigzag coded
    s b    text (UTF-8, surrogates kept), bytes: n, the bytes; each takes the next number
    t      tuple: n, the values
    c      a new class: its signature as a value, then an object of it as after ``o``
    o      object: n (class by order of appearance), n (fields present, the others have
           their defaults), the values; objects of immutable-by-value classes take the
           next number
    r      n: the value with that number again
    I J    tuple of objects of one class with only u32 fields, a known class (n) or a new
           one (signature): n, then all fields of the first object, of the second ...
    ====== ===========================================================================

A class is known by its signature, ``Name(field,field)``: bytes written for other fields than those
of this version do not load.
"""

from __future__ import annotations

import struct
from _blake2 import blake2b

from pytrace.base import types
from pytrace.base.frozen import Frozen, FrozenValue
from pytrace.model import compiled, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

MAGIC: Final = b"pytrace\xbf"
FORMAT: Final = 1
DIGEST_SIZE: Final = 32
HEADER: Final = struct.Struct("<8sII32s")

_MAX_DEPTH: Final = 250
_MAX_NUMBER_BYTES: Final = 10
_NEW: Final = object.__new__


class PackError(ValueError):
    """These bytes are not a value that this version packed."""


class _Class:
    """What is needed to write and read the objects of one class."""

    __slots__ = ("by_value", "cls", "defaults", "fields", "required")

    def __init__(self, cls: type[Frozen]) -> None:
        self.cls = cls
        self.fields = cls.__fields__
        self.defaults = cls._defaults
        # Only defaults at the end can be left out.
        required = len(self.fields)
        while required and self.fields[required - 1] in self.defaults:
            required -= 1
        self.required = required
        self.by_value = issubclass(cls, FrozenValue)


def signature(cls: type[Frozen]) -> str:
    """How a class is named in the container."""
    return f"{cls.__name__}({','.join(cls.__fields__)})"


_CLASSES: Final = {
    signature(cls): _Class(cls)
    for module in (types, events, compiled)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Frozen) and cls.__module__ == module.__name__
}


def pack(program: compiled.CompiledProgram) -> bytes:
    """The container of one program.

    ``TypeError`` for values that have no place in it, ``PackError`` for nesting without end.
    """
    return pack_value(program)


def unpack(data: bytes) -> compiled.CompiledProgram:
    """The program that ``pack`` packed. ``PackError`` for anything else."""
    program = unpack_value(data)
    if not isinstance(program, compiled.CompiledProgram):
        raise PackError("this is not a compiled program")
    return program


def pack_value(value: object) -> bytes:
    """The container of a plain value or a record of ``model``."""
    try:
        payload = bytes(_Writer().write(value))
    except RecursionError as error:
        raise PackError("nested too deep") from error
    return HEADER.pack(MAGIC, FORMAT, len(payload), digest(payload)) + payload


def unpack_value(data: bytes) -> object:
    """The value that ``pack_value`` packed. ``PackError`` for anything else."""
    if len(data) < HEADER.size:
        raise PackError("shorter than a header")
    magic, version, length, check = HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT:
        raise PackError("not of this version's format")
    payload = data[HEADER.size :]
    if length != len(payload) or digest(payload) != check:
        raise PackError("damaged")
    return decode(payload)


def digest(data: bytes) -> bytes:
    """The checksum of a payload."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


class _Writer:
    """Writes one value; ``_numbers`` has the number of each text, bytes and record written."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._numbers: dict[tuple[type, object], int] = {}
        self._classes: dict[type[Frozen], int] = {}

    def write(self, value: object) -> bytearray:
        self._value(value)
        return self._out

    def _value(self, value: object, depth: int = 0) -> None:
        out = self._out
        if depth > _MAX_DEPTH:
            raise PackError("nested too deep")
        if value is None:
            out += b"N"
        elif value is True:
            out += b"T"
        elif value is False:
            out += b"F"
        elif isinstance(value, int):
            self._int(int(value))
        elif isinstance(value, str):
            self._bytes(b"s", str, value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, bytes):
            self._bytes(b"b", bytes, bytes(value))
        elif isinstance(value, tuple):
            self._tuple(value, depth)
        elif isinstance(value, Frozen):
            self._record(value, depth)
        else:
            raise TypeError(f"{type(value).__name__} cannot be packed")

    def _int(self, value: int) -> None:
        if 0 <= value < 128:
            self._out.append(0x80 | value)
            return
        if not -(2**64) < value < 2**64:
            raise TypeError(f"an integer of {value.bit_length()} bits cannot be packed")
        self._out += b"i"
        self._number(value << 1 if value >= 0 else (-value << 1) - 1)

    def _number(self, value: int) -> None:
        while value >= 0x80:
            self._out.append(value & 0x7F | 0x80)
            value >>= 7
        self._out.append(value)

    def _bytes(self, tag: bytes, kind: type, raw: bytes) -> None:
        if self._again((kind, raw)):
            return
        self._out += tag
        self._number(len(raw))
        self._out += raw

    def _again(self, key: tuple[type, object]) -> bool:
        """True if the value was written before; then this writes its number."""
        number = self._numbers.get(key)
        if number is None:
            self._numbers[key] = len(self._numbers)
            return False
        self._out += b"r"
        self._number(number)
        return True

    def _tuple(self, items: tuple[object, ...], depth: int) -> None:
        if len(items) > 1 and self._columns(items):
            return
        self._out += b"t"
        self._number(len(items))
        for item in items:
            self._value(item, depth + 1)

    def _columns(self, items: tuple[object, ...]) -> bool:
        """Write the items as an ``I`` if they are objects of one class with only u32 fields."""
        cls = type(items[0])
        if not issubclass(cls, Frozen) or not cls.__fields__:
            return False
        flat: list[int] = []
        for item in items:
            if type(item) is not cls:
                return False
            values = [getattr(item, name) for name in cls.__fields__]
            if any(type(v) is not int or not 0 <= v < 2**32 for v in values):
                return False
            flat += values
        self._class(cls, known=b"I", new=b"J")
        self._number(len(items))
        self._out += struct.pack(f"<{len(flat)}I", *flat)
        return True

    def _class(self, cls: type[Frozen], *, known: bytes, new: bytes) -> None:
        """Write a class behind the tag for one that was written before, or for a new one."""
        number = self._classes.get(cls)
        if number is not None:
            self._out += known
            self._number(number)
            return
        name = signature(cls)
        if name not in _CLASSES or _CLASSES[name].cls is not cls:
            raise TypeError(f"{cls.__name__} cannot be packed")
        self._out += new
        self._classes[cls] = len(self._classes)
        self._value(name)

    def _record(self, record: Frozen, depth: int) -> None:
        cls = type(record)
        # Equal records may differ in bool against int, which the representation shows.
        key = (cls, (record, repr(record))) if isinstance(record, FrozenValue) else None
        number = self._numbers.get(key) if key else None
        if number is not None:
            self._out += b"r"
            self._number(number)
            return
        self._class(cls, known=b"o", new=b"c")
        known = _CLASSES[signature(cls)]
        values = [getattr(record, name) for name in known.fields]
        while len(values) > known.required:
            default = known.defaults[known.fields[len(values) - 1]]
            if type(values[-1]) is not type(default) or values[-1] != default:
                break
            values.pop()
        self._number(len(values))
        for value in values:
            self._value(value, depth + 1)
        if key:
            self._numbers[key] = len(self._numbers)


def decode(payload: bytes) -> object:
    """The value of a payload whose checksum is right; ``PackError`` if it makes no sense."""
    reader = _Reader(payload)
    try:
        value = reader.value(0)
    except (IndexError, UnicodeDecodeError, RecursionError) as error:
        raise PackError(f"makes no sense at {reader.at}: {error}") from error
    if reader.at != len(payload):
        raise PackError("something follows the value")
    return value


class _Reader:
    """Reads values from ``data``, ``at`` being the next byte."""

    __slots__ = ("_classes", "_numbered", "at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._numbered: list[object] = []
        self._classes: list[_Class] = []

    def value(self, depth: int) -> object:
        data = self.data
        tag = data[self.at]
        self.at += 1
        if tag >= 0x80:
            return tag & 0x7F
        if tag == 0x72:  # r
            return self._numbered[self.number()]
        if tag == 0x73:  # s
            text = self._raw(self.number()).decode("utf-8", "surrogatepass")
            self._numbered.append(text)
            return text
        if tag == 0x6F:  # o
            return self._object(self._classes[self.number()], depth)
        if tag == 0x69:  # i
            coded = self.number()
            return -(coded + 1 >> 1) if coded & 1 else coded >> 1
        if tag == 0x74:  # t
            return self._tuple(depth)
        if tag == 0x46:  # F
            return False
        if tag == 0x54:  # T
            return True
        if tag == 0x4E:  # N
            return None
        if tag == 0x62:  # b
            raw = self._raw(self.number())
            self._numbered.append(raw)
            return raw
        if tag == 0x63:  # c
            return self._object(self._class(self.value(depth + 1)), depth)
        if tag == 0x49:  # I
            return self._columns(self._classes[self.number()])
        if tag == 0x4A:  # J
            return self._columns(self._class(self.value(depth + 1)))
        raise PackError(f"unknown tag {tag:#x}")

    def number(self) -> int:
        data = self.data
        byte = data[self.at]
        self.at += 1
        if byte < 0x80:
            return byte
        result = byte & 0x7F
        for shift in range(7, 7 * _MAX_NUMBER_BYTES, 7):
            byte = data[self.at]
            self.at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
        raise PackError("a number without an end")

    def _raw(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise PackError("cut short")
        raw = self.data[self.at : end]
        self.at = end
        return raw

    def _tuple(self, depth: int) -> tuple[object, ...]:
        count = self.number()
        if count > len(self.data) - self.at or depth > _MAX_DEPTH:
            raise PackError("a tuple beyond all bounds")
        value, inner = self.value, depth + 1
        return tuple([value(inner) for _ in range(count)])

    def _class(self, name: object) -> _Class:
        known = _CLASSES.get(name) if isinstance(name, str) else None
        if known is None:
            raise PackError(f"unknown class {name!r}")
        self._classes.append(known)
        return known

    def _object(self, known: _Class, depth: int) -> object:
        count = self.number()
        if not known.required <= count <= len(known.fields) or depth > _MAX_DEPTH:
            raise PackError(f"{known.cls.__name__} with {count} fields")
        value, inner = self.value, depth + 1
        record = _fill(known, [value(inner) for _ in range(count)])
        if known.by_value:
            self._numbered.append(record)
        return record

    def _columns(self, known: _Class) -> tuple[object, ...]:
        count = self.number()
        width = 4 * len(known.fields)
        if not width or count > (len(self.data) - self.at) // width:
            raise PackError("cut short")
        raw = self._raw(count * width)
        rows = struct.Struct(f"<{len(known.fields)}I").iter_unpack(raw)
        return tuple([_fill(known, row) for row in rows])


def _fill(known: _Class, values: Any) -> Frozen:
    """A record without a call of its ``__init__``, which takes three times as long."""
    record: Frozen = _NEW(known.cls)
    record.__dict__.update(zip(known.fields, values, strict=False))
    return record
