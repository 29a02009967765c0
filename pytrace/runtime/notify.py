"""Telling a service manager how far the run is (sd_notify(3)), where one asks to be told."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(state: str) -> None:
    """Send ``state`` to the manager's socket. Nothing without one; a manager that does not listen
    loses the news, and the run goes on."""
    address = os.environ.get(SOCKET_VARIABLE, "")
    if address[:1] not in ("/", "@"):
        return
    import socket

    if address[0] == "@":  # An abstract address begins with a zero byte.
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            sock.send(state.encode())
    except OSError:
        return
