"""Makes small DWARF units, for tests of the reader."""

from __future__ import annotations

import struct

from pytrace.kernel import dwarf

ADDR, DATA1, DATA4, STRING, STRP, REF4, EXPRLOC, FLAG_PRESENT, SEC_OFFSET, STRX1, ADDRX, SIG8 = (
    0x01, 0x0B, 0x06, 0x08, 0x0E, 0x13, 0x18, 0x19, 0x17, 0x25, 0x1B, 0x20
)  # fmt: skip


def uleb(value: int) -> bytes:
    found = b""
    while True:
        value, low = value >> 7, value & 0x7F
        found += bytes([low | 0x80 if value else low])
        if not value:
            return found


class Entry:
    """An entry with (attribute, form, value) and children. A value may be another entry."""

    def __init__(
        self, tag: int, *attributes: tuple[int, int, object], children: tuple[Entry, ...] = ()
    ) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children = children
        self.at = 0


class UnitBytes:
    """One compilation unit as .debug_info, .debug_abbrev and .debug_str, little-endian."""

    def __init__(self, root: Entry, version: int = 5, kind: int = 1, number: int = 0) -> None:
        self.version = version
        self._strings = b"\0"
        self._abbrevs: dict[tuple[object, ...], int] = {}
        self._kind = kind
        self._number = number
        self._header_size = len(self._header(0))
        self._encode(root)  # finds where entries lie
        body = self._encode(root)
        self.info = self._header(len(body)) + body
        self.abbrev = self._abbrev_bytes()
        self.strings = self._strings

    def sections(self, suffix: str = "", /, **more: bytes) -> dict[str, bytes]:
        found = {
            f".debug_info{suffix}": self.info,
            f".debug_abbrev{suffix}": self.abbrev,
            f".debug_str{suffix}": self.strings,
        }
        return {**found, **{f".debug_{name}": data for name, data in more.items()}}

    def _header(self, body: int) -> bytes:
        if self.version < 5:
            return struct.pack("<IHIB", body + 7, self.version, 0, 8)
        rest = struct.pack("<HBBI", self.version, self._kind, 8, 0)
        if self._kind in (4, 5):
            rest += struct.pack("<Q", self._number)
        return struct.pack("<I", len(rest) + body) + rest

    def _encode(self, root: Entry) -> bytes:
        out = bytearray()
        self._entry(root, out)
        return bytes(out)

    def _entry(self, entry: Entry, out: bytearray) -> None:
        entry.at = self._header_size + len(out)
        forms = tuple((attribute, form) for attribute, form, _ in entry.attributes)
        key = (entry.tag, bool(entry.children), forms)
        out += uleb(self._abbrevs.setdefault(key, len(self._abbrevs) + 1))
        for _, form, value in entry.attributes:
            out += self._value(form, value)
        if entry.children:
            for child in entry.children:
                self._entry(child, out)
            out.append(0)

    def _value(self, form: int, value: object) -> bytes:
        if isinstance(value, Entry):
            return struct.pack("<I", value.at)
        if isinstance(value, str):
            if form == STRING:
                return value.encode() + b"\0"
            raw = b"\0" + value.encode() + b"\0"
            at = self._strings.find(raw)
            if at < 0:
                at = len(self._strings) - 1
                self._strings += raw[1:]
            return struct.pack("<I", at + 1)
        if isinstance(value, bytes):
            return uleb(len(value)) + value
        assert isinstance(value, int)
        if form == FLAG_PRESENT:
            return b""
        if form == ADDRX:
            return uleb(value)
        sizes = {ADDR: 8, DATA1: 1, DATA4: 4, SEC_OFFSET: 4, STRX1: 1, SIG8: 8, REF4: 4}
        return value.to_bytes(sizes[form], "little")

    def _abbrev_bytes(self) -> bytes:
        out = bytearray()
        for (tag, children, forms), code in self._abbrevs.items():
            assert isinstance(tag, int) and isinstance(forms, tuple)
            out += uleb(code) + uleb(tag) + bytes([bool(children)])
            for attribute, form in forms:
                out += uleb(attribute) + uleb(form)
            out += b"\0\0"
        return bytes(out) + b"\0"


def named(tag: int, name: str, *attributes: tuple[int, int, object], **more: object) -> Entry:
    children = more.get("children", ())
    assert isinstance(children, tuple)
    return Entry(tag, (dwarf.NAME, STRP, name), *attributes, children=children)


def typed(kind: Entry) -> tuple[int, int, object]:
    return (dwarf.TYPE, REF4, kind)


def code(at: int, size: int = 16) -> tuple[tuple[int, int, object], ...]:
    return ((dwarf.LOW_PC, ADDR, at), (dwarf.HIGH_PC, DATA4, size))
