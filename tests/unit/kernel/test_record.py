"""Recording, replaying, masking and faking a kernel; facts as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytrace.base.frozen import Frozen
from pytrace.base.types import (
    BOOL,
    I32,
    U8,
    U64,
    VOID,
    Enum,
    EnumDef,
    Field,
    Ptr,
    Str,
    Struct,
    StructDef,
)
from pytrace.kernel import snapshot, witness
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import (
    BinaryInfo,
    FuncProto,
    FuncRef,
    SymbolInfo,
    TracepointFormat,
    TracepointRef,
    Unknown,
    UsdtInfo,
)
from pytrace.kernel.mask import MaskedKernel, parse_mask
from pytrace.kernel.plain import PlainError, from_plain, to_plain
from pytrace.kernel.record import RecordingKernel, ReplayKernel, UnrecordedFact

if TYPE_CHECKING:
    from pytrace.kernel.info import KernelInfo

TASK = StructDef(
    kind="struct",
    name="task_struct",
    size=64,
    fields=(
        Field(name="pid", type=I32, offset=8),
        Field(name="comm", type=Str(length=16), offset=16),
        Field(
            name="parent",
            type=Ptr(to=Struct(kind="struct", name="task_struct", bytes=64), space="kernel"),
            offset=32,
            tag="rcu",
        ),
        Field(name="flag", type=U64, offset=40, bit_offset=3, bit_size=1),
    ),
)
STATE = EnumDef(name="state", bits=32, signed=True, values=(("DEAD", -1), ("ALIVE", 1)))
OPEN = TracepointFormat(
    category="syscalls",
    event="sys_enter_openat",
    fields=(Field(name="filename", type=Ptr(to=U8, space="user"), offset=24),),
    size=48,
    declarations=("const char * filename",),
)
READ = FuncProto(name="vfs_read", module="vmlinux", params=(("n", U64),), returns=I32, btf_id=7)
SWITCH = FuncProto(name="sched_switch", module="vmlinux", params=(("preempt", BOOL),), returns=VOID)
BASH = BinaryInfo(
    path="/bin/bash",
    kind="dyn",
    machine=62,
    build_id="ab",
    symbols=tuple(
        SymbolInfo(name=n, address=a, offset=a, size=4)
        for n, a in (("main", 16), ("readline", 32), ("write", 64))
    ),
    usdt=(UsdtInfo(namespace="bash", name="start", offset=8, semaphore=0, args="8@%rdi"),),
)


def fake() -> FakeKernel:
    return FakeKernel(
        structs=[TASK],
        enums=[STATE],
        typedefs={"pid_t": I32},
        functions=[READ],
        tracepoints=[OPEN],
        raw_tracepoints=[SWITCH],
        binaries=[BASH],
        targets={"bash": ["/bin/bash"]},
        features=["ringbuf"],
    )


def ask(kernel: KernelInfo) -> list[object]:
    """One question of each kind, and some about what is not there."""
    bash = kernel.binary("/bin/bash")
    assert bash is not None
    return [
        kernel.identity(),
        kernel.struct("struct", "task_struct"),
        kernel.struct("union", "task_struct"),
        kernel.enum("state"),
        kernel.enum_constant("DEAD"),
        kernel.enum_constant("none"),
        kernel.typedef("pid_t"),
        kernel.function("vfs_read"),
        kernel.functions("vfs_*"),
        kernel.tracepoint("syscalls", "sys_enter_openat"),
        kernel.tracepoints("sys*", "*"),
        kernel.raw_tracepoint("sched_switch"),
        kernel.raw_tracepoints("sched_*", "vm*"),
        kernel.has_symbol("vfs_read"),
        kernel.has_symbol("none"),
        kernel.supports("ringbuf"),
        kernel.supports("loop"),
        kernel.binary("/bin/none"),
        bash.symbol("readline"),
        bash.symbol("none"),
        bash.usdt,
        kernel.resolve_target("bash", None),
        kernel.typeless_memory(),
    ]


def shown(answers: list[object]) -> list[object]:
    """Comparable: definitions compare by identity."""
    return [repr(a) if isinstance(a, Frozen) else a for a in answers]


def no_check(kind: str, subject: str) -> str:
    return f"{kind} of {subject}"


def test_a_fake_kernel_answers_from_its_literals() -> None:
    kernel = fake()
    assert kernel.struct("struct", "task_struct") is TASK
    assert kernel.enum_constant("ALIVE") == (1, Enum(name="state", signed=True))
    assert kernel.functions("*", "vm*") == (FuncRef(name="vfs_read", module="vmlinux"),)
    assert kernel.functions("*", "ext4") == ()
    assert kernel.tracepoints("*", "*openat") == (
        TracepointRef(category="syscalls", event="sys_enter_openat"),
    )
    assert kernel.resolve_target("/bin/*", None) == ("/bin/bash",)
    assert not kernel.typeless_memory()
    assert FakeKernel(types=False).typeless_memory()
    assert FakeKernel().supports("kprobe")
    assert FakeKernel(unknown=Unknown(reason="no")).functions("*") == Unknown(reason="no")


def test_a_recording_answers_like_the_kernel_and_is_replayed() -> None:
    recording = RecordingKernel(fake(), check=no_check)
    answers = shown(ask(recording))
    assert answers == shown(ask(fake()))
    assert shown(ask(recording)) == answers
    assert shown(ask(ReplayKernel(recording.facts()))) == answers


def test_a_question_is_passed_on_once() -> None:
    asked = []

    class Counting(FakeKernel):
        def supports(self, feature: str) -> bool:
            asked.append(feature)
            return True

    recording = RecordingKernel(Counting(), check=no_check)
    assert recording.supports("loop")
    assert recording.supports("loop")
    assert asked == ["loop"]


def test_of_a_binary_only_the_symbols_asked_for_are_kept() -> None:
    recording = RecordingKernel(fake(), check=no_check)
    bash = recording.binary("/bin/bash")
    assert bash is not None
    assert bash == BASH
    assert recording.binary("/bin/bash") is bash
    bash.symbol("write")
    bash.symbol("none")
    bash.symbol("main")
    kept = recording.facts()["binary", ("/bin/bash",)]
    assert isinstance(kept, BinaryInfo)
    assert [s.name for s in kept.symbols] == ["main", "write"]
    assert len(bash.symbols) == 3
    assert recording.facts()["binary", ("/bin/bash",)] == BASH


def test_a_replayed_kernel_does_not_guess() -> None:
    replay = ReplayKernel({})
    with pytest.raises(UnrecordedFact, match=r"not recorded: struct\('struct', 'task_struct'\)"):
        replay.struct("struct", "task_struct")
    assert ReplayKernel({}, fallback=fake()).struct("struct", "task_struct") is TASK


def test_witnesses_follow_from_the_questions() -> None:
    recording = RecordingKernel(fake(), check=no_check)
    assert recording.witnesses() == ()
    recording.struct("struct", "nothing")
    assert recording.witnesses() == (("kernel", "", "kernel of "),)
    recording.tracepoint("a", "b")
    recording.supports("loop")
    recording.binary("/bin/none")
    assert [(kind, subject) for kind, subject, _ in recording.witnesses()] == [
        (witness.BOOT, ""),
        (witness.EVENTS, ""),
        (witness.FILE, "/bin/none"),
        (witness.KERNEL, ""),
    ]


def test_a_witness_keeps_the_value_it_had_before_the_question() -> None:
    values = iter(["before", "after"])
    recording = RecordingKernel(fake(), check=lambda kind, subject: next(values))
    recording.struct("struct", "task_struct")
    recording.enum("state")
    assert recording.witnesses() == ((witness.KERNEL, "", "before"),)


def test_the_kernel_adds_witnesses_and_unstable_ones_never_hold() -> None:
    recording = RecordingKernel(
        fake(), lambda method, args: [(witness.UNSTABLE, f"{method} {args[0]}")]
    )
    recording.resolve_target("*", None)
    ((kind, subject, value),) = recording.witnesses()
    assert (kind, subject) == (witness.UNSTABLE, "resolve_target *")
    assert witness.check_witness(kind, subject) != value


def test_plain_data_and_back() -> None:
    for answer in [*ask(fake()), Unknown(reason="closed"), BASH, None, (1, "x")]:
        plain = to_plain(answer)
        assert repr(from_plain(json.loads(json.dumps(plain)))) == repr(answer)
    assert to_plain(Field(name="pid", type=I32, offset=8)) == {
        "is": "Field",
        "name": "pid",
        "type": {"is": "Int", "bits": 32, "signed": True},
        "offset": 8,
    }


def test_only_answers_of_kernels_become_plain() -> None:
    with pytest.raises(TypeError):
        to_plain(object())
    for wrong in ({"is": "os"}, {"is": "Int"}, {"is": "Int", "x": 1}, {"bits": 3}):
        with pytest.raises(PlainError):
            from_plain(wrong)  # type: ignore[arg-type]
    with pytest.raises(PlainError):
        from_plain(1.5)  # type: ignore[arg-type]


def test_facts_are_kept_in_files_and_added_to(tmp_path: Path) -> None:
    directory = f"{tmp_path}/facts"
    recording = RecordingKernel(fake(), check=no_check)
    answers = ask(recording)
    snapshot.save(recording, directory)
    assert shown(ask(snapshot.load(directory))) == shown(answers)
    further = RecordingKernel(fake(), check=no_check)
    further.supports("kprobe")
    snapshot.save(further, directory)
    both = snapshot.load(directory)
    assert not both.supports("kprobe")
    assert shown(ask(both)) == shown(answers)
    before = {p.name: p.read_bytes() for p in Path(directory).iterdir()}
    snapshot.save(both, directory)
    assert {p.name: p.read_bytes() for p in Path(directory).iterdir()} == before


def test_files_that_are_no_facts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(snapshot.SnapshotError):
        snapshot.load(str(tmp_path))
    for text in ("", "{", "[1]", '[{"ask": 1, "answer": 2}]', '[{"ask": [{"is": "x"}]}]'):
        (tmp_path / "struct.json").write_text(text)
        with pytest.raises(snapshot.SnapshotError):
            snapshot.load(str(tmp_path))


def test_every_question_has_a_file() -> None:
    methods = {name for name in vars(ReplayKernel) if name[0] != "_"} - {"facts"}
    assert set(snapshot.METHODS) == methods


def test_masks_hide_features_types_and_tracefs() -> None:
    masked = MaskedKernel(fake(), parse_mask("ringbuf, tracefs,type:state,functions"))
    assert not masked.supports("ringbuf")
    assert masked.enum("state") is None
    assert masked.struct("struct", "task_struct") is TASK
    assert isinstance(masked.functions("*"), Unknown)
    assert isinstance(masked.tracepoints("*", "*"), Unknown)
    assert masked.tracepoint("syscalls", "sys_enter_openat") is None
    assert masked.binary("/bin/bash") is BASH
    assert masked.resolve_target("bash", None) == ("/bin/bash",)
    assert masked.typedef("pid_t") == I32
    assert not masked.typeless_memory()


def test_without_btf_there_are_no_types() -> None:
    masked = MaskedKernel(fake(), parse_mask("btf"))
    assert masked.typeless_memory()
    assert masked.struct("struct", "task_struct") is None
    assert masked.enum_constant("DEAD") is None
    assert masked.typedef("pid_t") is None
    assert masked.function("vfs_read") is None
    assert masked.raw_tracepoint("sched_switch") is None
    assert isinstance(masked.raw_tracepoints("*"), Unknown)
    assert masked.tracepoint("syscalls", "sys_enter_openat") is OPEN
    assert masked.identity() == fake().identity()


def test_a_closed_tracefs_is_made_up_for_by_types() -> None:
    raw = StructDef(
        kind="struct",
        name="trace_event_raw_sched_process_exec",
        size=20,
        fields=(
            Field(name="ent", type=Struct(kind="struct", name="trace_entry", bytes=8), offset=0),
            Field(name="__data_loc_filename", type=I32, offset=8),
            Field(name="pid", type=I32, offset=12),
            Field(name="__data", type=Str(length=0), offset=16),
        ),
    )
    enter = StructDef(kind="struct", name="syscall_trace_enter", size=16, fields=())
    masked = MaskedKernel(FakeKernel(structs=[raw, enter]), parse_mask("tracefs"))
    found = masked.tracepoint("sched", "sched_process_exec")
    assert found is not None
    assert [(f.name, f.offset, f.data_loc) for f in found.fields] == [
        ("filename", 8, True),
        ("pid", 12, False),
    ]
    assert found.size == 16
    system_call = masked.tracepoint("syscalls", "sys_exit_read")
    assert system_call is not None
    assert [(f.name, f.offset) for f in system_call.fields] == [("__syscall_nr", 8), ("ret", 16)]
    assert masked.tracepoint("syscalls", "sys_enter_read") is not None
    assert masked.tracepoint("sched", "none") is None


def test_unknown_names_in_a_mask_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean ringbuf"):
        parse_mask("ringbuff")
    assert parse_mask("") == frozenset()
