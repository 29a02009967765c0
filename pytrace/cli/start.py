"""Run by bin/pytrace as `python -I -S pytrace/cli/start.py`; imported by nobody.

The interpreter starts without the site module, so sys.path holds the standard library alone. This
file adds the directory that holds the package, after the standard library, and a last resort for
imports: the first top-level module that is found nowhere loads the site module and with it
site-packages. A cached script never gets there.
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
else:
    # The signal module proper makes enumerations of all numbers: 6 ms.
    import _signal


_OBJECTS_A_COLLECTION = 100_000
"""New objects between two collections of garbage. A start makes some 30 000, nearly all of which
stay, and looking through them again and again takes 2 ms of it."""


class SiteOnDemand:
    """The last finder of sys.meta_path: leaves it for the site module at its first question."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Extend sys.path by what `python` without -S has, then ask the other finders again."""
        if path is not None:  # A submodule: its package was found, so sys.path would not help.
            return None
        sys.meta_path.remove(self)
        import site

        site.main()
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def start() -> int:
    """Make the package importable, then run the command line; returns the exit status."""
    # Ctrl-C before tracing begins ends the process as it ends any other, without a traceback. A
    # background job, in which SIGINT is ignored, keeps it so.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    root = __file__.rsplit("/", 3)[0]
    sys.path.append(root)
    sys.meta_path.append(SiteOnDemand())
    sys.argv[0] = "pytrace"
    from pytrace.cli.bundle import Bundle

    bundle = Bundle(root)
    sys.meta_path.insert(0, bundle)
    from pytrace.cli.main import main

    return main(after=bundle.save)


if __name__ == "__main__":
    sys.exit(start())
