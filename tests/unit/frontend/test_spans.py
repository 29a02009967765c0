"""Where nodes point. Each case was compared with the place that bpftrace 0.27.1 underlines."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import location
from pytrace.frontend import ast
from pytrace.frontend.walk import find, walk
from tests.unit.frontend.trees import expr, parsed, stmt

BINARY = ast.Binary


@pytest.mark.parametrize(
    ("script", "kind", "place"),
    [
        ("begin { print(nosuch) }", ast.Ident, "1:15-21"),
        ("begin { print(nosuch) }", ast.Call, "1:9-22"),
        ('begin { $x = (1+2) * "a"; }', BINARY, "1:15-25"),
        ('begin { $x = "a" * (1+2); }', BINARY, "1:14-25"),
        ('begin { $x = (uint8)"abc"; }', ast.Cast, "1:14-21"),
        ('begin { $x = (uint8)5 + "a"; }', BINARY, "1:14-28"),
        ('begin { $x = { 1; 2 } + "a"; }', ast.BlockExpr, "1:14-22"),
        ("begin { $x = (foo  *  )1; }", ast.PointerType, "1:15-23"),
        ("begin { $x = (foo)  1; }", ast.NamedType, "1:15-18"),
        ("begin { $x = sizeof( struct foo ) ; }", ast.TagType, "1:22-33"),
        ("begin { $x = offsetof(struct foo, a.b) ; }", ast.TagType, "1:23-33"),
        ("begin { $x = ((1,2)).5; }", ast.TupleAccess, "1:15-23"),
        ("begin { $x = ((1,2) . foo  ); }", ast.FieldAccess, "1:15-26"),
        ('begin { $x = ("a" , 1)["b" ]; }', ast.Index, "1:14-29"),
        ("begin { $x = *(1,2); }", ast.Unary, "1:14-20"),
        ("begin { $x = (1, 2) == (3); }", ast.TupleLit, "1:14-20"),
        ("begin { $x = comptime (uid); }", ast.Comptime, "1:14-28"),
        ("begin { $x = typeinfo(uid); }", ast.Typeinfo, "1:14-27"),
        ("begin { print(typeof(uid)); }", ast.TypeofType, "1:15-26"),
        ('begin { @m["a", 1] = 1; }', ast.MapAccess, "1:9-19"),
        ('begin { @x = "a"; }', ast.Assign, "1:9-17"),
        ('begin { let $x : uint8 = "a"; }', ast.Let, "1:9-29"),
        ("begin { exit(); $x++  ; }", ast.IncDec, "1:17-21"),
        ("begin { break; }", ast.Jump, "1:9-15"),
        ("begin { break }", ast.Jump, "1:9-15"),
        ("begin { return  1 ; }", ast.Return, "1:9-20"),
        ("begin { exit(); print(1); }", ast.Block, "1:7-28"),
        ("begin { while ((1,2)) { } }", ast.While, "1:9-26"),
        ('begin { unroll("a") { } }', ast.Unroll, "1:9-24"),
        ("begin { for ($i : 1..5) { } }", ast.ForRange, "1:9-28"),
        ("begin { if (1) { 5 } else { 6 }; }", ast.If, "1:9-32"),
        ("interval:foo:1,interval:s:1 { }", ast.AttachPoint, "1:1-15"),
        ("begin , a=end  { }", ast.Probe, "1:1-14"),
        ("let @b = hash(5)  ; begin { }", ast.MapDecl, "1:1-20"),
        ("config = { max_map_keys = foo ; } begin { }", ast.ConfigEntry, "1:12-30"),
        ("macro f($a) { $a }", ast.Macro, "1:1-8"),
        ("macro f($a) { $a }", ast.MacroParam, "1:9-11"),
        ("fn f($a : int8) : int8 { }", ast.Fn, "1:1-5"),
        ("fn f($a : int8) : int8 { }", ast.FnParam, "1:6-15"),
        ('import "nosuch" ; begin { }', ast.Import, "1:1-16"),
        ("begin { } // c", ast.Comment, "1:11-15"),
        ("struct s { int x; } ; begin { }", ast.CDef, "1:1-22"),
    ],
)
def test_place(script: str, kind: type[ast.Node], place: str) -> None:
    first = next(find(parsed(script), kind))
    assert location(first.span) == f"stdin:{place}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("print(1);", "print(1);"),
        ("print(1)  ;", "print(1)  ;"),
        ("(1);", "(1);"),
        ("@++;", "@++"),
        ("$x + 1 ;", "$x + 1"),
        ("$x[1] ;", "$x[1]"),
    ],
)
def test_expression_statement(text: str, place: str) -> None:
    assert stmt(text).span.text == place


@pytest.mark.parametrize("text", ["@++", "print(1)"])
def test_trailing_expression_has_the_place_of_its_block(text: str) -> None:
    assert stmt(text).span.text == f"{{ {text} }}"


def test_operator() -> None:
    found = expr("1 << 2")
    assert isinstance(found, ast.Binary)
    assert found.op_span.text == "<<"


def test_spans_count_bytes() -> None:
    found = expr('f("\u00e9", $x)')
    assert isinstance(found, ast.Call)
    argument = found.args[1]
    assert location(argument.span) == "stdin:1:22-24"


def test_every_node_but_the_named_kinds_lies_within_its_parent() -> None:
    script = (
        "begin / $a + ($b) * 2 / { if ($a) { @x[1, $b] = f($c.d, (1, (2, 3))); } else { $d++ } }"
    )
    for node in walk(parsed(script).probes[0].body):
        assert 0 <= node.span.start <= node.span.end <= len(script)
        assert node.span.text.strip() == node.span.text
