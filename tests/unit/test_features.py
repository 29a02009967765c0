"""tests/features.toml is complete, and every test that it names exists."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FEATURES = ROOT / "tests" / "features.toml"
PASSING = (
    ROOT / "tests" / "conformance" / "passing.txt",
    ROOT / "tests" / "conformance" / "passing-guest.txt",
)

# Group letter -> number of features; ids run from 01 without a gap.
GROUPS = {
    "L": 31, "G": 22, "T": 27, "E": 17, "C": 14, "M": 27, "P": 53, "B": 34,
    "F": 57, "O": 19, "J": 14, "R": 49, "D": 9, "K": 15, "X": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def features() -> dict[str, dict[str, Any]]:
    # tomllib refuses a table that is defined twice, so ids are unique once this succeeds.
    tables: dict[str, dict[str, Any]] = tomllib.loads(FEATURES.read_text(encoding="utf-8"))
    return tables


def test_ids_are_the_groups_counted_without_a_gap(features: dict[str, dict[str, Any]]) -> None:
    wanted = [f"{group}-{n:02}" for group, count in GROUPS.items() for n in range(1, count + 1)]
    assert len(wanted) == 394
    assert list(features) == wanted


def test_each_feature_has_a_title_and_a_list_of_tests(features: dict[str, dict[str, Any]]) -> None:
    for name, feature in features.items():
        assert set(feature) == {"title", "tests"}, name
        assert feature["title"].strip() == feature["title"] != "", name
        assert all(isinstance(test, str) for test in feature["tests"]), name


def test_no_feature_names_a_test_twice(features: dict[str, dict[str, Any]]) -> None:
    for name, feature in features.items():
        repeated = [test for test, n in Counter(feature["tests"]).items() if n > 1]
        assert not repeated, f"{name} names {repeated} more than once"


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, `function` or `Class::method`, without importing."""
    tree = ast.parse(path.read_bytes(), str(path))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)}
    return {name for name in names if name.rsplit("::", 1)[-1].startswith("test_")}


def passing_cases() -> set[str]:
    """Ids of the lists of conformance cases: whole lines, blanks and # inside them included; a
    line that begins with # is a comment."""
    texts = [path.read_text(encoding="utf-8") for path in PASSING if path.exists()]
    lines = [line for text in texts for line in text.splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


def cases_of_tables() -> dict[str, set[str]]:
    """Names behind the brackets of tests that run a table of cases, by the tests' file."""
    from tests.golden import test_golden
    from tests.self import test_self
    from tests.unit import test_mistakes

    return {
        "tests/golden/test_golden.py": {repr(case) for case in test_golden.CASES},
        "tests/self/test_self.py": {f"{s.stem}-{name}" for s, name in test_self.names()},
        "tests/unit/test_mistakes.py": {
            mistake.name.replace(" ", "-") for mistake in test_mistakes.MISTAKES
        },
    }


def missing_tests(features: dict[str, dict[str, Any]]) -> list[str]:
    """`ID: entry` for every entry that names nothing that exists."""
    conformance = passing_cases()
    tables = cases_of_tables()
    known: dict[str, set[str]] = {}
    missing = []
    for name, feature in features.items():
        for entry in feature["tests"]:
            if entry.startswith("conformance:"):
                found = entry.removeprefix("conformance:") in conformance
            else:
                path, _, function = entry.partition("::")
                file = ROOT / path
                if path not in known:
                    in_tests = path.startswith("tests/") and file.is_file()
                    known[path] = functions_of(file) if in_tests else set()
                whole, bracket, case = function.partition("[")
                found = whole in known[path]
                if found and bracket and path in tables:
                    found = case.removesuffix("]") in tables[path]
            if not found:
                missing.append(f"{name}: {entry}")
    return missing


def test_every_named_test_exists(features: dict[str, dict[str, Any]]) -> None:
    assert missing_tests(features) == []


@pytest.mark.parametrize(
    "entry",
    [
        "tests/unit/test_features.py::test_that_nobody_wrote",
        "tests/unit/no_such_file.py::test_x",
        "tests/unit/test_features.py::functions_of",
        "pytrace/__init__.py::__getattr__",
        "conformance:no-such-case",
        "tests/self/test_self.py::test_of_the_language[maps-no_such_test]",
    ],
)
def test_a_name_that_names_nothing_is_found_out(entry: str) -> None:
    assert missing_tests({"L-01": {"title": "t", "tests": [entry]}}) == [f"L-01: {entry}"]


def test_a_name_that_exists_is_accepted() -> None:
    entry = "tests/unit/test_features.py::test_a_name_that_exists_is_accepted"
    assert missing_tests({"L-01": {"title": "t", "tests": [entry]}}) == []
