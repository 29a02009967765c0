"""Time series on the kernel, at times that the script chooses."""

from __future__ import annotations

import json

import pytest

from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root")

ENABLED = "config = { unstable_tseries = enable }"


def rows(body: str, name: str = "@a") -> object:
    """What JSON shows of a map after ``body`` ran in an interval probe, whose clock is ``@t``."""
    script = f"{ENABLED} begin {{ @t = (uint64)0; {body} }} end {{ clear(@t); }}"
    done = run("-q", "-f", "json", "-e", script, PYTRACE_DUMMY_TS_MAP="@t", TZ="UTC")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line]
    (found,) = [line["data"][name] for line in lines if line["type"] == "tseries"]
    return found


def times(found: object) -> list[tuple[str, int]]:
    assert isinstance(found, list)
    return [(row["interval_start"][17:23], row["value"]) for row in found]


VALUES = "@t = 50; @a = tseries(4, 10ns, 9{f}); @t = 72; @a = tseries(-6, 10ns, 9{f});"
VALUES += " @t = 75; @a = tseries(9, 10ns, 9{f}); @t = 79; @a = tseries(-4, 10ns, 9{f});"


@pytest.mark.parametrize(
    ("function", "value"), [("", -4), ("avg", 0), ("max", 9), ("min", -6), ("sum", -1)]
)
def test_functions(function: str, value: int) -> None:
    argument = f', "{function}"' if function else ""
    found = rows(VALUES.format(f=argument))
    assert isinstance(found, list)
    starts = [row["interval_start"][-2:] for row in found]
    assert (starts, [row["value"] for row in found]) == (["50", "70"], [4, value])


def test_old_intervals_make_room() -> None:
    body = "for $i : 0..30 { @t = (uint64)$i * 100ms; @a = tseries($i, 100ms, 4); }"
    assert times(rows(body)) == [("02.600", 26), ("02.700", 27), ("02.800", 28), ("02.900", 29)]


def test_keys_of_any_type() -> None:
    body = '@t = 1s; @a["x", 2] = tseries(5, 1s, 3); @t = 2s; @a["yy", -1] = tseries(6, 1s, 3);'
    found = rows(body)
    assert isinstance(found, dict)
    assert {key: times(value) for key, value in found.items()} == {
        "x,2": [("01.000", 5)],
        "yy,-1": [("02.000", 6)],
    }


def test_delete_and_has_key_mean_all_intervals_of_a_key() -> None:
    script = (
        f"{ENABLED} begin {{ @t = (uint64)5s; @a[1] = tseries(1, 1s, 3); @t = 6s;"
        " @a[1] = tseries(1, 1s, 3); @a[2] = tseries(1, 1s, 3);"
        " print((has_key(@a, 1), has_key(@a, 3), delete(@a, 1), delete(@a, 1), has_key(@a, 1)));"
        " clear(@t); }"
    )
    done = run("-q", "-e", script, PYTRACE_DUMMY_TS_MAP="@t", TZ="UTC")
    assert done.stdout.splitlines()[0] == "(true, false, true, false, false)"
    assert "@a[2]:" in done.stdout
    assert "@a[1]:" not in done.stdout


def test_a_million_intervals_take_no_memory_before_they_are_used() -> None:
    done = run("-q", "-e", f"{ENABLED} begin {{ @ = tseries(5, 1s, 999999); }}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("| 5\n") == 1


def test_the_table_is_drawn_by_the_clock_on_the_wall() -> None:
    body = '@ = tseries(5, 1s, 3); print(strftime("%H:%M:%S", nsecs));'
    done = run("-q", "-e", f"{ENABLED} begin {{ {body} }}")
    lines = done.stdout.splitlines()
    row = next(line for line in lines if line.endswith("| 5"))
    assert row[:7] == lines[0][:7]
