"""Records the facts of a kernel that golden tests compile against, into tests/golden/kernel.

    python -m tests.golden.record_kernel

Run it as root on a kernel with type information and tracefs. It adds to what is recorded; remove
the directory first to take everything from this machine. A test that needs a further fact asks
for it here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytrace.base.frozen import replace
from pytrace.kernel import snapshot
from pytrace.kernel.info import FEATURES
from pytrace.kernel.live import LiveKernel
from pytrace.kernel.record import RecordingKernel, ReplayKernel

if TYPE_CHECKING:
    from pytrace.kernel.info import KernelInfo

DIRECTORY = Path(__file__).parent / "kernel"

TRACEPOINTS = (
    "raw_syscalls:sys_enter",
    "raw_syscalls:sys_exit",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
    "sched:sched_switch",
    "syscalls:sys_enter_execve",
    "syscalls:sys_enter_nanosleep",
    "syscalls:sys_enter_openat",
    "syscalls:sys_enter_read",
    "syscalls:sys_enter_write",
    "syscalls:sys_exit_openat",
    "syscalls:sys_exit_read",
    "vmscan:mm_vmscan_direct_reclaim_begin",
)
STRUCTS = (
    "bpf_iter__task",
    "dentry",
    "file",
    "list_head",
    "load_weight",
    "path",
    "pt_regs",
    "qstr",
    "sched_entity",
    "task_struct",
)
ABSENT_STRUCTS = ("no_such_struct",)
TYPEDEFS = ("pid_t", "size_t", "u8", "u32", "u64", "uint64_t", "umode_t", "no_such_type")


def ask(kernel: KernelInfo) -> None:
    """The questions of the golden tests."""
    kernel.identity()
    kernel.typeless_memory()
    for feature in FEATURES:
        kernel.supports(feature)
    for tracepoint in TRACEPOINTS:
        category, _, event = tracepoint.partition(":")
        kernel.tracepoints(category, event)
        kernel.tracepoint(category, event)
    kernel.tracepoints("sched", "sched_process_*")
    kernel.tracepoints("sched", "sched_swich")
    kernel.tracepoint("sched", "sched_swich")
    kernel.tracepoints("sched", "*")
    for name in (*STRUCTS, *ABSENT_STRUCTS):
        kernel.struct("struct", name)
    for name in TYPEDEFS:
        kernel.typedef(name)
    kernel.enum("pid_type")
    for name in ("PIDTYPE_PID", "PIDTYPE_TGID", "NO_SUCH_CONSTANT"):
        kernel.enum_constant(name)
    kernel.raw_tracepoints("sched_switch")
    kernel.raw_tracepoint("sched_switch")
    kernel.raw_tracepoint("sched_switch", "vmlinux")
    kernel.iterators("task")
    kernel.has_symbol("schedule")
    for module in ("", "vmlinux"):
        kernel.function("vfs_read", module)
        kernel.functions("vfs_read", module)
        kernel.typed_functions("vfs_read", module)
    kernel.resolve_target("/bin/bash", None)
    kernel.resolve_target("bash", None)
    kernel.resolve_target("/no/such/file", None)
    binary = kernel.binary("/bin/bash")
    for name in ("main", "readline", "no_such_function"):
        _ = binary and binary.symbol(name)
    # What a name in $PATH leads to is the same file by another name.
    binary = kernel.binary("/usr/bin/bash")
    _ = binary and binary.symbol("readline")


def main() -> None:
    recording = RecordingKernel(LiveKernel())
    ask(recording)
    facts = recording.facts()
    # Which build of the kernel it was is of no interest to anybody.
    who = recording.identity()
    facts["identity", ()] = replace(who, release=who.release.partition("-")[0], build_id="")
    snapshot.save(ReplayKernel(facts), str(DIRECTORY))
    size = sum(path.stat().st_size for path in DIRECTORY.iterdir())
    print(f"{len(facts)} facts, {size} bytes in {DIRECTORY}")


if __name__ == "__main__":
    main()
