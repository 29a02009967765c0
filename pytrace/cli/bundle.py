"""The modules of a start in one file, which takes 3 ms off its 22.

Finding, opening and reading a module by itself takes longer than executing most of them. The bundle
lies in the package's ``__pycache__`` and is what lies there anyway, the code of modules; it holds
those that cached runs have imported. An entry counts only while its source has the size and time
that it had, as with the interpreter's own files; whatever is missing or stale is imported as ever.
A run that missed a module writes the bundle anew when its work is done.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType

    Entry = tuple[bool, int, int, bytes]
    """Whether it is a package, its source's time (ns) and size, its marshalled code."""
else:
    Loader = object

_PACKAGE = "pytrace"
_OF_RUNS, _OF_COMPILATIONS = "pytrace.runtime.session", "pytrace.compiler"
_PYC_HEADER = 16


class Bundle(Loader):
    """A finder of the package's modules. ``root`` is the directory that holds the package."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = f"{root}/{_PACKAGE}/__pycache__/start.{sys.implementation.cache_tag}.bundle"
        self.entries = self._read()
        self.missed = False

    # --- importing

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != _PACKAGE:
            return None
        entry = self.entries.get(name)
        if entry is None:
            self.missed = True
            return None
        package, time_ns, size, _ = entry
        source = self._source(name, package)
        if _stamp(source) != (time_ns, size):
            self.missed = True
            del self.entries[name]
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=package)
        if package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """None: as modules are made by default."""

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        module.__file__ = spec.origin
        exec(marshal.loads(self.entries[spec.name][3]), module.__dict__)

    def _source(self, name: str, package: bool) -> str:
        return f"{self.root}/{name.replace('.', '/')}{'/__init__.py' if package else '.py'}"

    # --- the file

    def _read(self) -> dict[str, Entry]:
        """The entries; none if there is no file of this interpreter's."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                content = file.readall()
        except OSError:
            return {}
        if not content.startswith(MAGIC_NUMBER):
            return {}
        try:
            entries: dict[str, Entry] = marshal.loads(memoryview(content)[len(MAGIC_NUMBER) :])
        except (EOFError, ValueError, TypeError):  # Cut off or damaged.
            return {}
        return entries

    def save(self) -> None:
        """Write the known modules and those of this run, if it was a cached one and missed some.

        Where the directory cannot be written there is no bundle, as there would be no ``.pyc``.
        """
        if not self.missed or sys.dont_write_bytecode:
            return
        if _OF_RUNS not in sys.modules or _OF_COMPILATIONS in sys.modules:
            return
        known = len(self.entries)
        for name, module in sys.modules.items():
            if name.partition(".")[0] == _PACKAGE and name not in self.entries:
                entry = self._entry(module)
                if entry is not None:
                    self.entries[name] = entry
        if len(self.entries) > known:
            self._write()

    def _write(self) -> None:
        temporary = f"{self.path}.{os.getpid()}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except OSError:
            return
        try:
            view = memoryview(MAGIC_NUMBER + marshal.dumps(self.entries))
            while view:
                view = view[os.write(fd, view) :]
            os.rename(temporary, self.path)
        except OSError:
            os.unlink(temporary)
        finally:
            os.close(fd)

    def _entry(self, module: ModuleType) -> Entry | None:
        """A module from the interpreter's own file of it, if that belongs to the source."""
        spec = module.__spec__
        if spec is None or spec.origin is None or spec.cached is None:
            return None
        package = spec.submodule_search_locations is not None
        source = self._source(spec.name, package)
        stamp = _stamp(source)
        if stamp is None or not os.path.samefile(source, spec.origin):
            return None
        try:
            with open(spec.cached, "rb", buffering=0) as file:
                content = file.readall()
        except OSError:
            return None
        time_ns, size = stamp
        # Flags 0, then time in seconds and size of the source (importlib/_bootstrap_external.py).
        expected = b"".join(
            (word & 0xFFFFFFFF).to_bytes(4, "little") for word in (0, time_ns // 10**9, size)
        )
        if content[:_PYC_HEADER] != MAGIC_NUMBER + expected:
            return None
        return package, time_ns, size, content[_PYC_HEADER:]


def _stamp(source: str) -> tuple[int, int] | None:
    try:
        status = os.stat(source)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
