"""``Linux``: what the run half of a probe provider attaches with.

Providers get one as an argument and import nothing of this room. Every method opens what it needs,
gives back links that the caller owns, and raises ``OSError`` (with the attach point in its text)
or ``NotSupported``; nothing stays open then. ``prog`` is loaded for the place it goes to.
"""

from __future__ import annotations

import os

from pytrace.linux import links, perf
from pytrace.linux.uapi import (
    BPF_CGROUP_ITER_DESCENDANTS_PRE,
    PERF_COUNT_SW_CPU_CLOCK,
    PERF_TYPE_SOFTWARE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytrace.linux.features import Features
    from pytrace.linux.links import Link, MultiLink, RawTracepointLink, TracingLink
    from pytrace.linux.perf import PerfEvent
    from pytrace.linux.progs import BpfProg
    from pytrace.linux.syscall import Syscalls


class Linux:
    """The running kernel. Paths and lists are looked up when first needed, and kept.

    ``pid`` is that of -p, for the providers whose events the kernel filters; ``child`` that of -c.
    Both are -1 without one.
    """

    def __init__(
        self, sys: Syscalls, features: Features | None = None, *, pid: int = -1, child: int = -1
    ) -> None:
        self.sys = sys
        self.pid = pid
        self.child = child
        self._features = features
        self._tracefs = ""
        self._cpus: tuple[int, ...] = ()

    @property
    def features(self) -> Features:
        if self._features is None:
            from pytrace.linux.features import Features

            self._features = Features(self.sys)
        return self._features

    @property
    def tracefs(self) -> str:
        """Where tracefs is mounted. ``OSError`` if it is not and cannot be, or is closed to us."""
        if not self._tracefs:
            from pytrace.linux.rights import tracefs

            self._tracefs = tracefs(self.sys)
        return self._tracefs

    @property
    def online_cpus(self) -> tuple[int, ...]:
        if not self._cpus:
            from pytrace.linux.cpus import online_cpus

            self._cpus = online_cpus()
        return self._cpus

    def tracepoint(self, prog: BpfProg, category: str, event: str, *, cookie: int = 0) -> Link:
        """A tracepoint, through a perf event. ``FileNotFoundError`` if there is no such one."""
        number = perf.tracepoint_id(category, event, self.tracefs)
        opened = perf.open_tracepoint(self.sys, number, f"tracepoint:{category}:{event}")
        return links.attach_perf_event(self.sys, prog, opened, cookie=cookie)

    def raw_tracepoint(self, prog: BpfProg, event: str, *, cookie: int = 0) -> RawTracepointLink:
        """A raw tracepoint by its bare name. ``FileNotFoundError`` if there is no such one."""
        return links.attach_raw_tracepoint(self.sys, prog, event, cookie=cookie)

    def kprobe(
        self,
        prog: BpfProg,
        function: str,
        name: str,
        *,
        offset: int = 0,
        retprobe: bool = False,
        cookie: int = 0,
    ) -> Link:
        """A kernel function plus ``offset``, or with no ``function`` the address ``offset``."""
        event = perf.open_kprobe(self.sys, function, offset, name, retprobe=retprobe)
        return links.attach_perf_event(self.sys, prog, event, cookie=cookie)

    def kprobe_multi(
        self,
        prog: BpfProg,
        functions: Sequence[str],
        name: str,
        *,
        retprobe: bool = False,
        session: bool = False,
        cookies: Sequence[int] = (),
    ) -> MultiLink:
        """Many kernel functions with one link; each must exist exactly once."""
        return links.attach_kprobe_multi(
            self.sys,
            prog,
            name,
            functions=functions,
            cookies=cookies,
            retprobe=retprobe,
            session=session,
        )

    def uprobe(
        self,
        prog: BpfProg,
        path: str,
        offset: int,
        name: str,
        *,
        retprobe: bool = False,
        pid: int = -1,
        ref_ctr_offset: int = 0,
        cookie: int = 0,
    ) -> Link:
        """A file offset of a binary; ``ref_ctr_offset`` is that of a USDT semaphore, if any."""
        event = perf.open_uprobe(
            self.sys,
            path,
            offset,
            name,
            retprobe=retprobe,
            pid=pid,
            ref_ctr_offset=ref_ctr_offset,
        )
        return links.attach_perf_event(self.sys, prog, event, cookie=cookie)

    def uprobe_multi(
        self,
        prog: BpfProg,
        path: str,
        offsets: Sequence[int],
        name: str,
        *,
        retprobe: bool = False,
        session: bool = False,
        pid: int = 0,
        ref_ctr_offsets: Sequence[int] = (),
        cookies: Sequence[int] = (),
    ) -> MultiLink:
        """Many file offsets of one binary with one link. ``pid`` 0 is every process."""
        return links.attach_uprobe_multi(
            self.sys,
            prog,
            name,
            path,
            offsets,
            ref_ctr_offsets=ref_ctr_offsets,
            cookies=cookies,
            pid=pid,
            retprobe=retprobe,
            session=session,
        )

    def tracing(self, prog: BpfProg, attach_type: int, name: str, *, cookie: int = 0) -> Link:
        """The target that ``prog`` was loaded for: fentry, fexit, tp_btf (BPF_TRACE_*)."""
        return links.attach_tracing(self.sys, prog, attach_type, name, cookie=cookie)

    def iterator(
        self, prog: BpfProg, name: str, *, pid: int = 0, tid: int = 0, cgroups: bool = False
    ) -> TracingLink:
        """An iterator; its output comes from ``TracingLink.open_iterator``.

        ``cgroups``: one over all cgroups, each before those below it.
        """
        order = BPF_CGROUP_ITER_DESCENDANTS_PRE if cgroups else 0
        return links.attach_iter(self.sys, prog, name, pid=pid, tid=tid, cgroup_order=order)

    def interval(self, prog: BpfProg, name: str, *, period_ns: int = 0, freq: int = 0) -> Link:
        """A timer on the first CPU online: every ``period_ns``, or ``freq`` times a second."""
        cpu = self.online_cpus[0]
        return self._counters(prog, name, *_CPU_CLOCK, period_ns, freq, -1, (cpu,))[0]

    def profile(
        self, prog: BpfProg, name: str, *, period_ns: int = 0, freq: int = 0, pid: int = -1
    ) -> list[Link]:
        """A timer on every CPU; with ``pid`` it runs only while that process does."""
        return self._counters(prog, name, *_CPU_CLOCK, period_ns, freq, pid, self.online_cpus)

    def counter(
        self,
        prog: BpfProg,
        name: str,
        event_type: int,
        config: int,
        *,
        period: int,
        pid: int = -1,
    ) -> list[Link]:
        """A software or hardware event (PERF_TYPE_*) on every CPU, at every ``period`` counts."""
        return self._counters(prog, name, event_type, config, period, 0, pid, self.online_cpus)

    def watchpoint(
        self, prog: BpfProg, name: str, address: int, length: int, mode: int, *, pid: int = -1
    ) -> list[Link]:
        """Accesses (HW_BREAKPOINT_*) to ``length`` bytes: of the kernel, or of a process.

        A process is watched in all its threads and in what they start from now on.
        """
        flags = perf.INHERIT if pid != -1 else 0
        places = [(-1, cpu) for cpu in self.online_cpus]
        if pid != -1:
            places = [(int(thread), -1) for thread in os.listdir(f"/proc/{pid}/task")]
        attr = perf.pack_breakpoint(address, length, mode, flags)

        def events() -> Iterator[PerfEvent]:
            for thread, cpu in places:
                try:
                    yield perf.open_event(self.sys, attr, name, pid=thread, cpu=cpu)
                except ProcessLookupError:
                    if thread == pid:
                        raise  # Other threads may end meanwhile.

        return self._attach_each(prog, events())

    def _counters(
        self,
        prog: BpfProg,
        name: str,
        event_type: int,
        config: int,
        period: int,
        freq: int,
        pid: int,
        cpus: tuple[int, ...],
    ) -> list[Link]:
        events = (
            perf.open_counter(
                self.sys, event_type, config, name, period=period, freq=freq, pid=pid, cpu=cpu
            )
            for cpu in cpus
        )
        return self._attach_each(prog, events)

    def _attach_each(self, prog: BpfProg, events: Iterable[PerfEvent]) -> list[Link]:
        """A link for each event; when one fails, the earlier ones are closed."""
        attached: list[Link] = []
        try:
            for event in events:
                attached.append(links.attach_perf_event(self.sys, prog, event))
        except BaseException:
            for link in attached:
                link.close()
            raise
        return attached


_CPU_CLOCK = (PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK)
