"""The formatter's house style. That it changes no tree is in tests/fuzz/test_formatting.py."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.frontend.print import format_source, program_text
from pytrace.frontend.print_exprs import quoted, type_text
from pytrace.frontend.walk import transform
from tests.unit.frontend.trees import block, expr, lisp, parsed, shape, stmt


def formatted(text: str) -> str:
    sink = DiagnosticSink()
    out = format_source(SourceFile("stdin", text.encode()), sink)
    assert out is not None, [d.message for d in sink.items]
    return out


SCRIPT = """\
#!/usr/bin/env pytrace
// What it does.

/* Block
   comment */
#include <linux/sched.h>
struct s { int a : 3;  char b[4]; };
config={max_map_keys=10;license="GPL"} // after
import "stdlib" ; let @m=lruhash(1_000);


// Doubles.
macro twice(x){x*2}
fn add($a:int64,$b:struct s*[2]):uint64{return $a+(uint64)$b[0]->a;}
begin{printf("%d\\n",1)} end<print(2)>
k=kprobe:f,kprobe:"g h" /pid==1&&(uid+2)*3>4/{
if(($x)){print(1)// one
}else if($y==1){/* in */}else{
// only
}

for($i:0..10){$z+=1}while($x<1){$x++}unroll(3){print(1)}
let $t:typeof(1+2)=1;_=comptime 5;{print(2)}
$v={1;2};$w=if $x{1}else{2};

// last
}
// end
"""

HOUSE_STYLE = """\
#!/usr/bin/env pytrace
// What it does.

/* Block
   comment */
#include <linux/sched.h>
struct s { int a : 3;  char b[4]; };
config = {
  max_map_keys = 10;
  license = "GPL";
} // after
import "stdlib";

let @m = lruhash(1000);

// Doubles.
macro twice(x) {
  x * 2
}
fn add($a : int64, $b : struct s *[2]) : uint64 {
  return $a + (uint64)$b[0]->a;
}
begin {
  printf("%d\\n", 1);
}

end <
  print(2);
>
k=kprobe:f,
kprobe:"g h"
/ pid == 1 && (uid + 2) * 3 > 4 /
{
  if $x {
    print(1); // one
  } else if ($y == 1) { /* in */ } else {
    // only
  }

  for $i : 0..10 {
    $z += 1;
  }
  while ($x < 1) {
    $x++;
  }
  unroll 3 {
    print(1);
  }
  let $t : typeof(1 + 2) = 1;
  _ = comptime 5;
  {
    print(2);
  }
  $v = {
    1;
    2
  };
  $w = if $x { 1 } else { 2 };

  // last
}
// end
"""


def test_house_style() -> None:
    assert formatted(SCRIPT) == HOUSE_STYLE
    assert formatted(HOUSE_STYLE) == HOUSE_STYLE


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("((1))+(2*3)", "1 + 2 * 3"),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("(1-2)-3", "1 - 2 - 3"),
        ("(1?2:3)?4:(5?6:7)", "(1 ? 2 : 3) ? 4 : 5 ? 6 : 7"),
        ("1?:2", "1 ?: 2"),
        ("-(-1)", "- -1"),
        ("-(--$x)", "- --$x"),
        ("-(1+2)", "-(1 + 2)"),
        ("!(a.b)", "!a.b"),
        ("(-a).b", "(-a).b"),
        ("(*a)->b[1].0", "(*a)->b[1].0"),
        ("a&(&$x)", "a & &$x"),
        ("(@x)[1]", "(@x)[1]"),
        ("@x[(1,2),3]", "@x[(1, 2), 3]"),
        ("(1,)", "(1,)"),
        ("(1,2,)", "(1, 2)"),
        ("( )", "()"),
        ("(a = 1, b=(c=2))", "(a=1, b=(c=2))"),
        ("(struct  s*)x", "(struct s *)x"),
        ("(int8 [ 4 ])x", "(int8[4])x"),
        ("(uint8)({5})", "(uint8)({ 5 })"),
        ("(uint8)(++$x)", "(uint8)(++$x)"),
        ("(uint8)(-1)", "(uint8)-1"),
        ("sizeof( int8 )", "sizeof(int8)"),
        ("sizeof((comm))", "sizeof((comm))"),
        ("sizeof((x)[1])", "sizeof((x[1]))"),
        ("sizeof($x)", "sizeof($x)"),
        ("offsetof(struct s,a . b)", "offsetof(struct s, a.b)"),
        ("f(typeof( int8* ))", "f(typeof(int8 *))"),
        ("1_000+0x1F+10ms", "1_000 + 0x1F + 10ms"),
        (r'"\x41\101\t\"\x00"', r'"AA\t\"\x00"'),
        ("$1+$#", "$1 + $#"),
        ("4 / ({2})", "4 / ({ 2 })"),
    ],
)
def test_expression(text: str, printed: str) -> None:
    out = formatted(f"begin {{ $v = {text}; }}")
    assert out == f"begin {{\n  $v = {printed};\n}}\n"
    assert lisp(expr(printed)) == lisp(expr(text))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("if ($x) { }", "if $x { }"),
        ("if (!$x) { }", "if !$x { }"),
        ("if ((uint8)$x) { }", "if ((uint8)$x) { }"),
        ("if (($x,1).0) { }", "if (($x, 1).0) { }"),
        ("if ({1}) { }", "if ({ 1 }) { }"),
        ("if ($x == 1) < >", "if ($x == 1) < >"),
        ("for ($kv : @m) { }", "for $kv : @m { }"),
        ("for ($i : (-1)..(a.b)) { }", "for $i : (-1)..(a.b) { }"),
        ("(break);", "(break);"),
        ("(let + 1);", "(let + 1);"),
        ("({1}) + 2;", "({ 1 } + 2);"),
        ("(if 1 {2} else {3});", "(if 1 { 2 } else { 3 });"),
        ("return 1", "return 1;"),
    ],
)
def test_statement(text: str, printed: str) -> None:
    assert formatted(f"begin {{ {text} }}") == f"begin {{\n  {printed}\n}}\n"
    assert shape(stmt(printed)) == shape(stmt(text))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("$x = (3 > 2)", "$x = (3 > 2);"),
        ("$x = (3 > 2) + (8 >> 1)", "$x = (3 > 2) + (8 >> 1);"),
        ("$x = f(3 > 2)", "$x = f(3 > 2);"),
        ("$x = 3 < 2", "$x = 3 < 2;"),
        ("if (3 > 2) { $y = 3 > 2 }", "if (3 > 2) {\n    $y = 3 > 2;\n  }"),
        ("(3 > 2) ? (4 > 3) : 5", "(3 > 2) ? (4 > 3) : 5;"),
    ],
)
def test_comparisons_in_angle_blocks(text: str, printed: str) -> None:
    assert formatted(f"begin < {text} >") == f"begin <\n  {printed}\n>\n"


def test_value_of_a_macro_stays_a_value() -> None:
    assert formatted("macro f() { if 1 { 5 } }") == "macro f() {\n  if 1 { 5 }\n}\n"
    assert formatted("macro f() { if 1 { 5 }; }") == "macro f() {\n  if 1 {\n    5;\n  };\n}\n"
    assert formatted("macro f() { 5; }") == "macro f() {\n  5;\n}\n"


def test_long_calls_are_broken() -> None:
    args = ", ".join(f"$argument{n}" for n in range(20))
    out = formatted(f"begin {{ printf({args}); }}")
    assert all(len(line) <= 100 for line in out.splitlines())
    assert formatted(out) == out
    assert shape(parsed(out)) == shape(parsed(f"begin {{ printf({args}); }}"))


def test_comments_within_a_line_stay_where_they_are() -> None:
    script = "begin {\n  f(/* a */ 1, // b\n      2); // c\n}\n"
    assert formatted(script) == script


def test_comments_between_attach_points() -> None:
    script = "kprobe:a, // first\n// second\nkprobe:b\n// body\n{ }\n"
    assert formatted(script) == script


def test_comments_before_else() -> None:
    script = "begin {\n  if $x {\n    f();\n  } // a\n  // b\n  else {\n    g();\n  }\n}\n"
    assert formatted(script) == script


def test_bytes_that_are_no_text() -> None:
    assert quoted(b"a\xff\x7f\xc3\xa9\n") == '"a\\xff\\x7f\u00e9\\n"'


@pytest.mark.parametrize("text", ["int8", "struct s *", "struct s **", "int32 *[4]", "x[2] *"])
def test_type(text: str) -> None:
    found = stmt(f"let $x : {text};")
    assert type_text(found.type) == text  # type: ignore[union-attr, arg-type]


def test_changed_trees_print_without_comments() -> None:
    program = parsed("begin { /* a */ $x = 1; } // b")
    same = transform(program, lambda node: node)
    assert program_text(same, comments=False) == "begin {\n  $x = 1;\n}\n"


def test_syntax_errors_give_no_text() -> None:
    sink = DiagnosticSink()
    assert format_source(SourceFile("stdin", b"begin { ("), sink) is None
    assert sink.failed


@pytest.mark.parametrize(
    "script",
    [
        "begin { $x = " + "- " * 250 + "1; }",
        "begin " + "{ " * 250 + "}" * 250,
        "begin { $x = " + "{ $x = " * 250 + "1" + "; }" * 250 + "; }",
        "begin { $x = " + "f(" * 250 + ")" * 250 + "; }",
        "begin { $x = " + "if 1 { " * 120 + "1" + " } else { 2 }" * 120 + "; }",
        "begin { if 1 { } " + "else if 1 { } " * 250 + "}",
        "begin { let $x : " + "typeof(" * 250 + "1" + ")" * 250 + "; }",
    ],
    ids=lambda script: script[:16],
)
def test_deep_trees(script: str) -> None:
    out = formatted(script)
    assert formatted(out) == out


def test_blank_lines_are_kept_but_one() -> None:
    assert len(block("f();\n\n\n\ng();").stmts) == 2
    assert formatted("begin {\n\n f();\n\n\n\n g();\n\n}\n") == "begin {\n  f();\n\n  g();\n}\n"
