"""Compiled programs kept from one run to the next: find, check, store.

An entry is a file named by a digest of everything that the user's request says (script, options,
environment, this installation) and holds, besides the program, *witnesses*: cheap facts about the
machine that were true when the program was compiled. An entry counts only while all of them still
are. Any entry that cannot be read for whatever reason is no entry, and is written anew.

The process may be root's and the file becomes code in the kernel, so everything hangs on the
directory: owned by the effective user, mode 0700, reached without following a link, and no
component of its path writable by anyone but its owner, who is that user or root. Where that does
not hold there is no cache.
"""

from __future__ import annotations

import errno
import os
import stat
from _blake2 import blake2b

from pytrace import __version__
from pytrace.kernel.witness import check_witness
from pytrace.model.compiled import CompiledProgram
from pytrace.model.pack import PackError, pack_value, unpack_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Final

    from pytrace.model.request import CompileRequest

    Say = Callable[[str], None]
    """Takes a reason for a user who asked for more messages (``-v``)."""
    Witness = tuple[str, str, str]
    """Kind, subject and value, see ``kernel.witness``."""

MAX_ENTRIES: Final = 512
MAX_BYTES: Final = 64 << 20
_MAX_ENTRY: Final = 16 << 20
_SUFFIX: Final = ".program"
_TEMPORARY: Final = ".new-"
_STALE_TEMPORARY_S: Final = 3600

# Parts of the package that a compiled program does not depend on.
_RUN_SIDE: Final = ("cli", "linux", "output", "runtime", "__pycache__")
_SOURCES: Final = (".py", ".lark", ".bt", ".h")

# Environment variables, besides the config values, that the compiler looks at.
_ENVIRONMENT: Final = (
    "BTF", "KERNEL_SOURCE", "KERNEL_BUILD", "VMLINUX", "MASK_FEATURES", "DUMMY_TS_MAP"
)  # fmt: skip
_PLAIN_ENVIRONMENT: Final = ("CPATH", "C_INCLUDE_PATH")


class Untrusted(Exception):
    """Why a directory may not hold files that this process believes."""


class Cache:
    """A directory of entries, open for the life of the process through a descriptor."""

    __slots__ = ("directory", "fd", "say")

    def __init__(self, directory: str, fd: int, say: Say) -> None:
        self.directory = directory
        self.fd = fd
        self.say = say

    def load(self, key: str) -> CompiledProgram | None:
        """The program stored under ``key`` if all its witnesses still hold."""
        name = key + _SUFFIX
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.fd)
        except OSError as error:
            if error.errno != errno.ENOENT:
                self.say(f"cache: {name}: {error.strerror}")
            return None
        try:
            content = _read_own(fd)
            if content is None:
                self.say(f"cache: {name} is ignored: not a file of this user alone")
                return None
            program = self._checked(name, content)
            if program is not None:
                os.utime(fd)  # What was used last is evicted last.
            return program
        finally:
            os.close(fd)

    def _checked(self, name: str, content: bytes) -> CompiledProgram | None:
        try:
            witnesses, program = _entry(unpack_value(content))
        except PackError as error:
            self.say(f"cache: {name} is ignored: {error}")
            return None
        for kind, subject, expected in witnesses:
            try:
                now = check_witness(kind, subject)
            except ValueError as error:
                self.say(f"cache: {name} is ignored: {error}")
                return None
            if now != expected:
                self.say(f"cache: {name} is stale: {kind} {subject} changed")
                return None
        return program

    def save(self, key: str, program: CompiledProgram, witnesses: Iterable[Witness]) -> None:
        """Store a program under ``key``. Failure is a missing entry, not an error."""
        try:
            content = pack_value((tuple(sorted(set(witnesses))), program))
        except PackError as error:
            self.say(f"cache: not stored: {error}")
            return
        if len(content) > _MAX_ENTRY:
            self.say(f"cache: not stored: {len(content)} bytes are too many")
            return
        try:
            self._write(key + _SUFFIX, content)
            self._evict()
        except OSError as error:
            self.say(f"cache: not stored: {error.strerror}")

    def _write(self, name: str, content: bytes) -> None:
        """Write a whole file, then give it its name: a reader sees all of it or none."""
        temporary = _TEMPORARY + os.urandom(8).hex()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = os.open(temporary, flags, 0o600, dir_fd=self.fd)
        try:
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            os.unlink(temporary, dir_fd=self.fd)
            raise

    def _evict(self) -> None:
        """Remove the entries used longest ago until the bounds hold, and forgotten temporaries."""
        entries = []
        for name in os.listdir(self.fd):
            if not name.endswith(_SUFFIX) and not name.startswith(_TEMPORARY):
                continue
            try:
                status = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            except FileNotFoundError:  # Somebody else evicts at the same time.
                continue
            entries.append((status.st_mtime, name, status.st_size))
        entries.sort(reverse=True)
        newest = entries[0][0] if entries else 0
        kept = size = 0
        for modified, name, length in entries:
            if name.startswith(_TEMPORARY):
                if modified < newest - _STALE_TEMPORARY_S:
                    self._remove(name)
                continue
            kept += 1
            size += length
            if kept > MAX_ENTRIES or size > MAX_BYTES:
                self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass


def _entry(value: object) -> tuple[tuple[Witness, ...], CompiledProgram]:
    """The parts of an unpacked entry. ``PackError`` if it is something else."""
    match value:
        case (tuple() as witnesses, CompiledProgram() as program):
            for witness in witnesses:
                match witness:
                    case (str(), str(), str()):
                        continue
                raise PackError("not a witness")
            return witnesses, program
    raise PackError("not an entry")


def _read_own(fd: int) -> bytes | None:
    """All of an open file; None unless it is a regular one that only this user can have written."""
    status = os.fstat(fd)
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != os.geteuid()
        or status.st_mode & 0o022
        or status.st_size > _MAX_ENTRY
    ):
        return None
    parts = []
    left = status.st_size
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def open_cache(environ: Mapping[str, str], say: Say) -> Cache | None:
    """The cache of this user, or None; ``say`` is told why there is none."""
    where = configured_directory(environ)
    if where is None:
        say("cache: switched off")
        return None
    try:
        return Cache(where, open_trusted(where), say)
    except Untrusted as error:
        say(f"cache: none: {error}")
        return None


def trusted_directory(environ: Mapping[str, str], say: Say) -> str | None:
    """A directory for other files that a later run may believe (parser tables, type indexes).

    It is the cache's own. Its path cannot be redirected by anyone else, so that it may be used as
    a name.
    """
    cache = open_cache(environ, say)
    if cache is None:
        return None
    os.close(cache.fd)
    return cache.directory


def configured_directory(environ: Mapping[str, str]) -> str | None:
    """Where the cache is wanted: ``PYTRACE_CACHE``, or the user's place for such files.

    None if ``PYTRACE_CACHE`` is ``off``, or where there is no such place.
    """
    wanted = environ.get("PYTRACE_CACHE", "")
    if wanted:
        return None if wanted.lower() == "off" else wanted
    if os.geteuid() == 0:
        return "/var/cache/pytrace"
    base = environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = home + "/.cache"
    return base + "/pytrace"


def open_trusted(path: str) -> int:
    """A descriptor of a directory that nobody else can write to or replace.

    Missing components are made. ``Untrusted`` says what is wrong. The caller owns the descriptor.
    """
    if not path.startswith("/"):
        raise Untrusted(f"{path} is not an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise Untrusted(f"{path} is not a plain path")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    fd = os.open("/", flags)
    try:
        done = "/"
        _check_component(fd, done)
        for part in parts:
            done = done.rstrip("/") + "/" + part
            try:
                inner = _open_or_make(part, flags, fd)
            except OSError as error:
                raise Untrusted(f"{done}: {error.strerror}") from error
            os.close(fd)
            fd = inner
            _check_component(fd, done)
        status = os.fstat(fd)
        if status.st_uid != os.geteuid():
            raise Untrusted(f"{path} belongs to another user")
        if stat.S_IMODE(status.st_mode) != 0o700:
            raise Untrusted(f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, not 0700")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_or_make(name: str, flags: int, parent: int) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:  # Another process was faster.
        pass
    return os.open(name, flags, dir_fd=parent)


def _check_component(fd: int, path: str) -> None:
    status = os.fstat(fd)
    if status.st_uid not in (0, os.geteuid()):
        raise Untrusted(f"{path} belongs to another user")
    if status.st_mode & 0o022:
        raise Untrusted(f"{path} is writable by others")


def key_of(
    request: CompileRequest, environ: Mapping[str, str], *, package: str = "", cwd: str = ""
) -> str:
    """The name of the entry for a request: hexadecimal digits.

    ``package`` is the directory of the installation, ``cwd`` the working directory; both default
    to this process's own.
    """
    source = request.source
    texts = (source.text.decode("utf-8", "surrogateescape"), *request.params)
    relative = any(map(_names_relative_path, texts)) or bool(
        request.include_dirs or request.include_files or request.traceable_functions
    )
    looks_at_process = bool(request.params) or _looks_at_process(texts[0])
    process = request.pid if looks_at_process else request.pid is not None
    facts = (
        __version__,
        installation(package or __file__.rpartition("/")[0]),
        os.uname().machine,
        source.name,
        source.text,
        _absolute(source.path, cwd) if source.path else None,
        (cwd or os.getcwd()) if relative else None,
        request.params,
        request.options,
        request.config_environment,
        request.unsafe,
        process,
        request.has_child,
        request.runtime_warnings,
        request.mode,
        request.no_features,
        request.include_dirs,
        request.include_files,
        request.debuginfo,
        request.traceable_functions,
        tuple(_environment(environ)),
    )
    return blake2b(pack_value(facts), digest_size=20).hexdigest()


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _ENVIRONMENT:
        for prefix in ("PYTRACE_", "BPFTRACE_"):
            if prefix + name in environ:
                yield prefix + name, environ[prefix + name]
    for name in _PLAIN_ENVIRONMENT:
        if name in environ:
            yield name, environ[name]


def _absolute(path: str, cwd: str) -> str:
    return path if path.startswith("/") else f"{cwd or os.getcwd()}/{path}"


_NOT_IN_PATHS: Final = str.maketrans(dict.fromkeys(" \t\r\n\"'`,;:=<>(){}[]@!&|?*%^~#", " "))


def _names_relative_path(text: str) -> bool:
    """True if some word looks like ``a/b``: then the program may depend on the working directory.

    A division without blanks looks the same, which only costs an entry for each directory.
    """
    if "/" not in text:
        return False
    return any(
        "/" in word.rstrip("/") and word[0] != "/" for word in text.translate(_NOT_IN_PATHS).split()
    )


def _looks_at_process(text: str) -> bool:
    """True if names may be looked up in the process of ``-p``: in user probes, or where the text
    does not tell (wildcards for providers, imports)."""
    lower = text.lower()
    return any(
        mark in lower for mark in ("uprobe", "uretprobe", "usdt", "u:", "ur:", "*:", "import")
    )


def installation(package: str) -> bytes:
    """A digest of the installed compiler's files: names, sizes and times, not contents.

    An upgrade or an edit in a checkout changes it. Takes about a millisecond.
    """
    state = blake2b(digest_size=20)
    for line in sorted(_files(package, "")):
        state.update(line.encode("utf-8", "surrogateescape"))
    return state.digest()


def _files(directory: str, below: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name
            if name.endswith(_SOURCES):
                status = entry.stat()
                yield f"{below}/{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\n"
            elif "." not in name and name not in _RUN_SIDE and entry.is_dir():
                yield from _files(entry.path, f"{below}/{name}")


def take_witnesses(pairs: Iterable[tuple[str, str]]) -> tuple[Witness, ...]:
    """Each (kind, subject) with the value it has now."""
    return tuple((kind, subject, check_witness(kind, subject)) for kind, subject in pairs)
