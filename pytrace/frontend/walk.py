"""Walking and rebuilding the syntax tree, whatever its nodes are.

Depth is bounded by the parser (256 levels), so recursion is safe here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pytrace.frontend import ast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOT_NODES = frozenset(("span", "name_span", "op_span", "kind_span", "value_span", "comments"))


@cache
def _fields(kind: type[ast.Node]) -> tuple[str, ...]:
    """Names of the fields of a class that may hold nodes."""
    return tuple(n for n in kind.__fields__ if n not in _NOT_NODES)


def children(node: ast.Node) -> Iterator[ast.Node]:
    """The nodes directly below a node, in the order of its fields."""
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, ast.Node):
                    yield item


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and everything below it, parents first."""
    stack = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(reversed(tuple(children(found))))


def transform(node: ast.Node, visit: Callable[[ast.Node], ast.Node]) -> ast.Node:
    """Rebuilds a tree from the leaves up: ``visit`` gives what stands in a node's place.

    Nodes whose parts did not change stay the same objects.
    """
    changes: dict[str, object] = {}
    for name in _fields(type(node)):
        value = getattr(node, name)
        if isinstance(value, ast.Node):
            new = transform(value, visit)
            if new is not value:
                changes[name] = new
        elif isinstance(value, tuple) and value:
            items = tuple(transform(v, visit) if isinstance(v, ast.Node) else v for v in value)
            if any(a is not b for a, b in zip(items, value)):
                changes[name] = items
    if changes:
        values = {n: getattr(node, n) for n in node.__fields__}
        values.update(changes)
        node = type(node)(**values)
    return visit(node)
