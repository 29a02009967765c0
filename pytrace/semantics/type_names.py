"""What type expressions name (language 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.base.text import closest
from pytrace.base.types import (
    BOOL,
    I8,
    I64,
    INTEGERS,
    KSYM,
    U64,
    USYM,
    VOID,
    Aggregate,
    Array,
    Buf,
    Enum,
    Printable,
    Ptr,
    Str,
    Struct,
    Type,
)
from pytrace.frontend import ast
from pytrace.semantics import type_maps

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.semantics.typing import Typing

UNSIZED = 0
"""Length of ``string`` and ``buffer`` written without a size."""

AGGREGATE_NAMES = {
    "count_t": Aggregate(kind="count", signed=False),
    **{
        f"{prefix}{kind}_t": Aggregate(kind=kind, signed=not prefix)
        for kind in ("sum", "min", "max", "avg", "stats")
        for prefix in ("", "u")
    },
    "hist_t": Aggregate(kind="hist", signed=True, params=(0,)),
    "lhist_t": Aggregate(kind="lhist", signed=True, params=(0, 1, 1)),
    "tseries_t": Aggregate(kind="tseries", signed=True, params=(1, 1, 0)),
}

PLAIN: dict[str, Type] = {
    **INTEGERS,
    **AGGREGATE_NAMES,
    "bool": BOOL,
    "_Bool": BOOL,
    "void": VOID,
    "string": Str(length=UNSIZED),
    "buffer": Buf(length=UNSIZED),
    "ksym_t": KSYM,
    "usym_t": USYM,
    "inet": Printable(kind="inet", bytes=24, show="network:inet"),
    "timestamp": Printable(
        kind="timestamp", bytes=8, show="clock:timestamp", static=("%c", "boot")
    ),
    "macaddr_t": Printable(kind="mac_address", bytes=6, show="network:mac"),
    "cgroup_path_t": Printable(
        kind="cgroup_path_t", bytes=8, show="system:cgroup_path", static=("*",)
    ),
    "username_t": Printable(kind="username_t", bytes=8, show="process:username"),
}

C_TYPES: dict[str, Type] = {
    "char": I8,
    "short": INTEGERS["int16"],
    "int": INTEGERS["int32"],
    "long": I64,
    "size_t": U64,
    "ssize_t": I64,
    **{f"{prefix}{n}": INTEGERS[f"uint{n}"] for n in (8, 16, 32, 64) for prefix in ("u", "__u")},
    **{f"{prefix}{n}": INTEGERS[f"int{n}"] for n in (8, 16, 32, 64) for prefix in ("s", "__s")},
    **{f"uint{n}_t": INTEGERS[f"uint{n}"] for n in (8, 16, 32, 64)},
    **{f"int{n}_t": INTEGERS[f"int{n}"] for n in (8, 16, 32, 64)},
}
"""Names that C headers give to integers, for kernels without BTF."""


def resolve_type(t: Typing, node: ast.TypeExpr, whole: ast.TypeExpr | None = None) -> Type | None:
    """The type that is named; reports and gives None if there is none.

    ``whole`` is the type that this one is part of, where messages point.
    """
    whole = whole or node
    match node:
        case ast.NamedType():
            return _named(t, node, whole)
        case ast.TagType():
            return _tagged(t, node, whole)
        case ast.TypeofType():
            return operand_type(t, node.operand)
        case ast.PointerType():
            base = resolve_type(t, node.base, whole)
            return None if base is None else Ptr(to=base)
        case ast.ArrayType():
            return _array(t, node, whole)


def operand_type(t: Typing, operand: ast.TypeExpr | ast.Expr) -> Type | None:
    """Type of the operand of ``sizeof`` and alike: a type, or an expression not evaluated."""
    match operand:
        case ast.NamedType() if _find_named(t, operand.name) is None:
            guess = closest(operand.name, _type_names(t))
            t.error(
                "unknown-identifier",
                f"Unknown identifier: '{operand.name}'",
                operand.span,
                hints=[f"Did you mean {guess}?"] if guess else [],
            )
            return None
        case (
            ast.NamedType() | ast.TagType() | ast.TypeofType() | ast.PointerType()
            | ast.ArrayType()
        ):  # fmt: skip
            return resolve_type(t, operand)
        case ast.Map():
            info = t.env.map(operand.name)
            if t.reporting and not type_maps.is_known(t, operand):
                return None
            return info.value if info.scalar else info.key
    return t.expr(operand)


def _named(t: Typing, node: ast.NamedType, whole: ast.TypeExpr) -> Type | None:
    found = _find_named(t, node.name)
    if found is None:
        _unknown(t, node.name, whole)
    return found


def _find_named(t: Typing, name: str) -> Type | None:
    found = PLAIN.get(name) or t.env.typedefs.get(name)
    if found is None:
        found = t.env.kernel.typedef(name) or C_TYPES.get(name)
    if found is not None:
        return found
    for kind in ("struct", "union"):
        definition = t.env.struct(kind, name)
        if definition is not None:
            return definition.type
    enum = t.env.enum(name)
    if enum is not None:
        return enum.type
    constant = t.env.enum_constant(name)
    return constant_type(constant[1]) if constant is not None else None


def _type_names(t: Typing) -> list[str]:
    return [*PLAIN, *C_TYPES, *t.env.typedefs]


def constant_type(kind: Type) -> Type:
    """Type of an enumerator by its bare name: 64 bits, with the names of its enum."""
    return replace(kind, bits=64) if isinstance(kind, Enum) else kind


def _tagged(t: Typing, node: ast.TagType, whole: ast.TypeExpr) -> Type | None:
    if node.kind == "enum":
        enum = t.env.enum(node.name)
        if enum is not None:
            return enum.type
        _unknown(t, f"enum {node.name}", whole)
        return None
    definition = t.env.struct(node.kind, node.name)
    if definition is not None:
        return definition.type
    if t.env.kernel.typeless_memory() and isinstance(whole, ast.PointerType):
        # Without types of the kernel a pointer is still a pointer.
        return Struct(kind=node.kind, name=node.name, bytes=0)
    _unknown(t, f"{node.kind} {node.name}", whole)
    return None


def _array(t: Typing, node: ast.ArrayType, whole: ast.TypeExpr) -> Type | None:
    base = node.base
    if isinstance(base, ast.NamedType) and node.count is not None:
        sized = _SIZED.get(base.name)
        if sized is not None:
            return sized(node.count)
    elem = resolve_type(t, base, whole)
    if elem is None:
        return None
    return Array(elem=elem, count=node.count if node.count is not None else 0)


def _unknown(t: Typing, name: str, node: ast.TypeExpr) -> None:
    guess = closest(name, _type_names(t))
    t.error(
        "unknown-type",
        f'Cannot resolve unknown type "{name}"',
        node.span,
        hints=[f"Did you mean {guess}?"] if guess else [],
    )


_SIZED: dict[str, Callable[[int], Type]] = {
    "string": lambda n: Str(length=n),
    "buffer": lambda n: Buf(length=n),
    "inet": lambda n: Printable(kind="inet", bytes=n, show="network:inet"),
}
