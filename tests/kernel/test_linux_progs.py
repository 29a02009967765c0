"""Loading and test-running progs on the running kernel."""

from __future__ import annotations

import errno
import struct

import pytest

from pytrace.base.errors import LoadError, VerifierError
from pytrace.linux import btf, progs
from pytrace.linux import uapi as u
from pytrace.linux.syscall import Syscalls
from tests.kernel.asm import (
    R0,
    R1,
    R2,
    alu,
    assemble,
    exit_,
    jump_if,
    load,
    mov,
    return_,
    store,
)

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def sys() -> Syscalls:
    return Syscalls()


READS_R2 = assemble(load(8, R0, R2, 0), exit_())
RETURNS_ARGUMENT = assemble(load(8, R0, R1, 0), exit_())


def test_a_raw_tracepoint_prog_runs_on_demand_with_arguments(sys: Syscalls) -> None:
    with progs.load(
        sys, "arg0", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=RETURNS_ARGUMENT
    ) as prog:
        assert prog.test_run(context=struct.pack("=Q", 4711)).retval == 4711
        assert prog.test_run(context=struct.pack("=Q", 4712), cpu=0).retval == 4712


def test_too_few_arguments_for_a_test_run_are_an_error(sys: Syscalls) -> None:
    with (
        progs.load(
            sys, "arg0", prog_type=u.BPF_PROG_TYPE_RAW_TRACEPOINT, insns=RETURNS_ARGUMENT
        ) as prog,
        pytest.raises(OSError, match="run prog arg0"),
    ):
        prog.test_run()


def test_an_xdp_prog_runs_repeatedly_on_data(sys: Syscalls) -> None:
    with progs.load(sys, "xdp", prog_type=u.BPF_PROG_TYPE_XDP, insns=return_(2)) as prog:
        run = prog.test_run(data=bytes(range(64)), data_out_size=256, repeat=100)
    assert run.retval == 2
    assert run.data == bytes(range(64))
    assert run.duration_ns < 1_000_000


def test_a_syscall_prog_changes_its_context(sys: Syscalls) -> None:
    code = assemble(load(8, R2, R1, 0), alu(R2, "+", 5), store(8, R1, 0, R2), return_(0))
    with progs.load(
        sys, "ctx", prog_type=u.BPF_PROG_TYPE_SYSCALL, insns=code, flags=u.BPF_F_SLEEPABLE
    ) as prog:
        assert prog.test_run(context=struct.pack("=Q", 37)).context == struct.pack("=Q", 42)


def test_a_refused_prog_gives_the_verifiers_log(sys: Syscalls) -> None:
    with pytest.raises(VerifierError) as caught:
        progs.load(sys, "bad", prog_type=u.BPF_PROG_TYPE_TRACEPOINT, insns=READS_R2)
    error = caught.value
    assert (error.prog, error.errno) == ("bad", errno.EACCES)
    assert error.summary == "R2 !read_ok"
    assert "processed 1 insns" in error.log
    assert "cannot load prog bad: R2 !read_ok" in str(error)


def long_program(steps: int) -> bytes:
    """Every step is verified on its own line of a log of level 2; the last one is refused."""
    parts: list[bytes] = [mov(R0, 0)]
    for number in range(steps):
        parts.append(alu(R0, "+", number))
    return assemble(*parts, load(8, R0, R2, 0), exit_())


def test_the_log_grows_until_it_fits(sys: Syscalls) -> None:
    with pytest.raises(VerifierError) as caught:
        progs.load(
            sys,
            "long",
            prog_type=u.BPF_PROG_TYPE_TRACEPOINT,
            insns=long_program(9000),
            log_level=2,
        )
    log = caught.value.log
    assert len(log) > 256 << 10
    assert "\n9000: " in log
    assert log.startswith(("func#0", "0: "))
    assert caught.value.summary == "R2 !read_ok"


def test_a_log_that_never_fits_still_names_the_refusal(sys: Syscalls) -> None:
    with pytest.raises(VerifierError) as caught:
        progs.load(
            sys,
            "long",
            prog_type=u.BPF_PROG_TYPE_TRACEPOINT,
            insns=long_program(9000),
            log_level=2,
            max_log_size=4096,
        )
    assert 0 < len(caught.value.log) < 4096


def test_a_log_of_a_success_is_kept_when_asked_for(sys: Syscalls) -> None:
    with progs.load(
        sys, "fine", prog_type=u.BPF_PROG_TYPE_TRACEPOINT, insns=return_(0), log_level=1
    ) as prog:
        assert "processed 2 insns" in prog.log
    with progs.load(sys, "fine", prog_type=u.BPF_PROG_TYPE_TRACEPOINT, insns=return_(0)) as quiet:
        assert quiet.log == ""


def test_a_prog_type_the_kernel_does_not_know_is_a_load_error(sys: Syscalls) -> None:
    with pytest.raises(LoadError, match="cannot load prog odd") as caught:
        progs.load(sys, "odd", prog_type=9999, insns=return_(0))
    assert not isinstance(caught.value, VerifierError)
    assert caught.value.errno == errno.EINVAL


def test_information_about_a_prog(sys: Syscalls) -> None:
    code = assemble(mov(R0, 1), jump_if(R0, "==", 0, "end"), alu(R0, "+", 1), "end", exit_())
    with progs.load(
        sys, "@name-too-long-for-it", prog_type=u.BPF_PROG_TYPE_TRACEPOINT, insns=code
    ) as prog:
        info = prog.info()
        assert info.name == "name_too_long_f"
        assert info.type == u.BPF_PROG_TYPE_TRACEPOINT
        assert info.xlated_size == len(prog.xlated_insns())
        assert info.verified_insns >= 4
        assert info.load_time_ns > 0


def minimal_btf(bits: int) -> bytes:
    """BTF with one type: int of 4 bytes, signed, of so many bits."""
    types = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | bits)
    strings = b"\0int\0"
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    return header + types + strings


def test_btf_loads_and_says_its_size(sys: Syscalls) -> None:
    data = minimal_btf(32)
    with btf.load(sys, data) as loaded:
        info = loaded.info()
        assert (info.size, info.kernel) == (len(data), False)


def test_refused_btf_gives_the_kernels_complaint(sys: Syscalls) -> None:
    with pytest.raises(LoadError, match="cannot load BTF: .*bits"):
        btf.load(sys, minimal_btf(200))
