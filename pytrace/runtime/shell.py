"""Shell commands that ``system()`` runs. ``subprocess`` would take 18 ms to import."""

from __future__ import annotations

import os

_SHELL = "/bin/sh"


def run_shell(command: str) -> tuple[int, str]:
    """Run ``sh -c command`` and wait: its exit code (128 + n for signal n), stdout and stderr.

    Raises ``OSError`` if there is no shell.
    """
    reader, writer = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        argv = [os.fsencode(word) for word in (_SHELL, "-c", command)]
        pid = os.posix_spawn(_SHELL, argv, os.environ, file_actions=actions)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    with open(reader, "rb") as pipe:
        output = pipe.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code, output.decode("utf-8", "surrogateescape")
