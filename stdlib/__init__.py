"""Layer 3, compile side: macros and functions written in the language itself."""

if not __name__.startswith("pytrace."):
    raise ImportError(f"import this package by its full name, pytrace.stdlib, not {__name__}")

LIBRARY = ("base.bt",)


def sources() -> tuple[tuple[str, bytes], ...]:
    """Name and text of each library file, as diagnostics name it."""
    directory = __file__.rpartition("/")[0]
    loader = globals()["__loader__"]
    return tuple((f"stdlib/{name}", loader.get_data(f"{directory}/{name}")) for name in LIBRARY)
