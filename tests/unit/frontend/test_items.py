"""What a script consists of: probes, attach points, C parts, config, imports, macros, functions."""

from __future__ import annotations

import pytest

from pytrace.frontend import ast
from pytrace.frontend.attach_points import split
from tests.unit.frontend.trees import lisp, parsed


def points(text: str) -> tuple[ast.AttachPoint, ...]:
    return parsed(text).probes[0].attach_points


@pytest.mark.parametrize(
    ("raw", "label", "provider", "parts", "quoted", "location"),
    [
        ("BEGIN", "", "BEGIN", (), (), ""),
        ("kprobe:f", "", "kprobe", ("f",), (False,), ""),
        ("kprobe:mod:f+0x10", "", "kprobe", ("mod", "f+0x10"), (False, False), ""),
        ("kprobe:", "", "kprobe", ("",), (False,), ""),
        ("a=kprobe:f", "a", "kprobe", ("f",), (False,), ""),
        ("a=begin", "a", "begin", (), (), ""),
        ("=begin", "", "=begin", (), (), ""),
        ("uprobe:/bin/a=b:f", "", "uprobe", ("/bin/a=b", "f"), (False, False), ""),
        ('uprobe:x:"ns::B<int>::p(int)"', "", "uprobe", ("x", "ns::B<int>::p(int)"),
         (False, True), ""),
        (r'uprobe:x:"a\"b\\c"', "", "uprobe", ("x", 'a"b\\c'), (False, True), ""),
        ('uprobe:/a"b c"d:f', "", "uprobe", ("/ab cd", "f"), (True, False), ""),
        ("uprobe:x@file.c:10", "", "uprobe", ("x",), (False,), "file.c:10"),
        ('uprobe:x@"my file.c":10:3', "", "uprobe", ("x",), (False,), "my file.c:10:3"),
        ('uprobe:"a@b":f', "", "uprobe", ("a@b", "f"), (True, False), ""),
        ("tracepoint:$1:$2", "", "tracepoint", ("$1", "$2"), (False, False), ""),
        ("*:vfs_*", "", "*", ("vfs_*",), (False,), ""),
    ],
)  # fmt: skip
def test_fields_of_an_attach_point(
    raw: str,
    label: str,
    provider: str,
    parts: tuple[str, ...],
    quoted: tuple[bool, ...],
    location: str,
) -> None:
    found = split(raw)
    assert (found.label, found.provider, found.parts) == (label, provider, parts)
    assert (found.quoted, found.location) == (quoted, location)
    (point,) = points(f"{raw} {{ }}")
    assert (point.label, point.provider, point.parts) == (label, provider, parts)
    assert point.text == raw[len(label) + 1 if label else 0 :]
    assert point.span.text == raw


@pytest.mark.parametrize(
    ("script", "texts"),
    [
        ("begin{ }", ["begin"]),
        ("begin<>", ["begin"]),
        ("begin,end { }", ["begin", "end"]),
        ("begin , end , { }", ["begin", "end"]),
        ("begin, /1/ { }", ["begin"]),
        ("kprobe:a,\nkprobe:b\n{ }", ["kprobe:a", "kprobe:b"]),
        ("begin/1/{ }", ["begin"]),
        ("begin//c\n{ }", ["begin"]),
        ("begin/*c*/{ }", ["begin"]),
        ("kprobe:f // c\n { }", ["kprobe:f"]),
        ("kprobe:f/*c*/ { }", ["kprobe:f/*c*/"]),
        ("uprobe:/bin/*:f { }", ["uprobe:/bin/*:f"]),
        ("interval:ms:1/1/ { }", ["interval:ms:1/1/"]),
        ('uprobe:"a,b c{<":f { }', ['uprobe:"a,b c{<":f']),
        ("struct:x { }", ["struct:x"]),
    ],
)
def test_ends_of_attach_points(script: str, texts: list[str]) -> None:
    assert [point.text for point in points(script)] == texts


@pytest.mark.parametrize(
    ("script", "predicate"),
    [
        ("begin / 1 / { }", "1"),
        ("begin /1/{ }", "1"),
        ("begin / 1 / /* c */ { }", "1"),
        ("begin / 1 / // c\n < >", "1"),
        ("begin / 8 / 4 / 2 / { }", "(/ (/ 8 4) 2)"),
        ("begin / (8 / 4) == 2 / { }", "(== (/ 8 4) 2)"),
        ("begin / @n < 5 / < >", "(< @n 5)"),
        ("begin / @n > 5 >> 1 / < >", "(> @n (>> 5 1))"),
        ('begin / comm == "a/ {" / { }', "(== comm 'a/ {')"),
    ],
)
def test_predicate(script: str, predicate: str) -> None:
    assert lisp(parsed(script).probes[0].predicate) == predicate


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("struct s { int x; };", "struct", "s"),
        ("struct s { int x; }", "struct", "s"),
        ("union u { struct { int a; } b; int c[4]; };", "union", "u"),
        ("enum e { A, B = 5 };", "enum", "e"),
        ("enum { A };", "enum", ""),
        ("struct __attribute__((packed)) s { int x : 3; };", "struct", "s"),
        ("struct s { int x; } __attribute__((packed)) __attribute__((aligned(8)));", "struct", "s"),
        ("struct s { char c; } __attribute__((packed))", "struct", "s"),
        ("struct s { /* } */ int x; // }\n int y; };", "struct", "s"),
        ("struct s\n{ char a['}']; }", "struct", "s"),
    ],
)
def test_c_definition(text: str, kind: str, name: str) -> None:
    program = parsed(f"{text}\nbegin {{ }}")
    (found,) = program.c_parts
    assert isinstance(found, ast.CDef)
    assert (found.kind, found.name, found.text) == (kind, name, text)


def test_preprocessor_lines() -> None:
    program = parsed("#include <linux/x.h>\n#define A \\\n 1\n  #ifdef B // c\n#endif\nbegin { }")
    texts = [part.text for part in program.c_parts if isinstance(part, ast.CppLine)]
    assert texts == ["#include <linux/x.h>", "#define A \\\n 1", "#ifdef B // c", "#endif"]


def test_shebang() -> None:
    program = parsed("#!/usr/bin/env pytrace\nbegin { }")
    assert program.shebang == "#!/usr/bin/env pytrace"
    assert parsed("begin { }").shebang is None


def test_config() -> None:
    program = parsed('config = { a = 1; B_c = "x y"; d = true; e = word; f=0x10 }')
    assert program.config is not None
    values = [(e.key, e.value, e.quoted) for e in program.config.entries]
    assert values == [
        ("a", 1, False),
        ("B_c", "x y", True),
        ("d", True, False),
        ("e", "word", False),
        ("f", 16, False),
    ]
    assert [e.value_span.text for e in program.config.entries][1:3] == ['"x y"', "true"]


@pytest.mark.parametrize("text", ["config = { }", "config={a=1;}", "config = { true = false; }"])
def test_forms_of_config(text: str) -> None:
    assert parsed(text + " begin { }").config is not None


def test_config_words_are_true_only_without_quotes() -> None:
    program = parsed('config = { a = true; b = "true" }')
    assert program.config is not None
    assert [e.value for e in program.config.entries] == [True, "true"]


def test_imports() -> None:
    program = parsed('import "a.bt"; config = { } import "stdlib"; begin { }')
    assert [i.path for i in program.imports] == ["a.bt", "stdlib"]


@pytest.mark.parametrize("text", ["let @a = hash(10);", "let @a = hash(1e1)", "let@a=hash(0xa);"])
def test_map_declaration(text: str) -> None:
    (found,) = parsed(text + " begin { }").map_decls
    assert (found.map.name, found.kind, found.max_entries) == ("@a", "hash", 10)
    assert found.kind_span.text == "hash"


def test_macro() -> None:
    (found,) = parsed("macro f($a, @b, c) { c }").macros
    assert [(p.kind, p.name) for p in found.params] == [("var", "a"), ("map", "@b"), ("expr", "c")]
    assert parsed("macro f() { }").macros[0].params == ()


def test_function() -> None:
    (found,) = parsed("fn f($a : struct s *, $b:typeof(1)) : int8[4] { return 1; }").functions
    assert found.name == "f"
    types = [(p.var.name, lisp(p.type)) for p in found.params]
    assert types == [("a", "struct:s*"), ("b", "(typeof 1)")]
    assert lisp(found.returns) == "int8[4]"


def test_items_stay_in_order() -> None:
    program = parsed("begin { } let @a = hash(1); macro f() { } fn g() : void { } end { }")
    kinds = [type(item).__name__ for item in program.items]
    assert kinds == ["Probe", "MapDecl", "Macro", "Fn", "Probe"]


@pytest.mark.parametrize(
    ("script", "doc"),
    [
        ("// One.\n// Two.\nmacro f() { }", "One.\nTwo."),
        ("/* One.\n * Two.\n */\nmacro f() { }", "One.\nTwo."),
        ("/**\n * One.\n */\nmacro f() { }", "One."),
        ("// far\n\n// near\nmacro f() { }", "near"),
        ("// far\n\nmacro f() { }", ""),
        ("begin { } // other\nmacro f() { }", ""),
        ("// other\nbegin { } macro f() { }", ""),
        ("macro f() { } // behind", ""),
    ],
)
def test_doc(script: str, doc: str) -> None:
    assert parsed(script).macros[0].doc == doc


def test_doc_of_a_function() -> None:
    assert parsed("// Adds.\nfn f() : void { }").functions[0].doc == "Adds."


def test_comments_are_kept() -> None:
    program = parsed("// a\nbegin { } // b\n  /* c */ /* d */\nend { /* e */ } // f")
    found = [(c.text, c.own_line) for c in program.comments]
    assert found == [
        ("// a", True),
        ("// b", False),
        ("/* c */", True),
        ("/* d */", False),
        ("/* e */", False),
        ("// f", False),
    ]


def test_comment_that_stays_open() -> None:
    assert parsed("begin { } /* a").comments[0].text == "/* a"


@pytest.mark.parametrize("text", ["", " \n", "// c", "/* c */", "#!/x", "#define A 1"])
def test_script_without_probes(text: str) -> None:
    assert parsed(text).items == ()
