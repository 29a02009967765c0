"""Diagnostics of scripts as short texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.compiling import compile_to_ir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base.source import Span


def text_of(span: Span | None) -> str:
    return span.text if span is not None else "-"


def told(script: str, params: Sequence[str] = ()) -> list[str]:
    """``ERROR: message [text it points at]`` in the order of discovery, with labels behind."""
    found = []
    for item in compile_to_ir(script, params=params).sink.items:
        found.append(f"{item.severity}: {item.message} [{text_of(item.span)}]")
        found += [f"  {label.text} [{text_of(label.span)}]" for label in item.labels]
    return found


def errors(script: str, params: Sequence[str] = ()) -> list[str]:
    """Messages of the errors alone."""
    return [d.message for d in compile_to_ir(script, params=params).sink.errors]


def warnings(script: str, params: Sequence[str] = ()) -> list[str]:
    return [d.message for d in compile_to_ir(script, params=params).sink.warnings]
