"""Generic ways over the syntax tree. None recurses, so no tree is too deep for them."""

from __future__ import annotations

from pytrace.base.frozen import replace
from pytrace.frontend import ast
from pytrace.frontend.ast import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Final, NoReturn, TypeVar

    N = TypeVar("N", bound=Node)

# The fields that hold nodes: one node, None, or a tuple of nodes. In the order of the text.
CHILD_FIELDS: Final[Mapping[type[Node], tuple[str, ...]]] = {
    ast.TypeofType: ("operand",),
    ast.PointerType: ("base",),
    ast.ArrayType: ("base",),
    ast.MapAccess: ("map", "keys"),
    ast.Call: ("args",),
    ast.Unary: ("operand",),
    ast.IncDec: ("target",),
    ast.AddressOf: ("target",),
    ast.Binary: ("left", "right"),
    ast.Ternary: ("cond", "then", "orelse"),
    ast.Cast: ("type", "operand"),
    ast.FieldAccess: ("base",),
    ast.TupleAccess: ("base",),
    ast.Index: ("base", "index"),
    ast.TupleLit: ("elems",),
    ast.RecordLit: ("elems",),
    ast.BlockExpr: ("body",),
    ast.IfExpr: ("cond", "then", "orelse"),
    ast.Sizeof: ("operand",),
    ast.Offsetof: ("operand",),
    ast.Typeinfo: ("operand",),
    ast.Comptime: ("operand",),
    ast.Block: ("stmts", "value"),
    ast.Assign: ("target", "value"),
    ast.Let: ("var", "type", "value"),
    ast.ExprStmt: ("expr",),
    ast.Discard: ("expr",),
    ast.If: ("cond", "then", "orelse"),
    ast.ForRange: ("var", "start", "end", "body"),
    ast.ForMap: ("var", "map", "body"),
    ast.While: ("cond", "body"),
    ast.Unroll: ("count", "body"),
    ast.Return: ("value",),
    ast.BlockStmt: ("body",),
    ast.Probe: ("attach_points", "predicate", "body"),
    ast.Config: ("entries",),
    ast.MapDecl: ("map",),
    ast.Macro: ("params", "body"),
    ast.FnParam: ("var", "type"),
    ast.Fn: ("params", "returns", "body"),
    ast.Program: ("c_parts", "config", "imports", "items", "comments"),
}


def impossible(node: NoReturn) -> AssertionError:
    """For the end of a match: ``case _: raise impossible(node)``; a type checker reports what is
    left, as with ``typing.assert_never``, which Python 3.10 lacks and which takes long to import.
    """
    return AssertionError(f"unknown node {type(node).__name__}")


def children(node: Node) -> list[Node]:
    """The nodes right below ``node``, in the order of the text."""
    found: list[Node] = []
    for name in CHILD_FIELDS.get(type(node), ()):
        value = getattr(node, name)
        if type(value) is tuple:
            found.extend(value)
        elif value is not None:
            found.append(value)
    return found


def walk(node: Node) -> Iterator[Node]:
    """``node`` and all below it, each before its children."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        below = children(top)
        below.reverse()
        stack += below


def find(node: Node, kind: type[N]) -> Iterator[N]:
    """Those nodes of ``walk`` that are of one kind."""
    for found in walk(node):
        if type(found) is kind:
            yield found


def transform(node: N, change: Callable[[Node], Node], *kinds: type[Node]) -> N:
    """The tree with ``change`` applied to every node, children first.

    ``change`` sees a node with its new children and returns it or another. It is called for nodes
    of ``kinds`` only, if any are given. What has not changed is not copied: the result is ``node``
    itself when nothing did.
    """
    changed: dict[int, Node] = {}
    for old in reversed(list(walk(node))):
        new = _with_children(old, changed) if changed else old
        if not kinds or type(new) in kinds:
            new = change(new)
        if new is not old:
            changed[id(old)] = new
    return changed.get(id(node), node)  # type: ignore[return-value]


def _with_children(node: Node, changed: Mapping[int, Node]) -> Node:
    fields: dict[str, object] = {}
    for name in CHILD_FIELDS.get(type(node), ()):
        value = getattr(node, name)
        if type(value) is tuple:
            if any(id(child) in changed for child in value):
                fields[name] = tuple(changed.get(id(child), child) for child in value)
        elif id(value) in changed:
            fields[name] = changed[id(value)]
    return replace(node, **fields) if fields else node
