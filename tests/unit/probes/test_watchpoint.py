"""Attach points of watchpoints: what is wrong with them, and what they are called."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import KernelIdentity
from pytrace.model.request import CompileRequest


def messages(point: str, arch: str = "x86_64") -> list[str]:
    source = SourceFile("stdin", f"{point} {{ }}".encode())
    identity = KernelIdentity(release="6.18.0-fake", arch=arch, build_id="fa4e")
    result = compile_program(CompileRequest(source=source), FakeKernel(identity=identity))
    return [line for d in result.sink.items for line in (d.message, *d.hints)]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("watchpoint:0x0:8:w", "watchpoint must be attached to a non-zero address"),
        ("watchpoint:0x1000:3:w", "watchpoint length must be one of (1,2,4,8)"),
        ("watchpoint:0x1000:8:ww", "watchpoint modes may not be duplicated"),
        ("watchpoint:0x1000:8:wq", "watchpoint mode must be combination of (r,w,x)"),
        ("watchpoint:0x1000:8:", "watchpoint mode must be combination of (r,w,x)"),
        ("watchpoint:0x1000:8", "watchpoint probe type requires 3 arguments, found 2"),
        ("watchpoint:abc:8:w", "Invalid function/address argument: invalid integer: abc"),
        ("watchpoint:f+arg1:8:w", "Invalid function/address argument: invalid integer: f+arg1"),
        ("watchpoint:0x1000::w", "Invalid length argument: invalid integer: "),
    ],
)
def test_what_is_wrong(point: str, message: str) -> None:
    assert messages(point) == [message]


def test_modes_are_those_of_the_architecture() -> None:
    assert messages("w:0x1000:8:r") == ["invalid watchpoint mode: r", "supported modes: x,w,rw"]
    assert messages("w:0x1000:8:r", "aarch64") == []


@pytest.mark.parametrize("mode", ["x", "w", "rw", "wr"])
def test_modes_in_any_order(mode: str) -> None:
    assert messages(f"w:0x1000:8:{mode}") == []
