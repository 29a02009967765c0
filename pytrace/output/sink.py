"""Output formats by name. ``model.running.Sink`` is what each of them fulfils."""

from __future__ import annotations

from pytrace.base.errors import UsageError
from pytrace.base.frozen import Frozen
from pytrace.base.modules import load_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.model.running import Sink
    from pytrace.output.stream import OutputStream

FORMATS: Final = ("text", "json")


class SinkOptions(Frozen):
    """``quiet`` is ``-q``; ``warnings`` false is ``--no-warnings``; ``color`` is for stderr."""

    quiet: bool = False
    warnings: bool = True
    color: bool = False


def create(name: str, stream: OutputStream, options: SinkOptions) -> Sink:
    """The format ``name`` writing to ``stream``. Its module is ``pytrace.output.<name>``.

    Raises ``UsageError`` for a name that is no format's.
    """
    if name not in FORMATS:
        valid = ", ".join(f"'{f}'" for f in FORMATS)
        raise UsageError(f'Invalid output format "{name}"\nValid formats: {valid}')
    sink: Sink = load_module(f"pytrace.output.{name}").create(stream, options)
    return sink
