"""The language tested in the language: every ``test:`` probe of the scripts beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root")

SCRIPTS = sorted(Path(__file__).parent.glob("*.bt"))


def names() -> Iterator[tuple[Path, str]]:
    for script in SCRIPTS:
        for line in script.read_text().splitlines():
            if line.startswith("test:"):
                yield script, line[len("test:") :].split()[0]


@cache
def results(script: Path) -> dict[str, Any]:
    """What a run of the whole script said of each of its tests."""
    done = run("--test", "-f", "json", str(script))
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line:
            found.update(json.loads(line)["data"])
    assert found, done.stderr
    return found


@pytest.mark.parametrize(
    ("script", "name"), list(names()), ids=[f"{s.stem}-{n}" for s, n in names()]
)
def test_of_the_language(script: Path, name: str) -> None:
    result = results(script)[name]
    assert result["passed"], result["output"]
