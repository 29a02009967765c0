"""Attach points of uprobe: addresses and offsets in a file."""

from __future__ import annotations

import pytest

from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import BinaryInfo, SymbolInfo
from tests.compiling import compile_to_ir

# A function of 64 bytes whose address is not its offset in the file.
WORK = SymbolInfo(name="work", address=0x401200, offset=0x1200, size=64)
APP = BinaryInfo(path="/opt/app", kind="exec", machine=62, build_id="", symbols=(WORK,))
KERNEL = FakeKernel(binaries=[APP])


def attached(point: str) -> tuple[str, object]:
    """Name and file offset of the only attach point."""
    (spec,) = compile_to_ir(f"{point} {{ }}", kernel=KERNEL).module.attach
    return spec.name, spec.args[2]


@pytest.mark.parametrize(
    ("point", "name", "offset"),
    [
        ("uprobe:/opt/app:work", "uprobe:/opt/app:work", 0x1200),
        ("uprobe:/opt/app:work+0", "uprobe:/opt/app:work", 0x1200),
        ("uprobe:/opt/app:work+63", "uprobe:/opt/app:work+63", 0x123F),
        ("uprobe:/opt/app:0x401200", "uprobe:/opt/app:4198912", 0x1200),
        ("uprobe:/opt/app:4198916", "uprobe:/opt/app:4198916", 0x1204),
        ("uretprobe:/opt/app:work", "uretprobe:/opt/app:work", 0x1200),
        ("uretprobe:/opt/app:0x401200", "uretprobe:/opt/app:4198912", 0x1200),
    ],
)
def test_places_in_a_file(point: str, name: str, offset: int) -> None:
    assert attached(point) == (name, offset)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("uprobe:/opt/app:work+64",
         "Offset outside the function bounds ('work' size is 64)"),
        ("uprobe:/opt/app:work+x", "Invalid offset: invalid integer: x"),
        ("uprobe:/opt/app:0x402000", "Could not resolve address: /opt/app:0x402000"),
        ("uretprobe:/opt/app:work+4", "Offset not allowed"),
        ("uprobe:/opt/other:work",
         "uprobe target file '/opt/other' does not exist or is not executable"),
    ],
)  # fmt: skip
def test_places_that_there_are_not(point: str, message: str) -> None:
    errors = compile_to_ir(f"{point} {{ }}", kernel=KERNEL).sink.errors
    assert [e.message for e in errors] == [message]
