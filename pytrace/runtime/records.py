"""Records as events: decoded when a handler asks, by what was made once for each schema."""

from __future__ import annotations

from struct import Struct

from pytrace.base.format import make_renderer, make_template, parse_format
from pytrace.base.modules import load_module
from pytrace.base.source import SourceFile, Span
from pytrace.base.types import Str
from pytrace.output.values import value_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final

    from pytrace.base.format import Piece, Renderer
    from pytrace.base.types import Type
    from pytrace.model.compiled import CompiledProgram
    from pytrace.model.events import EventSchema, SpanRef
    from pytrace.model.running import BatchHandler, Handler
    from pytrace.model.values import Value
    from pytrace.runtime.decode import Codecs, Converter, Row


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
        "_batch",
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
        self._batch: tuple[int, Any, Any, str] | None = None

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

    def texts(self, data: memoryview, start: int, stride: int, count: int) -> list[str]:
        """``text`` of ``count`` records, ``stride`` bytes from one to the next.

        Column by column: what has to be converted is converted in one go, and equal strings once.
        """
        if self._batch is None or self._batch[0] != stride:
            self._batch = (stride, *self._make_batch(stride))
        _, unpack, converters, template = self._batch
        rows = unpack(data[start : start + stride * count])
        if converters is not None:
            columns = list(zip(*rows))
            for index, convert in converters:
                columns[index] = convert(columns[index])
            rows = zip(*columns)
        return list(map(template.__mod__, rows))

    def _make_batch(self, stride: int) -> tuple[Any, Any, str]:
        fields = self.schema.fields
        row = self._row()
        types = [f.type for f in fields]
        template, second = make_template(self._pieces(), types, value_text)
        layout = Struct(f"{row.struct.format}{stride - row.struct.size}x")
        if not fields:
            return (lambda raw: [()] * (len(raw) // stride)), None, template
        pairs = zip(row.converters, second)
        converters = [
            (index, _column_converter(type_, first, then))
            for index, (type_, (first, then)) in enumerate(zip(types, pairs))
            if first is not None or then is not None
        ]
        return layout.iter_unpack, converters or None, template

    def _row(self) -> Row:
        fields = self.schema.fields
        return self._codecs.row([f.type for f in fields], [f.offset for f in fields])

    def _pieces(self) -> tuple[Piece, ...]:
        format = self.static[0]
        assert isinstance(format, str)
        return parse_format(format)

    def _make_unpack(self) -> Callable[[Any, int], tuple[Any, ...]]:
        self._unpack = self._row().unpacker()
        return self._unpack

    def _make_render(self) -> Renderer:
        types = [f.type for f in self.schema.fields]
        self._render = make_renderer(self._pieces(), types, value_text)
        return self._render


class _Texts(dict[bytes, str]):
    """Texts of strings, made once for each string; forgotten before there are too many."""

    def __init__(self, convert: Callable[[bytes], str]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, raw: bytes) -> str:
        if len(self) >= _MOST_TEXTS:
            self.clear()
        text = self[raw] = self._convert(raw)
        return text


_MOST_TEXTS: Final = 4096
_LONGEST_TEXT: Final = 256
"""Bytes of a string up to which looking it up is faster than making its text again."""


def _column_converter(
    type_: Type, first: Converter | None, then: Converter | None
) -> Callable[[Iterable[Any]], list[Any]]:
    """What converts the items of one field of many records."""
    if first is None or then is None:
        each = first or then
        assert each is not None
    else:
        decode, render = first, then

        def each(item: Any) -> Any:
            return render(decode(item))

    if isinstance(type_, Str) and type_.length <= _LONGEST_TEXT:
        texts = _Texts(each)
        return lambda column: [texts[raw] for raw in column]
    convert = each
    return lambda column: [convert(item) for item in column]


def find_handler(name: str) -> Handler:
    """The function that ``EventSchema.handler`` names."""
    module, _, entry = name.partition(":")
    handler: Handler = load_module(f"pytrace.builtins.{module}").HANDLERS[entry]
    return handler


def find_batch_handler(name: str) -> BatchHandler | None:
    """The function of the same name in ``BATCHES`` of that module, if there is one."""
    module, _, entry = name.partition(":")
    batches = getattr(load_module(f"pytrace.builtins.{module}"), "BATCHES", {})
    found: BatchHandler | None = batches.get(entry)
    return found
