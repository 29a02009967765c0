"""A compiled program as target: addresses of its symbols, signals to it, its memory written."""

from __future__ import annotations

import subprocess

import pytest

from pytrace.linux.features import Features
from pytrace.linux.syscall import Syscalls
from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root", "gcc")

SOURCE = """
#include <signal.h>
#include <stdio.h>
int number = 0x55555555;
signed char small = -3;
short middle = 7;
long long large = 0x1122334455667788;
int many[5] = {1, 2};
static volatile int got;
static void note(int signal) { got = signal; }
__attribute__((noinline)) int probed(int *at) { __asm__ volatile(""); return *at; }
int main(void) {
  signal(SIGUSR1, note);
  signal(SIGUSR2, note);
  int result = probed(&number);
  printf("got %d, number %x, result %x\\n", got, number, result);
  fflush(stdout);
  return 0;
}
"""


@pytest.fixture(scope="module", params=["-pie", "-no-pie"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("target")
    source, target = directory / "target.c", directory / "target"
    source.write_text(SOURCE)
    command = ["gcc", "-O0", request.param, "-fPIC", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return str(target)


def traced(program: str, script: str, *words: str) -> str:
    done = run("-q", "--unsafe", *words, "-c", program, "-e", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_addresses_follow_the_program_to_where_it_is_loaded(program: str) -> None:
    script = (
        f"uprobe:{program}:probed {{"
        ' print((*uaddr("number"), *uaddr("small"), *uaddr("middle"), *uaddr("large"),'
        ' *uaddr("many")));'
        ' print(uaddr("number") == arg0); }'
    )
    lines = traced(program, script).splitlines()
    assert "(1431655765, 253, 7, 1234605616436508552, 8589934593)" in lines
    assert "true" in lines


def test_addresses_in_the_middle_of_a_function_and_at_its_return(program: str) -> None:
    script = (
        f'uprobe:{program}:probed+4 {{ print(*uaddr("middle")); }}'
        f' uretprobe:{program}:probed {{ print(*uaddr("number")); }}'
    )
    lines = traced(program, script).splitlines()
    assert "7" in lines
    assert "1431655765" in lines


def test_a_symbol_that_is_not_there(program: str) -> None:
    done = run("-e", f'uprobe:{program}:probed {{ print(uaddr("nosuch")); }}')
    assert done.returncode == 1
    assert f"ERROR: Could not resolve symbol: {program}:nosuch" in done.stderr


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ('signal("USR1")', 10),
        ('signal("SIGUSR2")', 12),
        ('signal("usr2")', 12),
        ("signal(10)", 10),
        ("$n = (uint64)12; signal($n)", 12),
    ],
)
def test_signals(program: str, call: str, number: int) -> None:
    assert f"got {number}," in traced(program, f"uprobe:{program}:probed {{ {call}; }}")


def test_signals_to_a_thread(program: str) -> None:
    if not Features(Syscalls()).supports("signal_thread"):
        pytest.skip("needs signal_thread: the kernel has no such helper")
    script = f'uprobe:{program}:probed {{ signal_thread("USR1"); }}'
    assert "got 10," in traced(program, script)


def test_a_killed_program_ends_the_run(program: str) -> None:
    assert "got" not in traced(program, f'uprobe:{program}:probed {{ signal("KILL"); }}')


def test_a_signal_that_does_not_exist_is_told(program: str) -> None:
    script = f"uprobe:{program}:probed {{ $n = (uint64)99; signal($n); }}"
    done = run("-q", "--unsafe", "-c", program, "-e", script)
    assert "WARNING: Invalid argument\n" in done.stderr
    assert "Additional Info - helper: send_signal, retcode: -22\n" in done.stderr


def test_memory_of_the_process_is_written(program: str) -> None:
    script = (
        f"uprobe:{program}:probed {{ $v = (uint32)0x77; print(write_user(arg0, $v, 4));"
        " print(write_user((uint8 *)8, $v, 4)); }"
    )
    done = run("-q", "--unsafe", "-c", program, "-e", script)
    if "bpf_probe_write_user" in done.stderr:
        pytest.skip("needs probe_write_user: the kernel's policy refuses it")
    assert done.returncode == 0, done.stderr
    assert "number 77, result 77" in done.stdout
    assert {"true", "false"} <= set(done.stdout.splitlines())
