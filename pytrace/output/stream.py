"""Where formats write to: a buffered descriptor, and stderr."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LINE: Final = "line"
FULL: Final = "full"
NONE: Final = "none"
MODES: Final = (LINE, FULL, NONE)

_BATCH: Final = 1 << 16
STDERR: Final = 2


class OutputStream:
    """Text out to a descriptor, in batches.

    ``mode`` is ``-B``: ``none`` writes at once; ``line`` when nothing more is to be done
    (``idle``) or a batch is full; ``full`` when a batch is full. All write what is left at
    ``flush``.

    A write that fails (the reader is gone, the disk is full) sets ``failure`` and is reported
    once on stderr; what follows is dropped, and the session ends when it sees the failure.
    """

    __slots__ = ("_parts", "_size", "fd", "failure", "mode")

    def __init__(self, fd: int, mode: str = LINE) -> None:
        self.fd = fd
        self.mode = mode
        self.failure: OSError | None = None
        self._parts: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size >= _BATCH or self.mode == NONE:
            self.flush()

    def idle(self) -> None:
        """No more events are waiting: let the reader have what there is."""
        if self._parts and self.mode != FULL:
            self.flush()

    def flush(self) -> None:
        """Write everything. Sets ``failure`` instead of raising."""
        if not self._parts:
            return
        text = "".join(self._parts)
        self._parts.clear()
        self._size = 0
        if self.failure is not None:
            return
        try:
            write_all(self.fd, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            self.failure = error
            write_error(f"ERROR: cannot write output: {error.strerror}\n")


def write_all(fd: int, data: bytes) -> None:
    """All of ``data``, however slow the reader is. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait_writable(fd)


def write_error(text: str) -> None:
    """``text`` to stderr. A stderr that cannot be written to has nobody to be told about it."""
    try:
        write_all(STDERR, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EBADF, errno.ENOSPC, errno.EIO):
            raise


def _wait_writable(fd: int) -> None:
    """Standard output may be a non-blocking pipe that another process made so."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()
