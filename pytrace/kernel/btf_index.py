"""Where the types of a BTF blob lie and what they are called: built by one scan, kept in a file.

A scan of a kernel's 126 000 types takes about 0.15 s in Python; the saved form is used as it lies
in the file (three arrays of native integers, sorted for bisection), so that a look-up through it
costs microseconds. BTF's layout: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate
from struct import Struct
from struct import error as StructError
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap
    from typing import Final

    Data = bytes | memoryview | mmap


class BtfError(ValueError):
    """Bytes that are not BTF, or broken BTF."""


MAGIC: Final = 0xEB9F
INT: Final = 1
PTR: Final = 2
ARRAY: Final = 3
STRUCT: Final = 4
UNION: Final = 5
ENUM: Final = 6
FWD: Final = 7
TYPEDEF: Final = 8
VOLATILE: Final = 9
CONST: Final = 10
RESTRICT: Final = 11
FUNC: Final = 12
FUNC_PROTO: Final = 13
VAR: Final = 14
DATASEC: Final = 15
FLOAT: Final = 16
DECL_TAG: Final = 17
TYPE_TAG: Final = 18
ENUM64: Final = 19

_TAIL_WORDS: Final = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
_MEMBER_WORDS: Final = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)
"""What follows a type's three words, by kind: so many words, and so many for each of its vlen."""

_SAVED_MAGIC: Final = b"PTBTFIX1"
_SAVED_HEADER: Final = Struct("=8sIIQIIII")  # magic, order, key's crc, BTF size, 3 counts, 0, key
_ORDER_MARK: Final = 0x01020304


class BtfHeader:
    """The header of a BTF blob: its byte order and where types and strings lie (bytes)."""

    __slots__ = ("order", "string_at", "string_size", "type_at", "type_size")

    def __init__(self, data: Data) -> None:
        try:
            for self.order in "<>":
                layout = Struct(self.order + "HBBIIIII")
                magic, version, _, length, types, type_size, strings, string_size = (
                    layout.unpack_from(data, 0)
                )
                if magic == MAGIC:
                    break
            else:
                raise BtfError("not BTF")
        except StructError:
            raise BtfError("truncated BTF") from None
        if version != 1:
            raise BtfError(f"BTF version {version} is not known")
        self.type_at = length + types
        self.type_size = type_size
        self.string_at = length + strings
        self.string_size = string_size
        if max(self.type_at + type_size, self.string_at + string_size) > len(data):
            raise BtfError("truncated BTF")


class BtfIndex:
    """Sorted look-up arrays over one blob.

    ``offsets[i]`` is where the i-th type lies, in bytes from the start of the types; ``names``
    and ``enumerators`` hold ``crc32(name) << 32 | type id``. A CRC may be shared by several
    names: who looks up compares the name itself.
    """

    __slots__ = ("enumerators", "names", "offsets")

    def __init__(
        self,
        offsets: array[int] | memoryview,
        names: array[int] | memoryview,
        enumerators: array[int] | memoryview,
    ) -> None:
        self.offsets = offsets
        self.names = names
        self.enumerators = enumerators

    @classmethod
    def scan(
        cls, data: Data, header: BtfHeader, base_strings: bytes = b"", first_id: int = 0
    ) -> BtfIndex:
        """Index a blob. Split BTF of a module continues the strings and ids of its base.

        Raises ``BtfError`` if the types do not add up.
        """
        words = _words(data, header)
        offsets, named, enums = _walk(words, first_id)
        crcs = _string_crcs(data, header, base_strings, words, named, enums)
        known = crcs.get
        names = array("Q", sorted([known(n, 0) << 32 | i for n, i in named]))
        pairs = []
        for at, count, step, type_id in enums:
            for name in words[at : at + count * step : step]:
                pairs.append(known(name, 0) << 32 | type_id)
        return cls(offsets, names, array("Q", sorted(pairs)))

    @classmethod
    def load(cls, saved: Data, btf_size: int, key: str) -> BtfIndex | None:
        """The index that ``save`` made of the blob with that size and key, else None.

        The arrays stay where they lie: keep ``saved`` alive and unchanged.
        """
        if len(saved) < _SAVED_HEADER.size:
            return None
        header = _SAVED_HEADER.unpack_from(saved, 0)
        if header[:4] != (_SAVED_MAGIC, _ORDER_MARK, crc32(key.encode()), btf_size):
            return None
        offsets, names, enumerators, contents = header[4:]
        at = _SAVED_HEADER.size
        ends = list(accumulate((names * 8, enumerators * 8, offsets * 4), initial=at))
        if ends[-1] != len(saved) or contents != crc32(memoryview(saved)[at:]):
            return None
        view = memoryview(saved)
        return cls(
            view[ends[2] : ends[3]].cast("I"),
            view[ends[0] : ends[1]].cast("Q"),
            view[ends[1] : ends[2]].cast("Q"),
        )

    def save(self, btf_size: int, key: str) -> bytes:
        """Bytes for ``load``. ``key`` names the kernel build; only this machine's order is kept."""
        body = self.names.tobytes() + self.enumerators.tobytes() + self.offsets.tobytes()
        counts = len(self.offsets), len(self.names), len(self.enumerators)
        head = _SAVED_MAGIC, _ORDER_MARK, crc32(key.encode()), btf_size
        return _SAVED_HEADER.pack(*head, *counts, crc32(body)) + body


def candidates(table: array[int] | memoryview, name: bytes) -> Iterator[int]:
    """Type ids that ``names`` or ``enumerators`` hold for a name, lowest first."""
    wanted = crc32(name)
    at = bisect_left(table, wanted << 32)
    while at < len(table) and table[at] >> 32 == wanted:
        yield table[at] & 0xFFFFFFFF
        at += 1


def _words(data: Data, header: BtfHeader) -> array[int]:
    size = header.type_size
    if size % 4:
        raise BtfError("BTF types are not made of whole words")
    words = array("I", bytes(data[header.type_at : header.type_at + size]))
    if (header.order == "<") != (array("H", [1]).tobytes() == b"\1\0"):
        words.byteswap()
    return words


def _walk(
    words: array[int], first_id: int
) -> tuple[array[int], list[tuple[int, int]], list[tuple[int, int, int, int]]]:
    """Offsets of types, (name, id) of named ones, (word, vlen, step, id) of enums' members."""
    tails, members = _TAIL_WORDS, _MEMBER_WORDS
    offsets = array("I")
    named: list[tuple[int, int]] = []
    enums: list[tuple[int, int, int, int]] = []
    add_offset, add_name = offsets.append, named.append
    if first_id == 0:
        add_offset(0)  # type 0 is void and lies nowhere
    type_id = first_id or 1
    at, end = 0, len(words)
    try:
        while at < end:
            add_offset(at * 4)
            if words[at]:
                add_name((words[at], type_id))
            info = words[at + 1]
            kind = info >> 24 & 31
            step = members[kind]
            if step and kind in (ENUM, ENUM64):
                enums.append((at + 3, info & 0xFFFF, step, type_id))
            at += 3 + (info & 0xFFFF) * step + tails[kind]
            type_id += 1
    except IndexError:
        raise BtfError("BTF with an unknown kind of type, or cut short") from None
    if at != end:
        raise BtfError("the last BTF type reaches beyond the types")
    return offsets, named, enums


def _string_crcs(
    data: Data,
    header: BtfHeader,
    base_strings: bytes,
    words: array[int],
    named: list[tuple[int, int]],
    enums: list[tuple[int, int, int, int]],
) -> dict[int, int]:
    """CRC of the string at each offset that is in use."""
    own = bytes(data[header.string_at : header.string_at + header.string_size])
    strings = own.split(b"\0")
    starts = accumulate(map(len, strings), lambda at, size: at + size + 1, initial=0)
    crcs = {len(base_strings) + at: crc for at, crc in zip(starts, map(crc32, strings))}
    if base_strings:
        wanted = {n for n, _ in named}
        for at, count, step, _ in enums:
            wanted.update(words[at : at + count * step : step])
        for at in wanted:
            if at < len(base_strings):
                crcs[at] = crc32(base_strings[at : base_strings.find(b"\0", at)])
    return crcs
