"""Whether an output meets a case's expectations.

The output is the tracer's stdout and stderr together; ``after`` is the part behind the line that
says that every probe is attached (all of it when there was no such line).
"""

from __future__ import annotations

import json
import re
import time

from .data import Case, Expectation

NOTICES = ("__BPFTRACE_NOTIFY_PROBES_ATTACHED", "__PYTRACE_NOTIFY_PROBES_ATTACHED")


def unmet(case: Case, files: dict[str, str], output: str, after: str) -> str:
    """What is wrong with an output, or '' when every expectation holds."""
    for expectation in case.expect:
        if not _holds(expectation, files, output, after):
            return f"{expectation.mode}: {expectation.text}"
    return ""


def holds_for_nothing(case: Case, files: dict[str, str]) -> bool:
    """Whether a program that only says that it attached, and exits 0, would pass."""
    if case.will_fail or case.return_code != 0:
        return False
    return not unmet(case, files, NOTICES[0] + "\n", "")


def _holds(expectation: Expectation, files: dict[str, str], output: str, after: str) -> bool:
    mode, text = expectation.mode, expectation.text
    if mode == "text":
        return _has_line(text, output)
    if mode == "text_none":
        return not _has_line(text, output)
    if mode == "regex":
        return re.search(text, output, re.MULTILINE) is not None
    if mode == "regex_none":
        return re.search(text, output, re.MULTILINE) is None
    if mode == "file":
        return after.strip() == localized(files[text], expectation.localize_timestamps).strip()
    if mode == "json":
        return _has_json(files[text], text.endswith(".ndjson"), after)
    raise ValueError(f"unknown mode of expectation {mode!r}")


def _has_line(text: str, output: str) -> bool:
    """Whether some line, or run of lines if the text has several, is this text."""
    return re.search(rf"^\s*{re.escape(text.strip())}\s*$", output, re.MULTILINE) is not None


def localized(text: str, timestamp: int | None) -> str:
    """A file's text with its time formats filled in. Some files have formats in cases that give
    no time: they are of the epoch's first seconds."""
    if timestamp is None:
        if "%H" not in text:
            return text
        timestamp = 0
    return time.strftime(text, time.localtime(timestamp))


def _has_json(text: str, each_line: bool, after: str) -> bool:
    got = [value for value in map(_parsed, after.splitlines()) if value is not None]
    if each_line:
        return got == [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text) in got


def _parsed(line: str) -> object | None:
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    return value
