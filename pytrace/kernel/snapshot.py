"""Recorded facts as files: ``--record-kernel DIR`` and the fixtures of tests.

A directory holds one JSON file for each kind of question, ``struct.json``: a list of
``{"ask": [arguments], "answer": ...}`` in the order of the arguments, one a line.
"""

from __future__ import annotations

import os

from pytrace.kernel.plain import PlainError, from_plain, to_plain
from pytrace.kernel.record import ReplayKernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.kernel.info import KernelInfo
    from pytrace.kernel.record import Facts, RecordingKernel

METHODS: Final = (
    "binary",
    "cpp_functions",
    "enum",
    "enum_constant",
    "function",
    "functions",
    "has_symbol",
    "identity",
    "iterators",
    "raw_tracepoint",
    "raw_tracepoints",
    "refusal",
    "resolve_target",
    "struct",
    "supports",
    "tracepoint",
    "tracepoints",
    "typed_functions",
    "typedef",
    "typeless_memory",
    "user_enum",
    "user_function",
    "user_struct",
)


class SnapshotError(ValueError):
    """A directory or file that holds no recorded facts."""


def save(kernel: RecordingKernel | ReplayKernel, directory: str) -> None:
    """Write the facts, together with those that the directory already holds.

    The directory is made if need be. ``OSError`` where it cannot be written.
    """
    import json

    os.makedirs(directory, exist_ok=True)
    facts = {**_read_facts(directory), **kernel.facts()}
    for method in METHODS:
        rows = {}
        for (asked, args), answer in facts.items():
            if asked == method:
                ask = json.dumps(to_plain(args), sort_keys=True)
                rows[ask] = f'{{"ask": {ask}, "answer": {json.dumps(to_plain(answer))}}}'
        if rows:
            lines = ",\n".join(rows[ask] for ask in sorted(rows))
            path = f"{directory}/{method}.json"
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(f"[\n{lines}\n]\n")
            os.replace(f"{path}.new", path)


def load(directory: str, fallback: KernelInfo | None = None) -> ReplayKernel:
    """The kernel that was recorded in a directory.

    ``SnapshotError`` if there is none or a file is broken, ``OSError`` if one cannot be read.
    """
    facts = _read_facts(directory)
    if not facts:
        raise SnapshotError(f"no recorded kernel in {directory}")
    return ReplayKernel(facts, fallback)


def _read_facts(directory: str) -> Facts:
    import json

    facts: Facts = {}
    for method in METHODS:
        path = f"{directory}/{method}.json"
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            try:
                for row in json.load(file):
                    args = from_plain(row["ask"])
                    if not isinstance(args, tuple):
                        raise PlainError("arguments are not a list")
                    facts[method, args] = from_plain(row["answer"])
            except (ValueError, TypeError, LookupError) as error:
                raise SnapshotError(f"{path}: {error}") from None
    return facts
