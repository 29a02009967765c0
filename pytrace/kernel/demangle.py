"""C++ names of symbols, as the C++ library of this machine reads them: part of live.py.

``__cxa_demangle`` is part of the C++ ABI; libstdc++ and libc++abi both have it.
"""

from __future__ import annotations

from pytrace.base.text import matches
from pytrace.kernel.info import CppFunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

LIBRARIES: Final = ("libstdc++.so.6", "libc++abi.so.1")


def cpp_functions(symbols: Iterable[str], pattern: str) -> tuple[CppFunction, ...]:
    """Those of ``symbols`` whose C++ name fits a pattern, with parameters or without them.

    Sorted by C++ name. Several symbols may have one name (a constructor's). Empty without a C++
    library.
    """
    demangle = demangler()
    if demangle is None:
        return ()
    found = []
    for symbol in symbols:
        name = demangle(symbol) if symbol.startswith("_Z") else ""
        if name and (matches(pattern, name) or matches(pattern, without_parameters(name))):
            found.append(CppFunction(name=name, symbol=symbol))
    return tuple(sorted(found, key=lambda f: (f.name, f.symbol)))


def without_parameters(name: str) -> str:
    """``ns::f`` of ``ns::f(int, void (*)(char)) const``."""
    end = name.rfind(")")
    depth = 0
    for at in range(end, -1, -1):
        depth += (name[at] == ")") - (name[at] == "(")
        if not depth:
            return name[:at]
    return name


def demangler() -> Callable[[str], str] | None:
    """A function that gives the C++ name of a symbol, empty for what is none."""
    import ctypes

    library = None
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            break
        except OSError:
            continue  # The next one is as good.
    if library is None:
        return None
    call = library.__cxa_demangle
    call.restype = ctypes.c_void_p
    call.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)
    free = ctypes.CDLL(None).free
    free.argtypes = (ctypes.c_void_p,)
    free.restype = None

    def demangle(symbol: str) -> str:
        made = call(symbol.encode(), None, None, None)
        if not made:
            return ""
        try:
            return ctypes.string_at(made).decode("utf-8", "replace")
        finally:
            free(made)

    return demangle
