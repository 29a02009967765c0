"""``--info``: what this build and the running kernel can do, each answer from a trial."""

from __future__ import annotations

import os

from pytrace import __version__
from pytrace.kernel.live import LiveKernel
from pytrace.output.stream import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from pytrace.kernel.info import KernelInfo

_COLUMN: Final = 35
_MODULE_BTF: Final = "/sys/kernel/btf"

# Title of a section, and (name shown, feature) of its lines.
_SECTIONS: Final = (
    (
        "Kernel helpers",
        (
            ("dpath", "d_path"),
            ("get_tai_ns", "ktime_tai"),
            ("get_func_ip", "get_func_ip"),
            ("lookup_percpu_elem", "lookup_percpu_elem"),
            ("loop", "loop"),
        ),
    ),
    ("Kernel features", (("btf", "btf"),)),
    (
        "Probe types",
        (
            ("kprobe_multi", "kprobe_multi"),
            ("uprobe_multi", "uprobe_multi"),
            ("kprobe_session", "kprobe_session"),
            ("iter", "iter"),
        ),
    ),
    (
        "More helpers and features",
        (
            ("ringbuf", "ringbuf"),
            ("test runs", "raw_tp_test_run"),
            ("map batches", "map_batch"),
            ("perf links", "perf_link"),
            ("for_each_map_elem", "for_each_map_elem"),
            ("ns_current_pid_tgid", "ns_pid_tgid"),
            ("probe_read_kernel", "probe_read_kernel"),
            ("signal_thread", "signal_thread"),
            ("task kfuncs", "task_kfuncs"),
            ("instruction set v3", "cpu_v3"),
            ("instruction set v4", "cpu_v4"),
        ),
    ),
    (
        "More probe types",
        (
            ("kprobe", "kprobe"),
            ("fentry", "fentry"),
            ("uprobe", "uprobe"),
            ("uprobe counters", "uprobe_ref_ctr"),
        ),
    ),
)


def show_info() -> int:
    """Print it; gives the exit code."""
    write_all(1, info(LiveKernel()).encode())
    return 0


def info(kernel: KernelInfo) -> str:
    """The whole text."""
    uname = os.uname()
    parts = [
        f"System\n  OS: {uname.sysname} {uname.release} {uname.version}\n"
        f"  Arch: {uname.machine}\n\n"
        f"Build\n  version: v{__version__}\n  LLVM: {_llvm_version()}\n"
    ]
    parts.extend(f"  {name}: {_yes(found)}\n" for name, found in _packages())
    for title, lines in _SECTIONS:
        cells = [f"{name}: {_yes(kernel.supports(feature))}" for name, feature in lines]
        if title == "Kernel features":
            cells.insert(0, "Instruction limit: 1000000")
            cells.append(f"module btf: {_yes(_has_module_btf())}")
        parts.append(f"\n{title}\n{_two_columns(cells)}")
    return "".join(parts)


def _two_columns(cells: Iterable[str]) -> str:
    lines: list[str] = []
    for number, cell in enumerate(cells):
        if number % 2:
            lines[-1] = f"{lines[-1]:<{_COLUMN}}{cell}"
        else:
            lines.append(f"  {cell}")
    return "".join(f"{line}\n" for line in lines)


def _yes(found: bool) -> str:
    return "yes" if found else "no"


def _has_module_btf() -> bool:
    try:
        return len(os.listdir(_MODULE_BTF)) > 1
    except OSError:
        return False


def _llvm_version() -> str:
    try:
        from pytrace.codegen.llvm import llvm_version
    except ImportError:
        return "none"
    return llvm_version()


def _packages() -> Iterable[tuple[str, bool]]:
    from importlib.util import find_spec

    for name, module in (
        ("pyelftools (DWARF support)", "elftools"),
        ("prompt_toolkit (line editing)", "prompt_toolkit"),
        ("pygments (colours)", "pygments"),
    ):
        yield name, find_spec(module) is not None
