"""Programs do not grow unnoticed: BPF instructions of one-liners for the recorded kernel.

A number that grows needs a reason in the commit that changes it; one that shrinks by more than a
tenth is to be written down, so that it stays. `python -m tests.golden.test_instruction_counts`
prints the numbers of today.
"""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import render_all
from pytrace.base.source import SourceFile
from pytrace.compiler import compile_program
from pytrace.kernel import snapshot
from pytrace.model.request import CompileRequest
from tests.golden.record_kernel import DIRECTORY

OPENAT = "tracepoint:syscalls:sys_enter_openat"
READ = "tracepoint:syscalls:sys_enter_read"
READ_EXIT = "tracepoint:syscalls:sys_exit_read"
SWITCH = "tracepoint:sched:sched_switch"
LATENCY = (
    f"{READ} {{ @start[tid] = nsecs; }} {READ_EXIT} /@start[tid]/ "
    "{ @ns = hist(nsecs - @start[tid]); delete(@start, tid); }"
)

COUNTS = {
    f"{OPENAT} {{ }}": 2,
    f"{OPENAT} {{ @ = count(); }}": 16,
    f"{READ} {{ @ = sum(args.count); }}": 16,
    f"{READ} {{ @ = hist(args.count); }}": 58,
    f"{READ} {{ @ = lhist(args.count, 0, 4096, 256); }}": 31,
    f"{OPENAT} {{ @[pid] = count(); }}": 69,
    f"{OPENAT} {{ @[comm] = count(); }}": 58,
    f"{OPENAT} {{ @[tid]++; }}": 68,
    f"{OPENAT} {{ @[pid, comm] = nsecs; }}": 71,
    f"{READ} {{ @[comm] = avg(args.count); }}": 61,
    f"{READ} {{ @[comm] = hist(args.count); }}": 118,
    LATENCY: 160,
    f"{OPENAT} /pid == 999999/ {{ @ = count(); }}": 38,
    f'{OPENAT} /comm == "nosuch"/ {{ @ = count(); }}': 26,
    f"{OPENAT} {{ @[kstack] = count(); }}": 71,
    f"{OPENAT} {{ @[ustack] = count(); }}": 87,
    f'{OPENAT} {{ printf("%d %d %d\\n", pid, tid, cpu); }}': 45,
    f'{OPENAT} {{ printf("%d %s %lld\\n", pid, comm, nsecs); }}': 48,
    f'{OPENAT} {{ printf("%s %s\\n", comm, str(args.filename)); }}': 47,
    f"{SWITCH} {{ @[args.prev_comm, args.prev_pid] = count(); }}": 71,
    "BEGIN { exit(); }": 28,
}


def instructions(script: str) -> int:
    """BPF instructions of all progs of a script, their subprograms included once each."""
    request = CompileRequest(source=SourceFile("stdin", script.encode()))
    result = compile_program(request, snapshot.load(str(DIRECTORY)))
    assert result.program is not None, render_all(result.sink)
    program = result.program
    total = sum(len(prog.insns) for prog in program.progs)
    return (total + sum(len(sub.insns) for sub in program.subprogs)) // 8


@pytest.mark.parametrize("script", COUNTS)
def test_programs_do_not_grow(script: str) -> None:
    count, known = instructions(script), COUNTS[script]
    assert count <= known, "it grew"
    assert count >= known * 0.9, "it shrank: write the new number down"


if __name__ == "__main__":
    for text in COUNTS:
        print(f"{instructions(text):4}  {text}")
