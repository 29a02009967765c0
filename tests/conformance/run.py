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

from tests.vm.cases import case_trees, run_cases
from tests.vm.errors import Missing
from tests.vm.pool import Pool
from tests.vm.tell import tell

from . import build, runner
from .data import DATA_VARIABLE, Case, Data, data_directory, load
from .passing import PASSING, PASSING_IN_GUEST, read_passing, write_passing

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
        if options.guest:
            results = _run_in_guest(cases, data, options)
        else:
            config = runner.configuration(data, options.exe, options.comm)
            results = _run_all(cases, config, options)
    except (FileNotFoundError, build.BuildError, Missing) as error:
        print(error, file=sys.stderr)
        return 2
    _print_table(results)
    if options.reference:
        _print_reference(results, data)
    if options.json:
        Path(options.json).write_text(
            json.dumps([result._asdict() for result in results], indent=1), encoding="utf-8"
        )
    if options.update_passing:
        path = PASSING_IN_GUEST if options.guest else PASSING
        _update_passing(results, data, path)
    return int(any(result.status == "fail" for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.run")
    add = parser.add_argument
    add("--exe", default="", help=f"the tracer (default: ${runner.EXECUTABLE_VARIABLE}, pytrace)")
    add("--comm", default="", help="the tracer's comm (default: pytrace or bpftrace, by its name)")
    add("--suite", action="append", default=[], help="only cases of this suite")
    add("--id", action="append", default=[], help="only the case with this id")
    add("--category", action="append", default=[], help="only cases of this category")
    add("--passing", action="store_true", help="only cases that must pass")
    add("--guest", default="", help="run them in a guest with this kernel, such as 6.12")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="cases at a time")
    add("--json", default="", help="write the results to this file")
    add("--reference", action="store_true", help="compare with the reference's results")
    add(
        "--update-passing",
        action="store_true",
        help=f"note what passed in {PASSING.name}, or {PASSING_IN_GUEST.name}",
    )
    add("-v", "--verbose", action="store_true", help="show the output of cases that fail")
    return parser


def _chosen(data: Data, options: argparse.Namespace) -> list[Case]:
    listed = PASSING_IN_GUEST if options.guest else PASSING
    passing = read_passing(listed) if options.passing else None
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
    tell(start=case.id)
    result = runner.run_case(case, config)
    if result.status == "pass" and runner.is_vacuous(case, config):
        result = result._replace(status="vacuous", reason="passes without any output")
    tell(case=result._asdict())
    return result


def _run_in_guest(
    cases: list[Case], data: Data, options: argparse.Namespace
) -> list[runner.Result]:
    pool = Pool(case_trees(data))
    try:
        results = run_cases(pool.guest(options.guest), cases, data)
    finally:
        pool.close()
    for result in results:
        _print_result(result, options.verbose)
    return results


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


def _update_passing(results: list[runner.Result], data: Data, path: Path) -> None:
    """Keep what the file has of the cases that did not run, in the order of the data. The list for
    guests leaves out what passes outside."""
    passed = {result.id for result in results if result.status == "pass"}
    kept = set(read_passing(path)) - {result.id for result in results if result.status != "skip"}
    if path != PASSING:
        passed -= set(read_passing())
    write_passing([case.id for case in data.cases if case.id in passed | kept], path)


if __name__ == "__main__":
    sys.exit(main())
