"""What the environment offers, so that cases that need more are skipped.

Decided by the kernel's own files and by small trial loads, never by asking the tracer.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Callable

from .data import Case

BPF_PROG_LOAD = 5
BPF_RAW_TRACEPOINT_OPEN = 17
BPF_PROG_TYPE_TRACING = 26
BPF_TRACE_FENTRY = 24
BPF_TRACE_ITER = 28
SYS_BPF = {"x86_64": 321, "aarch64": 280}
BTF_KIND_FUNC = 12
VMLINUX_BTF = "/sys/kernel/btf/vmlinux"

# Bytes that follow the 12-byte btf_type, as (fixed, per vlen), by kind (linux/btf.h).
BTF_EXTRA = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}


def skip_reason(case: Case, path: str, directory: str) -> str:
    """Why a case cannot run here, or ''. ``path`` is the PATH for its shell commands, which run
    in ``directory``."""
    machine = platform.machine()
    positive = [name for name in case.arch if not name.startswith("!")]
    if positive and not any(_is_arch(name, machine) for name in positive):
        return f"needs {' or '.join(positive)}"
    for name in case.arch:
        if name.startswith("!") and _is_arch(name[1:], machine):
            return f"not for {name[1:]}"
    release = version(platform.release())
    if case.min_kernel and release < version(case.min_kernel):
        return f"needs kernel {case.min_kernel}"
    if case.max_kernel and release > version(case.max_kernel):
        return f"needs a kernel up to {case.max_kernel}"
    for name in case.requires_feature:
        wanted = not name.startswith("!")
        feature = name.lstrip("!")
        if feature not in FEATURES:
            return f"unknown feature {feature}"
        if FEATURES[feature]() is not wanted:
            return f"needs {'' if wanted else 'no '}{feature}"
    for command in case.requires:
        if not _succeeds(command, path, directory):
            return f"requires: {command}"
    return ""


def version(text: str) -> tuple[int, int]:
    """The first two numbers of a kernel release such as 6.12.3-cloud-amd64."""
    major, minor = (text.split("-")[0] + ".0").split(".")[:2]
    return int(major), int(minor)


def _is_arch(name: str, machine: str) -> bool:
    if name in ("le", "be"):
        return sys.byteorder == ("little" if name == "le" else "big")
    return name == machine


@functools.cache
def _succeeds(command: str, path: str, directory: str) -> bool:
    try:
        result = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=directory,
            env={"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


@functools.cache
def _kernel_symbols() -> frozenset[str]:
    with open("/proc/kallsyms", encoding="ascii") as file:
        return frozenset(line.split(None, 3)[2] for line in file)


def _has_symbol(name: str) -> bool:
    return name in _kernel_symbols()


def _has_btf() -> bool:
    return os.path.exists(VMLINUX_BTF)


@functools.cache
def _has_kprobes() -> bool:
    return os.path.exists("/sys/bus/event_source/devices/kprobe/type")


@functools.cache
def _has_kprobe_multi() -> bool:
    return _has_kprobes() and _has_symbol("kprobe_multi_link_handler")


@functools.cache
def _has_fentry() -> bool:
    return _has_btf() and _tracing_works("vfs_read", BPF_TRACE_FENTRY, attach=True)


@functools.cache
def _has_iter() -> bool:
    return _has_btf() and _tracing_works("bpf_iter_task", BPF_TRACE_ITER, attach=False)


FEATURES: dict[str, Callable[[], bool]] = {
    "btf": _has_btf,
    "dpath": lambda: _has_fentry() and _has_symbol("bpf_d_path"),
    "dwarf": lambda: True,
    "dwunwind": lambda: platform.machine() in SYS_BPF,
    "fentry": _has_fentry,
    "fexit": _has_fentry,
    "get_func_ip": lambda: (
        (_has_kprobes() or _has_fentry()) and version(platform.release()) >= (5, 15)
    ),
    "iter": _has_iter,
    "kprobe": _has_kprobes,
    "kprobe_multi": _has_kprobe_multi,
    "libpath_resolv": lambda: os.path.exists("/etc/ld.so.cache"),
    "lookup_percpu_elem": lambda: version(platform.release()) >= (5, 19),
    "uprobe_multi": lambda: _has_symbol("uprobe_multi_link_handler"),
}


def _tracing_works(function: str, attach_type: int, *, attach: bool) -> bool:
    """Load, and if asked attach, the program ``return 0`` on a kernel function."""
    number = SYS_BPF.get(platform.machine())
    btf_id = _btf_function_id(function)
    if number is None or btf_id is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95), 16)  # r0 = 0; exit
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = ctypes.create_string_buffer(128)
    struct.pack_into("=IIQQ", attributes, 0, BPF_PROG_TYPE_TRACING, 2, _address(code), 0)
    struct.pack_into("=Q", attributes, 16, _address(licence))
    struct.pack_into("=I", attributes, 68, attach_type)
    struct.pack_into("=I", attributes, 108, btf_id)
    program = libc.syscall(number, BPF_PROG_LOAD, attributes, 128)
    if program < 0:
        return False
    try:
        if not attach:
            return True
        request = ctypes.create_string_buffer(struct.pack("=QII", 0, program, 0), 16)
        link = libc.syscall(number, BPF_RAW_TRACEPOINT_OPEN, request, 16)
        if link >= 0:
            os.close(link)
        return bool(link >= 0)
    finally:
        os.close(program)


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


def _btf_function_id(name: str) -> int | None:
    """The id of a FUNC in the kernel's BTF (Documentation/bpf/btf.rst has the layout)."""
    with open(VMLINUX_BTF, "rb") as file:
        blob = file.read()
    header, type_offset, type_length, string_offset, string_length = struct.unpack_from(
        "=IIIII", blob, 4
    )
    strings = header + string_offset
    found = blob.find(b"\0" + name.encode() + b"\0", strings, strings + string_length)
    position, end = header + type_offset, header + type_offset + type_length
    number = 1
    while position < end:
        name_offset, info, _size = struct.unpack_from("=III", blob, position)
        kind = info >> 24 & 0x1F
        if kind == BTF_KIND_FUNC and strings + name_offset == found + 1:
            return number
        fixed, each = BTF_EXTRA.get(kind, (0, 0))
        position += 12 + fixed + each * (info & 0xFFFF)
        number += 1
    return None
