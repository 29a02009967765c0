"""Layer 4, compile side: typed IR to LLVM IR to a BPF object."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.codegen, not {__name__}")

from pytrace.codegen.generate import CodegenOptions as CodegenOptions
from pytrace.codegen.generate import Generated as Generated
from pytrace.codegen.generate import generate as generate
from pytrace.codegen.generate import generate_all as generate_all
from pytrace.codegen.generate import llvm_text as llvm_text
