"""Generic ways over the syntax tree."""

from __future__ import annotations

import pytest

from pytrace.base.frozen import replace
from pytrace.base.source import Span
from pytrace.frontend import ast
from pytrace.frontend.walk import CHILD_FIELDS, children, find, transform, walk
from tests.unit.frontend.trees import expr, lisp, parsed

CLASSES = [c for c in vars(ast).values() if isinstance(c, type) and issubclass(c, ast.Node)]

EVERYTHING = """#!/usr/bin/env pytrace
#define X 1
struct s { int a; };
config = { max_map_keys = 5; license = "GPL" }
import "stdlib";
let @m = hash(5); // a comment
macro f($a, @b, c) { $a += c; @b[c] }
fn g($a : struct s *[4], $b : typeof($x)) : int64 { return $a.a; }
a=kprobe:f,kprobe:"g" / pid == 1 || @m[1, "x"] > 3 / {
  let $x : int8 = (uint8)-5;
  $x++; ++@n; $p = &$x; $q = &@m;
  if ($x) { print(1) } else if $x { _ = comptime 5; } else { break; }
  while ($x) { continue }
  unroll (5) { return; }
  for $i : 1..$x { return $i; }
  for ($kv : @m) { print(($kv.0, $kv[1])); }
  $r = (a=1, b=$1 ? $# : true).a;
  $s = { 1; 2 } + if $x { 1 } else { 2 };
  { print(sizeof(int8), typeinfo($x), offsetof(struct s, a.b), typeof(5)); }
  import "x";
}
"""


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_table_has_the_fields_that_hold_nodes(kind: type[ast.Node]) -> None:
    names = {c.__name__ for c in CLASSES} | {"Expr", "Stmt", "TypeExpr", "Item"}
    fields = []
    for base in reversed(kind.__mro__):
        for name, text in getattr(base, "__annotations__", {}).items():
            words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
            if names & set(words):
                fields.append(name)
    assert set(CHILD_FIELDS.get(kind, ())) == set(fields)


def test_every_kind_of_node_occurs() -> None:
    seen = {type(node) for node in walk(parsed(EVERYTHING))}
    assert seen == set(CLASSES) - {ast.Node}


def test_walk_goes_in_the_order_of_the_text() -> None:
    body = parsed(EVERYTHING).probes[0].body
    starts = [node.span.start for node in walk(body) if isinstance(node, ast.Var | ast.Map)]
    assert starts == sorted(starts)
    assert len(starts) > 20


def test_children_of_a_leaf() -> None:
    assert children(expr("1")) == []


def test_find() -> None:
    assert [v.name for v in find(expr("$a + ($b, $c)"), ast.Var)] == ["a", "b", "c"]


def test_transform_that_changes_nothing_copies_nothing() -> None:
    program = parsed(EVERYTHING)
    assert transform(program, lambda node: node) is program


def test_transform_keeps_what_has_not_changed() -> None:
    def rename(node: ast.Node) -> ast.Node:
        return replace(node, name="z") if isinstance(node, ast.Var) and node.name == "b" else node

    old = expr("($a + 1) * ($b + 2)")
    new = transform(old, rename)
    assert lisp(new) == "(* (+ $a 1) (+ $z 2))"
    assert isinstance(old, ast.Binary)
    assert isinstance(new, ast.Binary)
    assert new.left is old.left
    assert lisp(old) == "(* (+ $a 1) (+ $b 2))"


def test_transform_sees_changed_children() -> None:
    def fold(node: ast.Node) -> ast.Node:
        if isinstance(node, ast.Binary):
            assert isinstance(node.left, ast.IntLit)
            assert isinstance(node.right, ast.IntLit)
            return ast.IntLit(value=node.left.value + node.right.value, span=node.span)
        return node

    assert lisp(transform(expr("1 + 2 + 3 + 4"), fold)) == "10"


def test_transform_of_some_kinds() -> None:
    seen = []

    def see(node: ast.Node) -> ast.Node:
        seen.append(type(node))
        return node

    transform(expr("$a + 1 + $b"), see, ast.Var)
    assert seen == [ast.Var, ast.Var]


def test_deep_trees_need_no_recursion() -> None:
    span = Span(source=expr("1").span.source, start=0, end=1)
    node: ast.Expr = ast.IntLit(value=1, span=span)
    for _ in range(5000):
        node = ast.Unary(op="-", operand=node, span=span)
    negated = transform(node, lambda n: replace(n, value=2) if isinstance(n, ast.IntLit) else n)
    assert len(list(walk(negated))) == 5001
