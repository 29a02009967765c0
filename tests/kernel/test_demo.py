"""make demo on this kernel: events, a map and a histogram."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.needs("tracefs")


def test_it_shows_events_a_map_and_a_histogram() -> None:
    pytrace = Path(sys.executable).with_name("pytrace")
    command = [sys.executable, "scripts/demo.py", str(pytrace)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    events = re.findall(r"^.{16} \d+ +\S*$", run.stdout, re.MULTILINE)
    assert len(events) == 10  # A path that its process has not touched yet reads as empty.
    # The demo's own load is among what it traced.
    opens = re.search(r"^@opens\[cat\]: (\d+)$", run.stdout, re.MULTILINE)
    assert opens is not None
    assert int(opens[1]) >= 10
    assert re.search(r"^@us:\n(\[.*\)? +\d+ \|@* *\|\n)+", run.stdout, re.MULTILINE)
    assert "@start" not in run.stdout
    assert "@shown" not in run.stdout
