"""The conformance data: its location, and its cases as typed records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

DATA_VARIABLE = "PYTRACE_CONFORMANCE"


class Expectation(NamedTuple):
    """One thing that must hold of the output. ``mode`` is one of text, text_none, regex,
    regex_none, file, json; ``localize_timestamps`` is an epoch time in seconds, for file."""

    mode: str
    text: str
    localize_timestamps: int | None = None


class Case(NamedTuple):
    """One case; times are in seconds. Exactly one of ``program`` and ``command`` is not empty."""

    id: str
    suite: str
    category: str
    program: str
    command: str
    flags: tuple[str, ...]
    before: tuple[str, ...]
    after: str
    setup: str
    cleanup: str
    expect: tuple[Expectation, ...]
    will_fail: bool
    return_code: int
    timeout: float
    requires: tuple[str, ...]
    requires_feature: tuple[str, ...]
    min_kernel: str
    max_kernel: str
    arch: tuple[str, ...]
    env: dict[str, str]
    new_pid_namespace: bool
    testprogs: tuple[str, ...]
    testlibs: tuple[str, ...]
    reference_native: bool


class Data(NamedTuple):
    """All cases, and the text of the files that they name, by path below the working
    directory (``runtime/...``)."""

    cases: tuple[Case, ...]
    files: dict[str, str]

    def case(self, case_id: str) -> Case:
        """The case with this id; LookupError when the data has none."""
        for case in self.cases:
            if case.id == case_id:
                return case
        raise LookupError(f"no case has the id {case_id!r}")


def data_directory() -> Path | None:
    """Where the data is, or None when the environment does not say."""
    name = os.environ.get(DATA_VARIABLE, "")
    return Path(name) if name else None


def load(directory: Path) -> Data:
    """Read ``cases.json`` of a directory; OSError when it is not there."""
    with open(directory / "cases.json", encoding="utf-8") as file:
        raw = json.load(file)
    return Data(tuple(_case(entry) for entry in raw["cases"]), dict(raw["files"]))


def _case(raw: dict[str, Any]) -> Case:
    return Case(
        id=raw["id"],
        suite=raw["suite"],
        category=raw["category"],
        program=raw.get("program", ""),
        command=raw.get("command", ""),
        flags=tuple(raw.get("flags", ())),
        before=tuple(raw.get("before", ())),
        after=raw.get("after", ""),
        setup=raw.get("setup", ""),
        cleanup=raw.get("cleanup", ""),
        expect=tuple(
            Expectation(entry["mode"], entry["text"], entry.get("localize_timestamps"))
            for entry in raw["expect"]
        ),
        will_fail=raw.get("will_fail", False),
        return_code=raw.get("return_code", 0),
        timeout=float(raw["timeout"]),
        requires=tuple(raw.get("requires", ())),
        requires_feature=tuple(raw.get("requires_feature", ())),
        min_kernel=raw.get("min_kernel", ""),
        max_kernel=raw.get("max_kernel", ""),
        arch=tuple(raw.get("arch", ())),
        env=dict(raw.get("env", {})),
        new_pid_namespace=raw.get("new_pid_namespace", False),
        testprogs=tuple(raw.get("testprogs", ())),
        testlibs=tuple(raw.get("testlibs", ())),
        reference_native=raw.get("reference", {}).get("native", False),
    )
