"""System calls told to a callback."""

from __future__ import annotations

import errno

import pytest

from pytrace.linux import trace
from pytrace.linux import uapi as u


def test_a_call_is_one_line() -> None:
    line = trace.format_call(
        "bpf", {"command": "MAP_CREATE", "map_type": "HASH", "map_name": "x"}, 5
    )
    assert line == "bpf(MAP_CREATE, map_type=HASH, map_name='x') = 5"


def test_a_failed_call_shows_its_error() -> None:
    line = trace.format_call("ioctl", {"fd": 3, "request": "SET_BPF"}, -errno.EPERM)
    assert line == "ioctl(fd=3, request=SET_BPF) = -1 EPERM (Operation not permitted)"


def test_every_command_of_this_room_is_known_by_its_name() -> None:
    commands = {
        name: value
        for name, value in vars(u).items()
        if name.startswith("BPF_") and trace._COMMANDS.get(value) == name
    }
    assert commands["BPF_MAP_CREATE"] == 0
    assert set(commands.values()) >= set(trace._LAYOUT)


def test_an_unknown_command_is_shown_by_number() -> None:
    assert trace.decode_bpf(999, b"\0" * 32) == {"command": "999"}


def test_traced_calls_are_reported_and_made() -> None:
    seen: list[tuple[str, dict[str, object], int]] = []
    sys = trace.TracedSyscalls(lambda name, args, result: seen.append((name, dict(args), result)))
    with pytest.raises(OSError, match="enable nothing"):
        sys.ioctl(-1, u.PERF_EVENT_IOC_ENABLE, 0, "enable nothing")
    assert sys.bpf_raw(u.BPF_MAP_FREEZE, bytearray(b"\xff\xff\xff\x7f")) < 0
    assert seen[0] == ("ioctl", {"fd": -1, "request": "ENABLE", "argument": 0}, -errno.EBADF)
    assert seen[1][:2] == ("bpf", {"command": "MAP_FREEZE", "map_fd": 0x7FFFFFFF})
