"""When the stream writes, and what happens when it cannot."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.output.stream import OutputStream, write_all


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            assert fd in (reader, writer)  # The test has closed it.


def available(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize(
    ("mode", "after_write", "after_idle"),
    [("line", b"", b"a\n"), ("full", b"", b""), ("none", b"a\n", b"")],
)
def test_modes(pipe: tuple[int, int], mode: str, after_write: bytes, after_idle: bytes) -> None:
    reader, writer = pipe
    stream = OutputStream(writer, mode)
    stream.write("a\n")
    assert available(reader) == after_write
    stream.idle()
    assert available(reader) == after_idle
    stream.flush()
    assert available(reader) == (b"a\n" if mode == "full" else b"")


def test_large_batches_do_not_wait(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as file:
        stream = OutputStream(file.fileno(), "full")
        stream.write("x" * 65000)
        assert (tmp_path / "out").stat().st_size == 0
        stream.write("y" * 1000)
        assert (tmp_path / "out").stat().st_size == 66000


def test_a_reader_that_is_gone_is_reported_once(
    pipe: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = pipe
    os.close(reader)
    stream = OutputStream(writer)
    for _ in range(3):
        stream.write("a\n")
        stream.flush()
    assert stream.failure is not None and stream.failure.errno == errno.EPIPE
    assert capfd.readouterr().err == "ERROR: cannot write output: Broken pipe\n"


def test_a_full_disk_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "wb") as full:
        stream = OutputStream(full.fileno())
        stream.write("a\n")
        stream.flush()
    assert stream.failure is not None and stream.failure.errno == errno.ENOSPC
    assert capfd.readouterr().err == "ERROR: cannot write output: No space left on device\n"


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = bytearray()

    def read() -> None:
        while part := os.read(reader, 4096):
            received.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    data = os.urandom(1 << 20)
    write_all(writer, data)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert received == data
