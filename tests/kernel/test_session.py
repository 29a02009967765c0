"""A session on the running kernel: order of records, losses, ends, signals, attaching."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytrace.base.errors import AttachError, LoadError
from pytrace.base.types import I64, Aggregate
from pytrace.linux.process import open_pidfd, start_child
from pytrace.linux.syscall import Syscalls
from pytrace.model.compiled import CompiledProgram, LoadParam, MapSpec
from pytrace.model.events import GATE_OFFSET, PARAMS_MAP, SKIPPED_OFFSET, STATE_MAP
from pytrace.runtime.session import SessionOptions
from tests.kernel import asm, programs
from tests.kernel.asm import R0, R1, R2
from tests.kernel.programs import (
    PERF_EVENT,
    MapRef,
    event,
    gate,
    handlers,
    loaded,
    place,
    prog,
    program,
    run,
    send,
    send_exit,
)

pytestmark = pytest.mark.needs("root")

NOTE = event(0, "handmade:note")
CONTROL = event(1, "handmade:note", control=True)
EXIT = event(2, "handmade:exit", control=True)
EVENTS = (NOTE, CONTROL, EXIT)
OUT = ("out", asm.return_(0))
MILLISECOND = 1_000_000


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


def one_prog(*parts: Any, name: str = "begin", **options: Any) -> CompiledProgram:
    return program([prog("p", *parts, *OUT)], EVENTS, [place(name, "p")], **options)


def timer(*parts: Any) -> tuple[Any, Any]:
    """A prog and the place that runs it each millisecond."""
    spec = prog("tick", *gate(), *parts, *OUT, prog_type=PERF_EVENT)
    return spec, place("interval:ms:1", "tick", "interval", (MILLISECOND, 0))


def during(action: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


# --- order and losses -------------------------------------------------------------------------


def test_control_records_stand_where_they_were_made() -> None:
    parts = [*send(NOTE, 1), *send(CONTROL, 10), *send(NOTE, 2), *send(NOTE, 3), *send(CONTROL, 11)]
    with handlers() as noted:
        assert run(one_prog(*parts)) == 0
    assert noted == [1, 10, 2, 3, 11]


def test_runs_of_equal_records_are_handled_as_batches() -> None:
    """Order and number stay, whatever stands between the runs."""
    printf = event(0, "handmade:printf", static=("%d",))
    other = event(1, "handmade:note")
    control = event(2, "handmade:note", control=True)
    parts = [*[p for n in range(40) for p in send(printf, n)], *send(other, 100)]
    parts += [*send(control, 101), *[p for n in range(40, 60) for p in send(printf, n)]]
    batches: list[int] = []

    def several(texts: list[str], session: Any) -> None:
        batches.append(len(texts))
        noted.extend(int(t) for t in texts)

    def one(record: Any, session: Any) -> None:
        noted.append(int(record.text))

    with handlers(printf=one) as noted:
        handmade = sys.modules["pytrace.builtins.handmade"]
        handmade.BATCHES = {"printf": several}  # type: ignore[attr-defined]
        compiled = program(
            [prog("p", *parts, *OUT)], [printf, other, control], [place("begin", "p")]
        )
        assert run(compiled) == 0
    assert noted == [*range(40), 100, 101, *range(40, 60)]
    assert batches[0] == 40


def test_records_after_exit_are_dropped_and_end_runs() -> None:
    begin = prog("b", *send(NOTE, 1), *send_exit(EXIT, 7), *send(NOTE, 2), *send(CONTROL, 3), *OUT)
    end = prog("e", *send(NOTE, 9), *OUT)
    with handlers() as noted:
        compiled = program([begin, end], EVENTS, [place("begin", "b"), place("end", "e")])
        assert run(compiled) == 7
    assert noted == [1, 9]


def test_exit_in_an_end_prog_is_the_last_word() -> None:
    first = prog("b", *send_exit(EXIT, 3), *OUT)
    second = prog("e", *send(NOTE, 1), *send_exit(EXIT, 9), *send(NOTE, 2), *OUT)
    third = prog("f", *send(NOTE, 3), *OUT)
    places = [place("begin", "b"), place("end", "e"), place("end", "f")]
    with handlers() as noted:
        assert run(program([first, second, third], EVENTS, places)) == 9
    assert noted == [1]


def test_lost_data_is_counted_exactly(capfd: pytest.CaptureFixture[str]) -> None:
    big = event(0, "handmade:note", size=1008)  # 1016 bytes, 1024 with the header
    parts = [part for n in range(6) for part in send(big, n)]
    compiled = program([prog("p", *parts, *OUT)], [big, CONTROL], [place("begin", "p")],
                       ring_size=4096)  # fmt: skip
    with handlers() as noted:
        assert run(compiled) == 0
    # The kernel keeps one byte free: a ring of four places takes three.
    assert noted == [0, 1, 2]
    # A ring that is more than half full is read before anything is attached.
    assert capfd.readouterr().err.splitlines() == [
        "Lost 3 events",
        "Attached 1 probe",
        "WARNING: Total lost event count: 3",
    ]


def test_lost_control_records_are_acted_upon_exactly() -> None:
    parts = [part for _ in range(200) for part in send(CONTROL, 1)]
    with handlers() as noted:
        assert run(one_prog(*parts, control_size=4096)) == 0
    assert len(noted) == 200
    assert noted.count("lost") == 200 - 4096 // 32 + 1


def test_an_exit_that_found_its_ring_full_ends_the_run_with_its_code() -> None:
    exit_event = event(1, "printing:exit", control=True)
    filler = event(2, "handmade:note", control=True)
    parts = [part for _ in range(150) for part in send(filler, 1)]
    spec, where = timer()
    begin = prog("b", *parts, *send_exit(exit_event, 5), *OUT)
    compiled = program(
        [begin, spec], [NOTE, exit_event, filler], [place("begin", "b"), where], control_size=4096
    )
    with handlers() as noted:
        assert run(compiled) == 5
    assert noted.count(1) == 4096 // 32 - 1


def test_a_full_data_ring_does_not_stop_exit() -> None:
    big = event(0, "handmade:note", size=1008)
    parts = [part for n in range(6) for part in send(big, n)]
    compiled = program(
        [prog("p", *parts, *send_exit(EXIT, 4), *OUT)],
        [big, CONTROL, EXIT],
        [place("begin", "p")],
        ring_size=4096,
    )
    with handlers() as noted:
        assert run(compiled) == 4
    assert noted == [0, 1, 2]


def test_skipped_runs_of_probes_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    parts = [MapRef(R1, STATE_MAP, SKIPPED_OFFSET), asm.mov(R2, 3), asm.store(8, R1, 0, R2)]
    with handlers():
        assert run(one_prog(*parts)) == 0
    assert capfd.readouterr().err.splitlines()[1:] == [
        "WARNING: 3 runs of probes did nothing for want of scratch memory"
    ]


# --- ends -------------------------------------------------------------------------------------


def test_begin_and_end_alone_end_by_themselves() -> None:
    begin, end = prog("b", *send(NOTE, 1), *OUT), prog("e", *send(NOTE, 2), *OUT)
    with handlers() as noted:
        compiled = program([begin, end], EVENTS, [place("begin", "b"), place("end", "e")])
        assert run(compiled) == 0
    assert noted == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_as_exit_does(number: int) -> None:
    spec, where = timer(*send(NOTE, 1))
    end = prog("e", *send(NOTE, 2), *OUT)

    def note(record: Any, session: Any) -> None:
        noted.append(record.values[0])
        if noted == [1]:
            os.kill(os.getpid(), number)

    noted: list[int] = []
    with handlers(note=note):
        assert run(program([spec, end], EVENTS, [where, place("end", "e")])) == 0
    assert noted[-1] == 2 and set(noted[:-1]) == {1}


def test_the_gate_is_set_and_handlers_are_restored() -> None:
    spec, where = timer(*send(NOTE, 1), *send_exit(EXIT, 0, gate=False))
    before = signal.getsignal(signal.SIGINT)
    with handlers(), loaded(program([spec], EVENTS, [where])) as found:
        from pytrace.output.sink import SinkOptions, create
        from pytrace.output.stream import OutputStream
        from pytrace.runtime.session import Session

        sink = create("text", OutputStream(1), SinkOptions())
        assert Session(found, sink, SessionOptions(leave=False)).run() == 0
        assert found.state[GATE_OFFSET // 8] == 1
        assert found.links == []
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_cuts_the_last_drain_short() -> None:
    """Signals are looked at after each portion of 64 KiB, here of records of 24 bytes."""
    parts = [part for _ in range(100) for part in send(NOTE, 1)]
    end = prog("e", *send(CONTROL, 2), *OUT)

    def note(record: Any, session: Any) -> None:
        handled.append(record.values[0])
        if len(handled) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    handled: list[int] = []
    with handlers(note=note):
        places = [*[place("begin", "p")] * 40, place("end", "e")]
        compiled = program([prog("p", *parts, *OUT), end], EVENTS, places, ring_size=1 << 20)
        assert run(compiled) == 0
    assert handled == [1] * -(-65536 // 24) + [2]


def test_the_child_runs_and_its_end_ends_the_run(tmp_path: Path) -> None:
    spec, where = timer()
    mark = tmp_path / "ran"
    child = start_child(Syscalls(), "/bin/sh", ["sh", "-c", f"echo x > {mark}; exit 3"])
    with child:
        assert not mark.exists()
        compiled = program([spec], EVENTS, [where])
        assert run(compiled, SessionOptions(child=child, leave=False)) == 0
        assert child.wait() == 3
    assert mark.read_text() == "x\n"


def test_a_child_that_outlives_the_run_is_terminated() -> None:
    child = start_child(Syscalls(), "/bin/sleep", ["sleep", "1000"])
    with child:
        compiled = one_prog(*send_exit(EXIT, 6))
        with handlers():
            assert run(compiled, SessionOptions(child=child, leave=False)) == 6
        assert child.wait() == -signal.SIGTERM


def test_the_end_of_the_traced_process_ends_the_run() -> None:
    spec, where = timer()
    child = start_child(Syscalls(), "/bin/true", ["true"])
    with child:
        pidfd = open_pidfd(Syscalls(), child.pid)
        child.resume()
        try:
            options = SessionOptions(pidfd=pidfd, leave=False)
            assert run(program([spec], EVENTS, [where]), options) == 0
        finally:
            os.close(pidfd)
        child.wait()


def test_self_probes_run_on_sigusr1() -> None:
    spec = prog("s", *send(NOTE, 1), *send_exit(EXIT, 2), *OUT)

    def attached(record: Any, session: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    with handlers(attached=attached) as noted:
        go = event(3, "handmade:attached")
        begin = prog("b", *send(go, 0), *OUT)
        places = [place("begin", "b"), place("self:signal:SIGUSR1", "s")]
        assert run(program([begin, spec], (*EVENTS, go), places)) == 2
    assert noted == [1]


def test_a_reader_that_is_gone_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    def speak(record: Any, session: Any) -> None:
        session.sink.printf("x\n")

    spec, where = timer(*send(NOTE, 1))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with handlers(note=speak):
            assert run(program([spec], EVENTS, [where]), fd=writer) == 1
    finally:
        os.close(writer)
    errors = capfd.readouterr().err.splitlines()
    assert errors == ["Attached 1 probe", "ERROR: cannot write output: Broken pipe"]


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(
    abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"pytrace-test-{os.getpid()}" if abstract else f"{tmp_path}/notify"
    spec, where = timer(*send_exit(EXIT, 0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        with handlers():
            assert run(program([spec], EVENTS, [where])) == 0
        assert [manager.recv(64), manager.recv(64)] == [b"READY=1", b"STOPPING=1"]


def test_a_service_manager_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    assert run(one_prog()) == 0


def test_maps_print_in_the_order_of_their_names(capfd: pytest.CaptureFixture[str]) -> None:
    def user_map(name: str) -> MapSpec:
        return MapSpec(
            name=name, kind="HASH", key_size=8, value_size=8, max_entries=8, key=I64,
            value=Aggregate(kind="count", signed=False),
        )  # fmt: skip

    compiled = one_prog(maps=[user_map("@b"), user_map("@"), user_map("@a"), user_map("@none")])
    with loaded(compiled) as found:
        from pytrace.output.sink import SinkOptions, create
        from pytrace.output.stream import OutputStream
        from pytrace.runtime.session import Session

        for name, value in (("@b", 1), ("@", 2), ("@a", 3)):
            found.maps[name].update(struct.pack("=q", 7), struct.pack("=Q", value))
        sink = create("text", OutputStream(1), SinkOptions())
        assert Session(found, sink, SessionOptions(leave=False)).run() == 0
    assert capfd.readouterr().out == "\n\n@[7]: 2\n@a[7]: 3\n@b[7]: 1\n"


def test_maps_need_not_be_printed(capfd: pytest.CaptureFixture[str]) -> None:
    compiled = one_prog(config=(("print_maps_on_exit", False),))
    assert run(compiled) == 0
    assert capfd.readouterr().out == "\n\n"


# --- attaching --------------------------------------------------------------------------------


def missing(config: tuple[tuple[str, object], ...], *others: Any) -> CompiledProgram:
    spec, _ = timer()
    nowhere = place("tracepoint:no:such", "t", "tracepoint", ("no", "such"))
    tracepoint = prog("t", *OUT, prog_type="PROG_TYPE_TRACEPOINT")
    return program([spec, tracepoint], EVENTS, [nowhere, *others], config=config)


def test_a_missing_probe_is_an_error() -> None:
    with pytest.raises(AttachError, match=r"^Unable to attach probe: tracepoint:no:such\. If") as e:
        run(missing(()))
    assert e.value.probe == "tracepoint:no:such"
    assert "No such file" in e.value.cause


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        ("warn", ["WARNING: Unable to attach probe: tracepoint:no:such. Skipping."]),
        ("ignore", []),
    ],
)
def test_a_missing_probe_may_be_left_out(
    capfd: pytest.CaptureFixture[str], how: str, lines: list[str]
) -> None:
    compiled = missing((("missing_probes", how),), place("self:signal:SIGUSR1", "tick"))
    spec, where = timer(*send_exit(EXIT, 0))
    begin = prog("b", *send_exit(EXIT, 0), *OUT)
    compiled = program(
        [*compiled.progs[1:], spec, begin],
        EVENTS,
        [compiled.attach[0], where, place("begin", "b")],
        config=compiled.config,
    )
    with handlers():
        assert run(compiled) == 0
    assert capfd.readouterr().err.splitlines() == [*lines, "Attached 2 probes"]


def test_all_probes_missing_is_an_error_even_so() -> None:
    with pytest.raises(AttachError, match="Attachment failed for all probes"):
        run(missing((("missing_probes", "ignore"),)))


def test_a_dry_run_attaches_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    spec, where = timer()
    with handlers() as noted:
        compiled = program(
            [spec, prog("b", *send(NOTE, 1), *OUT)], EVENTS, [where, place("begin", "b")]
        )
        assert run(compiled, SessionOptions(dry_run=True, leave=False)) == 0
    assert noted == []
    assert capfd.readouterr() == ("", "")


def test_probes_of_one_event_run_in_the_order_of_the_script() -> None:
    """Tracepoints fire in the order of attaching, uprobes the other way round."""
    from pytrace.runtime.session import attach_order

    names = ["uprobe:/a:f", "tracepoint:a:b", "uprobe:/a:g", "begin", "kretprobe:f", "kprobe:f"]
    ordered = [s.name for s in attach_order([place(n, "p") for n in names])]
    assert ordered == ["tracepoint:a:b", "kretprobe:f", "kprobe:f", "uprobe:/a:g", "uprobe:/a:f"]


# --- loading ----------------------------------------------------------------------------------


def test_params_are_filled_and_frozen() -> None:
    params = LoadParam(name="start_ns", kind="start_ns", offset=8, size=8)
    spec = MapSpec(
        name=PARAMS_MAP, kind="ARRAY", key_size=4, value_size=16, max_entries=1, flags=1 << 7
    )
    begin = prog("p", *OUT)
    base = program([begin], EVENTS, [place("begin", "p")], maps=[spec])
    from pytrace.base.frozen import replace

    compiled = replace(base, params=(params,))
    with loaded(compiled) as found:
        zero, start_ns = programs.words(found.maps[PARAMS_MAP].lookup(bytes(4)) or b"")
        assert (zero, start_ns > 0) == (0, True)
        with pytest.raises(OSError, match="Operation not permitted"):
            found.maps[PARAMS_MAP].update(bytes(4), bytes(16))


def test_subprograms_are_appended_and_called() -> None:
    from pytrace.base.frozen import replace
    from pytrace.model.compiled import Reloc, SubprogSpec

    call = asm.insn(0x85, 0, 1)
    main = prog("p", *send(NOTE, 1), call, asm.exit_())
    at = len(main.insns) // 8 - 2
    main = replace(main, relocs=(*main.relocs, Reloc(insn=at, kind="call", name="sub")))
    first = SubprogSpec(
        name="sub", insns=call + asm.exit_(), btf_func=0, line_info=(),
        relocs=(Reloc(insn=0, kind="call", name="inner"),),
    )  # fmt: skip
    inner = prog("inner", *send(NOTE, 2), *OUT)
    second = SubprogSpec(
        name="inner", insns=inner.insns, relocs=inner.relocs, btf_func=0, line_info=()
    )
    base = program([main], EVENTS, [place("begin", "p")])
    with handlers() as noted:
        assert run(replace(base, subprogs=(second, first))) == 0
    assert noted == [1, 2]


def test_a_prog_that_the_verifier_refuses() -> None:
    bad = prog("worse", asm.insn(0xBF, R0, 9), asm.exit_())
    with pytest.raises(LoadError) as refused, loaded(program([bad], EVENTS, [])):
        pass
    assert str(refused.value) == (
        "Error loading BPF program for worse. Error code: -13 (Permission denied). "
        "Use -v for full kernel error log."
    )
    assert "R9 !read_ok" in refused.value.summary  # type: ignore[attr-defined]


def test_btf_that_the_kernel_refuses_is_done_without() -> None:
    from pytrace.base.frozen import replace

    with handlers() as noted:
        compiled = replace(one_prog(*send(NOTE, 5)), btf=b"no BTF at all")
        assert run(compiled) == 0
    assert noted == [5]


def test_the_ring_of_a_program_without_a_size_fits_the_machine() -> None:
    with loaded(one_prog(ring_size=0)) as found:
        entries = found.maps[".events"].max_entries
    pages = entries // os.sysconf("SC_PAGE_SIZE")
    assert 64 <= pages <= 4096 and pages & (pages - 1) == 0
    with loaded(one_prog(ring_size=0, config=(("perf_rb_pages", 3),))) as found:
        entries = found.maps[".events"].max_entries
    assert entries == 4 * os.sysconf("SC_PAGE_SIZE")


def test_a_program_that_hardly_sends_records_gets_a_small_ring() -> None:
    fault = event(0, "faults:fault")
    compiled = program([prog("p", *OUT)], [fault, CONTROL], [place("begin", "p")], ring_size=0)
    with loaded(compiled) as found:
        assert found.maps[".events"].max_entries == 64 * os.sysconf("SC_PAGE_SIZE")
