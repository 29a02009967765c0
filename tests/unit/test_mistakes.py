"""Mistakes that people make: what is said, where it points, what it suggests.

The table is mistakes.txt: a name, the script, ``=> line:begin-end code SEVERITY: message`` and a
line for each hint. Texts and places are bpftrace 0.27.1's, which names no codes and gives few
hints. Each script makes one mistake, so that nothing more may be reported of its severity.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytrace.base.diagnostics import ERROR, Diagnostic, location
from pytrace.base.types import VOID
from pytrace.kernel import snapshot
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import FuncProto, TracepointFormat
from tests.compiling import compile_to_ir
from tests.golden.record_kernel import DIRECTORY

if TYPE_CHECKING:
    from pytrace.kernel.info import KernelInfo

TABLE = Path(__file__).with_name("mistakes.txt")


class Mistake(NamedTuple):
    name: str
    script: str
    told: str  # As ``tell`` gives it.


@cache
def kernel() -> KernelInfo:
    """The recorded kernel; a few tracepoints stand for all where all are asked for."""
    few = [("sched", "sched_switch"), ("syscalls", "sys_enter_openat"), ("irq", "softirq_entry")]
    fallback = FakeKernel(
        tracepoints=[TracepointFormat(category=c, event=e, fields=(), size=8) for c, e in few],
        raw_tracepoints=[FuncProto(name="sched_switch", module="vmlinux", params=(), returns=VOID)],
    )
    return snapshot.load(str(DIRECTORY), fallback)


def read_table() -> list[Mistake]:
    found = []
    for part in TABLE.read_text("utf-8").split("\n\n"):
        if part.startswith("#"):
            continue
        lines = part.strip("\n").split("\n")
        mark = next(n for n, line in enumerate(lines) if line.startswith("=> "))
        found.append(Mistake(lines[0], "\n".join(lines[1:mark]), "\n".join(lines[mark:])))
    return found


def tell(item: Diagnostic) -> str:
    """One diagnostic as the table has it."""
    where = location(item.span).removeprefix("stdin:") if item.span else "-"
    head = f"=> {where} {item.code} {item.severity}: {item.message}"
    return "\n".join([head, *(f"HINT: {hint}" for hint in item.hints)])


MISTAKES = read_table()


@pytest.mark.parametrize("mistake", MISTAKES, ids=[m.name.replace(" ", "-") for m in MISTAKES])
def test_mistake(mistake: Mistake) -> None:
    sink = compile_to_ir(mistake.script, kernel=kernel()).sink
    found = sink.errors or sink.warnings
    assert [tell(item) for item in found] == [mistake.told]


def test_the_table_is_large_and_names_are_unique() -> None:
    names = [m.name for m in MISTAKES]
    assert len(names) == len(set(names)) > 200


@pytest.mark.parametrize(
    "kind",
    ["pid?", "printf()?", "$total?", "@start?", "tracepoint?", "tracepoint:sched:sched_switch?",
     "comm?", "filename?", "total?", "max_map_keys?", "page-faults?", "uint16?", "readline?",
     "hash?"],
)  # fmt: skip
def test_every_kind_of_name_gets_a_suggestion(kind: str) -> None:
    assert any(f"HINT: Did you mean {kind}" in m.told for m in MISTAKES)


def test_a_script_with_several_mistakes_names_them_all() -> None:
    script = 'begin { $a = 1; $a = "x"; print(nosuch); } interval:min:1 { } end { clear(@b); }'
    sink = compile_to_ir(script, kernel=kernel()).sink
    # Attach points are resolved before types are inferred.
    assert [d.code for d in sink.errors] == ["attach-point"]
    sink = compile_to_ir(script.replace("min", "s"), kernel=kernel()).sink
    assert [d.code for d in sink.errors] == [
        "type-mismatch", "unknown-identifier", "undefined-map",
    ]  # fmt: skip


def test_one_fault_in_two_programs_of_a_probe_is_told_once() -> None:
    script = "tracepoint:syscalls:sys_enter_read, tracepoint:syscalls:sys_enter_write { args.x; }"
    errors = compile_to_ir(script, kernel=kernel()).sink.errors
    assert len({d.message for d in errors}) == len(errors) == 2
    assert all(d.severity == ERROR for d in errors)
