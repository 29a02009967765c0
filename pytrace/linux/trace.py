"""The system calls of this room, told one by one to a callback (``-d syscalls``).

``TracedSyscalls`` takes the place of ``Syscalls``; a run that does not ask for it does not import
this file. Calls are decoded from the bytes that the kernel gets, independently of what packed them.
"""

from __future__ import annotations

import errno
import os
import struct

from pytrace.base.errors import NotSupported
from pytrace.linux import perf, uapi
from pytrace.linux.syscall import Syscalls, read_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    # The call's name ("bpf"), its arguments by name, its result (minus errno on failure).
    Report = Callable[[str, "Mapping[str, object]", int], None]

_LONGEST_STRING = 4096


class _Enum:
    """How to show a number: by the constants of ``uapi`` with a prefix, shown without it."""

    def __init__(self, prefix: str) -> None:
        self.names = {
            value: name.removeprefix(prefix)
            for name, value in vars(uapi).items()
            if name.startswith(prefix)
        }

    def show(self, value: int) -> str:
        return self.names.get(value, str(value))


_COMMANDS: Final = {
    value: name
    for name, value in vars(uapi).items()
    if name.startswith(("BPF_MAP_", "BPF_PROG_", "BPF_OBJ_", "BPF_LINK_", "BPF_BTF_"))
    and not name.startswith(("BPF_MAP_TYPE_", "BPF_PROG_TYPE_", "BPF_OBJ_NAME_LEN"))
}
_COMMANDS[uapi.BPF_RAW_TRACEPOINT_OPEN] = "BPF_RAW_TRACEPOINT_OPEN"
_COMMANDS[uapi.BPF_ENABLE_STATS] = "BPF_ENABLE_STATS"
_COMMANDS[uapi.BPF_ITER_CREATE] = "BPF_ITER_CREATE"

_MAP_TYPE: Final = _Enum("BPF_MAP_TYPE_")
_PROG_TYPE: Final = _Enum("BPF_PROG_TYPE_")
_ATTACH_TYPE: Final = _Enum("BPF_TRACE_")
_ATTACH_TYPE.names[uapi.BPF_PERF_EVENT] = "PERF_EVENT"
_PERF_TYPE: Final = _Enum("PERF_TYPE_")

# For each command the fields of union bpf_attr: name, offset, how. "I" u32, "i" s32, "Q" u64 or
# address, "16s" name, "z" pointer to a string, an _Enum.
_Fields = tuple[tuple[str, int, "str | _Enum"], ...]
_ELEMENT: Final[_Fields] = (("map_fd", 0, "I"), ("flags", 24, "Q"))
_BATCH: Final[_Fields] = (("map_fd", 36, "I"), ("count", 32, "I"))
_NEXT: Final[_Fields] = (("start_id", 0, "I"),)
_BY_ID: Final[_Fields] = (("id", 0, "I"),)
_LAYOUT: Final[dict[int, _Fields]] = {
    uapi.BPF_MAP_CREATE: (
        ("map_type", 0, _MAP_TYPE),
        ("key_size", 4, "I"),
        ("value_size", 8, "I"),
        ("max_entries", 12, "I"),
        ("map_flags", 16, "I"),
        ("inner_map_fd", 20, "I"),
        ("map_name", 28, "16s"),
        ("btf_fd", 48, "I"),
        ("btf_key_type_id", 52, "I"),
        ("btf_value_type_id", 56, "I"),
        ("map_extra", 64, "Q"),
    ),
    uapi.BPF_MAP_LOOKUP_ELEM: _ELEMENT,
    uapi.BPF_MAP_UPDATE_ELEM: _ELEMENT,
    uapi.BPF_MAP_DELETE_ELEM: _ELEMENT,
    uapi.BPF_MAP_GET_NEXT_KEY: _ELEMENT,
    uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM: _ELEMENT,
    uapi.BPF_MAP_FREEZE: _ELEMENT[:1],
    uapi.BPF_MAP_LOOKUP_BATCH: _BATCH,
    uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH: _BATCH,
    uapi.BPF_PROG_LOAD: (
        ("prog_type", 0, _PROG_TYPE),
        ("insn_cnt", 4, "I"),
        ("license", 16, "z"),
        ("log_level", 24, "I"),
        ("log_size", 28, "I"),
        ("kern_version", 40, "I"),
        ("prog_flags", 44, "I"),
        ("prog_name", 48, "16s"),
        ("expected_attach_type", 68, _ATTACH_TYPE),
        ("prog_btf_fd", 72, "I"),
        ("func_info_cnt", 88, "I"),
        ("line_info_cnt", 104, "I"),
        ("attach_btf_id", 108, "I"),
        ("attach_prog_fd", 112, "I"),
    ),
    uapi.BPF_OBJ_PIN: (("pathname", 0, "z"), ("bpf_fd", 8, "I"), ("file_flags", 12, "I")),
    uapi.BPF_OBJ_GET: (("pathname", 0, "z"), ("file_flags", 12, "I")),
    uapi.BPF_PROG_TEST_RUN: (
        ("prog_fd", 0, "I"),
        ("retval", 4, "I"),
        ("data_size_in", 8, "I"),
        ("repeat", 32, "I"),
        ("duration", 36, "I"),
        ("ctx_size_in", 40, "I"),
        ("flags", 64, "I"),
        ("cpu", 68, "I"),
    ),
    uapi.BPF_PROG_GET_NEXT_ID: _NEXT,
    uapi.BPF_MAP_GET_NEXT_ID: _NEXT,
    uapi.BPF_BTF_GET_NEXT_ID: _NEXT,
    uapi.BPF_LINK_GET_NEXT_ID: _NEXT,
    uapi.BPF_PROG_GET_FD_BY_ID: _BY_ID,
    uapi.BPF_MAP_GET_FD_BY_ID: _BY_ID,
    uapi.BPF_BTF_GET_FD_BY_ID: _BY_ID,
    uapi.BPF_LINK_GET_FD_BY_ID: _BY_ID,
    uapi.BPF_OBJ_GET_INFO_BY_FD: (("bpf_fd", 0, "I"), ("info_len", 4, "I")),
    uapi.BPF_RAW_TRACEPOINT_OPEN: (("name", 0, "z"), ("prog_fd", 8, "I"), ("cookie", 16, "Q")),
    uapi.BPF_BTF_LOAD: (("btf_size", 16, "I"), ("btf_log_size", 20, "I")),
    uapi.BPF_LINK_CREATE: (
        ("prog_fd", 0, "I"),
        ("target_fd", 4, "I"),
        ("attach_type", 8, _ATTACH_TYPE),
        ("flags", 12, "I"),
    ),
    uapi.BPF_LINK_UPDATE: (
        ("link_fd", 0, "I"),
        ("new_prog_fd", 4, "I"),
        ("flags", 8, "I"),
        ("old_prog_fd", 12, "I"),
    ),
    uapi.BPF_LINK_DETACH: (("link_fd", 0, "I"),),
    uapi.BPF_ENABLE_STATS: (("type", 0, "I"),),
    uapi.BPF_ITER_CREATE: (("link_fd", 0, "I"), ("flags", 4, "I")),
}
_KPROBE_MULTI: Final[_Fields] = (("multi_flags", 16, "I"), ("cnt", 20, "I"))
_UPROBE_MULTI: Final[_Fields] = (
    ("path", 16, "z"),
    ("cnt", 48, "I"),
    ("multi_flags", 52, "I"),
    ("pid", 56, "I"),
)
_LINK_LAYOUT: Final[dict[int, _Fields]] = {
    uapi.BPF_PERF_EVENT: (("bpf_cookie", 16, "Q"),),
    uapi.BPF_TRACE_KPROBE_MULTI: _KPROBE_MULTI,
    uapi.BPF_TRACE_KPROBE_SESSION: _KPROBE_MULTI,
    uapi.BPF_TRACE_UPROBE_MULTI: _UPROBE_MULTI,
    uapi.BPF_TRACE_UPROBE_SESSION: _UPROBE_MULTI,
    uapi.BPF_TRACE_ITER: (("iter_info_len", 24, "I"),),
    uapi.BPF_TRACE_RAW_TP: (("cookie", 24, "Q"),),
    uapi.BPF_TRACE_FENTRY: (("cookie", 24, "Q"),),
    uapi.BPF_TRACE_FEXIT: (("cookie", 24, "Q"),),
}
_PERF_LAYOUT: Final[_Fields] = (
    ("type", 0, _PERF_TYPE),
    ("config", 8, "Q"),
    ("wakeup_events", 48, "I"),
    ("bp_type", 52, "I"),
    ("config1", 56, "Q"),
    ("config2", 64, "Q"),
)
_IOCTLS: Final = _Enum("PERF_EVENT_IOC_")


class TracedSyscalls(Syscalls):
    """Makes the calls and reports each to ``report`` when it has returned."""

    __slots__ = ("_probe_types", "_report")

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report
        self._probe_types = _probe_types()

    def bpf_raw(self, command: int, attr: bytearray) -> int:
        result = super().bpf_raw(command, attr)
        self._report("bpf", decode_bpf(command, bytes(attr)), result)
        return result

    def perf_event_open(
        self, attr: bytearray, pid: int, cpu: int, group_fd: int, flags: int, what: str
    ) -> int:
        arguments = decode_perf(bytes(attr), self._probe_types)
        arguments.update(pid=pid, cpu=cpu)
        try:
            result = super().perf_event_open(attr, pid, cpu, group_fd, flags, what)
        except OSError as error:
            self._report("perf_event_open", arguments, -(error.errno or 0))
            raise
        self._report("perf_event_open", arguments, result)
        return result

    def ioctl(self, fd: int, request: int, argument: int, what: str) -> int:
        arguments = {"fd": fd, "request": _IOCTLS.show(request), "argument": argument}
        try:
            result = super().ioctl(fd, request, argument, what)
        except OSError as error:
            self._report("ioctl", arguments, -(error.errno or 0))
            raise
        self._report("ioctl", arguments, result)
        return result


def decode_bpf(command: int, attr: bytes) -> dict[str, object]:
    """The command and those fields of a packed ``union bpf_attr`` that are not zero."""
    name = _COMMANDS.get(command, str(command)).removeprefix("BPF_")
    fields = _LAYOUT.get(command, ())
    if command == uapi.BPF_LINK_CREATE:
        fields += _LINK_LAYOUT.get(_number("I", attr, 8), ())
    return {"command": name, **_decode(fields, attr)}


def decode_perf(attr: bytes, probe_types: Mapping[int, str]) -> dict[str, object]:
    """Fields of a packed ``perf_event_attr`` that are not zero.

    ``probe_types`` names the event types whose config1 points to a path or a function.
    """
    event_type = _number("I", attr, 0)
    fields = _PERF_LAYOUT
    if event_type in probe_types:
        fields = tuple(("target", 56, "z") if f[1] == 56 else f for f in fields)
    flags = _number("Q", attr, 40)
    decoded = _decode(fields, attr)
    decoded["type"] = probe_types.get(event_type) or _PERF_TYPE.show(event_type)
    decoded["freq" if flags & perf.FREQ else "period"] = _number("Q", attr, 16)
    if flags & ~perf.FREQ:
        decoded["flags"] = hex(flags & ~perf.FREQ)
    return decoded


def format_call(name: str, arguments: Mapping[str, object], result: int) -> str:
    """One line: ``bpf(MAP_CREATE, map_type=HASH, ...) = 5`` or ``= -1 EPERM (...)``."""
    shown = ", ".join(
        str(value)
        if key == "command"
        else f"{key}={value!r}"
        if key in _TEXTS
        else f"{key}={value}"
        for key, value in arguments.items()
    )
    if result >= 0:
        return f"{name}({shown}) = {result}"
    number = -result
    code = errno.errorcode.get(number, "ENOTSUPP" if number == uapi.ENOTSUPP else str(number))
    return f"{name}({shown}) = -1 {code} ({os.strerror(number)})"


_TEXTS: Final = frozenset(
    ("map_name", "prog_name", "license", "pathname", "path", "name", "target")
)


def _probe_types() -> dict[int, str]:
    found = {}
    for name in ("kprobe", "uprobe"):
        try:
            found[perf.dynamic_pmu(name)[0]] = name
        except (NotSupported, OSError):
            continue  # Without such probes there is nothing to decode.
    return found


def _number(code: str, attr: bytes, offset: int) -> int:
    value: int = struct.unpack_from(f"={code}", attr, offset)[0]
    return value


def _decode(fields: _Fields, attr: bytes) -> dict[str, object]:
    decoded: dict[str, object] = {}
    for name, offset, how in fields:
        code = "I" if isinstance(how, _Enum) else "Q" if how == "z" else how
        if offset + struct.calcsize(code) > len(attr):
            continue
        value = struct.unpack_from(f"={code}", attr, offset)[0]
        if not value and not (isinstance(how, _Enum) and offset == 0):
            continue
        if isinstance(how, _Enum):
            decoded[name] = how.show(value)
        elif how == "16s":
            text = value.rstrip(b"\0").decode("ascii", "replace")
            if text:
                decoded[name] = text
        elif how == "z":
            decoded[name] = _string_at(value)
        else:
            decoded[name] = value
    return decoded


def _string_at(address: int) -> str:
    raw = bytearray()
    while len(raw) < _LONGEST_STRING:
        byte = read_memory(address + len(raw), 1)
        if byte == b"\0":
            break
        raw += byte
    return raw.decode("utf-8", "backslashreplace")
