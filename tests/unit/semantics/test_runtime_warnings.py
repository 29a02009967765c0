"""Faults that a program reports: with -k reads and look-ups too, without it nothing of them."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile
from pytrace.builtins import faults
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.model.events import EventSchema
from pytrace.model.request import CompileRequest


def fault_events(script: str, *, warnings: bool) -> list[EventSchema]:
    source = SourceFile("stdin", script.encode())
    request = CompileRequest(source=source, runtime_warnings=warnings)
    result = compile_program(request, FakeKernel())
    assert result.program is not None, [d.message for d in result.sink.items]
    return [e for e in result.program.events if e.handler == "faults:fault"]


SCRIPTS = {
    "look-up": "begin { @a[1] = 1; $x = @a[2]; }",
    "unset scalar": "begin { @a = 1; $x = @a; }",
    "aggregate": "begin { @c[1] = count(); $x = (int64)@c[2]; }",
    "text element": 'begin { @a[1] = "x"; $x = @a[2]; }',
    "increment": "begin { @a[1]++; }",
    "delete": "begin { @a[1] = 1; _ = delete(@a, 2); }",
    "read": "begin { $p = (uint64 *)8; $x = *$p; }",
    "text": "begin { $p = (int8 *)8; $x = str($p); }",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_only_with_k_are_reads_and_look_ups_reported(script: str) -> None:
    silent = {e.static for e in fault_events(script, warnings=False)}
    assert silent <= {(faults.MAP_FULL, "map_update_elem")}
    assert {e.static for e in fault_events(script, warnings=True)} > silent


def places(script: str) -> list[tuple[object, str]]:
    found = []
    for event in fault_events(script, warnings=True):
        assert event.span is not None
        found.append((event.static[1], script[event.span.start : event.span.end]))
    return found


def test_a_pointer_of_unknown_space_names_the_helper_that_its_address_chose() -> None:
    assert places("begin { $p = (uint64 *)8; $x = *$p; }") == [
        ("probe_read_kernel", "*$p"),
        ("probe_read_user", "*$p"),
    ]


def test_a_pointer_of_a_known_space_names_one_helper() -> None:
    assert places("begin { $x = str(uptr((int8 *)8)); }") == [
        ("probe_read_user_str", "str(uptr((int8 *)8))")
    ]


def test_look_ups_are_reported_where_the_element_stands() -> None:
    script = "begin { @a[1] = @a[2]; @a[3] += 1; _ = delete(@a, 4); }"
    assert [p for p in places(script) if p[0] != "map_update_elem"] == [
        ("map_lookup_elem", "@a[2]"),
        ("map_lookup_elem", "@a[3]"),
        ("map_delete_elem", "delete(@a, 4)"),
    ]


def test_aggregates_name_the_helper_that_reads_all_cpus() -> None:
    script = "begin { @c[1] = count(); $x = (int64)@c[2]; }"
    assert ("map_lookup_percpu_elem", "@c[2]") in places(script)
