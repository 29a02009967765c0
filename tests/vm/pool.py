"""The guests of one test session: each kernel boots once, when a test first needs it."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from . import kernels
from .guest import Guest
from .image import root_image, volume_image

ENVIRONMENT = {"PATH": f"{os.path.dirname(sys.executable)}:/usr/sbin:/usr/bin"}
"""Of commands in a guest: with the programs of this Python's environment."""


class Pool:
    """Guests by kernel series, all with the same volume."""

    def __init__(self, trees: Sequence[Path] = ()) -> None:
        """``trees`` are directories of this machine that the guests see beside the checkout."""
        self._directory = tempfile.TemporaryDirectory(prefix="pytrace-volume-")
        self._volume = Path(self._directory.name) / "volume"
        self._trees = trees
        self._guests: dict[str, Guest] = {}
        self._lock = threading.Lock()

    def guest(self, series: str) -> Guest:
        """The guest for a kernel; it boots at its first command. Raises Missing."""
        with self._lock:
            if series not in self._guests:
                kernel = kernels.find(series)
                root = root_image(kernel)
                if not self._volume.exists():
                    volume_image(self._volume, self._trees)
                self._guests[series] = Guest(kernel, root, self._volume)
            return self._guests[series]

    def close(self) -> None:
        """Switch all guests off; what runs in them ends."""
        for guest in self._guests.values():
            guest.close()
        self._directory.cleanup()
