"""Macros: which definition a call means, what its body sees, what is refused (language 2.3)."""

from __future__ import annotations

import pytest

from pytrace.ir.print import print_module
from tests.compiling import compile_to_ir
from tests.unit.semantics.telling import errors, told

HYGIENE = "Unhygienic access to map: {}. Maps must be passed into the macro as arguments."
MISFIT = "ERROR: Call to f() has arguments that do not match any definition. [{}]"
CLOSEST = "  This is the argument in the closest definition. [{}]"

FOUR = (
    "macro f() { 1 } macro f($v) { (int16)2 } macro f(@m) { (int32)3 } macro f(x) { (int64)4 }"
    " begin { $v = 1; @m = 1; $a = REST; }"
)


def variables(script: str) -> dict[str, str]:
    return compile_to_ir(script).variables()


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("f", "int8"),
        ("f()", "int8"),
        ("f($v)", "int16"),
        ("f(@m)", "int32"),
        ("f(1)", "int64"),
        ("f($v + 1)", "int64"),
        ("f(cpu)", "int64"),
        ("f(f($v))", "int64"),
        ('f("text")', "int64"),
    ],
)
def test_the_most_specific_definition_is_meant(call: str, kind: str) -> None:
    assert variables(FOUR.replace("REST", call))["a"] == kind


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("macro f(x) { x } begin { $a = f(5); }", "int8"),
        ("macro f(x) { x; x + 1 } begin { $a = f(cpu); }", "uint64"),
        ("macro f(x) { let $y = x; $y } begin { $a = f(\"abc\"); }", "string[4]"),
        ("macro f(x) { if (x) { 5 } else { 600 } } begin { $a = f(cpu); }", "int16"),
        ("macro f(x) { { let $y = x; $y } } begin { $a = f(true); }", "bool"),
        ("macro f(t) { (t)5 } begin { $a = f(typeof(uint8)); }", "uint8"),
        ("macro f(t) { (t)5 } begin { $a = f(typeof(pid)); }", "uint32"),
        ("macro f(t) { (t)5 } begin { $a = f(uint16); }", "uint16"),
        ("macro f(t) { (t*)5 } begin { $a = f(uint16); }", "uint16 *"),
        ("macro f(t) { let $x : t = 5; $x } begin { $a = f(int32); }", "int32"),
        ("macro f(t) { sizeof(t) } begin { $a = f(typeof(struct task_struct)); }", "int16"),
        ("macro f(t) { sizeof(t) } begin { $a = f((int32)5); }", "int8"),
        ("macro f(t) { offsetof(t, pid) } begin { $a = f(typeof(struct task_struct)); }", "int16"),
        ("macro f(@m) { len(@m) } begin { @x[1] = 1; $a = f(@x); }", "int64"),
        ("macro f(x) { g(x, x) } macro g(x, y) { x + y } begin { $a = f(1); }", "int8"),
        ("macro f(x) { f(x, 1) } macro f(x, y) { x + y } begin { $a = f(1); }", "int8"),
    ],
)  # fmt: skip
def test_values(script: str, kind: str) -> None:
    assert variables(script)["a"] == kind


def test_a_variable_parameter_is_the_callers_variable() -> None:
    outcome = compile_to_ir("macro f($v) { $v = 5000; } begin { $a = 1; f($a); }")
    assert outcome.variables() == {"a": "int16"}


def test_variables_of_two_uses_are_two() -> None:
    script = 'macro f(x) { let $y = x; $y } begin { $a = f(1); $b = f("s"); $y = true; }'
    outcome = compile_to_ir(script)
    assert outcome.lowered is not None
    instance = outcome.lowered.env.instances[0]
    named_y = sorted(str(k) for v, k in instance.variables.items() if v.name.startswith("y"))
    assert named_y == ["bool", "int8", "string[2]"]


def test_a_map_parameter_is_the_callers_map() -> None:
    outcome = compile_to_ir("macro f(@m, k) { @m[k] = count(); } begin { f(@a, 1); f(@b, comm); }")
    assert {name: str(key) for name, (key, _) in outcome.maps().items()} == {
        "@a": "int8",
        "@b": "string[16]",
    }


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("macro f() { @x = 1 } begin { f(); }", HYGIENE.format("@x")),
        ("macro f() { @x[1] = 1 } begin { f(); }", HYGIENE.format("@x")),
        ("macro f() { @x++ } begin { f(); }", HYGIENE.format("@x")),
        ("macro f() { delete(@x, 1) } begin { f(); }", HYGIENE.format("@x")),
        ("macro f(@m) { @n = @m } begin { f(@a); @a = 1; }", HYGIENE.format("@n")),
        ("macro f() { $x } begin { $x = 1; f(); }", "Undefined or undeclared variable: $x"),
        ("macro f() { $x += 1 } begin { $x = 1; f(); }", "Undefined or undeclared variable: $x"),
        ("macro f($v) { $v } begin { f($no); }", "Undefined or undeclared variable: $no"),
        (
            "macro f($v) { let $v = 1; } begin { $a = 1; f($a); }",
            "Variable declaration shadows macro arg $v",
        ),
        (
            "macro f() { let $x = 1; let $x = 2; } begin { f(); }",
            "Variable $x was already declared. Variable shadowing is not allowed.",
        ),
    ],
)
def test_hygiene(script: str, expected: str) -> None:
    assert errors(script) == [expected]


@pytest.mark.parametrize(
    "script",
    [
        "macro f() { @x = 1 } begin { }",
        "macro f() { nosuch($x) } begin { }",
        "macro f(x) { x; } macro f(x, y) { y; } begin { f(1); f(1, 2); }",
        "macro f() { for $i : 0..2 { break; } } begin { f(); }",
        "macro f() { while (1) { continue; } } begin { f(); }",
        "begin { f(); } macro f() { 1 }",
        "macro f($v) { $v } macro f(x) { x } begin { $a = 1; print(f($a)); print(f(1)); }",
        "macro elapsed() { __builtin_elapsed } begin { print(elapsed); }",
        "macro f(x) { x } begin { print(f(f(f(1)))); }",
    ],
)
def test_good_macros(script: str) -> None:
    assert errors(script) == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("macro f() { f() } begin { f(); }", "f > f"),
        ("macro f(x) { f(x + 1) } begin { f(1); }", "f > f"),
        ("macro f() { g() } macro g() { f() } begin { f(); }", "f > g > f"),
        ("macro f() { g() } macro g() { h() } macro h() { g() } begin { f(); }", "g > h > g"),
        ("macro f() { f } begin { f; }", "f > f"),
    ],
)
def test_recursion(script: str, expected: str) -> None:
    assert errors(script) == [f"Recursive macro call detected. Call chain: {expected}"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "macro f(a) { a } begin { print(f(1, 2)); }",
            [
                MISFIT.format("f(1, 2)"),
                "  The closest definition of f() has a different number of arguments."
                " Expected: 1 but got 2 [macro f]",
            ],
        ),
        (
            "macro f(a) { a } macro f(a, b, c) { a } begin { print(f()); }",
            [
                MISFIT.format("f()"),
                "  The closest definition of f() has a different number of arguments."
                " Expected: 1 but got 0 [macro f]",
            ],
        ),
        (
            "macro f($v) { $v } begin { print(f(1 + 1)); }",
            [
                MISFIT.format("f(1 + 1)"),
                "  Mismatched arg. f() expects a variable for arg $v but got an expression."
                " [1 + 1]",
                CLOSEST.format("$v"),
            ],
        ),
        (
            "macro f($v) { $v } begin { @a = 1; print(f(@a)); }",
            [
                MISFIT.format("f(@a)"),
                "  Mismatched arg. f() expects a variable for arg $v but got a map. [@a]",
                CLOSEST.format("$v"),
            ],
        ),
        (
            "macro f(@m) { @m } begin { $a = 1; print(f($a)); }",
            [
                MISFIT.format("f($a)"),
                "  Mismatched arg. f() expects a map for arg @m but got a variable. [$a]",
                CLOSEST.format("@m"),
            ],
        ),
        (
            "macro f(@m) { @m = 1 } begin { f(@y[1]); }",
            [
                MISFIT.format("f(@y[1])"),
                "  Mismatched arg. f() expects a map for arg @m but got an expression. [@y[1]]",
                CLOSEST.format("@m"),
            ],
        ),
        (
            "macro f(x) { x } macro f(y) { y } begin { }",
            [
                "ERROR: Redefinition of macro: f [macro f]",
                "  This is the original definition. [macro f]",
            ],
        ),
        (
            "macro f(x, x) { x } begin { }",
            ["ERROR: Ident for macro argument has already been used: x [x]"],
        ),
        (
            "macro f($x, $x) { $x } begin { }",
            ["ERROR: Variable for macro argument has already been used: $x [$x]"],
        ),
        (
            "macro f(@x, @x) { @x } begin { }",
            ["ERROR: Map for macro argument has already been used: @x [@x]"],
        ),
        (
            "macro f() { return; } begin { }",
            ["ERROR: 'return' statement is not allowed in a macro [return;]"],
        ),
        (
            "macro f() { if (1) { break; } } begin { }",
            ["ERROR: 'break' statement is not allowed in a macro [break;]"],
        ),
        (
            "macro f() { continue; } begin { for $i : 0..2 { f(); } }",
            ["ERROR: 'continue' statement is not allowed in a macro [continue;]"],
        ),
        (
            "macro f() { for $i : 0..2 { return; } } begin { f(); }",
            ["ERROR: 'return' statement is not allowed in a macro [return;]"],
        ),
        (
            "macro f(t) { (t*)5 } begin { print(f(5)); }",
            [
                "ERROR: Invalid replacement for macro 'f' type parameter 't' which makes up the"
                " type 't*' [5]"
            ],
        ),
        (
            "macro f(t) { (t)5 } begin { print(f(nosuch)); }",
            ['ERROR: Cannot resolve unknown type "nosuch" [t]'],
        ),
        (
            "macro f(t) { t } begin { print(f(typeof(uint8))); }",
            [
                "ERROR: When used as a call argument, `typeof` builtin only valid for macro calls"
                " that are expecting a type parameter [typeof(uint8)]"
            ],
        ),
    ],
)  # fmt: skip
def test_refused(script: str, expected: list[str]) -> None:
    assert told(script) == expected


def chain(script: str) -> list[str]:
    """Where the first problem is, and through which text it came there, innermost first."""
    span = compile_to_ir(script).sink.items[0].span
    texts = []
    while span is not None:
        texts.append(span.text)
        span = span.expanded_from
    return texts


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("macro f() { nosuch } begin { f(); }", ["nosuch", "f()"]),
        ("macro f(y) { y + 1 } begin { print(f(nosuch)); }", ["nosuch", "y", "f(nosuch)"]),
        (
            "macro g(x) { f(x) } macro f(y) { y + 1 } begin { print(g(nosuch)); }",
            ["nosuch", "y", "f(x)", "g(nosuch)"],
        ),
        (
            "macro g() { f(nosuch) } macro f(y) { y + 1 } begin { print(g()); }",
            ["nosuch", "y", "f(nosuch)", "g()"],
        ),
        (
            "macro g($v) { f($v) } macro f($w) { $w.field } begin { $a = 1; print(g($a)); }",
            ["$w.field", "f($v)", "g($a)"],
        ),
    ],
)
def test_messages_say_how_text_came_there(script: str, expected: list[str]) -> None:
    assert chain(script) == expected


def test_definitions_of_the_script_come_before_the_library() -> None:
    assert variables("macro elapsed() { true } begin { $a = elapsed; }")["a"] == "bool"
    assert variables('macro strlen(x) { true } begin { $a = strlen("a"); }')["a"] == "bool"


def test_other_signatures_leave_the_library() -> None:
    script = 'macro strlen(a, b) { true } begin { $a = strlen("a"); $b = strlen(1, 2); }'
    assert variables(script) == {"a": variables('begin { $a = strlen("a"); }')["a"], "b": "bool"}


def test_the_library_calls_its_own_macros() -> None:
    """No macro of the script comes between macros of the library."""
    plain = 'begin { assert(pid == 1, "no"); }'
    assert errors(plain) == []
    assert errors("macro exit(x) { nosuch } macro errorf(f, x) { nosuch } " + plain) == []
    assert errors("macro exit(x) { nosuch } begin { exit(1); }") == ["Unknown identifier: 'nosuch'"]


def test_expressions_stand_for_themselves() -> None:
    """A parameter that stands twice is evaluated twice."""
    module = compile_to_ir("macro f(x) { x + x } begin { $a = f(rand); }").module
    assert print_module(module).count("get_prandom_u32") == 2
