"""Layer 4, compile side: typed IR to LLVM IR to a BPF object."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.codegen, not {__name__}")
