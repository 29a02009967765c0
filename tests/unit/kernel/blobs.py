"""Makes small BTF blobs, for tests of the reader."""

from __future__ import annotations

import struct

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT = range(9, 17)
DECL_TAG, TYPE_TAG, ENUM64 = range(17, 20)
SIGNED, CHAR, BOOL = 1, 2, 4


class Blob:
    """Collects types; each method gives the id of the type that it adds.

    ``base`` makes split BTF: ids and strings continue those of another blob.
    """

    def __init__(self, order: str = "<", base: Blob | None = None) -> None:
        self.order = order
        self.base = base
        self.strings = b"" if base else b"\0"
        self.types = b""
        self.next_id: int = base.next_id if base else 1

    def string(self, text: str) -> int:
        if not text:
            return 0
        raw = text.encode() + b"\0"
        start = len(self.base.strings) if self.base else 0
        if self.base:
            known = (b"\0" + self.base.strings).find(b"\0" + raw)
            if known >= 0:
                return known
        at = self.strings.find(b"\0" + raw)
        if at >= 0:
            return start + at + 1
        self.strings += raw
        return start + len(self.strings) - len(raw)

    def add(
        self, kind: int, name: str, value: int, *words: int, vlen: int = 0, flag: bool = False
    ) -> int:
        info = flag << 31 | kind << 24 | vlen
        self.types += struct.pack(
            f"{self.order}{3 + len(words)}I",
            self.string(name),
            info,
            value,
            *(w & 0xFFFFFFFF for w in words),
        )
        self.next_id += 1
        return self.next_id - 1

    def integer(
        self, name: str, size: int, encoding: int = 0, bits: int = 0, offset: int = 0
    ) -> int:
        return self.add(INT, name, size, encoding << 24 | offset << 16 | (bits or size * 8))

    def ptr(self, to: int) -> int:
        return self.add(PTR, "", to)

    def array(self, elem: int, count: int) -> int:
        return self.add(ARRAY, "", 0, elem, elem, count)

    def struct(
        self,
        name: str,
        size: int,
        *members: tuple[str, int, int] | tuple[str, int, int, int],
        union: bool = False,
    ) -> int:
        """Members are (name, type, offset in bits[, bit-field size])."""
        wide = any(len(m) == 4 for m in members)
        words: list[int] = []
        for m in members:
            place = m[2] | (m[3] << 24 if len(m) == 4 else 0)
            words += [self.string(m[0]), m[1], place]
        kind = UNION if union else STRUCT
        return self.add(kind, name, size, *words, vlen=len(members), flag=wide)

    def enum(self, name: str, size: int, *values: tuple[str, int], signed: bool = False) -> int:
        words: list[int] = []
        for text, value in values:
            words += [self.string(text), value]
        return self.add(ENUM, name, size, *words, vlen=len(values), flag=signed)

    def enum64(self, name: str, *values: tuple[str, int], signed: bool = False) -> int:
        words: list[int] = []
        for text, value in values:
            words += [self.string(text), value, value >> 32]
        return self.add(ENUM64, name, 8, *words, vlen=len(values), flag=signed)

    def proto(self, returns: int, *params: tuple[str, int]) -> int:
        words: list[int] = []
        for text, type_id in params:
            words += [self.string(text), type_id]
        return self.add(FUNC_PROTO, "", returns, *words, vlen=len(params))

    def function(self, name: str, returns: int, *params: tuple[str, int]) -> int:
        return self.add(FUNC, name, self.proto(returns, *params))

    def data(self) -> bytes:
        header = struct.pack(
            self.order + "HBBIIIII",
            0xEB9F,
            1,
            0,
            24,
            0,
            len(self.types),
            len(self.types),
            len(self.strings),
        )
        return header + self.types + self.strings
