"""What is measured: each case gives rows, running every tracer in turn for every repetition."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.results import Row, median
from tests.bench.tracers import Command, Ended, Live, Machine, run

if TYPE_CHECKING:
    from collections.abc import Iterator

T = "tracepoint:syscalls:"


class Plan(NamedTuple):
    """Sizes of a benchmark. ``only``: names of items, empty for all."""

    machine: Machine
    tracers: tuple[Command, ...]
    runs: int
    repetitions: int
    events: int
    seconds: float
    keys: int
    only: frozenset[str]

    def wants(self, item: str) -> bool:
        return not self.only or item in self.only


def _pair(plan: Plan, values: dict[str, float | None]) -> tuple[float | None, float | None]:
    return values[plan.tracers[0].name], values.get("peer")


# ---------------------------------------------------------------- start to exit


class Start(NamedTuple):
    name: str
    script: str
    wall_goal: float
    cpu_goal: float | None = None
    rss_goal: float | None = None
    cold: bool = False
    first: bool = False


ONE = f"{T}sys_enter_openat {{ @ = count(); }} BEGIN {{ exit(); }}"
FOUR = (
    f"{T}sys_enter_openat {{ @o = count(); }} {T}sys_exit_openat {{ @x = count(); }} "
    f"{T}sys_enter_read {{ @r[comm] = count(); }} "
    "tracepoint:sched:sched_switch { @s[args.prev_pid] = count(); } "
    'BEGIN { exit(); } END { printf("done\\n"); }'
)
FIRST = f'{T}sys_enter_getppid {{ printf("HERE\\n"); exit(); }}'

STARTS = (
    Start("BEGIN exit, cached", "BEGIN { exit(); }", 0.08, 0.15, 0.20),
    Start("one tracepoint, cached", ONE, 0.08, 0.15, 0.20),
    Start("four tracepoints, cached", FOUR, 0.06, 0.15, 0.20),
    Start("one tracepoint, cold", ONE, 0.40, 0.85, 0.70, cold=True),
    Start("first event, cached", FIRST, 0.25, first=True),
    Start("first event, cold", FIRST, 1.0, cold=True, first=True),
)


def startup(plan: Plan) -> Iterator[Row]:
    """Whole runs. Cold: a script that was never compiled, for a pytrace that was used before."""
    for item in STARTS:
        if not plan.wants(item.name):
            continue
        ended: dict[str, list[Ended]] = {t.name: [] for t in plan.tracers}
        with _background(plan, item.first):
            for turn in range(plan.runs + 1):
                for tracer in plan.tracers:
                    script = f"// {time.time_ns()}\n{item.script}" if item.cold else item.script
                    one = run(tracer, script, b"HERE" if item.first else b"")
                    if turn:
                        ended[tracer.name].append(one)
        if item.first:
            firsts = {name: _ms(e.first_s for e in v) for name, v in ended.items()}
            yield Row(item.name, "on stdout", "ms", *_pair(plan, firsts), item.wall_goal)
            continue
        walls = {name: _ms(e.wall_s for e in v) for name, v in ended.items()}
        cpus = {name: _ms(e.cpu_s for e in v) for name, v in ended.items()}
        peaks = {name: median(e.rss_mib for e in v) for name, v in ended.items()}
        yield Row(item.name, "wall", "ms", *_pair(plan, walls), item.wall_goal)
        yield Row(item.name, "cpu", "ms", *_pair(plan, cpus), item.cpu_goal)
        yield Row(item.name, "peak RSS", "MiB", *_pair(plan, peaks), item.rss_goal)


def _ms(seconds: Iterator[float | None]) -> float | None:
    found = median(seconds)
    return None if found is None else found * 1000


@contextmanager
def _background(plan: Plan, wanted: bool) -> Iterator[None]:
    """Calls all the time, for scripts that wait for one."""
    if not wanted:
        yield
        return
    storm = [plan.machine.work, "storm", "getppid", "3600", "1"]
    process = subprocess.Popen(storm, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


# ---------------------------------------------------------------- cost of an event


class Event(NamedTuple):
    """``goal`` is for net time; ``enough`` nanoseconds will do. ``part`` of the calls are made."""

    name: str
    script: str
    mode: str = "getppid"
    goal: float | None = None
    enough: float | None = None
    part: int = 1


LATENCY = (
    f"{T}sys_enter_getppid {{ @start[tid] = nsecs; }} {T}sys_exit_getppid /@start[tid]/ "
    "{ @ns = hist(nsecs - @start[tid]); delete(@start, tid); }"
)


def _ppid(body: str) -> str:
    return f"{T}sys_enter_getppid {body}"


def _read(body: str) -> str:
    return f"{T}sys_enter_read {body}"


EVENTS = (
    Event("count()", _ppid("{ @ = count(); }"), goal=0.20, enough=10),
    Event("sum(x)", _read("{ @ = sum(args.count); }"), "read", 0.20, 10),
    Event("hist(x)", _read("{ @ = hist(args.count); }"), "read", 0.20, 10),
    Event("lhist(x)", _read("{ @ = lhist(args.count, 0, 4096, 256); }"), "read", 0.20, 10),
    Event("[pid] = count()", _ppid("{ @[pid] = count(); }"), goal=0.85),
    Event("[comm] = count()", _ppid("{ @[comm] = count(); }"), goal=0.75),
    Event("[tid]++", _ppid("{ @[tid]++; }"), goal=0.40),
    Event("[comm] = avg(x)", _read("{ @[comm] = avg(args.count); }"), "read", 0.75),
    Event("[comm] = hist(x)", _read("{ @[comm] = hist(args.count); }"), "read", 0.75),
    Event("latency pair", LATENCY, goal=0.50),
    Event("/pid == n/, false", _ppid("/pid == 999999/ { @ = count(); }"), goal=1.0),
    Event("/comm == s/, false", _ppid('/comm == "nosuch"/ { @ = count(); }'), goal=0.40),
    Event("[kstack] = count()", _ppid("{ @[kstack] = count(); }"), goal=0.85, part=4),
    Event("[ustack] = count()", _ppid("{ @[ustack] = count(); }"), goal=0.40, part=4),
    Event("printf 3 ints", _ppid('{ printf("%d %d %d\\n", pid, tid, cpu); }'), goal=0.65, part=4),
    Event(
        "printf pid, comm, nsecs",
        _ppid('{ printf("%d %s %lld\\n", pid, comm, nsecs); }'), goal=0.65, part=4,
    ),
    Event(
        "printf comm, str(path)",
        f'{T}sys_enter_openat {{ printf("%s %s\\n", comm, str(args.filename)); }}',
        "openat", 0.40, part=4,
    ),
    Event(
        "[x] = count(), new keys",
        f"{T}sys_enter_lseek {{ @[args.offset] = count(); }}", "lseek", 0.95, part=4,
    ),
)  # fmt: skip

EMPTY = Event("empty", _ppid("{ }"))
INSNS_GOAL = 0.70


class Cost(NamedTuple):
    """Per call: time in progs, how many of them ran, and their instructions."""

    prog_ns: float
    runs: float
    insns: float


def event(plan: Plan) -> Iterator[Row]:
    """What progs cost by the kernel's own statistics, an empty prog's cost taken off."""
    base = {name: median(c.prog_ns for c in v) or 0.0 for name, v in _costs(plan, EMPTY).items()}
    for item in EVENTS:
        if not plan.wants(item.name):
            continue
        costs = _costs(plan, item)
        net = {
            name: median(max(0.0, c.prog_ns - c.runs * base[name]) for c in v)
            for name, v in costs.items()
        }
        insns = {name: median(c.insns for c in v) for name, v in costs.items()}
        yield Row(item.name, "net time", "ns", *_pair(plan, net), item.goal, enough=item.enough)
        yield Row(item.name, "instructions", "", *_pair(plan, insns), INSNS_GOAL)


def _costs(plan: Plan, item: Event) -> dict[str, list[Cost]]:
    found: dict[str, list[Cost]] = {t.name: [] for t in plan.tracers}
    for _ in range(plan.repetitions):
        for tracer in plan.tracers:
            found[tracer.name].append(_cost(plan, tracer, item))
    return found


def _cost(plan: Plan, tracer: Command, item: Event) -> Cost:
    calls = plan.events // item.part
    keys = {"BPFTRACE_MAX_MAP_KEYS": str(calls + 10000), "PYTRACE_MAX_MAP_KEYS": str(calls + 10000)}
    more = keys if item.mode == "lseek" else {}
    with plan.machine.stats(), Live(plan.machine, tracer, item.script, **more) as live:
        live.wait_live(item.mode)
        before = live.progs()
        plan.machine.calls(item.mode, calls)
        after = live.progs()
    ran = [(p, before[n]) for n, p in after.items() if n in before]
    ran = [(p, b) for p, b in ran if p.run_count - b.run_count >= calls // 2]
    return Cost(
        sum(p.run_time_ns - b.run_time_ns for p, b in ran) / calls,
        sum(p.run_count - b.run_count for p, b in ran) / calls,
        sum(p.xlated_size // 8 for p, _ in ran),
    )


# ---------------------------------------------------------------- a storm of printf


STORM = _ppid('{ printf("%d %s %lld\\n", pid, comm, nsecs); }')


class Storm(NamedTuple):
    delivered: float
    lost: float
    untold: float
    cpu_us: float


def output(plan: Plan) -> Iterator[Row]:
    """Events of a busy other CPU: which part arrives, whether losses are told, what it costs."""
    goals = {"/dev/null": (1.8, 0.08), "a file": (3.0, 0.05)}
    for name, (rate_goal, cpu_goal) in goals.items():
        if not plan.wants(name):
            continue
        to = os.devnull if name == "/dev/null" else os.path.join(plan.machine.directory, "out")
        found: dict[str, list[Storm]] = {t.name: [] for t in plan.tracers}
        for _ in range(plan.repetitions):
            for tracer in plan.tracers:
                found[tracer.name].append(_storm(plan, tracer, to))

        def row(measure: str, unit: str, get: Callable[[Storm], float], goal: float | None) -> Row:
            values = {n: median(map(get, v)) for n, v in found.items()}  # noqa: B023
            more = measure == "delivered"
            return Row(f"storm to {name}", measure, unit, *_pair(plan, values), goal, more)  # noqa: B023

        yield row("delivered", "/s", lambda s: s.delivered, rate_goal)
        yield row("lost", "%", lambda s: 100 * s.lost, None)
        yield row("lost and not told", "%", lambda s: 100 * s.untold, None)
        yield row("cpu an event", "us", lambda s: s.cpu_us, cpu_goal)


def _storm(plan: Plan, tracer: Command, to: str) -> Storm:
    machine = plan.machine
    with machine.stats(), Live(machine, tracer, STORM, to) as live:
        live.wait_live("getppid")
        first = _settled(live)
        cpu = live.cpu_s()
        made = machine.storm("getppid", plan.seconds)
        last = _settled(live)
        cpu = live.cpu_s() - cpu
        live.stop()
        told = sum(map(int, re.findall(r"[Ll]ost (\d+) events", live.told())))
    line = len(f"{made.pid} work {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n")
    if to != os.devnull:
        with open(to, "rb") as file:
            while part := file.read(1 << 20):
                told += sum(map(int, re.findall(rb"[Ll]ost (\d+) events", part)))
    delivered = min(made.calls, (last - first) // line)
    lost = 1 - delivered / made.calls
    return Storm(
        delivered / (made.calls * made.price_ns * 1e-9),
        lost,
        max(0.0, lost - told / made.calls),
        cpu / max(1, delivered) * 1e6,
    )


def _settled(live: Live) -> int:
    """Bytes written so far, once no more come: what is in the ring is read."""
    before = live.written()
    for _ in itertools.count():
        time.sleep(0.3)
        now = live.written()
        if now == before:
            break
        before = now
    return before


# ---------------------------------------------------------------- printing a large map


DUMPS = (
    ("counts", f"{T}sys_enter_lseek {{ @[args.offset] = count(); }}"),
    ("integers", f"{T}sys_enter_lseek {{ @[args.offset] = nsecs; }}"),
)


class Dump(NamedTuple):
    live_s: float
    exit_s: float
    rss_mib: float
    lines: int


def mapdump(plan: Plan) -> Iterator[Row]:
    """A map with many keys: time until it traces, printing at the end, memory."""
    to = os.path.join(plan.machine.directory, "map")
    most = str(plan.keys + 1000)
    for name, script in DUMPS:
        if not plan.wants(name):
            continue
        found: dict[str, list[Dump]] = {t.name: [] for t in plan.tracers}
        for _ in range(plan.repetitions):
            for tracer in plan.tracers:
                keys = {"BPFTRACE_MAX_MAP_KEYS": most, "PYTRACE_MAX_MAP_KEYS": most}
                with Live(plan.machine, tracer, script, to, **keys) as live:
                    with plan.machine.stats():
                        ready = live.wait_live("lseek")
                    plan.machine.calls("lseek", plan.keys)
                    seconds = live.stop()
                with open(to, "rb") as file:
                    lines = file.read().count(b"]: ")
                found[tracer.name].append(Dump(ready, seconds, live.rss_mib(), lines))
        item = f"{plan.keys} {name}"
        for field, measure, unit, goal in (
            ("exit_s", "print and exit", "s", 0.15),
            ("rss_mib", "peak RSS", "MiB", 0.5),
            ("live_s", "until it traces", "s", 0.25),
            ("lines", "lines", "", None),
        ):
            values = {n: median(float(getattr(d, field)) for d in v) for n, v in found.items()}
            yield Row(item, measure, unit, *_pair(plan, values), goal)


CASES: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "startup": startup,
    "event": event,
    "output": output,
    "mapdump": mapdump,
}
