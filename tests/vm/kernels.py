"""The kernels of guests: packages of Debian's archive, found, downloaded and unpacked.

Nothing is installed and no rights are needed: `apt-get download` only needs to reach the archive.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from .cache import cache_directory, locked
from .errors import Missing

SERIES = ("6.1", "6.12")
APT_SECONDS = 300
APT_LISTS = Path("/var/lib/apt/lists")


class Kernel(NamedTuple):
    """An unpacked kernel package. ``release`` is what uname -r says in the guest."""

    series: str
    release: str
    directory: Path

    @property
    def image(self) -> Path:
        """The compressed kernel (bzImage)."""
        return self.directory / "boot" / f"vmlinuz-{self.release}"

    @property
    def config(self) -> Path:
        return self.directory / "boot" / f"config-{self.release}"

    @property
    def modules(self) -> Path:
        return self.directory / "lib" / "modules" / self.release


def find(series: str) -> Kernel:
    """The newest kernel of a series such as "6.12", from the cache or downloaded into it.

    Where the archive cannot be asked, one that was unpacked before will do. Raises Missing.
    """
    parent = cache_directory() / f"kernel-{series}"
    parent.mkdir(exist_ok=True)
    with locked(parent / "lock"):
        target = _unpacked(parent)
        if target is None or not _asked_since_update(parent):
            try:
                package, version = _newest(series)
                newest = parent / f"{package}_{version}"
                if newest != target:
                    _download(package, newest)
                (parent / "asked").touch()
                target = newest
            except Missing:
                if target is None:
                    raise
    return _kernel(series, target)


def _asked_since_update(parent: Path) -> bool:
    """Whether apt's lists are those that gave the kernel here; to ask takes a second or two."""
    try:
        return (parent / "asked").stat().st_mtime > APT_LISTS.stat().st_mtime
    except FileNotFoundError:
        return False


def _kernel(series: str, directory: Path) -> Kernel:
    for image in (directory / "boot").glob("vmlinuz-*"):
        return Kernel(series, image.name.removeprefix("vmlinuz-"), directory)
    raise Missing("guest-kernel", f"{directory} holds no kernel; remove it")


def _unpacked(parent: Path) -> Path | None:
    return next(parent.glob("linux-image-*"), None)


def _newest(series: str) -> tuple[str, str]:
    """Name and version of the newest package that apt would install."""
    pattern = re.compile(
        rf"linux-image-{re.escape(series)}\.\d+(?:-\d+|\+deb\d+)-cloud-amd64(?:-unsigned)?$"
    )
    names = _apt("apt-cache", "pkgnames", f"linux-image-{series}.").split()
    found = sorted(filter(pattern.match, names), key=_rank, reverse=True)
    for name in found:
        match = re.search(r"^ +Candidate: (\S+)$", _apt("apt-cache", "policy", name), re.MULTILINE)
        if match and match[1] != "(none)":
            return name, match[1]
    why = f"apt knows no package linux-image-{series}.*-cloud-amd64; apt-get update may help"
    raise Missing("guest-kernel", why)


def _rank(name: str) -> tuple[list[int], bool]:
    """By number, and of equal ones the signed package first."""
    return [int(word) for word in re.findall(r"\d+", name)], not name.endswith("-unsigned")


def _download(package: str, target: Path) -> None:
    """Download a package and unpack it; other kernels of its series in the cache go."""
    parent = target.parent
    with tempfile.TemporaryDirectory(dir=parent, prefix=".new-") as temporary:
        _apt("apt-get", "-q", "download", package, directory=temporary)
        archive = next(Path(temporary).glob("*.deb"))
        unpacked = Path(temporary) / "root"
        _apt("dpkg", "-x", str(archive), str(unpacked))
        for other in parent.glob("linux-image-*"):
            shutil.rmtree(other)
        unpacked.rename(target)


def _apt(*command: str, directory: str | None = None) -> str:
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=APT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise Missing("guest-kernel", f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        why = f"{' '.join(command)} did not end in {APT_SECONDS} s"
        raise Missing("guest-kernel", why) from error
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Missing("guest-kernel", f"{' '.join(command)}: {last}")
    return result.stdout
