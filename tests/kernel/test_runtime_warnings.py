"""Faults of a running script with -k, as a person and as a program read them (language 14.3)."""

from __future__ import annotations

import json

import pytest

from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root")


def faults(script: str) -> list[dict[str, object]]:
    done = run("-k", "-q", "-f", "json", "-e", script)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line]
    return [line for line in lines if line["type"] in ("helper_error", "runtime_error")]


def test_a_missing_element_is_told_with_its_place() -> None:
    script = 'begin { @[1] = 1; printf("%d\\n", @[2]); }'
    done = run("-k", "-q", "-e", script)
    assert done.stderr == (
        "stdin:1:34-38: WARNING: Can't lookup map element because it does not exist.\n"
        "Additional Info - helper: map_lookup_elem, retcode: 0\n"
        f"{script}\n"
        "                                 ~~~~\n"
    )
    assert done.stdout.startswith("0\n")


def test_without_k_nothing_is_told() -> None:
    script = "begin { @[1] = 1; print(@[2]); print(str((int8 *)8)); _ = delete(@, 7); }"
    done = run("-q", "-e", script)
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_delete_that_deletes_nothing() -> None:
    (fault,) = faults("begin { @[1] = 1; delete(@[2]); }")
    assert fault == {
        "type": "helper_error",
        "msg": "No such file or directory",
        "helper": "map_delete_elem",
        "retcode": -2,
        "filename": "stdin",
        "line": 1,
        "col": 19,
    }


@pytest.mark.parametrize(
    ("expression", "helper"),
    [
        ("*(uint64 *)8", "probe_read_user"),
        ("*kptr((uint64 *)0xfffffffffffff008)", "probe_read_kernel"),
        ("*(uint64 *)0xfffffffffffff008", "probe_read_kernel"),
        ("str((int8 *)8)", "probe_read_user_str"),
        ("buf((int8 *)8, 4)", "probe_read_user"),
        ("((struct s *)8).text", "probe_read_user_str"),
        ("(1, ((struct s *)8).number)", "probe_read_user"),
    ],
)
def test_a_failed_read_names_its_helper(expression: str, helper: str) -> None:
    script = f"struct s {{ int number; char text[8]; }} begin {{ print({expression}); }}"
    (fault,) = faults(script)
    assert (fault["helper"], fault["retcode"], fault["msg"]) == (helper, -14, "Bad address")
    assert isinstance(fault["col"], int)


def test_reads_in_loops_and_behind_records() -> None:
    found = faults(
        "begin { for $i : 0..3 { $x = *(uint64 *)8; } join((uint64)8);"
        ' printf("%s\\n", str((int8 *)9)); }'
    )
    assert [f["helper"] for f in found] == ["probe_read_user"] * 4 + ["probe_read_user_str"]


def test_unset_scalars_and_aggregates() -> None:
    found = faults(
        "begin { @s = 1; delete(@s); $x = @s; @c[1] = count(); $y = (int64)@c[2]; delete(@s); }"
    )
    assert [f["helper"] for f in found] == [
        "map_lookup_elem",
        "map_lookup_percpu_elem",
        "map_delete_elem",
    ]
