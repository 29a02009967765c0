"""Layer 3, compile side: macros and functions written in the language itself."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.stdlib, not {__name__}")
