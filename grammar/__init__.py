"""Layer 3, compile side: the one grammar file and what is derived from it."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.grammar, not {__name__}")
