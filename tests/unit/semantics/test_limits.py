"""Limits of a script's size, and errors that a script asks for itself."""

from __future__ import annotations

import pytest

from tests.compiling import compile_to_ir

TWO = "interval:s:1, interval:s:2 {{ {} }}"


@pytest.mark.parametrize(
    ("key", "body", "code", "message"),
    [
        ("max_probes", "", "too-many-probes",
         "Can't attach to 2 probes because it exceeds the current limit of 1 probes."),
        ("max_bpf_progs", "print(probe);", "too-many-progs",
         "Your program is trying to generate more than 2 BPF programs, which exceeds the current"
         " limit of 1."),
    ],
)  # fmt: skip
def test_a_script_beyond_a_limit(key: str, body: str, code: str, message: str) -> None:
    script = TWO.format(body)
    errors = compile_to_ir(f"config = {{ {key} = 1 }} {script}").sink.errors
    assert [(e.code, e.message) for e in errors] == [(code, message)]
    assert key.upper() in errors[0].hints[0]
    assert not compile_to_ir(f"config = {{ {key} = 2 }} {script}").sink.errors


def test_one_prog_for_several_attach_points_counts_once() -> None:
    script = f"config = {{ max_bpf_progs = 1 }} {TWO.format('')}"
    assert not compile_to_ir(script).sink.errors


def test_fail_is_an_error_with_its_literals() -> None:
    errors = compile_to_ir('begin { fail("%d of %s", 3, "x"); }').sink.errors
    assert [(e.code, e.message) for e in errors] == [("fail", "3 of x")]


def test_fail_takes_literals_only() -> None:
    errors = compile_to_ir('begin { fail("%d", pid); }').sink.errors
    assert [e.message for e in errors] == ["fail() arguments need to be literals"]


def test_fail_in_a_branch_that_is_dropped_when_compiling() -> None:
    script = 'begin { if comptime (is_str(1)) { fail("a string"); } else { print(1); } }'
    assert not compile_to_ir(script).sink.errors


def test_assert_str_wants_a_string() -> None:
    assert not compile_to_ir("begin { assert_str(comm); }").sink.errors
    errors = compile_to_ir("begin { assert_str(pid); }").sink.errors
    assert [e.message for e in errors] == ["expected a string, found uint32"]
