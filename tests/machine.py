"""What tests may need of the machine, how each thing is found, and what brings it.

A test says `@pytest.mark.needs("gcc", "root")`, or calls `pytest.skip("needs fentry: ...")` when
only trying shows it. The names are those of FEATURES, so that the table at the end of a run can
say what would bring the feature, and `PYTRACE_REQUIRE_ALL=1` knows which absences are excused.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

# install: `make test-deps` brings it.  rights: another user would have it.
# kernel: the kernel's build, its policy or the hardware decide; nothing to install.
# data: files that lie outside the project.
Kind = Literal["install", "rights", "kernel", "data"]


class Feature(NamedTuple):
    kind: Kind
    remedy: str
    absent: Callable[[], str | None] | None = None  # Why it is missing; None if it is there.


def command(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def module(name: str) -> Callable[[], str | None]:
    return lambda: None if importlib.util.find_spec(name) else f"Python has no module {name}"


def header(name: str) -> Callable[[], str | None]:
    """A C header in the places where Debian keeps them."""

    def absent() -> str | None:
        include = Path("/usr/include")
        found = (include / name).exists() or any(include.glob(f"*-linux-gnu/{name}"))
        return None if found else f"there is no header <{name}>"

    return absent


def no_mke2fs() -> str | None:
    """It is in /usr/sbin, which the PATH of ordinary users lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return None if shutil.which("mke2fs", path=path) else "mke2fs is not installed"


def bash_without_readline() -> str | None:
    """uprobe:/bin/bash:readline needs the function in the binary itself, not in a library."""
    from pytrace.kernel.live import LiveKernel

    binary = LiveKernel().binary("/bin/bash")
    if binary is None:
        return "/bin/bash cannot be read"
    return None if binary.symbol("readline") else "/bin/bash has no symbol readline"


def no_cpu_v4() -> str | None:
    from pytrace.kernel.live import LiveKernel

    known = LiveKernel().supports("cpu_v4")
    return None if known else "the kernel does not know instructions of cpu v4"


PREBUILT_VARIABLE = "PYTRACE_TEST_PREBUILT"
"""Names a directory with the library of tests/kernel/build.py, for machines without a compiler."""


def no_probed_library() -> str | None:
    return None if os.environ.get(PREBUILT_VARIABLE) else command("gcc")()


# Bits of the capability sets, linux/capability.h.
CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


def no_rights() -> str | None:
    """Tests on the kernel need to be root, with the two capabilities that tracing takes."""
    if os.geteuid() != 0:
        return f"the tests run as uid {os.geteuid()}"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            held = {name for name, bit in CAPABILITIES.items() if effective >> bit & 1}
            missing = {"CAP_BPF", "CAP_PERFMON"} - held
            if missing and "CAP_SYS_ADMIN" not in held:
                return f"root lacks {' and '.join(sorted(missing))} here"
    return None


def no_tracefs() -> str | None:
    for mount in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        if os.access(f"{mount}/events", os.R_OK):
            return None
    return "no tracefs is mounted and readable at /sys/kernel/tracing"


def no_btf() -> str | None:
    there = os.access("/sys/kernel/btf/vmlinux", os.R_OK)
    return None if there else "there is no readable /sys/kernel/btf/vmlinux"


def no_conformance_cases() -> str | None:
    directory = os.environ.get("PYTRACE_CONFORMANCE")
    if not directory:
        return "PYTRACE_CONFORMANCE does not name a directory of cases"
    there = os.path.isfile(os.path.join(directory, "cases.json"))
    return None if there else f"PYTRACE_CONFORMANCE={directory} holds no cases.json"


DEPS = "make test-deps"
KERNEL = "another kernel"

FEATURES = {
    "gcc": Feature("install", DEPS, command("gcc")),
    "probed-library": Feature("install", DEPS, no_probed_library),
    "make": Feature("install", DEPS, command("make")),
    "git": Feature("install", DEPS, command("git")),
    "sudo": Feature("install", DEPS, command("sudo")),
    "sdt": Feature("install", DEPS, header("sys/sdt.h")),
    "bash-readline": Feature("install", DEPS, bash_without_readline),
    "setuptools": Feature("install", DEPS, module("setuptools")),
    "hypothesis": Feature("install", DEPS, module("hypothesis")),
    "qemu": Feature("install", DEPS, command("qemu-system-x86_64")),
    "busybox": Feature("install", DEPS, command("busybox")),
    "mke2fs": Feature("install", DEPS, no_mke2fs),
    "ldd": Feature("install", DEPS, command("ldd")),
    "xz": Feature("install", DEPS, command("xz")),
    # Found by asking apt, in the tests that need it.
    "guest-kernel": Feature("install", "a Debian archive that apt-get can reach"),
    "root": Feature("rights", "sudo make test", no_rights),
    "tracefs": Feature("rights", "sudo make test, with tracefs mounted", no_tracefs),
    "btf": Feature("kernel", KERNEL, no_btf),
    "probe_write_user": Feature("kernel", KERNEL),
    "all-symbols": Feature("kernel", "a kernel with CONFIG_KALLSYMS_ALL"),
    "cpu_v4": Feature("kernel", KERNEL, no_cpu_v4),
    "conformance-cases": Feature("data", "PYTRACE_CONFORMANCE=DIRECTORY", no_conformance_cases),
    # Found by trying, in the tests that need them.
    "kprobe": Feature("kernel", KERNEL),
    "kretprobe": Feature("kernel", KERNEL),
    "kprobe_multi": Feature("kernel", KERNEL),
    "kprobe_session": Feature("kernel", KERNEL),
    "uprobe_multi": Feature("kernel", KERNEL),
    "fentry": Feature("kernel", KERNEL),
    "fexit": Feature("kernel", KERNEL),
    "iter": Feature("kernel", KERNEL),
    "hardware": Feature("kernel", "a machine with performance counters"),
    "watchpoint": Feature("kernel", "a machine with hardware breakpoints"),
    "module-btf": Feature("kernel", KERNEL),
}


@functools.cache
def absent(name: str) -> str | None:
    """Why the machine lacks a feature, or None; KeyError if nothing here finds it out."""
    find_out = FEATURES[name].absent
    if find_out is None:
        raise KeyError(f"{name} is found by trying; skip with 'needs {name}: why' instead")
    return find_out()
