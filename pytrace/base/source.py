"""Script text and positions in it."""

from __future__ import annotations

from pytrace.base.frozen import Frozen


class SourceFile:
    """One text that the user gave: a file, ``-e`` (named ``stdin``) or a library file.

    ``text`` is bytes: scripts are bytes, and every ``Span`` is a byte offset into it.
    """

    __slots__ = ("_line_starts", "name", "path", "text")

    def __init__(self, name: str, text: bytes, path: str | None = None) -> None:
        self.name = name
        self.text = text
        self.path = path
        self._line_starts: list[int] | None = None

    def __repr__(self) -> str:
        return f"SourceFile({self.name!r}, {len(self.text)} bytes)"

    def _starts(self) -> list[int]:
        if self._line_starts is None:
            starts = [0]
            at = self.text.find(b"\n")
            while at >= 0:
                starts.append(at + 1)
                at = self.text.find(b"\n", at + 1)
            self._line_starts = starts
        return self._line_starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a byte offset, both 1-based; columns count bytes."""
        starts = self._starts()
        low, high = 0, len(starts)
        while high - low > 1:
            middle = (low + high) // 2
            if starts[middle] <= offset:
                low = middle
            else:
                high = middle
        return low + 1, offset - starts[low] + 1

    def start_of_line(self, number: int) -> int:
        """Offset of the first byte of a 1-based line; the text's end for lines behind it."""
        starts = self._starts()
        return starts[number - 1] if 1 <= number <= len(starts) else len(self.text)

    def line(self, number: int) -> bytes:
        """Text of a 1-based line, without its newline."""
        starts = self._starts()
        if not 1 <= number <= len(starts):
            return b""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end]


class Span(Frozen):
    """A half-open byte range ``[start, end)`` of a source.

    ``expanded_from`` is the macro call or import that brought this text in.
    """

    source: SourceFile
    start: int
    end: int
    expanded_from: Span | None = None

    def to(self, other: Span) -> Span:
        """The range from the start of this to the end of ``other`` (same source)."""
        if other.source is not self.source:
            return self
        return Span(
            source=self.source,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            expanded_from=self.expanded_from,
        )

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end].decode("utf-8", "surrogateescape")

    def begin(self) -> tuple[int, int]:
        """Line and column of the first byte, 1-based."""
        return self.source.position(self.start)

    def finish(self) -> tuple[int, int]:
        """Line and column one past the last byte, 1-based."""
        return self.source.position(self.end)
