"""Exceptions of pytrace. Faults in a user's script are diagnostics, not exceptions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base.diagnostics import Diagnostic
    from pytrace.base.source import Span


class PytraceError(Exception):
    """Root of all errors that pytrace raises on purpose. ``str()`` is the text for a person."""

    exit_code = 1


class CompileError(PytraceError):
    """A script does not compile. Raised only by the public API."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        first = next((d.message for d in diagnostics), "the script does not compile")
        super().__init__(first)


class UsageError(PytraceError):
    """A command line that makes no sense; ``usage`` asks for the usage text after it."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        self.usage = usage
        super().__init__(message)


class LoadError(PytraceError):
    """The kernel refused a map, a prog or BTF. ``errno`` is the kernel's number."""

    exit_code = 255

    def __init__(self, message: str, *, errno: int = 0) -> None:
        self.errno = errno
        super().__init__(message)


class VerifierError(LoadError):
    """The verifier refused a prog.

    ``prog`` is the prog's name, ``log`` the whole verifier log, ``summary`` its decisive line and
    ``span`` the script text that the refused instruction came from, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        errno: int,
        prog: str,
        log: str,
        summary: str = "",
        span: Span | None = None,
    ) -> None:
        self.prog = prog
        self.log = log
        self.summary = summary
        self.span = span
        super().__init__(message, errno=errno)


class AttachError(PytraceError):
    """A probe could not be attached. ``probe`` is the attach point's full name.

    ``cause`` says what on this machine refuses it, ``hints`` what to do or use instead.
    """

    exit_code = 255

    def __init__(
        self, message: str, *, probe: str = "", cause: str = "", hints: Sequence[str] = ()
    ) -> None:
        self.probe = probe
        self.cause = cause
        self.hints = tuple(hints)
        super().__init__(message)


class NotSupported(PytraceError):
    """This kernel lacks a feature. ``kernel`` is the first release that has it, if known."""

    def __init__(self, feature: str, message: str, *, kernel: str = "") -> None:
        self.feature = feature
        self.kernel = kernel
        super().__init__(message)
