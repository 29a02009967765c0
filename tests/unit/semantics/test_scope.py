"""Which variable a name means, and what may stand where (language 5)."""

from __future__ import annotations

import pytest

from tests.compiling import compile_to_ir
from tests.unit.semantics.telling import errors, told, warnings

SHADOWED = "Variable $a was already declared. Variable shadowing is not allowed."


@pytest.mark.parametrize(
    "script",
    [
        "begin { if (1) { $a = 1; } $a = \"x\"; }",
        "begin { if (1) { let $a = 1; } let $a = 2; }",
        "begin { if (1) { $a = 1; } else { $a = \"x\"; } }",
        "begin { for $i : 0..2 { } $i = \"x\"; }",
        "begin { for $i : 0..2 { } for $i : 0..2 { } }",
        "begin { { $a = 1; } { $a = \"x\"; } }",
        "begin { $a = 1; } end { $a = \"x\"; }",
        "begin { let $a; if (1) { $a = 1; } print($a); }",
        "begin { $a = 1; for $i : 0..2 { $a += $i; } print($a); }",
        "begin { $a = { let $b = 1; $b }; $b = \"x\"; }",
        "begin { $a = 1; while ($a < 3) { $b = $a; $a = $b + 1; } }",
        "fn f($a : int32) : int32 { $b = $a; return $b; } begin { $a = \"x\"; $b = f(1); }",
    ],
)  # fmt: skip
def test_good_scopes(script: str) -> None:
    assert errors(script) == []


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("begin { print($a); }", "a"),
        ("begin { $a = $a; }", "a"),
        ("begin { $a += 1; }", "a"),
        ("begin { $a++; }", "a"),
        ("begin { print($a); $a = 1; }", "a"),
        ("begin { if (1) { $a = 1; } print($a); }", "a"),
        ("begin { unroll(2) { $a = 1; } print($a); }", "a"),
        ("begin { while (0) { $a = 1; } print($a); }", "a"),
        ("begin { for $i : 0..2 { } print($i); }", "i"),
        ("begin { for $i : 0..2 { $a = 1; } print($a); }", "a"),
        ("begin { $x = { let $a = 1; $a }; print($a); }", "a"),
        ("begin { $a = 1; } end { print($a); }", "a"),
        ("begin / $a / { $a = 1; }", "a"),
        ("begin { $p = &$a; }", "a"),
        ("fn f($a : int32) : int32 { return $a; } begin { $x = f(1); print($a); }", "a"),
    ],
)
def test_undefined(script: str, name: str) -> None:
    assert f"Undefined or undeclared variable: ${name}" in errors(script)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "begin { $a = 1; let $a = 2; }",
            [f"ERROR: {SHADOWED} [let $a]", "  This is the initial assignment. [$a = 1]"],
        ),
        (
            "begin { let $a = 1; if (1) { let $a = 2; } }",
            [f"ERROR: {SHADOWED} [let $a]", "  This is the initial declaration. [let $a]"],
        ),
        (
            "begin { for $a : 0..2 { let $a = 1; } }",
            [f"ERROR: {SHADOWED} [let $a]", "  This is the loop variable. [$a]"],
        ),
        (
            "begin { $a = 1; for $a : 0..2 { } }",
            [
                "ERROR: Loop declaration shadows existing variable: $a [$a]",
                "  This is the initial assignment. [$a = 1]",
            ],
        ),
        (
            "begin { for $a : 0..2 { for $a : 0..2 { } } }",
            [
                "ERROR: Loop declaration shadows existing variable: $a [$a]",
                "  This is the loop variable. [$a]",
            ],
        ),
        (
            "fn f($a : int32) : void { let $a = 1; } begin { }",
            [f"ERROR: {SHADOWED} [let $a]", "  This is the function parameter. [$a]"],
        ),
    ],
)
def test_shadowing(script: str, expected: list[str]) -> None:
    assert [t for t in told(script) if not t.startswith("WARNING")] == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("begin { let $a : int32; }", ["WARNING: Variable $a was never assigned to. [let $a]"]),
        (
            "begin { let $a : int32; print($a); $a = 1; }",
            ["WARNING: Variable used before it was assigned: $a [$a]"],
        ),
        ("begin { let $a : int32; $a = 1; print($a); }", []),
        ("begin { let $a : int32; if (cpu) { $a = 1; } print($a); }", []),
        ("begin { exit(); print(1); }", ["WARNING: Unreachable statement. [print(1)]"]),
        (
            "begin { return; print(1); print(2); }",
            ["WARNING: Unreachable statement. [print(1);]"],
        ),
        (
            "begin { for $i : 0..2 { break; print(1); } }",
            ["WARNING: Unreachable statement. [print(1)]"],
        ),
        ("begin { if (cpu) { return; } print(1); }", []),
        ("begin { 5; }", ["WARNING: Return value discarded. [5]"]),
        ("begin { 5; print(1); }", ["WARNING: Return value discarded. [5;]"]),
        ("begin { if (cpu) { 5; 6; } }", [
            "WARNING: Return value discarded. [5;]", "WARNING: Return value discarded. [6]",
        ]),
        ("begin { @a[1] = 1; delete(@a, 1); }", [
            "WARNING: Return value discarded. [delete(@a, 1)]",
        ]),
        ("begin { _ = 5; print(1); @a++; $b = 1; $b++; }", []),
        ("macro f() { 5 } begin { f(); }", ["WARNING: Return value discarded. [f()]"]),
        ("macro f() { print(5) } begin { f(); }", []),
    ],
)  # fmt: skip
def test_warnings(script: str, expected: list[str]) -> None:
    found = told(script)
    # The spans of ``print(1);`` are told with and without their semicolon, as bpftrace has it.
    assert [t.replace("print(1);]", "print(1)]") for t in found] == [
        t.replace("print(1);]", "print(1)]") for t in expected
    ]


@pytest.mark.parametrize("kind", ["break", "continue"])
def test_jumps_stand_in_loops(kind: str) -> None:
    message = f"'{kind}' statement is not allowed in a probe"
    assert errors(f"begin {{ {kind}; }}") == [message]
    assert errors(f"begin {{ if (1) {{ {kind}; }} }}") == [message]
    assert errors(f"begin {{ unroll(2) {{ {kind}; }} }}") == [message]
    assert errors(f"begin {{ for $i : 0..2 {{ if (1) {{ {kind}; }} }} }}") == []
    assert errors(f"begin {{ while (0) {{ unroll(2) {{ {kind}; }} }} }}") == []
    assert errors(f"begin {{ @a[1] = 1; for $kv : @a {{ {kind}; }} }}") == []


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    sink = compile_to_ir("begin { $total = 1; if (1) { print($totel); } }").sink
    assert sink.errors[0].hints == ("Did you mean $total?",)


def test_find_declares_its_variable() -> None:
    script = "begin { @a[1] = comm; if (find(@a, 1, $v)) { print($v); } }"
    assert errors(script) == warnings(script) == []
    assert compile_to_ir(script).variables()["v"] == "string[16]"


def test_find_fills_a_declared_variable() -> None:
    script = "begin { @a[1] = 300; let $v = 1; _ = find(@a, 1, $v); print($v); }"
    assert errors(script) == warnings(script) == []
    assert compile_to_ir(script).variables()["v"] == "int16"
