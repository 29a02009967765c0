"""Members whose C type the language has no values for: they have a size and nothing else."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile
from pytrace.base.types import Opaque
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.model.request import CompileRequest, CompileResult

STRUCT = "struct fl { int i; float f; double d; float a[3]; long double l; char c; }"


def compiled(statement: str) -> CompileResult:
    script = f"{STRUCT} begin {{ $p = (struct fl *)8; {statement} }}"
    return compile_program(
        CompileRequest(source=SourceFile("stdin", script.encode())), FakeKernel()
    )


def test_structs_keep_their_layout() -> None:
    program = compiled("print(*$p);").program
    assert program is not None
    (definition,) = program.structs
    places = {f.name: (f.offset, f.type.size) for f in definition.fields}
    assert places == {
        "i": (0, 4), "f": (4, 4), "d": (8, 8), "a": (16, 12), "l": (32, 16), "c": (48, 1),
    }  # fmt: skip
    assert definition.size == 64
    assert definition.fields[1].type == Opaque(bytes=4)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("print($p->f);", "none type passed to print() is not printable"),
        ("print($p->a[0]);", "none type passed to print() is not printable"),
        ('printf("%s", $p->f);', "unable to print none type for specifier: s"),
        ("if ($p->f) { }", "Invalid condition: none"),
        ("if ($p->f == 1) { }", "Type mismatch for '==': comparing none with int8"),
        ("$x = $p->f;", "Invalid expression for assignment"),
        ("@x = $p->f;", "Invalid expression for assignment"),
        ("@x[$p->f] = 1;", "Value 'none' cannot be used as a map key."),
        ("$x = (1, $p->f);", "Tuple elements must have a value."),
        ("$x = (int32)$p->f;", 'Cannot cast from "none" to "int32"'),
        ("@x = sum($p->f);", "sum() only supports integer arguments (none provided)"),
    ],
)
def test_they_are_no_values(statement: str, message: str) -> None:
    assert message in [d.message for d in compiled(statement).sink.errors]


def test_their_size_and_place_are_known() -> None:
    assert not compiled("print((sizeof($p->f), offsetof(struct fl, l)));").sink.failed
