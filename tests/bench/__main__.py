"""The benchmark's command line: runs cases, prints tables, keeps them in docs/performance.md."""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
import time

from tests.bench import cases
from tests.bench.results import Row, cells, table
from tests.bench.tracers import ROOT, Machine, peer, pytrace

DOCUMENT = ROOT / "docs" / "performance.md"


def main() -> None:
    options = _options()
    # Not below /tmp: a cache that others could replace is none.
    with tempfile.TemporaryDirectory(prefix="pytrace-bench-", dir="/var/cache") as directory:
        tracers = [pytrace(os.path.join(directory, "cache"))]
        if options.peer:
            tracers.append(peer(options.peer))
        plan = cases.Plan(
            machine=Machine(directory),
            tracers=tuple(tracers),
            runs=options.runs,
            repetitions=options.repetitions,
            events=options.events,
            seconds=options.seconds,
            keys=options.keys,
            only=frozenset(options.only),
        )
        for name, case in cases.CASES.items():
            if options.case not in (name, "all"):
                continue
            rows = []
            for row in case(plan):
                print("  ".join(cells(row)), flush=True)
                rows.append(row)
            print(f"\n{name}\n\n{table(rows)}", flush=True)
            if options.write and not options.only:
                _keep(name, rows, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--case", choices=[*cases.CASES, "all"], default="all")
    parser.add_argument("--peer", default="", help="the command to compare with, such as bpftrace")
    parser.add_argument("--runs", type=int, default=15, help="whole runs of the startup case")
    parser.add_argument("--repetitions", type=int, default=3, help="repetitions of other cases")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a storm")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", action="append", default=[], help="an item by its name")
    parser.add_argument("--write", action="store_true", help=f"keep the tables in {DOCUMENT.name}")
    return parser.parse_args()


def _keep(name: str, rows: list[Row], options: argparse.Namespace) -> None:
    """Put a table between the marks of its case."""
    text = DOCUMENT.read_text()
    command = f"python -m tests.bench --case {name} --peer {options.peer or '...'}"
    facts = (
        f"`{command}`, {time.strftime('%Y-%m-%d')}: {os.cpu_count()} CPUs, Linux "
        f"{platform.release().partition('-')[0]}, Python {platform.python_version()}."
    )
    body = f"<!-- {name} -->\n{facts}\n\n{table(rows)}<!-- end -->"
    marks = re.compile(rf"<!-- {name} -->.*?<!-- end -->", re.S)
    assert marks.search(text), f"{DOCUMENT} has no marks for {name}"
    DOCUMENT.write_text(marks.sub(lambda _: body, text))


if __name__ == "__main__":
    main()
