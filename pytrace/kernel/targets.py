"""Finds the files that a uprobe's target names. Touches the operating system: part of live.py.

A target is a path, the name of a program in $PATH, a library's name as the dynamic loader knows
it, or ``*`` for whatever is mapped as code. With a process id, names are looked up in that
process: its maps, its root directory.
"""

from __future__ import annotations

import os
import stat

from pytrace.base.text import is_wildcard, matches
from pytrace.kernel import witness
from pytrace.kernel.ldcache import LdCacheError, find_library, is_library, parse_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LD_CACHE = "/etc/ld.so.cache"


class TargetResolver:
    """Resolves target names; the loader's cache is read once. ``proc`` is where procfs is."""

    def __init__(self, proc: str = "/proc", ld_cache: str = LD_CACHE) -> None:
        self._proc = proc
        self._ld_cache = ld_cache
        self._libraries: list[tuple[str, str]] | None = None

    def resolve(self, name: str, pid: int | None) -> tuple[str, ...]:
        """Absolute paths of regular files, best first, each file once; empty if there is none.

        Whether they are ELF files is not looked at.
        """
        root = f"{self._proc}/{pid}/root" if pid is not None else ""
        if name == "*":
            return _distinct(self._mapped_everywhere() if pid is None else self._mapped(pid))
        if "/" in name:
            return self._paths(name, root)
        found = [self._seen_from_here(root, path) for path in _in_path(name, root)]
        if not found and name.startswith("lib"):
            if pid is not None:
                found = [
                    path for path in self._mapped(pid) if is_library(path.rpartition("/")[2], name)
                ]
            if not found:
                libraries = find_library(self._loader_cache(), name)
                found = [self._seen_from_here(root, path) for path in libraries]
        return _distinct(found)

    def rests_on(self, name: str, pid: int | None) -> Iterator[tuple[str, str]]:
        """(kind, subject) of the witnesses of what ``resolve`` answers (see ``witness``)."""
        root = f"{self._proc}/{pid}/root" if pid is not None else ""
        if pid is not None:
            yield witness.PROCESS, str(pid)
            if name == "*" or name.startswith("lib"):
                yield witness.MAPS, str(pid)
        elif name == "*":
            yield witness.UNSTABLE, "the files that all processes have mapped"
        if name == "*":
            return
        if "/" in name:
            yield from _places(root, os.path.abspath(name))
            return
        yield witness.ENVIRONMENT, "PATH"
        for directory in _path_directories():
            yield from _places(root, f"{directory}/{name}")
        if name.startswith("lib"):
            yield witness.FILE, self._ld_cache

    def _paths(self, name: str, root: str) -> tuple[str, ...]:
        path = os.path.abspath(name)
        if is_wildcard(name):
            return _distinct(self._seen_from_here(root, p) for p in _glob(root, path))
        return _distinct([self._seen_from_here(root, path)])

    def _seen_from_here(self, root: str, path: str) -> str:
        """The path itself if it is the same file from here, else the one through ``root``."""
        if not root:
            return path
        try:
            there = os.stat(root + path)
        except OSError:
            return path
        try:
            here = os.stat(path)
        except OSError:
            return root + path
        same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        return path if same else root + path

    def _loader_cache(self) -> list[tuple[str, str]]:
        if self._libraries is None:
            try:
                with open(self._ld_cache, "rb") as file:
                    self._libraries = parse_cache(file.read(), os.uname().machine)
            except (OSError, LdCacheError):
                self._libraries = []
        return self._libraries

    def _mapped(self, pid: int) -> list[str]:
        """Files that a process has mapped as code, its program first."""
        found: dict[str, None] = {}
        try:
            with open(f"{self._proc}/{pid}/maps", "rb") as file:
                lines = file.read().split(b"\n")
        except OSError:
            return []
        for line in lines:
            fields = line.split(None, 5)
            if len(fields) == 6 and b"x" in fields[1] and fields[5][:1] == b"/":
                found[os.fsdecode(fields[5])] = None
        root = f"{self._proc}/{pid}/root"
        return [self._seen_from_here(root, path) for path in found]

    def _mapped_everywhere(self) -> list[str]:
        found: dict[str, None] = {}
        for entry in sorted(os.listdir(self._proc)):
            if entry.isdigit():
                found.update(dict.fromkeys(self._mapped(int(entry))))
        return list(found)


def _in_path(name: str, root: str) -> list[str]:
    """Executable files of that name (``*`` allowed) in $PATH's directories, below ``root``."""
    found = []
    for directory in _path_directories():
        candidates = [f"{directory}/{name}"]
        if is_wildcard(name):
            candidates = _glob(root, candidates[0])
        found += [p for p in candidates if _is_file(root + p) and os.access(root + p, os.X_OK)]
    return found


def _path_directories() -> list[str]:
    return [d for d in os.environ.get("PATH", "/usr/bin:/bin").split(":") if d[:1] == "/"]


def _places(root: str, path: str) -> Iterator[tuple[str, str]]:
    """The file, or the directories that were listed if the path is a pattern."""
    if not is_wildcard(path):
        yield witness.FILE, root + path
        return
    listed: list[str] = []
    _glob(root, path, listed)
    for directory in listed:
        yield witness.FILE, directory


def _glob(root: str, pattern: str, listed: list[str] | None = None) -> list[str]:
    """Paths below ``root`` that fit a pattern in which ``*`` stays within a component.

    The directories that were looked into are added to ``listed``.
    """
    paths = [""]
    for part in pattern.strip("/").split("/"):
        if not is_wildcard(part):
            paths = [f"{p}/{part}" for p in paths]
            continue
        deeper = []
        for path in paths:
            if listed is not None:
                listed.append(f"{root}{path}/")
            try:
                names = sorted(os.listdir(f"{root}{path}/"))
            except OSError:
                continue
            deeper += [f"{path}/{n}" for n in names if matches(part, n)]
        paths = deeper
    return [p for p in paths if _is_file(root + p)]


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _distinct(paths: Iterable[str]) -> tuple[str, ...]:
    """Regular files among ``paths``, without further names of the same file."""
    found: dict[tuple[int, int], str] = {}
    for path in paths:
        try:
            info = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode):
            found.setdefault((info.st_dev, info.st_ino), path)
    return tuple(found.values())
