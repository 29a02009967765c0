"""The checked-in list of cases that must pass: one id a line, lines with # in front are notes."""

from __future__ import annotations

from pathlib import Path

PASSING = Path(__file__).resolve().parent / "passing.txt"
HEADER = "# Cases that must pass. Written by: python -m tests.conformance.run --update-passing\n"


def read_passing() -> list[str]:
    """The ids, in the order of the file."""
    lines = PASSING.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write_passing(ids: list[str]) -> None:
    """Replace the list."""
    PASSING.write_text(HEADER + "".join(f"{case_id}\n" for case_id in ids), encoding="utf-8")
