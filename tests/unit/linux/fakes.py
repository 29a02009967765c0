"""System calls that only remember what the kernel would have been given."""

from __future__ import annotations

from pytrace.linux.syscall import Syscalls
from pytrace.linux.trace import decode_bpf, decode_perf

UPROBE_TYPE = 9


class RecordingSyscalls(Syscalls):
    """Every call succeeds with descriptor 77, or gives ``result``; nothing reaches the kernel.

    ``calls`` has the bytes of each call's attr, ``decoded`` what ``trace`` reads in them, while
    the buffers they point to are alive.
    """

    def __init__(self, result: int = 77) -> None:
        super().__init__()
        self.result = result
        self.calls: list[tuple[int, bytes]] = []
        self.decoded: list[dict[str, object]] = []

    def bpf_raw(self, command: int, attr: bytearray) -> int:
        self.calls.append((command, bytes(attr)))
        self.decoded.append(decode_bpf(command, bytes(attr)))
        return self.result

    def perf_event_open(
        self, attr: bytearray, pid: int, cpu: int, group_fd: int, flags: int, what: str
    ) -> int:
        self.calls.append((-1, bytes(attr)))
        self.decoded.append(decode_perf(bytes(attr), {UPROBE_TYPE: "uprobe"}))
        self.decoded[-1].update(pid=pid, cpu=cpu, group_fd=group_fd, open_flags=flags)
        return self.result
