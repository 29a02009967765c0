"""The runner, with shell scripts in the place of a tracer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import procs, runner
from .data import Case, Data
from .test_expect import NOTICE, case


def config_with(tmp_path: Path, script: str) -> runner.Config:
    """A tracer that is this shell script, and an empty directory to run in."""
    tracer = tmp_path / "bin" / "pytrace"
    tracer.parent.mkdir()
    tracer.write_text("#!/bin/bash\n" + script)
    tracer.chmod(0o755)
    directory = tmp_path / "programs" / "directory"
    directory.mkdir(parents=True)
    data = Data((), {})
    return runner.Config(str(tracer), "pytrace", str(directory), os.environ["PATH"], data)


def run(tmp_path: Path, a_case: Case, script: str) -> runner.Result:
    return runner.run_case(a_case, config_with(tmp_path, script))


def test_the_program_is_one_argument(tmp_path: Path) -> None:
    a_case = case(("text", "[-q][-e][begin { @ = 1; }]"), program="begin { @ = 1; }")
    result = run(tmp_path, a_case._replace(flags=("-q",)), 'printf "[%s]" "$@"; echo')
    assert (result.status, result.returncode) == ("pass", 0)


def test_after_runs_once_attached_and_its_output_is_not_looked_at(tmp_path: Path) -> None:
    script = f'printf "before\\n{NOTICE}"; until [ -e "$1" ]; do sleep 0.01; done; echo done'
    a_case = case(("text", "done"), ("text_none", "noise"), program="", timeout=10.0)
    a_case = a_case._replace(command="{{pytrace}} {{tmp}}/x", after="echo noise; touch {{tmp}}/x")
    assert run(tmp_path, a_case, script).status == "pass"


def test_without_a_notice_the_line_about_probes_counts(tmp_path: Path) -> None:
    script = 'echo Attached 2 probes; until [ -e "$1" ]; do sleep 0.01; done; echo done'
    a_case = case(("text", "done"), program="", timeout=10.0)
    a_case = a_case._replace(command="{{pytrace}} {{tmp}}/x", after="touch {{tmp}}/x")
    assert run(tmp_path, a_case, script).status == "pass"


@pytest.mark.parametrize(
    ("status", "will_fail", "return_code", "passes"),
    [(0, False, 0, True), (1, False, 0, False), (3, False, 3, True), (1, True, 0, True),
     (0, True, 0, False)],
)  # fmt: skip
def test_exit_status(
    tmp_path: Path, status: int, will_fail: bool, return_code: int, passes: bool
) -> None:
    a_case = case(("text", "x"), will_fail=will_fail, return_code=return_code)
    result = run(tmp_path, a_case, f"echo x; exit {status}")
    assert (result.status == "pass") is passes
    assert result.returncode == status


def test_when_time_runs_out_the_expectations_still_count(tmp_path: Path) -> None:
    loop = "while :; do sleep 0.01; done"
    script = f'trap "echo term; exit 5" TERM; echo on; printf "{NOTICE}"; {loop}'
    a_case = case(("text", "on"), ("text", "term"), timeout=0.2)
    result = run(tmp_path, a_case, script)
    assert (result.status, result.returncode) == ("pass", None)


def test_a_tracer_that_ignores_sigterm_and_its_children_are_killed(tmp_path: Path) -> None:
    script = f'trap "" TERM; sleep 600 & echo "pid $!"; printf "{NOTICE}"; wait'
    result = run(tmp_path, case(("text", "never"), timeout=0.1), script)
    assert result.status == "fail"
    assert result.reason == "timed out; text: never"
    child = int(result.output.split()[1])
    assert not alive(child)


def test_what_a_tracer_leaves_in_the_background_is_killed(tmp_path: Path) -> None:
    result = run(tmp_path, case(("text", "x")), 'sleep 600 >/dev/null 2>&1 & echo "pid $!"; echo x')
    assert result.status == "pass"
    assert not alive(int(result.output.split()[1]))


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_before_is_waited_for_by_the_name_of_its_last_word(tmp_path: Path) -> None:
    config = config_with(tmp_path, 'echo "$1 is $(cat /proc/$1/comm)"')
    directory = Path(config.directory)
    (directory / "idle").symlink_to("/bin/sleep")
    (directory / "wrapper").write_text("#!/bin/sh\nsleep 0.2\nexec ./idle 600\n")
    (directory / "wrapper").chmod(0o755)
    a_case = case(("regex", r"^\d+ is idle$"), program="", before=("./wrapper idle",))
    a_case = a_case._replace(command="{{pytrace}} {{before_pid}}")
    assert runner.run_case(a_case, config).status == "pass"


def test_the_runner_looks_up_names_among_its_own_processes(tmp_path: Path) -> None:
    script = f'printf "{NOTICE}"; until [ -s "$1" ]; do :; done; echo "$$ $(cat $1)"'
    a_case = case(("regex", r"^(\d+) \1$"), program="", timeout=10.0)
    after = "echo $(pidof bpftrace) > {{tmp}}/y; mv {{tmp}}/y {{tmp}}/x"
    a_case = a_case._replace(command="exec {{pytrace}} {{tmp}}/x", after=after)
    assert run(tmp_path, a_case, script).status == "pass"


def test_the_environment_is_path_and_what_the_case_says(tmp_path: Path) -> None:
    a_case = case(("text", "x"), env={"BPFTRACE_MAX_STRLEN": "5", "TZ": "UTC"})
    output = run(tmp_path, a_case, "env; echo x").output
    names = {line.split("=")[0] for line in output.splitlines() if "=" in line}
    names -= {"PWD", "SHLVL", "_"}  # bash's own
    notices = {name for name in names if name.endswith("NOTIFY_PROBES_ATTACHED")}
    assert len(notices) == 2
    assert names - notices == {"PATH", "BPFTRACE_MAX_STRLEN", "PYTRACE_MAX_STRLEN", "TZ"}


def test_set_up_and_clean_up_run_to_completion(tmp_path: Path) -> None:
    note = tmp_path / "note"
    a_case = case(
        ("text", "up"), program="", command=f"cat {note}", setup=f"echo up > {note}",
        cleanup=f"echo down > {note}",
    )  # fmt: skip
    assert run(tmp_path, a_case, "").status == "pass"
    assert note.read_text() == "down\n"


def test_missing_requirements_skip(tmp_path: Path) -> None:
    config = config_with(tmp_path, "echo x")
    a_case = case(("text", "x"))
    for changes, reason in (
        ({"requires": ("false",)}, "requires: false"),
        ({"requires_feature": ("telepathy",)}, "unknown feature telepathy"),
        ({"min_kernel": "99.0"}, "needs kernel 99.0"),
        ({"max_kernel": "2.6"}, "needs a kernel up to 2.6"),
        ({"arch": ("pdp11",)}, "needs pdp11"),
        ({"testprogs": ("absent",)}, "testprogs/absent could not be built here"),
    ):
        result = runner.run_case(a_case._replace(**changes), config)
        assert (result.status, result.reason) == ("skip", reason)
    met = a_case._replace(requires=("true",), min_kernel="3.0", arch=("le", "be"))
    assert runner.run_case(met, config).status == "pass"


def test_a_command_whose_shell_does_the_work_is_vacuous(tmp_path: Path) -> None:
    config = config_with(tmp_path, "echo x")
    shell = case(("text", "0"), program="", command="{{pytrace}} | grep -c nothing || true")
    assert runner.run_case(shell, config).status == "pass"
    assert runner.is_vacuous(shell, config)
    assert not runner.is_vacuous(case(("text", "x"), program="", command="{{pytrace}}"), config)


@pytest.mark.needs("root")
def test_a_pid_name_space_of_its_own(tmp_path: Path) -> None:
    a_case = case(("regex", r"^pid \d{1,2} sees \d{1,2}$"), new_pid_namespace=True)
    result = run(tmp_path, a_case, 'set -- /proc/[0-9]*; echo "pid $$ sees $#"')
    assert result.status == "pass", result.output


def test_a_process_that_never_appears_is_an_error(tmp_path: Path) -> None:
    session = procs.Session(["true"], directory=str(tmp_path), env={})
    try:
        with pytest.raises(procs.ProcessError, match="no process called other"):
            session.wait_for_comm("other", 0.05)
    finally:
        session.kill()
