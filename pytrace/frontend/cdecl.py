"""C declarations in scripts: struct, union and enum definitions, laid out as a compiler would.

The layout follows the System V ABI of the target: natural alignment, bit fields packed into units
of their declared type, ``packed`` and ``aligned(n)`` attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import (
    BOOL,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    VOID,
    Array,
    Enum,
    EnumDef,
    Field,
    Int,
    Opaque,
    Ptr,
    Str,
    Struct,
    StructDef,
    Type,
    align_up,
    int_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    FindTag = Callable[[str, str], "StructDef | EnumDef | None"]
    FindName = Callable[[str], "Type | None"]

QUALIFIERS = frozenset(("const", "volatile", "restrict", "static", "extern", "register"))
WORDS = frozenset(("signed", "unsigned", "char", "short", "int", "long", "float", "double"))

FIXED: dict[str, Type] = {
    "bool": BOOL, "_Bool": BOOL, "void": VOID, "size_t": U64, "ssize_t": I64,
    "uintptr_t": U64, "intptr_t": I64, "__s128": Array(elem=U64, count=2),
    "__int128": Array(elem=U64, count=2), "__uint128_t": Array(elem=U64, count=2),
    "__int128_t": Array(elem=U64, count=2),
    **{f"{p}{n}": t for p in ("u", "__u", "uint", "__be", "__le")
       for n, t in ((8, U8), (16, U16), (32, U32), (64, U64))},
    **{f"{p}{n}": t for p in ("s", "__s", "int")
       for n, t in ((8, I8), (16, I16), (32, I32), (64, I64))},
    **{f"uint{n}_t": t for n, t in ((8, U8), (16, U16), (32, U32), (64, U64))},
    **{f"int{n}_t": t for n, t in ((8, I8), (16, I16), (32, I32), (64, I64))},
}  # fmt: skip
"""Type names that need no header."""


class BadDeclaration(Exception):
    """The text is no C declaration that we know; the argument says why."""


class Definitions:
    """What the definitions of one script define."""

    def __init__(self) -> None:
        self.structs: dict[tuple[str, str], StructDef] = {}
        self.enums: dict[str, EnumDef] = {}
        self.typedefs: dict[str, Type] = {}
        self.align: dict[tuple[str, str], int] = {}


def parse(text: str, found: Definitions, find_tag: FindTag, find_name: FindName) -> None:
    """Adds the definitions in ``text`` to ``found``.

    ``find_tag`` and ``find_name`` look up what the text does not define (kernel types).
    Raises ``BadDeclaration``.
    """
    _Parser(tokenize(text), found, find_tag, find_name).run()


def tokenize(text: str) -> list[str]:
    """Names, numbers and punctuation; comments and preprocessor lines are layout."""
    tokens: list[str] = []
    at, size = 0, len(text)
    while at < size:
        char = text[at]
        if char.isspace():
            at += 1
        elif text.startswith("//", at) or char == "#":
            end = text.find("\n", at)
            at = size if end < 0 else end
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2)
            if end < 0:
                raise BadDeclaration("unterminated comment")
            at = end + 2
        elif char.isalnum() or char == "_":
            end = at
            while end < size and (text[end].isalnum() or text[end] == "_"):
                end += 1
            tokens.append(text[at:end])
            at = end
        else:
            width = 2 if text[at : at + 2] in ("<<", ">>") else 1
            tokens.append(text[at : at + width])
            at += width
    return tokens


class _Attributes:
    def __init__(self) -> None:
        self.packed = False
        self.aligned = 0


class _Member:
    def __init__(self, name: str, kind: Type, align: int, bits: int | None) -> None:
        self.name = name
        self.kind = kind
        self.align = align
        self.bits = bits


class _Parser:
    def __init__(
        self, tokens: list[str], found: Definitions, find_tag: FindTag, find_name: FindName
    ) -> None:
        self.tokens = tokens
        self.at = 0
        self.found = found
        self.find_tag = find_tag
        self.find_name = find_name
        self.anonymous = 0
        self.constants: dict[str, int] = {
            name: value for enum in found.enums.values() for name, value in enum.values
        }

    # ------------------------------------------------------------ tokens

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            seen = f"'{token}'" if token else "the end"
            raise BadDeclaration(f"expected {f'{wanted!r}' if wanted else 'more'}, found {seen}")
        self.at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.peek() == token:
            self.at += 1
            return True
        return False

    def attributes(self, into: _Attributes) -> None:
        while self.peek() in ("__attribute__", "__attribute"):
            self.take()
            self.take("(")
            self.take("(")
            while self.peek() != ")":
                name = self.take().strip("_")
                if name == "packed":
                    into.packed = True
                elif name == "aligned":
                    into.aligned = self._aligned()
                elif self.peek() == "(":
                    self._skip_parentheses()
                self.accept(",")
            self.take(")")
            self.take(")")

    def _aligned(self) -> int:
        if not self.accept("("):
            return 16
        value = self.expression()
        self.take(")")
        return value

    def _skip_parentheses(self) -> None:
        depth = 0
        while True:
            token = self.take()
            depth += (token == "(") - (token == ")")
            if depth == 0:
                return

    # ------------------------------------------------------------ declarations

    def run(self) -> None:
        while self.peek():
            if self.accept(";"):
                continue
            if self.accept("typedef"):
                self._typedef()
                continue
            self.base_type()
            while self.peek() not in (";", ""):
                self.take()
            self.accept(";")

    def _typedef(self) -> None:
        base, align = self.base_type()
        name, kind, _ = self.declarator(base, align)
        self.found.typedefs[name] = kind
        self.accept(";")

    def base_type(self) -> tuple[Type, int]:
        """A type without its declarator, and its alignment."""
        while self.peek() in QUALIFIERS:
            self.take()
        token = self.peek()
        if token in ("struct", "union"):
            result = self._aggregate()
        elif token == "enum":
            result = self._enum()
        elif token in WORDS:
            kind = self._integer_words()
            result = kind, kind.size
        else:
            kind = self._named(self.take())
            result = kind, kind.align if not isinstance(kind, Struct) else self._align_of(kind)
        while self.peek() in QUALIFIERS:
            self.take()
        return result

    def _named(self, name: str) -> Type:
        kind = self.found.typedefs.get(name) or FIXED.get(name) or self.find_name(name)
        if kind is None:
            raise BadDeclaration(f"unknown type name '{name}'")
        return kind

    def _integer_words(self) -> Type:
        words: list[str] = []
        while self.peek() in WORDS:
            words.append(self.take())
            while self.peek() in QUALIFIERS:
                self.take()
        if "double" in words or "float" in words:
            wide = 16 if "long" in words else 8
            return Opaque(bytes=wide if "double" in words else 4)
        bits = 32
        if "char" in words:
            bits = 8
        elif "short" in words:
            bits = 16
        elif "long" in words:
            bits = 64
        return Int(bits=bits, signed="unsigned" not in words)

    def _align_of(self, kind: Struct) -> int:
        known = self.found.align.get((kind.kind, kind.name))
        if known is not None:
            return known
        definition = self.find_tag(kind.kind, kind.name)
        if isinstance(definition, StructDef):
            return max((self._field_align(f) for f in definition.fields), default=1)
        return 8

    def _field_align(self, field: Field) -> int:
        kind = field.type
        while isinstance(kind, Array):
            kind = kind.elem
        natural = self._align_of(kind) if isinstance(kind, Struct) else kind.align
        while field.offset % natural:
            natural //= 2
        return natural

    # ------------------------------------------------------------ struct and union

    def _aggregate(self) -> tuple[Type, int]:
        keyword = self.take()
        attributes = _Attributes()
        self.attributes(attributes)
        name = ""
        if self.peek() not in ("{", ""):
            name = self.take()
        self.attributes(attributes)
        if self.peek() != "{":
            return self._reference(keyword, name)
        if not name:
            self.anonymous += 1
            name = f"anon_{len(self.found.structs)}_{self.anonymous}"
        self.take("{")
        members: list[_Member] = []
        while not self.accept("}"):
            self._member(members)
        self.attributes(attributes)
        fields, size, align = _lay_out(keyword, members, attributes, self.found)
        made = StructDef(kind=keyword, name=name, size=size, fields=fields)
        self.found.structs[keyword, name] = made
        self.found.align[keyword, name] = align
        return made.type, align

    def _reference(self, keyword: str, name: str) -> tuple[Type, int]:
        known = self.found.structs.get((keyword, name)) or self.find_tag(keyword, name)
        if isinstance(known, StructDef):
            return known.type, self._align_of(known.type)
        return Struct(kind=keyword, name=name, bytes=0), 1

    def _member(self, members: list[_Member]) -> None:
        base, align = self.base_type()
        if self.accept(";"):
            members.append(_Member("", base, align, None))
            return
        while True:
            if self.accept(":"):
                members.append(_Member("", base, align, self.expression()))
            else:
                name, kind, its_align = self.declarator(base, align)
                bits = self.expression() if self.accept(":") else None
                own = _Attributes()
                self.attributes(own)
                members.append(_Member(name, kind, max(its_align, own.aligned), bits))
            if not self.accept(","):
                break
        # The last member of a struct may go without, as the reference has it.
        if self.peek() != "}":
            self.take(";")

    def declarator(self, base: Type, align: int) -> tuple[str, Type, int]:
        """``*name[2][3]``, or a pointer to a function: its name, type and alignment."""
        while self.peek() in ("*", *QUALIFIERS):
            if self.take() == "*":
                base, align = Ptr(to=base), 8
        if self.accept("("):
            self.take("*")
            name = self.take()
            self.take(")")
            self._skip_parentheses()
            return name, Ptr(to=VOID), 8
        name = self.take()
        counts = []
        while self.accept("["):
            counts.append(0 if self.peek() == "]" else self.expression())
            self.take("]")
        for count in reversed(counts):
            base = _array(base, count)
        return name, base, align

    # ------------------------------------------------------------ enum

    def _enum(self) -> tuple[Type, int]:
        self.take("enum")
        self.attributes(_Attributes())
        name = self.take() if self.peek() not in ("{", "") else ""
        if not self.accept("{"):
            known = self.found.enums.get(name) or self.find_tag("enum", name)
            if isinstance(known, EnumDef):
                return known.type, known.type.size
            return Enum(name=name, bits=32, signed=False), 4
        if not name:
            name = f"anon_{len(self.found.enums)}"
        values: list[tuple[str, int]] = []
        following = 0
        while not self.accept("}"):
            label = self.take()
            if self.accept("="):
                following = self.expression()
            values.append((label, following))
            self.constants[label] = following
            following += 1
            self.accept(",")
        self.attributes(_Attributes())
        low = min((v for _, v in values), default=0)
        high = max((v for _, v in values), default=0)
        bits = 64 if low < -(1 << 31) or high >= 1 << (31 if low < 0 else 32) else 32
        made = EnumDef(name=name, bits=bits, signed=low < 0, values=tuple(values))
        self.found.enums[name] = made
        return made.type, bits // 8

    # ------------------------------------------------------------ constant expressions

    def expression(self, level: int = 0) -> int:
        """An integer constant expression, by precedence climbing."""
        if level == len(_LEVELS):
            return self._unary()
        value = self.expression(level + 1)
        while self.peek() in _LEVELS[level]:
            op = self.take()
            right = self.expression(level + 1)
            if op in "/%" and right == 0:
                raise BadDeclaration("division by zero")
            value = _OPERATORS[op](value, right)
        return value

    def _unary(self) -> int:
        token = self.take()
        if token == "-":
            return -self._unary()
        if token == "~":
            return ~self._unary()
        if token == "(":
            value = self.expression()
            self.take(")")
            return value
        if token[:1].isdigit():
            return _number(token)
        if token in self.constants:
            return self.constants[token]
        raise BadDeclaration(f"'{token}' is not a constant")


_LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))
_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


def _number(token: str) -> int:
    digits = token.rstrip("uUlL")
    try:
        return int(digits, 8) if digits[:1] == "0" and digits.isdigit() else int(digits, 0)
    except ValueError:
        raise BadDeclaration(f"'{token}' is not a number") from None


def _array(elem: Type, count: int) -> Type:
    """An array; arrays of char are strings (language 3.7)."""
    if elem == I8 and count:
        return Str(length=count)
    return Array(elem=elem, count=count)


def _lay_out(
    keyword: str, members: list[_Member], attributes: _Attributes, found: Definitions
) -> tuple[tuple[Field, ...], int, int]:
    """Fields with offsets (anonymous members flattened), size and alignment."""
    fields: list[Field] = []
    bit, widest, largest = 0, 1, 0
    for member in members:
        align = 1 if attributes.packed else member.align
        start = 0 if keyword == "union" else bit
        if member.bits is not None:
            start = _bit_start(start, member, packed=attributes.packed)
            unit = 8 * member.kind.size
            if member.name:
                offset = start // unit * unit
                if attributes.packed and start + member.bits > offset + unit:
                    offset = start // 8 * 8
                fields.append(
                    Field(name=member.name, type=member.kind, offset=offset // 8,
                          bit_offset=start - offset, bit_size=member.bits)
                )  # fmt: skip
                widest = max(widest, align)
            bit = start + member.bits
        else:
            start = align_up(start, 8 * align)
            _add_member(fields, member, start // 8, found)
            widest = max(widest, align)
            bit = start + 8 * member.kind.size
        largest = max(largest, bit)
    widest = max(widest, attributes.aligned)
    end = largest if keyword == "union" else bit
    return tuple(fields), align_up(align_up(end, 8) // 8, widest), widest


def _bit_start(bit: int, member: _Member, *, packed: bool) -> int:
    """Where a bit field begins: a zero width closes the unit, one that would cross it moves on."""
    unit = 8 * member.kind.size
    assert member.bits is not None
    if member.bits == 0:
        return align_up(bit, unit)
    if not packed and bit // unit != (bit + member.bits - 1) // unit:
        return align_up(bit, unit)
    return bit


def _add_member(fields: list[Field], member: _Member, offset: int, found: Definitions) -> None:
    if member.name:
        fields.append(Field(name=member.name, type=member.kind, offset=offset))
        return
    if isinstance(member.kind, Struct):
        inner = found.structs.get((member.kind.kind, member.kind.name))
        for field in inner.fields if inner is not None else ():
            fields.append(
                Field(name=field.name, type=field.type, offset=offset + field.offset,
                      bit_offset=field.bit_offset, bit_size=field.bit_size)
            )  # fmt: skip


__all__ = ["BadDeclaration", "Definitions", "int_type", "parse", "tokenize"]
