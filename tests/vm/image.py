"""Makes the two disks of a guest: the root file system, and the volume with the checkout.

Both are ext4 images that mke2fs fills from a directory, which takes no rights. The root file system
is kept in the cache under a digest of what went into it; the volume is made for each session.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from .cache import cache_directory, locked
from .contents import DIRECTORIES, Contents, contents, project_files
from .errors import Missing
from .kernels import Kernel

ROOT = Path(__file__).resolve().parents[2]
KEPT = 2
"""Root file systems of one kernel that stay in the cache: as many environments can take turns."""

# The kernel finds its root by the number of a disk's partition table: the order of NVMe disks, and
# with it their names, differs from boot to boot.
DISK_NUMBER = 0x70797472
ROOT_ARGUMENT = f"root=PARTUUID={DISK_NUMBER:08x}-01"
VOLUME_LABEL = "volume"
OFFSET = 1 << 20

FREE_BYTES = 512 << 20
"""Room for what is written in the guest. The image is sparse, so that it costs nothing."""


def root_image(kernel: Kernel) -> Path:
    """The root file system for a kernel, from the cache or made. Raises Missing."""
    found = contents(kernel)
    parent = cache_directory() / f"root-{kernel.series}"
    parent.mkdir(exist_ok=True)
    target = parent / f"{_digest(found, kernel)}.img"
    with locked(parent / "lock"):
        if target.exists():
            os.utime(target)
            return target
        with tempfile.TemporaryDirectory(dir=parent, prefix=".new-") as temporary:
            stage = Path(temporary) / "root"
            _stage(found, stage)
            _compile_python(stage)
            _make_file_system(stage, Path(temporary) / "image")
            (Path(temporary) / "image").rename(target)
        images = sorted(parent.glob("*.img"), key=lambda path: path.stat().st_mtime)
        for old in images[:-KEPT]:
            old.unlink()
    return target


def volume_image(target: Path, trees: Iterable[Path] = ()) -> None:
    """Write an image with the checkout and further directories of this machine, each to be seen
    at its own path. Raises Missing."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as temporary:
        stage = Path(temporary)
        mounts = {str(ROOT): "/mnt/volume/0"}
        for name, path in project_files(ROOT):
            _copy(path, stage / "0" / name)
        for number, tree in enumerate(trees, 1):
            shutil.copytree(tree, stage / str(number), symlinks=True)
            mounts[str(tree)] = f"/mnt/volume/{number}"
        _compile_python(stage / "0")
        (stage / "mounts").write_text(_mount_table(mounts), encoding="utf-8")
        start = f"{sys.executable}\n{ROOT / 'tests/vm/agent.py'}\n"
        (stage / "start").write_text(start, encoding="utf-8")
        _make_file_system(stage, target, label=VOLUME_LABEL)


def _digest(found: Contents, kernel: Kernel) -> str:
    """Of the names and states of all files: reading a few hundred megabytes would take longer
    than to boot. Compiled modules follow from their sources."""
    digest = hashlib.sha256(f"{kernel.release} {sys.version}\n".encode())
    for name in ("contents.py", "image.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    for place, source in sorted(found.files.items()):
        if "/__pycache__/" not in place:
            status = source.stat()
            digest.update(f"{place}\0{status.st_size} {status.st_mtime_ns}\n".encode())
    for table in (found.links, found.data, found.mounts):
        digest.update(repr(sorted(table.items())).encode())
    return digest.hexdigest()[:16]


def _stage(found: Contents, stage: Path) -> None:
    for name in DIRECTORIES:
        (stage / name).mkdir(parents=True)
    (stage / "tmp").chmod(0o1777)
    for place, target in found.links.items():
        link = stage / place[1:]
        # Links of directories come first by their order, so that what is below them goes through.
        link.parent.mkdir(parents=True, exist_ok=True)
        if place.count("/") == 1:
            (stage / target).mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    for place, source in found.files.items():
        _copy(source, stage / place[1:])
    for place, data in found.data.items():
        (stage / place[1:]).parent.mkdir(parents=True, exist_ok=True)
        (stage / place[1:]).write_bytes(data)
    (stage / "mounts").write_text(_mount_table(found.mounts), encoding="utf-8")


def _mount_table(mounts: Mapping[str, str]) -> str:
    """Lines of "image path TAB guest path", outer directories before inner ones."""
    return "".join(f"{source}\t{target}\n" for target, source in sorted(mounts.items()))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def _compile_python(stage: Path) -> None:
    """Compile the modules that have no compiled form yet: in the guest it would take long."""
    command = [sys.executable, "-m", "compileall", "-q", "-j0", "-s", str(stage), "-p", "/"]
    # Modules of other Python versions, kept as data, do not compile: they need not.
    subprocess.run(
        [*command, str(stage)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )


def _make_file_system(stage: Path, target: Path, *, label: str = "") -> None:
    """An image of a directory: with a label, a bare file system; without, a partition of a disk."""
    make = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if make is None:
        raise Missing("mke2fs", "mke2fs is not installed")
    used = sum(path.lstat().st_blocks * 512 for path in stage.rglob("*"))
    size = (used * 9 // 8 + FREE_BYTES) // OFFSET * OFFSET
    offset = 0 if label else OFFSET
    with open(target, "wb") as file:
        if offset:
            file.write(_partition_table(size))
        file.truncate(offset + size)
    options = ["-O", "^has_journal,^metadata_csum,^resize_inode", "-i", "8192", "-b", "4096"]
    result = subprocess.run(
        [make, "-q", "-t", "ext4", "-F", "-m", "0", *options, "-L", label, "-E", f"offset={offset}"]
        + ["-d", str(stage), str(target), f"{size >> 10}k"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise OSError(f"mke2fs failed: {result.stdout.strip()}")


def _partition_table(size: int) -> bytes:
    """A master boot record with one Linux partition (type 0x83) that begins at OFFSET."""
    entry = struct.pack("<B3xB3xII", 0, 0x83, OFFSET // 512, size // 512)
    return b"\0" * 440 + struct.pack("<IH", DISK_NUMBER, 0) + entry + b"\0" * 48 + b"\x55\xaa"
