"""The directory of what takes long to make: unpacked kernels and images."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PYTRACE_VM_CACHE"


def cache_directory() -> Path:
    """PYTRACE_VM_CACHE, or pytrace-vm in the user's cache; made if it is not there."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        caches = os.environ.get("XDG_CACHE_HOME", "") or os.path.expanduser("~/.cache")
        named = os.path.join(caches, "pytrace-vm")
    directory = Path(named).absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, for as long as something in the cache is made."""
    with open(path, "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
