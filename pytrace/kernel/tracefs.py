"""Reads tracefs ``format`` files: the layout of a tracepoint's record. Pure; text in, types out.

The kernel writes one line a field (kernel/trace/trace_events.c, f_show)::

    <tab>field:const char * filename;<tab>offset:24;<tab>size:8;<tab>signed:0;

The declaration is C text of the kernel's source, but ``size`` and ``signed`` are the truth: a
system call's ``int dfd`` occupies 8 unsigned bytes of the record (kernel/trace/trace_syscalls.c).
"""

from __future__ import annotations

from pytrace.base.types import (
    BOOL,
    I8,
    I16,
    I32,
    I64,
    KERNEL,
    U8,
    U16,
    U32,
    U64,
    USER,
    VOID,
    Array,
    Bool,
    Enum,
    Field,
    Int,
    Ptr,
    Str,
    Struct,
)
from pytrace.kernel.info import TracepointFormat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from pytrace.base.types import EnumDef, StructDef, Type

    class CTypes(Protocol):
        """Answers what a C name means; ``KernelInfo`` is one. None where it is not known."""

        def struct(self, kind: str, name: str) -> StructDef | None: ...
        def enum(self, name: str) -> EnumDef | None: ...
        def typedef(self, name: str) -> Type | None: ...


class FormatError(ValueError):
    """A text that is not a tracepoint's format file."""


_QUALIFIERS: Final = frozenset(("const", "volatile", "restrict", "__restrict", "register"))
_BASE_WORDS: Final = frozenset(
    ("void", "bool", "_Bool", "char", "short", "int", "long", "signed", "unsigned")
)
_TAGGED: Final = frozenset(("struct", "union", "enum"))
_TYPEDEFS: Final[dict[str, Type]] = {
    **{f"{p}u{t.bits}": t for p in ("", "__") for t in (U8, U16, U32, U64)},
    **{f"{p}s{t.bits}": t for p in ("", "__") for t in (I8, I16, I32, I64)},
    **{f"uint{t.bits}_t": t for t in (U8, U16, U32, U64)},
    **{f"int{t.bits}_t": t for t in (I8, I16, I32, I64)},
    **dict.fromkeys(("size_t", "ino_t", "sector_t", "aio_context_t", "uintptr_t", "ulong"), U64),
    **dict.fromkeys(("ssize_t", "loff_t", "off_t", "time64_t", "ktime_t"), I64),
    **dict.fromkeys(("uid_t", "gid_t", "dev_t", "gfp_t", "blk_opf_t", "uint", "qid_t"), U32),
    **dict.fromkeys(("pid_t", "tid_t", "clockid_t", "mqd_t", "key_t", "timer_t", "rwf_t"), I32),
    **dict.fromkeys(("key_serial_t", "__kernel_pid_t"), I32),
    **dict.fromkeys(("umode_t", "ushort"), U16),
}
"""Typedefs that are the same on every kernel and need no look-up of type information."""


class _Declaration:
    """A field's C declaration, taken apart: ``words`` name the base type, qualifiers dropped."""

    __slots__ = ("dimensions", "location", "name", "pointers", "words")

    def __init__(self, text: str) -> None:
        tokens = _tokens(text)
        self.location = ""
        if tokens and tokens[0] in ("__data_loc", "__rel_loc"):
            self.location = tokens.pop(0)
        self.dimensions: list[str] = []
        self.pointers = 0
        words = []
        for token in tokens:
            if token[0] == "[":
                self.dimensions.append(token[1:-1].strip())
            elif token == "*":
                self.pointers += 1
            elif token not in _QUALIFIERS:
                words.append(token)
        if len(words) < 2:
            raise FormatError(f"no type and name in field {text!r}")
        self.name = words.pop()
        self.words = words


def parse_format(
    text: str, category: str, event: str, types: CTypes | None = None, *, char: Int = U8
) -> TracepointFormat:
    """The fields of a format file, ``common_*`` left out.

    ``types`` resolves structs, enums and typedefs behind pointers; without it they become
    structs of size 0 and void. ``char`` is what plain ``char`` is on that kernel. A
    ``__data_loc`` field has type int64 (what scripts see: a pointer as a number) though 4 bytes
    lie at its offset. Raises ``FormatError``.
    """
    if "format:" not in text:
        raise FormatError(f"no format of {category}:{event}")
    reader = _Reader(types, USER if category == "syscalls" else KERNEL, char)
    fields, declarations, end = [], [], 0
    for line in text.splitlines():
        line = line.strip()
        if not line.startswith("field:"):
            continue
        declaration, offset, size, signed = _split_line(line)
        if _is_common(declaration):
            continue
        fields.append(reader.field(declaration, offset, size, signed))
        declarations.append(declaration)
        end = max(end, offset + size)
    return TracepointFormat(
        category=category,
        event=event,
        fields=tuple(fields),
        size=end,
        declarations=tuple(declarations),
    )


def format_from_types(types: CTypes, category: str, event: str) -> TracepointFormat | None:
    """A tracepoint's record as far as type information tells it, where tracefs is closed.

    There is a struct trace_event_raw_<event> for each event class; events that share another's
    class (DEFINE_EVENT) are not found. Of a system call it is known only that its number and six
    words follow.
    """
    if category == "syscalls" and event.startswith(("sys_enter_", "sys_exit_")):
        if types.struct("struct", "syscall_trace_enter") is None:
            return None
        fields = [Field(name="__syscall_nr", type=I32, offset=8)]
        if event.startswith("sys_exit_"):
            fields.append(Field(name="ret", type=I64, offset=16))
        else:
            fields.append(Field(name="args", type=Array(elem=U64, count=6), offset=16))
    else:
        known = types.struct("struct", f"trace_event_raw_{event}")
        if known is None:
            return None
        fields = []
        for field in known.fields:
            if field.name.startswith("__data_loc_"):
                name = field.name[len("__data_loc_") :]
                fields.append(Field(name=name, type=I64, offset=field.offset, data_loc=True))
            elif field.name not in ("ent", "__data"):
                fields.append(field)
    end = max((f.offset + (4 if f.data_loc else f.type.size) for f in fields), default=8)
    return TracepointFormat(category=category, event=event, fields=tuple(fields), size=end)


def char_type(release: str) -> Int:
    """What plain ``char`` is in a kernel of that release: unsigned since 6.2.

    Commit 3bc753c06dd0 builds all architectures with -funsigned-char; x86 was signed before.
    """
    numbers = release.replace("-", ".").split(".")
    if len(numbers) < 2 or not (numbers[0].isdecimal() and numbers[1].isdecimal()):
        return U8
    return U8 if (int(numbers[0]), int(numbers[1])) >= (6, 2) else I8


class _Reader:
    """Turns declarations into fields; holds what is the same for a whole format."""

    def __init__(self, types: CTypes | None, space: str, char: Int) -> None:
        self.types = types
        self.space = space
        self.char = char

    def field(self, text: str, offset: int, size: int, signed: bool) -> Field:
        decl = _Declaration(text)
        if decl.location == "__data_loc":
            return Field(name=decl.name, type=I64, offset=offset, data_loc=True)
        if decl.location:
            # Offset counted from the field's own end; no reader of such fields exists yet, so
            # the script sees the descriptor as the number it is.
            return Field(name=decl.name, type=U32, offset=offset)
        return Field(name=decl.name, type=self._type(decl, size, signed), offset=offset)

    def _type(self, decl: _Declaration, size: int, signed: bool) -> Type:
        if decl.dimensions:
            return self._array(decl, size)
        if decl.pointers:
            return self._pointer(self._base(decl.words), decl.pointers)
        words = decl.words
        if words in (["bool"], ["_Bool"]) and size == 1:
            return BOOL
        if words[0] == "enum" and len(words) > 1:
            return self._enum(words[1], size, signed)
        if words[0] in _TAGGED and len(words) > 1:
            return self._struct(words[0], words[1], size)
        if words[0] in _BASE_WORDS or words[0] in _TYPEDEFS or (size < 8 and signed):
            return _integer(size, signed)
        return self._typedef(words[0], size, signed)

    def _typedef(self, name: str, size: int, signed: bool) -> Type:
        """A typedef that may hide a pointer, an enum, a struct: only type information tells."""
        known = self.types.typedef(name) if self.types else None
        if isinstance(known, Ptr) and size == 8:
            return _in_space(known, self.space)
        if isinstance(known, Enum) and size in (1, 2, 4, 8):
            return Enum(name=known.name, bits=size * 8, signed=known.signed)
        if known is not None and not isinstance(known, (Int, Bool)) and known.size == size:
            return known
        return _integer(size, signed)

    def _array(self, decl: _Declaration, size: int) -> Type:
        elem = self._base(decl.words)
        if decl.pointers:
            elem = self._pointer(elem, decl.pointers)
        if elem.size == 0:
            elem = U8
        counts = [int(d) if d.isdecimal() else -1 for d in decl.dimensions]
        inner = elem.size
        for count in counts[1:]:
            inner *= max(count, 1)
        if counts[0] < 0 or counts[0] * inner != size:
            counts[0] = size // inner  # a named constant, or none at all
        if _is_char(decl.words) and not decl.pointers:
            elem = Str(length=max(counts.pop(), 0))
        for count in reversed(counts):
            elem = Array(elem=elem, count=max(count, 0))
        return elem

    def _pointer(self, to: Type, depth: int) -> Ptr:
        pointer = Ptr(to=to, space=self.space)
        for _ in range(depth - 1):
            pointer = Ptr(to=pointer, space=self.space)
        return pointer

    def _base(self, words: list[str]) -> Type:
        """A type by its C name alone, as behind a pointer. Void if nothing is known of it."""
        first = words[0]
        if first in _TAGGED and len(words) > 1:
            if first == "enum":
                return self._enum(words[1], 0, False)
            return self._struct(first, words[1], 0)
        if first in _BASE_WORDS:
            return self._builtin(frozenset(w for w in words if w in _BASE_WORDS), words)
        if first in _TYPEDEFS:
            return _TYPEDEFS[first]
        known = self.types.typedef(first) if self.types else None
        return VOID if known is None else _in_space(known, self.space)

    def _builtin(self, words: frozenset[str], ordered: list[str]) -> Type:
        if "void" in words:
            return VOID
        if "bool" in words or "_Bool" in words:
            return BOOL
        signed = "unsigned" not in words
        if "char" in words:
            return I8 if "signed" in words else U8 if not signed else self.char
        if "short" in words:
            return I16 if signed else U16
        if "long" in words:
            return I64 if signed else U64
        return I32 if signed else U32

    def _enum(self, name: str, size: int, signed: bool) -> Enum:
        known = self.types.enum(name) if self.types else None
        bits = size * 8 if size in (1, 2, 4, 8) else known.bits if known else 32
        return Enum(name=name, bits=bits, signed=known.signed if known else signed)

    def _struct(self, kind: str, name: str, size: int) -> Struct:
        known = self.types.struct(kind, name) if self.types else None
        return known.type if known else Struct(kind=kind, name=name, bytes=size)


def _tokens(text: str) -> list[str]:
    """Words, ``*`` and whole ``[...]`` groups of a declaration, in order."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        c = text[at]
        if c == "[":
            end = text.find("]", at)
            if end < 0:
                raise FormatError(f"no closing bracket in field {text!r}")
            tokens.append(text[at : end + 1])
            at = end + 1
        elif c.isalnum() or c == "_":
            start = at
            while at < len(text) and (text[at].isalnum() or text[at] == "_"):
                at += 1
            tokens.append(text[start:at])
        else:
            if c == "*":
                tokens.append(c)
            at += 1
    return tokens


def _split_line(line: str) -> tuple[str, int, int, bool]:
    parts = {}
    for part in line.split(";"):
        key, colon, value = part.strip().partition(":")
        if colon:
            parts[key] = value
    try:
        offset, size = int(parts["offset"]), int(parts["size"])
        signed = int(parts.get("signed", "0")) != 0
    except (KeyError, ValueError):
        raise FormatError(f"malformed field line {line!r}") from None
    if offset < 0 or size < 0:
        raise FormatError(f"malformed field line {line!r}")
    return " ".join(parts["field"].split()), offset, size, signed


def _is_common(declaration: str) -> bool:
    return declaration.split(" ")[-1].startswith("common_")


def _is_char(words: list[str]) -> bool:
    """True for what the language calls a string: arrays of char or of signed bytes."""
    return words in (["char"], ["signed", "char"], ["s8"], ["__s8"], ["int8_t"])


def _integer(size: int, signed: bool) -> Type:
    if size in (1, 2, 4, 8):
        return Int(bits=size * 8, signed=signed)
    return Array(elem=U8, count=size)


def _in_space(t: Type, space: str) -> Type:
    return Ptr(to=_in_space(t.to, space), space=space) if isinstance(t, Ptr) else t
