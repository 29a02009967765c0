"""Records as events: decoded when a handler asks, by what was made once for each schema."""

from __future__ import annotations

from pytrace.base.format import make_renderer, parse_format
from pytrace.base.source import SourceFile, Span
from pytrace.output.values import value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pytrace.base.format import Renderer
    from pytrace.model.compiled import CompiledProgram
    from pytrace.model.events import EventSchema, SpanRef
    from pytrace.model.running import Handler
    from pytrace.model.values import Value
    from pytrace.runtime.decode import Codecs


class Sources:
    """Spans of a compiled program's texts."""

    def __init__(self, compiled: CompiledProgram) -> None:
        self._texts = compiled.sources
        self._files: dict[int, SourceFile] = {}

    def span(self, ref: SpanRef | None) -> Span | None:
        if ref is None:
            return None
        file = self._files.get(ref.source)
        if file is None:
            text = self._texts[ref.source]
            file = self._files[ref.source] = SourceFile(text.name, text.text)
        outer = self.span(ref.expanded_from)
        return Span(source=file, start=ref.start, end=ref.end, expanded_from=outer)


class RecordEvent:
    """Fulfils ``model.running.Event``: one object for each schema, moved from record to record.

    ``at`` says where the record is. A control action whose record was lost (``lost``) has no
    values.
    """

    __slots__ = (
        "_codecs",
        "_data",
        "_lost",
        "_offset",
        "_render",
        "_sources",
        "_unpack",
        "schema",
        "static",
    )

    def __init__(self, schema: EventSchema, codecs: Codecs, sources: Sources) -> None:
        self.schema = schema
        self.static = schema.static
        self._codecs = codecs
        self._sources = sources
        self._unpack: Callable[[Any, int], tuple[Any, ...]] | None = None
        self._render: Renderer | None = None
        self._data: memoryview | bytes = b""
        self._offset = 0
        self._lost = False

    def at(self, data: memoryview | bytes, offset: int) -> None:
        self._data = data
        self._offset = offset
        self._lost = False

    def lost(self) -> None:
        self._lost = True

    @property
    def span(self) -> Span | None:
        return self._sources.span(self.schema.span)

    @property
    def values(self) -> tuple[Value, ...]:
        if self._lost:
            return ()
        return (self._unpack or self._make_unpack())(self._data, self._offset)

    @property
    def text(self) -> str:
        values = (self._unpack or self._make_unpack())(self._data, self._offset)
        return (self._render or self._make_render())(values)

    def raw(self, index: int) -> bytes:
        field = self.schema.fields[index]
        start = self._offset + field.offset
        return bytes(self._data[start : start + field.type.size])

    def _make_unpack(self) -> Callable[[Any, int], tuple[Any, ...]]:
        fields = self.schema.fields
        row = self._codecs.row([f.type for f in fields], [f.offset for f in fields])
        self._unpack = row.unpacker()
        return self._unpack

    def _make_render(self) -> Renderer:
        format = self.static[0]
        assert isinstance(format, str)
        types = [f.type for f in self.schema.fields]
        self._render = make_renderer(parse_format(format), types, value_text)
        return self._render


def find_handler(name: str) -> Handler:
    """The function that ``EventSchema.handler`` names."""
    from importlib import import_module

    module, _, entry = name.partition(":")
    handler: Handler = import_module(f"pytrace.builtins.{module}").HANDLERS[entry]
    return handler
