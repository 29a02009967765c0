"""The command on the running kernel: options, exit codes, ends, children, signals, rights."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("root")

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(ROOT / "bin" / "pytrace")
DEADLINE_S = 60

Done = subprocess.CompletedProcess[str]


def run(*words: str, **options: Any) -> Done:
    options = {"capture_output": True, "text": True, "timeout": DEADLINE_S, **options}
    return subprocess.run([COMMAND, *words], **options)


def start(*words: str, **options: Any) -> subprocess.Popen[str]:
    """The command running, its attach line already read from its stderr."""
    process = subprocess.Popen(
        [COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("Attached "), line + process.stderr.read()
    return process


def finish(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=DEADLINE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("begin { exit(); }", 0),
        ("begin { exit(3); }", 3),
        ("begin { exit(3); } end { exit(4); }", 4),
        ("begin { print(1); }", 0),
        ("begin { nosuch(); }", 1),
        ("begin { ", 1),
        ("nosuch:x { }", 1),
    ],
)
def test_exit_codes(script: str, code: int) -> None:
    done = run("-e", script)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_standard_input_and_arguments() -> None:
    done = run("-q", "-", "42", "x", input='begin { printf("%d %s %d\\n", $1, str($2), $#); }')
    assert (done.returncode, done.stdout, done.stderr) == (0, "42 x 2\n\n\n", "")


def test_a_script_that_is_a_command(tmp_path: Path) -> None:
    script = tmp_path / "x.bt"
    script.write_text("#!/usr/bin/env -S pytrace -q\nbegin { print($1); print(comm); }\n")
    script.chmod(0o755)
    env = {**os.environ, "PATH": f"{ROOT}/bin:{os.environ['PATH']}"}
    done = subprocess.run([script, "42"], capture_output=True, text=True, env=env, timeout=60)
    assert (done.returncode, done.stdout) == (0, "42\npytrace\n\n\n"), done.stderr


def test_a_space_in_the_path_of_the_command(tmp_path: Path) -> None:
    link = tmp_path / "my tools"
    link.symlink_to(ROOT)
    done = subprocess.run(
        [link / "bin" / "pytrace", "-q", "-e", "begin { print(5); }"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stdout) == (0, "5\n\n\n"), done.stderr


def test_messages_by_verbosity() -> None:
    script = "begin { } end { } interval:s:100 { }"
    process = start("-e", script)
    process.send_signal(signal.SIGINT)
    assert finish(process).stderr == ""
    verbose = run("-v", "-e", "begin { exit(); } end { } interval:s:100 { }").stderr.splitlines()
    assert verbose == [
        "Attaching 'begin' probe",
        "Trying to attach probe: interval:s:100",
        "Attached 3 probes",
        "Attaching 'end' probe",
    ]
    assert run("-q", "-e", "begin { exit(); }").stderr == ""


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("what was there before, longer than what comes")
    script = "begin { print(1); } interval:s:100 { }"
    done = run("-o", str(path), "-c", "echo hello", "-e", script)
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert path.read_text() == "1\n\n\n"


def test_a_dry_run_attaches_and_prints_nothing(tmp_path: Path) -> None:
    done = run(
        "--dry-run", "-c", f"touch {tmp_path}/x", "-e", "begin { print(1); } end { print(2); }"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "x").exists()


def test_the_probe_filter() -> None:
    script = "begin { print(1); } interval:ms:1 { exit(); } interval:s:100 { }"
    done = run("--probe-filter", "ms", "-e", script)
    assert (done.returncode, done.stderr) == (0, "Attached 2 probes\n")
    done = run("--probe-filter", "nosuch", "-e", script)
    assert (done.returncode, done.stdout) == (1, "No probes to attach\n")


def test_no_probes() -> None:
    done = run("-e", " ")
    assert (done.returncode, done.stdout) == (1, "No probes to attach\n")


# Ends


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_like_exit(number: signal.Signals) -> None:
    process = start("-e", "begin { @a = 5; } end { print(7); } interval:s:100 { }")
    process.send_signal(number)
    done = finish(process)
    assert (done.returncode, done.stdout) == (0, "7\n\n\n@a: 5\n")


def test_an_interrupt_while_compiling_ends_quietly(tmp_path: Path) -> None:
    fifo = tmp_path / "script"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [COMMAND, str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with open(fifo, "w"):  # The command has got as far as reading its script.
        process.send_signal(signal.SIGINT)
        done = finish(process)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_ignored_interrupt_stays_ignored() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = start("-e", "begin { } interval:s:100 { }", preexec_fn=ignore)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert finish(process).returncode == 0


def test_the_end_of_the_command_ends_the_run() -> None:
    for code in (0, 3):
        done = run("-c", f"sh -c exit${{IFS}}{code}", "-e", "end { print(1); } interval:s:100 { }")
        assert (done.returncode, done.stdout) == (0, "1\n\n\n"), done.stderr


def test_a_command_starts_after_attaching_and_is_known_to_the_script() -> None:
    script = "tracepoint:syscalls:sys_enter_execve /pid == cpid/ { @ = count(); } begin { }"
    done = run("-c", "true", "-e", script)
    assert (done.returncode, done.stdout) == (0, "\n\n@: 1\n"), done.stderr


def test_exit_ends_the_command() -> None:
    done = run("-c", "sleep 1000", "-e", 'interval:ms:1 { printf("%d\\n", cpid); exit(); }')
    assert done.returncode == 0
    pid = int(done.stdout.split()[0])
    deadline = time.monotonic() + DEADLINE_S
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)


def test_the_end_of_the_traced_process_ends_the_run() -> None:
    sleeper = subprocess.Popen(["sleep", "1000"])
    try:
        process = start("-p", str(sleeper.pid), "-e", "end { print(1); } interval:s:100 { }")
        sleeper.kill()
        sleeper.wait()
        done = finish(process)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert (done.returncode, done.stdout) == (0, "1\n\n\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("-c", "/no/such x"),
            "Failed to fork child: Path '/no/such' does not exist or is not executable "
            "(No such file or directory)",
        ),
        (
            ("-c", " "),
            "Failed to fork child: Path '' does not exist or is not executable "
            "(No such file or directory)",
        ),
        (("-p", "4194304"), "Failed to attach to pid: Unable to open pidfd (No such process)"),
        (("-p", "0"), "Failed to attach to pid: Unable to open pidfd (Invalid argument)"),
        (
            ("-o", "/no/such/file"),
            'Failed to open output file: "/no/such/file": No such file or directory',
        ),
    ],
)
def test_what_cannot_be_had(words: tuple[str, ...], text: str) -> None:
    done = run(*words, "-e", "begin { print(1); }")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ERROR: {text}\n")


def test_a_reader_that_goes_away_ends_the_run() -> None:
    process = start("-e", 'interval:ms:1 { printf("%s\\n", "x"); }')
    assert process.stdout is not None
    assert process.stdout.readline() == "x\n"
    process.stdout.close()
    process.wait(timeout=DEADLINE_S)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


# Compiling only


def test_compiling_without_running() -> None:
    done = run("--mode", "codegen", "-e", "begin { print(1); }")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("--mode", "codegen", "-e", "begin { print(nosuch); }")
    assert done.returncode == 1
    assert "stdin:1:15-21: ERROR: " in done.stderr


def test_stages_are_shown_and_the_script_still_runs() -> None:
    done = run("-q", "-d", "ir,dis", "-e", "begin { print(5); }")
    assert done.returncode == 0, done.stderr
    assert "prog begin" in done.stdout
    assert "\nDisassembled bytecode\n----------------------------\n" in done.stdout
    assert ": exit\n" in done.stdout
    assert done.stdout.endswith("\n5\n\n\n")


def test_listing_a_script(tmp_path: Path) -> None:
    script = tmp_path / "x.bt"
    script.write_text("tracepoint:syscalls:sys_enter_opena* { } interval:s:1 { } begin { }")
    done = run("-l", str(script))
    assert done.stdout.splitlines() == [
        "tracepoint:syscalls:sys_enter_openat",
        "tracepoint:syscalls:sys_enter_openat2",
        "interval:s:",
    ]


def test_listing_searches() -> None:
    assert run("-l", "sys_enter_openat").stdout == "tracepoint:syscalls:sys_enter_openat\n"
    assert run("-l", "*:sys_enter_openat").stdout == "tracepoint:syscalls:sys_enter_openat\n"
    assert run("-l", "t:sched:sched_switch,i:m*").stdout == (
        "tracepoint:sched:sched_switch\ninterval:ms:\n"
    )
    assert "    int dfd\n" in run("-lv", "t:syscalls:sys_enter_openat").stdout
    assert run("-l", "nosuch:*").stdout == ""
    done = run("-l", "nosuch.bt")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "WARNING: It appears that 'nosuch.bt' is a filename but the file does not exist. "
        "Treating 'nosuch.bt' as a search pattern.\n"
    )


def test_facts_of_the_machine() -> None:
    done = run("--info")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("System\n  OS: Linux ")
    assert "\nKernel features\n  Instruction limit: 1000000       btf: " in done.stdout


# Rights


@pytest.fixture
def reachable(tmp_path: Path) -> str:
    """A copy of the command that a user without rights can reach."""
    target = tmp_path / "copy"
    for name in ("bin", "pytrace", "codegen", "grammar", "stdlib"):
        shutil.copytree(ROOT / name, target / name, symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", target)
    for directory in (target, *target.parents):
        if directory.is_relative_to("/tmp/"):
            directory.chmod(directory.stat().st_mode | 0o055)
    return str(target / "bin" / "pytrace")


def test_without_rights_the_missing_one_is_named(reachable: str, tmp_path: Path) -> None:
    options: Any = {
        "capture_output": True,
        "text": True,
        "timeout": DEADLINE_S,
        "user": 65534,
        "group": 65534,
        "extra_groups": [],
        "cwd": "/",
        "env": {"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    }
    done = subprocess.run([reachable, "-e", "begin { print(1); }"], **options)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ERROR: Missing CAP_BPF capability, please run pytrace as the root user.\n"
    )
    for words in (["--help"], ["--version"], ["-l", "interval:*"]):
        done = subprocess.run([reachable, *words], **options)
        assert done.returncode == 0, done.stderr
        assert done.stdout
