"""What the root file system of a guest holds: Python, small programs, their libraries.

Everything lies where it lies on this machine, so that scripts, virtual environments and debug
information that name absolute paths work unchanged; only /bin, /sbin and /lib are always links
into /usr. What is mounted over (a virtual environment below the checkout) goes into `mounted`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import Missing
from .kernels import Kernel

# The machine's own version of these is taken where it has one; busybox provides the others.
PROGRAMS = """
    bash sh cat cp cut date dd echo env false head id ln ls mkdir mv rm rmdir sleep sort stat sync
    tail tee timeout touch tr true uname uniq wc
    bc bpftool file findmnt grep ip lsmod nft nm nproc nsenter pidof ping prlimit ps readelf sed
    setpriv strace taskset unshare which xargs
""".split()

# Parts of the standard library and packages that nothing in a guest imports.
LEFT_OUT = {
    "__phello__", "ensurepip", "idlelib", "lib2to3", "test", "tkinter", "turtledemo", "venv",
    "_distutils_hack", "distutils-precedence.pth", "mypy", "mypyc", "pip", "pkg_resources",
    "ruff", "setuptools", "wheel", "dist-packages", "site-packages",
}  # fmt: skip
LEFT_OUT_PATTERN = re.compile(
    r"config-\d.*-linux-gnu|(mypy|pip|ruff|setuptools|wheel)-[\d.]+\.dist-info$"
    r"|\.opt-\d\.pyc$|\.a$"
)
# Kernel modules that tests probe functions of.
MODULES = ("nf_tables",)
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/os-release", "/etc/protocols", "/etc/services")

PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files\n"

DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "var", "usr")
MERGED = ("bin", "lib", "lib32", "lib64", "sbin")


class Contents:
    """Where each file, link and directory of the guest comes from, by path in the guest.

    ``files`` maps to paths on this machine, ``data`` to what is written, ``links`` to where a
    symbolic link points. A parent directory is implied. ``mounts`` maps a directory of the guest
    to the one in the image whose contents are to be seen there.
    """

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.data: dict[str, bytes] = {}
        self.links: dict[str, str] = {}
        self.mounts: dict[str, str] = {}

    def add(self, path: str | Path, at: str = "") -> None:
        """Take a file; for a symbolic link, the link and what it leads to."""
        source = Path(os.path.abspath(path))
        place = at or merged(str(source))
        if place in self.files or place in self.links:
            return
        if source.is_symlink():
            target = os.readlink(source)
            self.links[place] = target
            if not at or "/" in target:
                self.add(source.parent / target)
        elif source.is_file():
            self.files[place] = source
        else:
            raise FileNotFoundError(f"no file {source}")

    def add_tree(self, root: Path, at: str = "") -> None:
        """Take all files below a directory, but those that are left out by their name."""
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if entry.name in LEFT_OUT or LEFT_OUT_PATTERN.search(entry.name):
                continue
            place = f"{at or merged(str(root))}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                self.add_tree(Path(entry.path), place)
            elif entry.is_symlink() and Path(entry.path).is_dir():
                self.links[place] = os.readlink(entry.path)
            else:
                self.add(entry.path, place)


def merged(path: str) -> str:
    """A path on this machine as the guest has it: /bin/x is /usr/bin/x."""
    return "/usr" + path if path.split("/")[1] in MERGED else path


def contents(kernel: Kernel) -> Contents:
    """All of it. Raises Missing."""
    found = Contents()
    for name in MERGED:
        found.links["/" + name] = "usr/" + name
    _add_programs(found)
    _add_python(found)
    _add_libraries(found)
    _add_settings(found)
    found.add(kernel.config, f"/boot/{kernel.config.name}")
    _add_modules(found, kernel)
    return found


def _add_programs(found: Contents) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Missing("busybox", "busybox is not installed")
    found.add(busybox, "/usr/bin/busybox")
    for name in PROGRAMS:
        path = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        if path is not None:
            found.add(path)
    listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    for name in listed.stdout.split():
        places = (f"/usr/bin/{name}", f"/usr/sbin/{name}")
        if not any(place in found.files or place in found.links for place in places):
            found.links[places[0]] = "busybox"


def _add_python(found: Contents) -> None:
    """The interpreter that runs this, its standard library, and the environment it runs in."""
    paths = sysconfig.get_paths()
    for name in ("stdlib", "platstdlib"):
        if Path(paths[name]).resolve().is_relative_to(Path(sys.base_prefix).resolve()):
            found.add_tree(Path(paths[name]))
    if sys.prefix == sys.base_prefix:
        found.add(sys.executable)
        for path in {paths["purelib"], paths["platlib"]}:
            found.add_tree(Path(path))
        return
    environment = Path(sys.prefix)
    place = "/mnt/environment"
    found.mounts[sys.prefix] = place
    found.add(environment / "pyvenv.cfg", f"{place}/pyvenv.cfg")
    for entry in sorted((environment / "bin").iterdir()):
        if entry.name not in LEFT_OUT and not entry.is_dir():
            found.add(entry, f"{place}/bin/{entry.name}")
    for path in {paths["purelib"], paths["platlib"]}:
        below = Path(path).relative_to(environment)
        found.add_tree(Path(path), f"{place}/{below}")


def _add_libraries(found: Contents) -> None:
    """The shared libraries that all these files need, and the loader."""
    binaries = [path for path in found.files.values() if _is_elf(path)]
    for library in sorted(needed_libraries(binaries)):
        found.add(library)


def needed_libraries(binaries: Iterable[Path]) -> set[str]:
    """Paths of the libraries that the loader finds for some executables and libraries."""
    if shutil.which("ldd") is None:
        raise Missing("ldd", "ldd is not installed")
    paths = [str(path) for path in binaries]
    libraries = set()
    for part in range(0, len(paths), 200):
        # Its status says that some file is statically linked, which is not wrong.
        listed = subprocess.run(
            ["ldd", *paths[part : part + 200]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        pattern = r"^\t(?:\S+ => )?(/\S.*) \(0x[0-9a-f]+\)$"
        libraries.update(re.findall(pattern, listed.stdout, re.MULTILINE))
    return libraries


def _is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def _add_settings(found: Contents) -> None:
    for name in FILES:
        if os.path.exists(name):
            found.files[name] = Path(os.path.realpath(name))
    texts = {"passwd": PASSWD, "group": GROUP, "hosts": HOSTS, "nsswitch.conf": NSSWITCH}
    for name, text in texts.items():
        found.data[f"/etc/{name}"] = text.encode()
    found.files["/init"] = Path(__file__).resolve().with_name("init")


def _add_modules(found: Contents, kernel: Kernel) -> None:
    """MODULES with what they depend on, unpacked, where modprobe finds them."""
    files = {path.name.partition(".")[0]: path for path in kernel.modules.glob("kernel/**/*.ko*")}
    place = f"/usr/lib/modules/{kernel.release}"
    lines = []
    wanted = list(MODULES)
    for name in wanted:
        data = _module(files[name])
        match = re.search(rb"\0depends=([^\0]*)\0", data)
        needed = match[1].decode().split(",") if match and match[1] else []
        wanted += [each for each in needed if each not in wanted]
        found.data[f"{place}/{name}.ko"] = data
        lines.append(f"{name}.ko: {' '.join(f'{each}.ko' for each in needed)}\n")
    found.data[f"{place}/modules.dep"] = "".join(lines).encode()


def _module(path: Path) -> bytes:
    """A module's bytes; busybox loads none that is compressed."""
    if path.suffix != ".xz":
        return path.read_bytes()
    if shutil.which("xz") is None:
        raise Missing("xz", "xz is not installed")
    return subprocess.run(["xz", "-dc", str(path)], stdout=subprocess.PIPE, check=True).stdout


def project_files(root: Path) -> Iterator[tuple[str, Path]]:
    """The checkout's own files and links, by path below it: no caches, no environment."""
    left_out = {"build", "dist"}
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.name.startswith(".") or entry.name in left_out:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.endswith(".egg-info"):
                for name, path in project_files(Path(entry.path)):
                    yield f"{entry.name}/{name}", path
        else:
            yield entry.name, Path(entry.path)
