"""What ``-v`` adds on stderr."""

from __future__ import annotations

from pytrace.output.stream import write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]


def teller(verbose: bool) -> Say:
    """A function that takes one line for a user who asked for more, and drops it for others."""
    return _tell if verbose else _drop


def _tell(line: str) -> None:
    write_error(f"{line}\n")


def _drop(line: str) -> None:
    pass
