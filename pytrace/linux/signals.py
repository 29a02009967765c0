"""Signals as events of an epoll loop."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self
else:
    # The signal module proper makes enumerations of all numbers: 6 ms.
    import _signal


class SignalQueue:
    """Collects signals while it is open: ``fileno()`` becomes readable, ``read`` names them.

    For the main thread only (``ValueError`` elsewhere). ``close`` puts back what was there before.
    A signal that was ignored when it is opened stays ignored where ``keep_ignored`` says so
    (SIGINT of a background job).
    """

    def __init__(self, signals: Sequence[int], *, keep_ignored: Sequence[int] = ()) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._handlers: dict[int, Any] = {}
        try:
            self._old_wakeup = _signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        except ValueError:
            os.close(self._reader)
            os.close(self._writer)
            raise
        for number in signals:
            if number in keep_ignored and _signal.getsignal(number) == _signal.SIG_IGN:
                continue
            self._handlers[number] = _signal.signal(number, _note)

    def fileno(self) -> int:
        return self._reader

    def read(self) -> list[int]:
        """Numbers of the signals that came since the last call, in order, repeats included."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Restore the handlers. Closing twice is fine."""
        if self._reader < 0:
            return
        for number, handler in self._handlers.items():
            # None: a handler that was not installed from Python, which cannot be put back.
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._reader)
        os.close(self._writer)
        self._reader = self._writer = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _note(number: int, frame: object) -> None:
    """The handler: the interpreter has already written the number to the wake-up descriptor."""
