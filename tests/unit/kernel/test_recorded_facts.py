"""The recorded kernel that golden tests compile against."""

from __future__ import annotations

import pytest

from pytrace.base.types import I32, U8, U64, Field, Ptr
from pytrace.kernel import snapshot
from pytrace.kernel.record import ReplayKernel, UnrecordedFact
from tests.golden.record_kernel import DIRECTORY, ask


@pytest.fixture(scope="module")
def kernel() -> ReplayKernel:
    return snapshot.load(str(DIRECTORY))


def test_it_answers_all_that_its_recorder_asks(kernel: ReplayKernel) -> None:
    ask(kernel)


def test_it_knows_a_system_calls_arguments(kernel: ReplayKernel) -> None:
    layout = kernel.tracepoint("syscalls", "sys_enter_openat")
    assert layout is not None
    assert layout.fields == (
        Field(name="__syscall_nr", type=I32, offset=8),
        Field(name="dfd", type=U64, offset=16),
        Field(name="filename", type=Ptr(to=U8, space="user"), offset=24),
        Field(name="flags", type=U64, offset=32),
        Field(name="mode", type=U64, offset=40),
    )


def test_it_knows_what_is_not_there(kernel: ReplayKernel) -> None:
    assert kernel.struct("struct", "no_such_struct") is None
    assert kernel.tracepoints("sched", "sched_swich") == ()
    assert kernel.resolve_target("/no/such/file", None) == ()
    with pytest.raises(UnrecordedFact):
        kernel.struct("struct", "never_asked_for")


def test_it_is_of_no_particular_build(kernel: ReplayKernel) -> None:
    who = kernel.identity()
    assert who.build_id == ""
    assert all(part.isdecimal() for part in who.release.split("."))
