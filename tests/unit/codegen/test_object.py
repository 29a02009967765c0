"""Taking LLVM's object apart."""

from __future__ import annotations

import struct

import pytest

from pytrace.codegen.llvm import CodegenError, compile_module
from pytrace.codegen.object import Object, parse, stack_use
from pytrace.model.compiled import Reloc

HEAD = 'target triple = "bpfel"\n'
CALL, EXIT, LD_IMM64 = 0x85, 0x95, 0x18


def compiled(text: str, cpu: str = "v3") -> Object:
    return parse(compile_module(HEAD + text, cpu=cpu).elf)


def insns(code: bytes) -> list[tuple[int, int, int]]:
    """Code, source register and immediate of each instruction."""
    return [(c, r >> 4, i) for c, r, _, i in struct.iter_unpack("<BBhi", code)]


def test_maps_values_functions_calls_and_kfuncs() -> None:
    found = compiled(
        '@"map:@x" = external global i8\n@"value:@x" = external global i8\n'
        "declare i64 @bpf_kfunc(i64)\n"
        'define i64 @p(ptr %c) section "prog:p" {\n'
        '  %a = call i64 inttoptr (i64 1 to ptr)(ptr @"map:@x", ptr @first)\n'
        '  %b = load i64, ptr getelementptr (i8, ptr @"value:@x", i64 8)\n'
        "  %d = call i64 @second(i64 %b)\n  %e = call i64 @bpf_kfunc(i64 %d)\n"
        "  ret i64 %e\n}\n"
        "define internal i64 @first(i64 %x) noinline {\n"
        "  %r = call i64 @second(i64 %x)\n  %s = add i64 %r, 1\n  ret i64 %s\n}\n"
        "define internal i64 @second(i64 %x) noinline {\n"
        "  %r = call i64 inttoptr (i64 5 to ptr)()\n  %s = add i64 %r, %x\n  ret i64 %s\n}\n"
    )
    assert [u.name for u in found.units if u.is_prog] == ["p"]
    assert sorted(u.name for u in found.units if not u.is_prog) == ["first", "second"]
    prog = found.unit("p")
    kinds = [(r.kind, r.name, r.offset) for r in prog.relocs]
    assert kinds == [
        ("map", "@x", 0),
        ("func", "first", 0),
        ("map_value", "@x", 0),
        ("call", "second", 0),
        ("kfunc", "bpf_kfunc", 0),
    ]
    code = insns(prog.insns)
    sources = {r.kind: code[r.insn] for r in prog.relocs}
    assert sources["map"] == (LD_IMM64, 1, 0)
    assert sources["map_value"] == (LD_IMM64, 2, 0)
    assert sources["func"] == (LD_IMM64, 4, 0)
    assert sources["call"] == (CALL, 1, 0)
    assert sources["kfunc"] == (CALL, 2, 0)
    assert [(r.kind, r.name) for r in found.unit("first").relocs] == [("call", "second")]
    # A call of a helper is nobody's relocation.
    assert (CALL, 0, 5) in insns(found.unit("second").insns)


def test_where_control_cannot_come_the_prog_exits() -> None:
    found = compiled('define i64 @p(ptr %c) section "prog:p" {\n  unreachable\n}\n')
    prog = found.unit("p")
    assert prog.relocs == ()
    # LLVM before 22 makes no instruction at all of it.
    assert [code for code, _, _ in insns(prog.insns)][-1:] in ([], [EXIT])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '@"other" = external global i8\n'
            'define i64 @p() section "prog:p" {\n  %a = load i64, ptr @"other"\n  ret i64 %a\n}\n',
            "unknown symbol other",
        ),
        (
            "@table = internal constant [2 x i64] [i64 7, i64 9]\n"
            'define i64 @p(i64 %n) section "prog:p" {\n'
            "  %a = getelementptr i64, ptr @table, i64 %n\n"
            "  %b = load i64, ptr %a\n  ret i64 %b\n}\n",
            "section .rodata",
        ),
    ],
)
def test_what_nobody_asked_for_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(CodegenError, match=fault):
        compiled(text)


def test_another_file_is_refused() -> None:
    with pytest.raises(CodegenError, match="not a little-endian ELF64"):
        parse(b"\x7fELF\x01\x01" + bytes(60))


def test_the_stack_that_a_function_uses() -> None:
    text = (
        'define i64 @p() section "prog:p" {\n'
        "  %a = alloca [40 x i8], align 8\n  %b = alloca i64, align 8\n"
        "  store volatile i64 1, ptr %b\n"
        "  %r = call i64 inttoptr (i64 16 to ptr)(ptr %a, i64 40)\n  ret i64 %r\n}\n"
    )
    assert compiled(text).unit("p").stack == 48
    assert stack_use(b"") == 0


def test_relocations_compare_by_value() -> None:
    assert Reloc(insn=1, kind="map", name="@x") == Reloc(insn=1, kind="map", name="@x", offset=0)
