"""What must be true of this process and this kernel before anything can be traced."""

from __future__ import annotations

from pytrace.base.errors import NotSupported, PytraceError
from pytrace.linux.rights import lockdown, rights


def check_machine() -> None:
    """Raises ``PytraceError`` if this process may not trace, or this kernel lets nobody do it.

    CAP_BPF and CAP_PERFMON are all that is asked for; what a missing further right costs is told
    by the probe that needs it.
    """
    missing = rights().missing
    if missing:
        raise PytraceError(f"Missing {missing[0]} capability, please run pytrace as the root user.")
    if lockdown() == "confidentiality":
        raise NotSupported(
            "lockdown",
            "The kernel is locked down in confidentiality mode, in which BPF programs may not "
            "read memory. Nothing can be traced unless it boots without that mode.",
        )
