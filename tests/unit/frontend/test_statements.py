"""Statements and blocks of both styles."""

from __future__ import annotations

import pytest

from pytrace.frontend import ast
from tests.unit.frontend.trees import block, lisp, parsed, shape, stmt


@pytest.mark.parametrize("op", ["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="])
@pytest.mark.parametrize("target", ["$x", "@x", "@x[1, 2]"])
def test_assignment(target: str, op: str) -> None:
    for script in (f"{target} {op} 1 + 2;", f"{target}{op}1+2"):
        found = stmt(script)
        assert isinstance(found, ast.Assign)
        assert (found.op, lisp(found.value)) == (op, "(+ 1 2)")
        assert found.op_span.text == op


@pytest.mark.parametrize(
    ("text", "type_", "value"),
    [
        ("let $x", "-", "-"),
        ("let $x = 1", "-", "1"),
        ("let $x : int8", "int8", "-"),
        ("let $x : int8 * = 1", "int8*", "1"),
        ("let $x:int8*=1", "int8*", "1"),
        ("let $x : foo[2]=1", "foo[2]", "1"),
    ],
)
def test_let(text: str, type_: str, value: str) -> None:
    found = stmt(text + ";")
    assert isinstance(found, ast.Let)
    assert (found.var.name, lisp(found.type), lisp(found.value)) == ("x", type_, value)


def test_discard() -> None:
    found = stmt("_ = 1;")
    assert isinstance(found, ast.Discard)
    assert isinstance(stmt("_=1;"), ast.Discard)


def test_underscore_alone_is_a_name() -> None:
    found = stmt("_ == 1;")
    assert isinstance(found, ast.ExprStmt)
    assert lisp(found.expr) == "(== _ 1)"


@pytest.mark.parametrize("kind", ["break", "continue"])
def test_jump(kind: str) -> None:
    found = stmt(f"{kind};")
    assert isinstance(found, ast.Jump)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("text", "value"), [("return;", "-"), ("return", "-"), ("return 1", "1"), ("return(1);", "1")]
)
def test_return(text: str, value: str) -> None:
    found = stmt(text)
    assert isinstance(found, ast.Return)
    assert lisp(found.value) == value


def test_import_in_a_block() -> None:
    found = stmt('import "x.bt";')
    assert isinstance(found, ast.Import)
    assert found.path == "x.bt"


@pytest.mark.parametrize("head", ["$a", "($a)", "( $a )", "(($a))"])
@pytest.mark.parametrize("body", ["{ print(1); }", "< print(1); >", "{print(1)}", "<print(1)>"])
def test_heads_and_blocks(head: str, body: str) -> None:
    found = stmt(f"if {head} {body}")
    assert isinstance(found, ast.If)
    assert lisp(found.cond) == "$a"
    assert found.then.angle == (body[0] == "<")
    assert len(found.then.stmts) == 1
    assert isinstance(stmt(f"while {head} {body}"), ast.While)
    assert isinstance(stmt(f"unroll {head} {body}"), ast.Unroll)


@pytest.mark.parametrize(
    ("head", "cond"),
    [
        ("!($a)", "(! $a)"),
        ("$a++", "(post++ $a)"),
        ("@x[1]", "(@x 1)"),
        ("args.x", "(. args x)"),
        ("f(1)", "(f 1)"),
        ("comptime ($a)", "(comptime $a)"),
        ("($a == 2 && $b)", "(&& (== $a 2) $b)"),
        ("(uint8)", "uint8"),
        ("(($a) < 2)", "(< $a 2)"),
        ("sizeof(int8)", "(sizeof int8)"),
    ],
)
def test_head(head: str, cond: str) -> None:
    found = stmt(f"if {head} {{ }}")
    assert isinstance(found, ast.If)
    assert lisp(found.cond) == cond


def test_head_may_be_a_block_or_an_if() -> None:
    found = stmt("if {1} {2}")
    assert isinstance(found, ast.If)
    assert isinstance(found.cond, ast.BlockExpr)
    found = stmt("if if 1 {2} else {3} {4}")
    assert isinstance(found, ast.If)
    assert isinstance(found.cond, ast.IfExpr)


def test_else_chain() -> None:
    found = stmt("if $a { } else if $b { } else { }")
    assert isinstance(found, ast.If)
    assert isinstance(found.orelse, ast.If)
    assert isinstance(found.orelse.orelse, ast.Block)


@pytest.mark.parametrize(
    "head", ["$i : 0..5", "($i : 0..5)", "( $i:0 .. 5 )", "$i : (0)..(5)", "($i : (0)..(5))"]
)
def test_for_range(head: str) -> None:
    for body in ("{ }", "< >"):
        found = stmt(f"for {head} {body}")
        assert isinstance(found, ast.ForRange)
        assert (found.var.name, lisp(found.start), lisp(found.end)) == ("i", "0", "5")


@pytest.mark.parametrize("bounds", ["$a..@b", "f(1)..@b[1]", "(uint8)1..(uint8)2", "{1}..{2}"])
def test_bounds_of_a_range(bounds: str) -> None:
    assert isinstance(stmt(f"for $i : {bounds} {{ }}"), ast.ForRange)


@pytest.mark.parametrize("head", ["$kv : @m", "($kv : @m)", "$kv : (@m)"])
def test_for_map(head: str) -> None:
    found = stmt(f"for {head} {{ }}")
    assert isinstance(found, ast.ForMap)
    assert (found.var.name, found.map.name) == ("kv", "@m")


@pytest.mark.parametrize(
    "text",
    [
        "if 1 { } if 1 { } else { } while 1 { } unroll 1 { } for $i : 0..1 { } { } print(1)",
        "if 1 { } ; { } ; print(1);",
        "$x = { 1 }; print(1)",
        "$x = if 1 {2} else {3}; print(1)",
    ],
)
def test_semicolons(text: str) -> None:
    block(text)


def test_last_expression_of_a_probe_is_a_statement() -> None:
    found = block("$x = 1; $x + 1")
    assert found.value is None
    last = found.stmts[1]
    assert isinstance(last, ast.ExprStmt)
    assert lisp(last.expr) == "(+ $x 1)"


def test_nobody_wants_the_value_of_a_statement() -> None:
    found = stmt("if 1 { { 2 } } else if 3 { 4 } else { 5 }")
    assert isinstance(found, ast.If)
    inner = found.then.stmts[0]
    assert isinstance(inner, ast.BlockStmt)
    assert isinstance(inner.body.stmts[0], ast.ExprStmt)
    assert isinstance(found.orelse, ast.If)
    assert isinstance(found.orelse.then.stmts[0], ast.ExprStmt)
    assert isinstance(found.orelse.orelse, ast.Block)
    assert found.orelse.orelse.value is None


def test_value_of_a_macro() -> None:
    body = parsed("macro f() { $x = 1; if (1) { 5 } else { 6 } }").macros[0].body
    assert isinstance(body.value, ast.IfExpr)
    assert lisp(body.value.then.value) == "5"


def test_macro_whose_last_statement_ends_in_a_semicolon_has_no_value() -> None:
    assert parsed("macro f() { if (1) { 5 }; }").macros[0].body.value is None
    assert parsed("macro f() { 5; }").macros[0].body.value is None


@pytest.mark.parametrize(
    "script",
    [
        "begin < print(1); >",
        "begin<print(1)>",
        "begin < if ($x > 3) < print($x); > >",
        "begin < if ($x > 3) < print($x); >>",
        "begin < if 1 < if 2 < print(1) >>>",
        "begin < @big = (arg2 > 4096); >",
        "begin < $x = (8 >> 1); @y[8 >> 1] = f(3 > 2); >",
        "begin < $x = 3 < 4; $y = 3 << 4; >",
        "begin < $x >>= 1; if ($x >= 3) { print(1) } $y = args->x >= 3; >",
        "begin { if (1) < print(1) > else < print(2) > print(3 > 2); }",
        "begin < if 1 { $x = 3 > 2; $y = 8 >> 1; } >",
        "begin < $x = if 1 < 2 > else < 3 >; >",
        "begin < $x = { 3 > 2 }; >",
        "kprobe:f<@[comm] = count();>",
        "interval:s:1 / @n < 5 / < @n++; if (@n > 3) < print(@n); exit(); > >",
        "interval:s:1 / @n > 5 && @n >> 2 / < exit(); >",
        "macro f($x) < $x > fn g($x : int8) : int8 < return $x; >",
        "begin < for $i : 0..3 < > while 1 < > unroll 3 < > >",
    ],
)
def test_angle_blocks(script: str) -> None:
    parsed(script)


def test_both_styles_give_the_same_tree() -> None:
    braces = "begin / 3 > 2 / { if ($x > 3) { $y = (3 >> 1) } else { for $i : 0..3 { } } }"
    angles = "begin / 3 > 2 / < if ($x > 3) < $y = (3 >> 1) > else < for $i : 0..3 < > > >"
    plain = shape(parsed(braces))
    assert repr(shape(parsed(angles))).replace("True", "False") == repr(plain)
    assert parsed(angles).probes[0].body.angle


def test_comment_markers_and_layout_may_stand_anywhere() -> None:
    script = "begin/*1*/{/*2*/if/*3*/(/*4*/1/*5*/)/*6*/{/*7*/f/*8*/(/*9*/)/*10*/;/*11*/}//12\n}"
    program = parsed(script)
    assert [c.text for c in program.comments[:-1]] == [f"/*{n}*/" for n in range(1, 12)]
    assert program.comments[-1].text == "//12"
