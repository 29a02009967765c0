"""Control groups by id, through the mounted hierarchies.

The id of a group is the inode number of its directory (kernel/cgroup/cgroup.c, cgroup_id()).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MOUNTINFO: Final = "/proc/self/mountinfo"


class Cgroups:
    """Paths of groups. Each hierarchy is walked at most once for an id that is not known yet."""

    def __init__(self, mountinfo: str = MOUNTINFO) -> None:
        self._mountinfo = mountinfo
        self._roots: list[tuple[str, str]] | None = None
        self._found: dict[int, tuple[tuple[str, str], ...]] = {}

    def paths(self, id: int) -> tuple[tuple[str, str], ...]:
        """(hierarchy, path) pairs, the unified hierarchy first, then by name."""
        known = self._found.get(id)
        if known is None:
            if self._roots is None:
                with open(self._mountinfo, encoding="utf-8", errors="surrogateescape") as file:
                    self._roots = hierarchies(file.read())
            pairs = [(name, _find(root, id)) for name, root in self._roots]
            known = tuple((name, path) for name, path in pairs if path is not None)
            if known:
                self._found[id] = known
        return known


def hierarchies(mountinfo: str) -> list[tuple[str, str]]:
    """(name, mount point) of each hierarchy in a mountinfo text (proc(5)); the first mount counts.

    The unified hierarchy is called ``unified``, others by their controller.
    """
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = (after.split(" ") + ["", "", ""])[:3]
        fields = before.split(" ")
        if kind not in ("cgroup", "cgroup2") or len(fields) < 5 or fields[3] != "/":
            continue
        name = "unified" if kind == "cgroup2" else _controllers(options)
        found.setdefault(name, fields[4].replace("\\040", " "))
    return sorted(found.items(), key=lambda item: (item[0] != "unified", item[0]))


_MOUNT_OPTIONS: Final = frozenset("rw ro noprefix xattr clone_children cpuset_v2_mode".split())


def _controllers(options: str) -> str:
    """The controllers of a version 1 hierarchy from its mount options."""
    names = [
        option.removeprefix("name=")
        for option in options.split(",")
        if option not in _MOUNT_OPTIONS and not option.startswith("release_agent")
    ]
    return ",".join(names)


def _find(root: str, id: int) -> str | None:
    """The path below ``root`` of the directory with inode ``id``."""
    try:
        if os.stat(root).st_ino == id:
            return "/"
    except OSError:
        return None
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.inode() == id:
                        return entry.path[len(root) :]
                    pending.append(entry.path)
        except OSError:
            continue  # A group that went away meanwhile.
    return None
