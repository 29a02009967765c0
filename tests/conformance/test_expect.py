"""What the modes of expectation accept."""

from __future__ import annotations

import time
from typing import Any

import pytest

from . import expect
from .data import Case, Expectation

NOTICE = "__PYTRACE_NOTIFY_PROBES_ATTACHED\n"


def case(*expectations: tuple[str, str], **fields: Any) -> Case:
    empty = Case(
        id="suite.name", suite="suite", category="core", program="begin { }", command="",
        flags=(), before=(), after="", setup="", cleanup="", expect=(), will_fail=False,
        return_code=0, timeout=1.0, requires=(), requires_feature=(), min_kernel="",
        max_kernel="", arch=(), env={}, new_pid_namespace=False, testprogs=(), testlibs=(),
        reference_native=True,
    )  # fmt: skip
    return empty._replace(
        expect=tuple(Expectation(mode, text) for mode, text in expectations), **fields
    )


def holds(mode: str, text: str, after: str, files: dict[str, str] | None = None) -> bool:
    return not expect.unmet(case((mode, text)), files or {}, "WARNING: w\n" + after, after)


@pytest.mark.parametrize(
    ("text", "after", "found"),
    [
        ("@: 1", "a\n  @: 1 \nb\n", True),
        ("@: 1", "@: 12\n", False),
        ("@: 1", "x @: 1\n", False),
        ("one\ntwo", "one\ntwo\nthree\n", True),
        ("one\ntwo", "one\nthree\ntwo\n", False),
        ("a.c", "abc\n", False),
    ],
)
def test_text_is_a_whole_line(text: str, after: str, found: bool) -> None:
    assert holds("text", text, after) is found
    assert holds("text_none", text, after) is not found


def test_regex_searches_all_lines() -> None:
    assert holds("regex", r"^b\d$", "a\nb1\n")
    assert not holds("regex", r"^b\d$", "a b1\n")
    assert not holds("regex_none", r"^b\d$", "a\nb1\n")
    assert holds("regex", "^WARNING", "")


def test_file_is_all_of_the_output_after_the_attachment() -> None:
    files = {"f.txt": "@: 1\n\n"}
    assert holds("file", "f.txt", "\n@: 1\n", files)
    assert not holds("file", "f.txt", "@: 1\n@x: 2\n", files)


def test_file_times_are_local() -> None:
    hour = time.strftime("%H", time.localtime(0))
    assert expect.localized("%H:00:00.500 | 9", None) == f"{hour}:00:00.500 | 9"
    assert expect.localized("%H%M", 3600) == time.strftime("%H%M", time.localtime(3600))
    assert expect.localized("100%", None) == "100%"


def test_json_is_compared_as_json() -> None:
    files = {"f.json": '{"a": [1,\n 2]}', "f.ndjson": '{"a": 1}\n{"b": 2}\n'}
    assert holds("json", "f.json", 'noise\n{"a":[1,2]}\n{"other": 1}\n', files)
    assert not holds("json", "f.json", '{"a":[2,1]}\n', files)
    assert holds("json", "f.ndjson", '{"a":1}\n\n{"b":2}\n', files)
    assert not holds("json", "f.ndjson", '{"b":2}\n{"a":1}\n', files)


def test_an_unmet_expectation_is_named() -> None:
    assert expect.unmet(case(("text", "a"), ("text", "b")), {}, "a\n", "a\n") == "text: b"


def test_what_nothing_meets_is_not_vacuous() -> None:
    assert expect.holds_for_nothing(case(("text_none", "a")), {})
    assert not expect.holds_for_nothing(case(("text", "a")), {})
    assert not expect.holds_for_nothing(case(("text_none", "a"), will_fail=True), {})
    assert not expect.holds_for_nothing(case(("text_none", "a"), return_code=3), {})
