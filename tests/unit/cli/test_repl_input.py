"""What an input of the prompt is taken for, and the scripts made of it and of definitions."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import DiagnosticSink, location
from pytrace.base.source import SourceFile, Span
from pytrace.cli.repl_input import Definitions, Input, brackets, understand
from pytrace.frontend.parser import parse


def given(text: str) -> Input:
    return understand(text, parse)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        ("  \n ", "empty"),
        ("// nothing", "empty"),
        (":help", "command"),
        (" :set x y", "command"),
        ("nsecs", "expression"),
        ("1 + 2", "expression"),
        ("@a", "expression"),
        ('(1, "x") // why', "expression"),
        ("a ? b : c", "expression"),
        ("foo(1, 2)", "expression"),
        ('printf("hi")', "expression"),
        ("begin < print(5);", "open"),
        ("beginning < 5", "expression"),
        ("@x = 1; print(@x)", "statements"),
        ("$x = 1; print($x);", "statements"),
        ("begin { print(1); }", "run"),
        ("interval:s:1 < print(1); >", "run"),
        ("macro f() { 1 } begin { print(f()); }", "run"),
        ("x=kprobe:f { }", "run"),
        ("macro f($x) { $x }", "define"),
        ("struct x { int a; };", "define"),
        ("#define X 5", "define"),
        ("config = { max_strlen = 5 }", "define"),
        ("let @a = hash(5);", "define"),
        ("fn f($a : int64) : int64 { return 1; }", "define"),
        ('import "x.bt";', "define"),
        ("1 +", "open"),
        ("begin", "open"),
        ("END ", "open"),
        ("begin {", "open"),
        ("begin {\n print(1", "open"),
        ("interval:s:1 < print(1);", "open"),
        ("tracepoint:a:b", "open"),
        ("uprobe:/bin/bash:readline", "open"),
        ("kprobe:f,", "open"),
        ("kprobe:f /pid == 1/", "open"),
        ('print("abc', "open"),
        ("/* so", "open"),
        ("struct x { int a;", "open"),
        ("config = {", "open"),
        ("begin { x y }", "wrong"),
        ("1 2", "wrong"),
        ("nosuch }", "wrong"),
        ("begin { print(1 }", "wrong"),
        ("1); } begin { print(2", "wrong"),
    ],
)
def test_kinds_of_input(text: str, kind: str) -> None:
    assert given(text).kind == kind


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("begin { x y }", "stdin:1:11-12"),
        ('printf("x" 1)', "stdin:1:12-13"),
        ("1 2", "stdin:1:3-4"),
        ("\n  1 2", "stdin:2:5-6"),
    ],
)
def test_problems_stand_where_the_user_typed(text: str, where: str) -> None:
    span = given(text).problems[0].span
    assert span is not None
    assert location(span) == where
    assert span.source.text == text.encode()


@pytest.mark.parametrize(
    ("text", "balance"),
    [
        ("", 0),
        ("{ ( [ ] ) }", 0),
        ("{ ( [", 1),
        ("( ]", -1),
        (")", -1),
        ('"(\\"("', 0),
        ('"(', 1),
        ("/* ( */", 0),
        ("/* (", 1),
        ("// (", 0),
        ("( // )\n)", 0),
    ],
)
def test_brackets_strings_and_comments(text: str, balance: int) -> None:
    assert brackets(text) == balance


def script(definitions: Definitions, text: str) -> str:
    return definitions.script(given(text)).source.text.decode()


def remembered(*texts: str) -> Definitions:
    definitions = Definitions()
    for text in texts:
        assert given(text).kind == "define"
        definitions.remember(given(text))
    return definitions


def test_an_expression_is_printed_and_statements_are_run() -> None:
    none = Definitions()
    assert script(none, "nsecs").split() == ["begin", "{", "print(nsecs);", "}"]
    assert script(none, "1 // one") == "begin { print(1 // one\n); }\n"
    assert script(none, "@x = 1").split() == ["begin", "{", "@x", "=", "1", "}"]


def test_definitions_stand_where_the_language_wants_them() -> None:
    definitions = remembered(
        "macro m() { 1 }",
        "config = { max_strlen = 5 }",
        "let @a = hash(5);",
        "struct s { int x; };",
        "config = { log_size = 7 }",
        "#define N 3",
    )
    text = script(definitions, "begin { print(m()); }")
    sink = DiagnosticSink()
    program = parse(SourceFile("x", text.encode()), sink)
    assert program is not None, sink.items
    assert len(program.c_parts) == 2
    assert program.config is not None
    assert [(e.key, e.value) for e in program.config.entries] == [
        ("max_strlen", 5),
        ("log_size", 7),
    ]
    assert len(program.items) == 3


def test_inputs_with_definitions_of_their_own_go_together_with_older_ones() -> None:
    definitions = remembered("struct s { int x; };", "config = { max_strlen = 5; log_size = 6 }")
    text = script(
        definitions,
        "struct t { int y; };\nconfig = { MAX_STRLEN = 9 }\nbegin { print(1); } end { }",
    )
    sink = DiagnosticSink()
    program = parse(SourceFile("x", text.encode()), sink)
    assert program is not None, sink.items
    assert len(program.c_parts) == 2
    assert program.config is not None
    assert [(e.key, e.value) for e in program.config.entries] == [
        ("log_size", 6),
        ("MAX_STRLEN", 9),
    ]
    assert len(program.probes) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("macro m() { 1 }", "macro m($x) { $x }"),
        ("fn f() : void { }", "fn f($a : int8) : void { }"),
        ("let @a = hash(5);", "let @a = lruhash(6);"),
        ("struct s { int x; };", "struct s { int y; };"),
        ("#define N 3", "#define N 4"),
        ("config = { strlen = 5 }", "config = { PYTRACE_MAX_STRLEN = 6 }"),
    ],
)
def test_the_same_name_replaces(old: str, new: str) -> None:
    definitions = remembered(old, new)
    assert definitions.listing().strip() == new
    assert old not in script(definitions, "1")


def test_overloads_of_one_input_stay_together() -> None:
    both = "macro m() { 1 }\nmacro m($x) { $x }"
    assert remembered("macro m($x, $y) { 1 }", both).listing().strip() == both


def test_an_input_may_redefine_what_is_remembered() -> None:
    definitions = remembered("macro m() { 1 }")
    text = script(definitions, "macro m() { 2 } begin { print(m()); }")
    assert "1" not in text
    assert definitions.listing() == "macro m() { 1 }\n"


def test_forgetting() -> None:
    definitions = remembered("macro m() { 1 }")
    assert definitions
    definitions.forget()
    assert not definitions
    assert definitions.listing() == ""


@pytest.mark.parametrize("text", ["begin { print(1); }\nend { }", "nsecs + 5", "@x = 7"])
def test_places_in_a_script_lead_back_to_the_input(text: str) -> None:
    definitions = remembered("struct s { int x; };", "config = { max_strlen = 5 }", "macro m() {1}")
    typed = given(text)
    whole = definitions.script(typed)
    for word in ("print(1)", "end", "nsecs", "5", "7"):
        if word not in text:
            continue
        at = whole.source.text.rindex(word.encode())
        span = whole.original(Span(source=whole.source, start=at, end=at + len(word)))
        assert span.source is typed.source
        assert span.text == word
        assert span.start == text.rindex(word)


def test_places_in_definitions_lead_back_to_theirs() -> None:
    definitions = remembered("let @aaa = hash(5);")
    whole = definitions.script(given("begin { }"))
    at = whole.source.text.index(b"@aaa")
    span = whole.original(Span(source=whole.source, start=at, end=at + 4))
    assert span.source.text == b"let @aaa = hash(5);"
    assert span.start == 4
