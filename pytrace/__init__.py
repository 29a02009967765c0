"""pytrace: a tracing language compiled to BPF and run on the Linux kernel, in Python.

Importing this package costs nothing but this file: every public name but the version is fetched
from the module that defines it when it is first used. The run path depends on that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

__version__ = "0.1.0"

# Public name -> the module that defines it.
_LAZY: Final[Mapping[str, str]] = {}

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    """Import the module behind a public name; AttributeError for any other name."""
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'pytrace' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]
