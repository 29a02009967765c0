"""Kernel functions called from progs: names of processes, questions about what may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytrace.linux.features import Features
from pytrace.linux.syscall import Syscalls
from tests.kernel.tracer import Tracer, Workload, run

pytestmark = pytest.mark.needs("root")


def test_questions_about_functions() -> None:
    script = (
        'begin { print((kfunc_exist("vfs_read"), kfunc_exist("no_such_function"),'
        ' kfunc_allowed("vfs_read"), kfunc_allowed("no_such_function"))); }'
    )
    done = run("-q", "-e", script)
    assert done.stdout.splitlines()[0] == "(true, false, false, false)"


def test_a_trial_knows_what_a_kind_of_prog_may_call() -> None:
    from pytrace.kernel.live import LiveKernel

    kernel = LiveKernel()
    features = Features(Syscalls(), find_function=kernel._function_id)
    assert not features.supports("kfunc:PROG_TYPE_TRACEPOINT:vfs_read")
    assert not features.supports("kfunc:PROG_TYPE_TRACEPOINT:no_such_function")
    if kernel.function("bpf_rcu_read_lock", "vmlinux") is None:
        pytest.skip("needs bpf_rcu_read_lock: the kernel has no such function")
    assert features.supports("kfunc:PROG_TYPE_TRACEPOINT:bpf_rcu_read_lock")


def test_a_feature_that_nobody_declared() -> None:
    with pytest.raises(KeyError):
        Features(Syscalls()).supports("kfunc:PROG_TYPE_XDP")


def test_names_of_processes() -> None:
    script = "interval:ms:10 { print((comm(pid(init)) == comm, sizeof(comm(1)))); exit(); }"
    done = run("-q", "-e", script)
    if "not supported in this probe type" in done.stderr:
        pytest.skip("needs task_kfuncs: the kernel allows them not in perf events")
    # The timer may hit the idle task, which no number stands for.
    assert done.stdout.splitlines()[0] in ("(true, 64)", "(false, 64)")


def test_the_name_of_a_process_by_its_number() -> None:
    script = (
        "tracepoint:syscalls:sys_enter_getppid /pid == $1/"
        ' { printf("%s %s\\n", comm(pid(init)), comm); exit(); }'
    )
    with Workload() as work, Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do("os.getppid()", 1)
        output = tracer.finish()
    found, name = output.splitlines()[0].split()
    assert found == name


def test_a_process_that_does_not_exist() -> None:
    script = "interval:ms:10 { print(comm(4194400)); exit(); }"
    done = run("-q", "-e", script)
    assert done.stdout.splitlines()[0] == "N/A"
    assert "WARNING: No such process (pid=4194400)\n" in done.stderr


def test_where_tasks_cannot_be_looked_up() -> None:
    done = run("-e", "begin { print(comm(1)); }")
    assert done.returncode == 1
    assert "Syntax comm(PID) is not supported in this probe type yet. Type: special" in done.stderr


def test_percpu_variables() -> None:
    if " __per_cpu_offset\n" not in Path("/proc/kallsyms").read_text():
        pytest.skip("needs all-symbols: kallsyms has no __per_cpu_offset")
    script = (
        'begin { $n = percpu_kaddr("process_counts"); print($n != 0);'
        ' print(percpu_kaddr("process_counts", cpu) == $n);'
        ' print(percpu_kaddr("process_counts", 100000)); }'
    )
    done = run("-q", "-e", script)
    assert done.stdout.splitlines()[:3] == ["true", "true", "0"]


def test_a_percpu_variable_that_is_not_there() -> None:
    done = run("-e", 'begin { print(percpu_kaddr("no_such_variable")); }')
    assert done.returncode == 1
    assert 'Could not resolve variable "no_such_variable" from BTF' in done.stderr


def test_text_in_the_kernels_trace() -> None:
    """The kernel has a tracepoint for what is written there."""
    watch = "tracepoint:bpf_trace:bpf_trace_printk { print(str(args.bpf_string)); }"
    script = 'begin { debugf("pytrace test %d %s|%-4s|", -5, comm, "ab"); debugf("%lx", 1 << 40); }'
    with Tracer("-q", "-e", watch) as tracer:
        done = run("-q", "-e", script)
        assert "debugf() builtin is not recommended for production use" in done.stderr
        tracer.wait_for("pytrace test -5 pytrace|ab  |")
        tracer.wait_for("10000000000")
        tracer.stop()
