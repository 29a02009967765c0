"""The checked-in list of cases that must pass: one id a line, lines with # in front are notes."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent
PASSING = DIRECTORY / "passing.txt"
PASSING_IN_GUEST = DIRECTORY / "passing-guest.txt"
"""Those that this project's developers can only run on another kernel, in a guest of tests/vm."""
WRITTEN = "Written by: python -m tests.conformance.run"
HEADERS = {
    PASSING: f"# Cases that must pass. {WRITTEN} --update-passing\n",
    PASSING_IN_GUEST: "# Cases that must pass in a guest with Linux 6.12, beside passing.txt.\n"
    f"# {WRITTEN} --guest 6.12 --update-passing\n",
}


def read_passing(path: Path = PASSING) -> list[str]:
    """The ids, in the order of the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write_passing(ids: list[str], path: Path = PASSING) -> None:
    """Replace the list."""
    text = HEADERS[path] + "".join(f"{case_id}\n" for case_id in ids)
    path.write_text(text, encoding="utf-8")
