"""Sinks that write into memory, for the tests beside this file."""

from __future__ import annotations

import tempfile
from typing import Any

from pytrace.base.source import SourceFile, Span
from pytrace.model.values import Entries, MapContents
from pytrace.output.sink import SinkOptions, create
from pytrace.output.stream import OutputStream


def written(format: str, *calls: tuple[str, Any], **options: bool) -> str:
    """What the format writes to its stream for some calls of its methods: (name, argument)."""
    with tempfile.TemporaryFile() as file:
        sink = create(format, OutputStream(file.fileno()), SinkOptions(**options))
        for name, argument in calls:
            getattr(sink, name)(*argument if isinstance(argument, list) else (argument,))
        sink.flush()
        assert not sink.failed
        file.seek(0)
        return file.read().decode("utf-8", "surrogateescape")


def contents(name: str, kind: str, *pairs: tuple[Any, Any], scalar: bool = False) -> MapContents:
    return MapContents(name, kind, scalar, Entries([k for k, _ in pairs], [v for _, v in pairs]))


def span(text: str, part: str, name: str = "stdin", expanded_from: Span | None = None) -> Span:
    source = SourceFile(name, text.encode())
    start = text.encode().index(part.encode())
    end = start + len(part.encode())
    return Span(source=source, start=start, end=end, expanded_from=expanded_from)
