"""How expressions and types nest."""

from __future__ import annotations

import pytest

from pytrace.frontend import ast
from tests.unit.frontend.trees import expr, lisp, stmt


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # Precedence, tightest first, and associativity.
        ("1 - 2 - 3", "(- (- 1 2) 3)"),
        ("1 + 2 * 3", "(+ 1 (* 2 3))"),
        ("1 * 2 % 3 / 4", "(/ (% (* 1 2) 3) 4)"),
        ("1 << 2 + 3", "(<< 1 (+ 2 3))"),
        ("1 < 2 << 3", "(< 1 (<< 2 3))"),
        ("1 == 2 < 3", "(== 1 (< 2 3))"),
        ("1 & 2 == 3", "(& 1 (== 2 3))"),
        ("1 ^ 2 & 3", "(^ 1 (& 2 3))"),
        ("1 | 2 ^ 3", "(| 1 (^ 2 3))"),
        ("1 && 2 | 3", "(&& 1 (| 2 3))"),
        ("1 || 2 && 3", "(|| 1 (&& 2 3))"),
        ("1 || 2 ? 3 : 4", "(? (|| 1 2) 3 4)"),
        ("1 ? 2 : 3 ? 4 : 5", "(? 1 2 (? 3 4 5))"),
        ("1 ? 2 ? 3 : 4 : 5", "(? 1 (? 2 3 4) 5)"),
        ("1 ?: 2", "(? 1 - 2)"),
        ("1 ? : 2", "(? 1 - 2)"),
        ("1 >= 2 != 3 <= 4", "(!= (>= 1 2) (<= 3 4))"),
        ("1 > 2 >> 3", "(> 1 (>> 2 3))"),
        ("(1 + 2) * 3", "(* (+ 1 2) 3)"),
        # Unary and postfix operators.
        ("-1", "(- 1)"),
        ("- -1", "(- (- 1))"),
        ("!~1", "(! (~ 1))"),
        ("1 - -2", "(- 1 (- 2))"),
        ("-a.b", "(- (. a b))"),
        ("*a.b", "(* (. a b))"),
        ("*a * *b", "(* (* a) (* b))"),
        ("&$x", "(& $x)"),
        ("&@x & &$y", "(& (& @x) (& $y))"),
        ("$x++ + ++$x", "(+ (post++ $x) (++ $x))"),
        ("$x+++1", "(+ (post++ $x) 1)"),
        ("@x[1]-- - --@x[2]", "(- (post-- (@x 1)) (-- (@x 2)))"),
        ("a.b->c.0[1].d", "(. ([] (. (. (. a b) c) 0) 1) d)"),
        ("$t.1.0", "(. (. $t 1) 0)"),
        ("a . b -> c", "(. (. a b) c)"),
        ("args.return->if.let", "(. (. (. args return) if) let)"),
        # Maps.
        ("@", "@"),
        ("@x", "@x"),
        ("@[1]", "(@ 1)"),
        ("@x [1, 2]", "(@x 1 2)"),
        ("@x /* c */ [1][2]", "([] (@x 1) 2)"),
        ("(@x)[1]", "([] @x 1)"),
        ("@x[(1, 2)]", "(@x <1 2>)"),
        # Calls, tuples, records.
        ("f()", "(f)"),
        ("f (1, g(2))", "(f 1 (g 2))"),
        ("f(typeof(uint8), 1)", "(f (typeof uint8) 1)"),
        ("()", "<>"),
        ("(1,)", "<1>"),
        ("(1, 2)", "<1 2>"),
        ("(1, 2,)", "<1 2>"),
        ("((1, 2), 3)", "<<1 2> 3>"),
        ('(x=1, y="a")', "<x=1 y='a'>"),
        ("(x = (y = 1))", "<x=<y=1>>"),
        ("(if=1).if", "(. <if=1> if)"),
        ("(x == 1)", "(== x 1)"),
        # Casts.
        ("(uint8)1", "(cast uint8 1)"),
        ("(uint8)1 + 2", "(+ (cast uint8 1) 2)"),
        ("(uint8)a.b", "(cast uint8 (. a b))"),
        ("(uint8)(uint16)-1", "(cast uint8 (cast uint16 (- 1)))"),
        ("(struct s *)a", "(cast struct:s* a)"),
        ("(struct s)a", "(cast struct:s a)"),
        ("(union u*)*a", "(cast union:u* (* a))"),
        ("(enum e)1", "(cast enum:e 1)"),
        ("(foo)1", "(cast foo 1)"),
        ("(foo *)(1)", "(cast foo* 1)"),
        ("(int8[4])1", "(cast int8[4] 1)"),
        ("(int8[])1", "(cast int8[] 1)"),
        ("(int8*[2])1", "(cast int8*[2] 1)"),
        ("(int8[2]*)1", "(cast int8[2]* 1)"),
        ("(typeof($x))1", "(cast (typeof $x) 1)"),
        ("(typeof(f((1)))*)1", "(cast (typeof (f 1))* 1)"),
        ("(foo) /* c */ 1", "(cast foo 1)"),
        ("(foo) -1", "(cast foo (- 1))"),
        ("(foo) * 1", "(cast foo (* 1))"),
        ('(foo)"a"', "(cast foo 'a')"),
        ("(foo)comptime 1", "(cast foo (comptime 1))"),
        # Parentheses that are no casts.
        ("(foo)", "foo"),
        ("(foo) + 1", "(+ foo 1)"),
        ("(foo) != 1", "(!= foo 1)"),
        ("(foo) && 1", "(&& foo 1)"),
        ("(foo)->x", "(. foo x)"),
        ("(foo)[1]", "([] foo 1)"),
        ("(foo) ? 1 : 2", "(? foo 1 2)"),
        ("(pid) - 1", "(- pid 1)"),
        ("(nsecs) * 2", "(* nsecs 2)"),
        ("(arg0) - 1", "(- arg0 1)"),
        ("(foo[$i]) - 1", "(- ([] foo $i) 1)"),
        ("(foo * bar) - 1", "(- (* foo bar) 1)"),
        # Types and values in sizeof and its like.
        ("sizeof(uint8)", "(sizeof uint8)"),
        ("sizeof(struct s *)", "(sizeof struct:s*)"),
        ("sizeof(x[1])", "(sizeof x[1])"),
        ("sizeof((x)[1])", "(sizeof ([] x 1))"),
        ("sizeof(uint32 * 4)", "(sizeof (* uint32 4))"),
        ("sizeof($x)", "(sizeof $x)"),
        ("sizeof(pid)", "(sizeof pid)"),
        ("sizeof(typeof($x))", "(sizeof (typeof $x))"),
        ("typeinfo(1 + 2)", "(typeinfo (+ 1 2))"),
        ("comptime 1 + 2", "(+ (comptime 1) 2)"),
        ("comptime (1 + 2)", "(comptime (+ 1 2))"),
        ("comptime a.b", "(comptime (. a b))"),
        # Words that are keywords elsewhere.
        ("let + for", "(+ let for)"),
        ("typeof", "typeof"),
        ("$if + @while", "(+ $if @while)"),
    ],
)
def test_tree(text: str, tree: str) -> None:
    assert lisp(expr(text)) == tree


def test_bare_word_in_sizeof_is_a_type() -> None:
    found = expr("sizeof(comm)")
    assert isinstance(found, ast.Sizeof)
    assert isinstance(found.operand, ast.NamedType)


@pytest.mark.parametrize("text", ["pid", "args", "arg3", "true"])
def test_raw_builtin_in_sizeof_is_a_value(text: str) -> None:
    found = expr(f"sizeof({text})")
    assert isinstance(found, ast.Sizeof)
    assert isinstance(found.operand, ast.Ident | ast.BoolLit)


@pytest.mark.parametrize("text", ["offsetof(struct s, a.b.c)", "offsetof( struct s , a . b.c )"])
def test_offsetof(text: str) -> None:
    found = expr(text)
    assert isinstance(found, ast.Offsetof)
    assert (lisp(found.operand), found.path) == ("struct:s", ("a", "b", "c"))


def test_offsetof_of_an_expression() -> None:
    found = expr("offsetof(*$x, if.let)")
    assert isinstance(found, ast.Offsetof)
    assert (lisp(found.operand), found.path) == ("(* $x)", ("if", "let"))


@pytest.mark.parametrize(("text", "index"), [("$1", 1), ("$12", 12), ("$001", 1)])
def test_positional_parameter(text: str, index: int) -> None:
    found = expr(text)
    assert isinstance(found, ast.Param)
    assert found.index == index


def test_number_of_parameters() -> None:
    assert isinstance(expr("$#"), ast.ParamCount)


def test_arrow_and_dot_differ() -> None:
    found = expr("a->b")
    assert isinstance(found, ast.FieldAccess)
    assert found.arrow
    assert found.name_span.text == "b"


def test_block_expression() -> None:
    found = expr("{ $a = 1; $a + 1 }")
    assert isinstance(found, ast.BlockExpr)
    assert len(found.body.stmts) == 1
    assert lisp(found.body.value) == "(+ $a 1)"


def test_block_expression_without_value() -> None:
    found = expr("{ $a = 1; }")
    assert isinstance(found, ast.BlockExpr)
    assert found.body.value is None


def test_if_expression() -> None:
    found = expr("if $c { 1 } else if $d { 2 } else { 3 } + 4")
    assert isinstance(found, ast.Binary)
    chain = found.left
    assert isinstance(chain, ast.IfExpr)
    assert lisp(chain.then.value) == "1"
    assert isinstance(chain.orelse, ast.IfExpr)
    assert lisp(chain.orelse.then.value) == "2"
    assert isinstance(chain.orelse.orelse, ast.Block)
    assert lisp(chain.orelse.orelse.value) == "3"


def test_value_of_a_nested_block() -> None:
    found = expr("{ if 1 { { 2 } } else { 3; } }")
    assert isinstance(found, ast.BlockExpr)
    inner = found.body.value
    assert isinstance(inner, ast.IfExpr)
    assert isinstance(inner.then.value, ast.BlockExpr)
    assert isinstance(inner.orelse, ast.Block)
    assert inner.orelse.value is None


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("int32", "int32"),
        ("struct s", "struct:s"),
        ("struct s *", "struct:s*"),
        ("int32*[4]", "int32*[4]"),
        ("int32[4]*", "int32[4]*"),
        ("string[0x10]", "string[16]"),
        ("typeof(1 + 2)", "(typeof (+ 1 2))"),
        ("typeof(struct s)*", "(typeof struct:s)*"),
        ("int8 * *", "int8**"),
    ],
)
def test_declared_type(text: str, tree: str) -> None:
    for script in (f"let $x : {text};", f"let $x:{text}=1;"):
        found = stmt(script)
        assert isinstance(found, ast.Let)
        assert lisp(found.type) == tree
