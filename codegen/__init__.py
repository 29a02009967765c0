"""Layer 4, compile side: typed IR to LLVM IR to a BPF object."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.codegen, not {__name__}")

from pytrace.codegen.program import CodegenOptions as CodegenOptions
from pytrace.codegen.program import Generated as Generated
from pytrace.codegen.program import generate as generate
from pytrace.codegen.program import generate_all as generate_all
from pytrace.codegen.program import llvm_text as llvm_text
