"""The types of the language, with their layout in memory.

Sizes and offsets are bytes, little or big endian as the target. Types compare by value. A struct
is known by name: its ``StructDef`` is found through a ``TypeTable``, since kernel structs refer to
each other in circles.
"""

from __future__ import annotations

from pytrace.base.frozen import Frozen, FrozenValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    class TypeTable(Protocol):
        """Finds definitions by name: the script's own first, then the kernel's."""

        def struct(self, kind: str, name: str) -> StructDef | None: ...
        def enum(self, name: str) -> EnumDef | None: ...


KERNEL: Final = "kernel"
USER: Final = "user"
CONTEXT: Final = "context"
BPF: Final = "bpf"
UNKNOWN: Final = "none"
"""Address spaces of pointers; ``none`` where only the probe kind would tell (language 3.6)."""


class Type(FrozenValue):
    """Base of all types. ``size`` is the size of a value in memory, ``align`` its alignment."""

    @property
    def size(self) -> int:
        raise NotImplementedError(type(self).__name__)

    @property
    def align(self) -> int:
        return min(8, self.size) or 1

    def __str__(self) -> str:
        raise NotImplementedError(type(self).__name__)


class Void(Type):
    """No value: what ``printf()`` returns."""

    size = 0
    align = 1

    def __str__(self) -> str:
        return "void"


class NoneType(Type):
    """The type of something whose type is not known (yet)."""

    size = 0
    align = 1

    def __str__(self) -> str:
        return "none"


class Opaque(Type):
    """Bytes of a C type that the language has no values for, such as a floating point number.

    It has a size, so that structs keep their layout, and shows as nothing.
    """

    bytes: int

    @property
    def size(self) -> int:
        return self.bytes

    @property
    def align(self) -> int:
        return min(16, self.bytes)

    def __str__(self) -> str:
        return "none"


class Int(Type):
    """An integer of 8, 16, 32 or 64 bits."""

    bits: int
    signed: bool

    @property
    def size(self) -> int:
        return self.bits // 8

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def low(self) -> int:
        """Smallest value that fits."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest value that fits."""
        return (1 << (self.bits - self.signed)) - 1


class Bool(Type):
    size = 1
    align = 1

    def __str__(self) -> str:
        return "bool"


class Enum(Type):
    """A C enum: an integer whose values have names (found through the ``TypeTable``)."""

    name: str
    bits: int = 32
    signed: bool = False

    @property
    def size(self) -> int:
        return self.bits // 8

    def __str__(self) -> str:
        return f"enum {self.name}"


class Str(Type):
    """Text of at most ``length`` bytes, zero padded to the end."""

    length: int

    @property
    def size(self) -> int:
        return self.length

    align = 1

    def __str__(self) -> str:
        return f"string[{self.length}]"


class Buf(Type):
    """Bytes with a 4-byte length in front; ``length`` is the capacity without it."""

    length: int

    @property
    def size(self) -> int:
        return self.length + 4

    align = 4

    def __str__(self) -> str:
        return f"buffer[{self.length}]"


class Ptr(Type):
    """An address of a ``to`` in one address space."""

    to: Type
    space: str = UNKNOWN

    size = 8
    align = 8

    def __str__(self) -> str:
        return f"{self.to} *" if not isinstance(self.to, Ptr) else f"{self.to}*"


class Array(Type):
    elem: Type
    count: int

    @property
    def size(self) -> int:
        return self.elem.size * self.count

    @property
    def align(self) -> int:
        return self.elem.align

    def __str__(self) -> str:
        return f"{self.elem}[{self.count}]"


class Struct(Type):
    """A struct or union, by kind (``struct`` or ``union``) and C name."""

    kind: str
    name: str
    bytes: int

    @property
    def size(self) -> int:
        return self.bytes

    align = 8

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Tuple(Type):
    """Values in written order, each at its natural alignment."""

    elems: tuple[Type, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        return lay_out(self.elems)[0]

    @property
    def size(self) -> int:
        return lay_out(self.elems)[1]

    @property
    def align(self) -> int:
        return max((e.align for e in self.elems), default=1)

    def __str__(self) -> str:
        return f"({','.join(str(e) for e in self.elems)})"


class Record(Type):
    """Named values in written order; ``names[i]`` is the name of ``elems[i]``."""

    names: tuple[str, ...]
    elems: tuple[Type, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        return lay_out(self.elems)[0]

    @property
    def size(self) -> int:
        return lay_out(self.elems)[1]

    @property
    def align(self) -> int:
        return max((e.align for e in self.elems), default=1)

    def __str__(self) -> str:
        inner = ", ".join(f".{n} = {t}" for n, t in zip(self.names, self.elems))
        return f"record {{ {inner} }}"


class KSym(Type):
    """A kernel address that prints as a symbol."""

    size = 8
    align = 8

    def __str__(self) -> str:
        return "ksym_t"


class USym(Type):
    """A user address that prints as a symbol: u64 address, u32 pid, 4 bytes of padding."""

    size = 16
    align = 8

    def __str__(self) -> str:
        return "usym_t"


class Stack(Type):
    """A stack trace: u32 number of frames (int32, negative errno on failure), u32 pid, frames.

    A frame is 8 bytes, in ``build_id`` mode 32 (struct bpf_stack_build_id).
    """

    user: bool
    mode: str
    limit: int

    @property
    def frame_size(self) -> int:
        return 32 if self.mode == "build_id" else 8

    @property
    def size(self) -> int:
        return 8 + self.frame_size * self.limit

    align = 8

    def __str__(self) -> str:
        return f"{'u' if self.user else 'k'}stack_{self.mode}_{self.limit}"


class Printable(Type):
    """A kind of value that exists to be printed: raw bytes of ``bytes`` size and a way to show.

    ``kind`` is the type's name (``timestamp``, ``inet``, ``mac_address``, ``cgroup_path_t``,
    ``username_t``); ``static`` is what the compiler knew, such as a format; ``show`` names the
    function that turns the bytes into text, ``module:function`` of pytrace.builtins.
    """

    kind: str
    bytes: int
    show: str
    static: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return self.bytes

    @property
    def align(self) -> int:
        return 8 if self.bytes % 8 == 0 else 1

    def __str__(self) -> str:
        return f"inet[{self.bytes}]" if self.kind == "inet" else self.kind


class Aggregate(Type):
    """The value of a map that an aggregating function fills.

    ``kind`` is count, sum, min, max, avg, stats, hist, lhist or tseries. In memory all are
    arrays of u64:

    ======== ==========================================================
    count    calls
    sum      total
    min max  extreme, 1 if set
    avg      total, calls
    stats    total, calls
    hist     one count for each bucket; ``params`` = (bits,)
    lhist    one count for each bucket; ``params`` = (min, max, step)
    tseries  value, meta, epoch of one interval, whose number is part of the
             BPF map's key; ``params`` = (interval ns, count, function), see
             semantics.lower.series
    ======== ==========================================================
    """

    kind: str
    signed: bool
    params: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        if self.kind in ("count", "sum"):
            return 1
        if self.kind == "hist":
            return hist_buckets(self.params[0])
        if self.kind == "lhist":
            low, high, step = self.params
            return (high - low) // step + 2
        if self.kind == "tseries":
            return 3
        return 2

    @property
    def size(self) -> int:
        return 8 * self.words

    align = 8

    @property
    def castable(self) -> bool:
        """True if reading it in an expression gives an integer (language 6.2)."""
        return self.kind in ("count", "sum", "min", "max", "avg")

    def __str__(self) -> str:
        unsigned = not self.signed and self.kind in ("sum", "min", "max", "avg", "stats")
        return f"{'u' if unsigned else ''}{self.kind}_t"


class Field(FrozenValue):
    """A member of a struct. ``bit_size`` 0 means no bit field; ``bit_offset`` is within ``offset``.

    ``data_loc`` marks a tracepoint's ``__data_loc`` member: a u32 of (length << 16 | offset),
    the offset counted from the start of the record. ``tag`` is a BTF type tag (``rcu``).
    """

    name: str
    type: Type
    offset: int
    bit_offset: int = 0
    bit_size: int = 0
    data_loc: bool = False
    tag: str = ""


class StructDef(Frozen):
    """Members of a struct or union; anonymous members are already flattened into ``fields``."""

    kind: str
    name: str
    size: int
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)

    @property
    def type(self) -> Struct:
        return Struct(kind=self.kind, name=self.name, bytes=self.size)


class EnumDef(Frozen):
    """Names of an enum's values, in order of definition."""

    name: str
    bits: int
    signed: bool
    values: tuple[tuple[str, int], ...]

    @property
    def type(self) -> Enum:
        return Enum(name=self.name, bits=self.bits, signed=self.signed)

    def name_of(self, value: int) -> str | None:
        return next((n for n, v in self.values if v == value), None)


VOID: Final = Void()
NONE: Final = NoneType()
BOOL: Final = Bool()
I8: Final = Int(bits=8, signed=True)
I16: Final = Int(bits=16, signed=True)
I32: Final = Int(bits=32, signed=True)
I64: Final = Int(bits=64, signed=True)
U8: Final = Int(bits=8, signed=False)
U16: Final = Int(bits=16, signed=False)
U32: Final = Int(bits=32, signed=False)
U64: Final = Int(bits=64, signed=False)
COMM: Final = Str(length=16)
KSYM: Final = KSym()
USYM: Final = USym()

INTEGERS: Final = {str(t): t for t in (I8, I16, I32, I64, U8, U16, U32, U64)}


def align_up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def lay_out(elems: tuple[Type, ...]) -> tuple[tuple[int, ...], int]:
    """Offsets of values placed one after the other at natural alignment, and the whole size."""
    at, offsets, widest = 0, [], 1
    for elem in elems:
        at = align_up(at, elem.align)
        offsets.append(at)
        at += elem.size
        widest = max(widest, elem.align)
    return tuple(offsets), align_up(at, widest)


def hist_buckets(bits: int) -> int:
    """Number of buckets of ``hist(n, bits)``: one below zero, then as language 10 counts them.

    The last is that of 2**63 - 1: p = 62 - bits, index (p + 2) * 2**bits.
    """
    return (62 - bits + 2) * (1 << bits) + 1


def is_integer(t: Type) -> bool:
    return isinstance(t, (Int, Enum))


def is_scalar(t: Type) -> bool:
    """True for values held in a register: at most 8 bytes with arithmetic meaning."""
    return isinstance(t, (Int, Bool, Enum, Ptr, KSym))


def int_type(t: Type) -> Int:
    """The integer that a scalar's bits are when read as a number."""
    if isinstance(t, Int):
        return t
    if isinstance(t, Enum):
        return Int(bits=t.bits, signed=t.signed)
    if isinstance(t, Bool):
        return U8
    return U64


def smallest_int(value: int) -> Int:
    """Type of an integer literal: the smallest signed type, uint64 above 2**63 - 1."""
    for t in (I8, I16, I32, I64):
        if t.low <= value <= t.high:
            return t
    return U64
