"""Compiling LLVM IR, in this process and in a child."""

from __future__ import annotations

import os

import pytest

from pytrace.codegen.llvm import CodegenError, compile_isolated, compile_module

HEAD = 'target triple = "bpfel"\n'
GOOD = HEAD + 'define i64 @f(i64 %x) section "prog:f" {\n  %y = add i64 %x, 1\n  ret i64 %y\n}\n'
# A call with six arguments: LLVM's back end ends the process.
FATAL = HEAD + (
    "declare i64 @g(i64, i64, i64, i64, i64, i64)\n"
    "define i64 @f(i64 %x) {\n"
    "  %r = call i64 @g(i64 %x, i64 %x, i64 %x, i64 %x, i64 %x, i64 %x)\n  ret i64 %r\n}\n"
)


def test_an_object_and_the_optimised_text() -> None:
    compiled = compile_module(GOOD, cpu="v3", keep_text=True)
    assert compiled.elf.startswith(b"\x7fELF")
    assert compiled.optimised is not None
    assert "add i64 %x, 1" in compiled.optimised
    assert compile_module(GOOD, cpu="v3").optimised is None


def test_a_child_makes_the_same_object() -> None:
    here = compile_module(GOOD, cpu="v3", keep_text=True)
    there = compile_isolated(GOOD, cpu="v3", keep_text=True)
    assert here.elf == there.elf
    assert here.optimised == there.optimised
    assert compile_isolated(GOOD, cpu="v3").optimised is None


@pytest.mark.parametrize("compiler", [compile_module, compile_isolated], ids=["here", "child"])
def test_text_that_llvm_cannot_read_is_an_error(compiler: object) -> None:
    assert callable(compiler)
    with pytest.raises(CodegenError, match="expected top-level entity"):
        compiler(HEAD + "nonsense", cpu="v3")


def test_a_child_survives_what_ends_the_process_with_llvms_words() -> None:
    with pytest.raises(CodegenError, match="too many arguments"):
        compile_isolated(FATAL, cpu="v3")


def test_a_child_leaves_no_descriptors_and_no_process() -> None:
    compile_isolated(GOOD, cpu="v3")
    before = set(os.listdir("/proc/self/fd"))
    for text in (GOOD, FATAL):
        try:
            compile_isolated(text, cpu="v3")
        except CodegenError:
            assert text is FATAL
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_oversized_stack_is_left_to_the_verifier() -> None:
    text = HEAD + (
        "declare void @g(ptr)\n"
        "define i64 @f() {\n  %a = alloca [900 x i8]\n  call void @g(ptr %a)\n  ret i64 0\n}\n"
    )
    assert compile_module(text, cpu="v3").elf
