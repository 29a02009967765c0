"""Runs conformance cases from the command line: python -m tests.conformance.run --help"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import build, runner
from .data import DATA_VARIABLE, Case, Data, data_directory, load
from .passing import PASSING, read_passing, write_passing

STATUSES = ("pass", "fail", "skip", "vacuous")


def main(arguments: list[str] | None = None) -> int:
    """0 when no case failed, 1 when some did, 2 when nothing could be run."""
    options = _parser().parse_args(arguments)
    directory = data_directory()
    if directory is None:
        print(f"{DATA_VARIABLE} does not name a directory with the data", file=sys.stderr)
        return 2
    data = load(directory)
    cases = _chosen(data, options)
    if not cases:
        print("no such case", file=sys.stderr)
        return 2
    try:
        config = runner.configuration(data, options.exe, options.comm)
    except (FileNotFoundError, build.BuildError) as error:
        print(error, file=sys.stderr)
        return 2
    results = _run_all(cases, config, options)
    _print_table(results)
    if options.reference:
        _print_reference(results, data)
    if options.json:
        Path(options.json).write_text(
            json.dumps([result._asdict() for result in results], indent=1), encoding="utf-8"
        )
    if options.update_passing:
        _update_passing(results, data)
    return int(any(result.status == "fail" for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run")
    add = parser.add_argument
    add("--exe", default="", help=f"the tracer (default: ${runner.EXECUTABLE_VARIABLE}, pytrace)")
    add("--comm", default="", help="the tracer's comm (default: pytrace or bpftrace, by its name)")
    add("--suite", action="append", default=[], help="only cases of this suite")
    add("--id", action="append", default=[], help="only the case with this id")
    add("--category", action="append", default=[], help="only cases of this category")
    add("--passing", action="store_true", help=f"only cases that {PASSING.name} names")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    add("--json", default="", help="write the results to this file")
    add("--reference", action="store_true", help="compare with the reference's results")
    add("--update-passing", action="store_true", help=f"note in {PASSING.name} what passed")
    add("-v", "--verbose", action="store_true", help="show the output of cases that fail")
    return parser


def _chosen(data: Data, options: argparse.Namespace) -> list[Case]:
    passing = read_passing() if options.passing else None
    return [
        case
        for case in data.cases
        if (not options.suite or case.suite in options.suite)
        and (not options.id or case.id in options.id)
        and (not options.category or case.category in options.category)
        and (passing is None or case.id in passing)
    ]


def _run_all(
    cases: list[Case], config: runner.Config, options: argparse.Namespace
) -> list[runner.Result]:
    results = []
    with ThreadPoolExecutor(max_workers=max(options.jobs, 1)) as pool:
        futures = [pool.submit(_run_one, case, config) for case in cases]
        try:
            for future in futures:
                result = future.result()
                results.append(result)
                _print_result(result, options.verbose)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _run_one(case: Case, config: runner.Config) -> runner.Result:
    result = runner.run_case(case, config)
    if result.status == "pass" and runner.is_vacuous(case, config):
        return result._replace(status="vacuous", reason="passes without any output")
    return result


def _print_result(result: runner.Result, verbose: bool) -> None:
    reason = f": {result.reason}" if result.reason else ""
    print(f"{result.status:8}{result.seconds:5.1f}s {result.id}{reason}", flush=True)
    if verbose and result.status == "fail":
        for line in result.output.splitlines():
            print(f"    | {line}", flush=True)


def _print_table(results: list[runner.Result]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        counts[result.suite, result.status] += 1
        counts["all", result.status] += 1
    suites = sorted({result.suite for result in results})
    print(f"\n{'suite':16}" + "".join(f"{status:>9}" for status in STATUSES))
    for suite in (*suites, "all"):
        print(f"{suite:16}" + "".join(f"{counts[suite, status]:9}" for status in STATUSES))


def _print_reference(results: Iterable[runner.Result], data: Data) -> None:
    """How the results compare with what the reference does natively."""
    expected = {case.id: case.reference_native for case in data.cases}
    results = list(results)
    counted = [result for result in results if expected[result.id]]
    good = [result for result in counted if result.status in ("pass", "vacuous")]
    print(f"\n{len(good)} of the {len(counted)} cases that the reference passes")
    for result in results:
        passed = result.status in ("pass", "vacuous")
        if passed is not expected[result.id] and result.status != "skip":
            print(f"{'more' if passed else 'less'}: {result.id}: {result.reason}")
        elif result.status == "skip" and expected[result.id]:
            print(f"skip: {result.id}: {result.reason}")


def _update_passing(results: list[runner.Result], data: Data) -> None:
    """Keep what the file has of the cases that did not run, in the order of the data."""
    passed = {result.id for result in results if result.status == "pass"}
    kept = set(read_passing()) - {result.id for result in results if result.status != "skip"}
    write_passing([case.id for case in data.cases if case.id in passed | kept])


if __name__ == "__main__":
    sys.exit(main())
