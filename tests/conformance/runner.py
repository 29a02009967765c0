"""Runs one case: set-up, programs before, the tracer, programs after, verdict, clean-up."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from . import build, expect, features, procs
from .data import Case, Data

EXECUTABLE_VARIABLE = "PYTRACE_EXE"
SCALE = float(os.environ.get("PYTRACE_TIME_SCALE", "") or 1)
"""How much slower than outside everything is here: all times to wait are longer by it."""
ATTACH_SECONDS = 10.0 * SCALE
START_SECONDS = 10.0 * SCALE
TERM_SECONDS = 1.0 * SCALE
SETTLE_SECONDS = 0.5 * SCALE
"""How long after "Attached N probes" the probes count as attached, without a notice."""

# Cases that look at, or change, what the whole system shares: they run alone.
ALONE = re.compile(
    r"bpftool|usdt:\*:|/sys/kernel/|\bnft |ip netns|ip link|fentry:bpf|sys_enter_execve|iter:"
)
ATTACHED = re.compile(rb"^Attached \d+ probes?$", re.MULTILINE)
NOTICE = re.compile(
    rb"^(?:" + b"|".join(notice.encode() for notice in expect.NOTICES) + rb")\n", re.MULTILINE
)
PIDOF = re.compile(r"\$\(pidof (\w+)\)")


class Config(NamedTuple):
    """What all cases of a run share: the tracer, its comm, and the directory to run in."""

    executable: str
    comm: str
    directory: str
    path: str
    data: Data


class Result(NamedTuple):
    """A case's outcome: ``status`` is pass, fail, skip or vacuous, ``reason`` why not pass.
    ``returncode`` is None when nothing ran or the time ran out; ``seconds`` is all of it."""

    id: str
    suite: str
    status: str
    reason: str
    output: str = ""
    returncode: int | None = None
    seconds: float = 0.0


class Run(NamedTuple):
    """What the tracer did: its output, the part after the attachment, and its exit status, None
    when it had to be stopped."""

    output: str
    after: str
    returncode: int | None


def configuration(data: Data, executable: str = "", comm: str = "") -> Config:
    """The configuration for an executable (default: $PYTRACE_EXE, else the pytrace of this
    Python's environment). Builds the traced programs: raises build.BuildError."""
    name = executable or os.environ.get(EXECUTABLE_VARIABLE, "")
    if not name:
        name = os.path.join(os.path.dirname(sys.executable), "pytrace")
    path = os.environ.get("PATH", "") or os.defpath
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(f"there is no tracer {name}")
    if not comm:
        comm = "pytrace" if os.path.basename(found).startswith("pytrace") else "bpftrace"
    directory = build.working_directory(data.files)
    return Config(os.path.abspath(found), comm, str(directory), path, data)


def run_case(case: Case, config: Config) -> Result:
    """Run one case. Never raises for what the tracer does; OSError when the machine fails."""
    reason = features.skip_reason(case, config.path, config.directory)
    names = tuple(f"testprogs/{name}" for name in case.testprogs)
    names += tuple(f"testlibs/{name}" for name in case.testlibs)
    missing = build.missing(Path(config.directory), names)
    if missing:
        reason = f"{missing} could not be built here"
    if reason:
        return Result(case.id, case.suite, "skip", reason)
    with _turn(config, alone=ALONE.search(_all_text(case)) is not None):
        began = time.monotonic()
        try:
            run, reason = _run(case, config)
        except procs.ProcessError as error:
            return Result(case.id, case.suite, "fail", str(error))
        seconds = time.monotonic() - began
    status = "fail" if reason else "pass"
    return Result(case.id, case.suite, status, reason, run.output, run.returncode, seconds)


def verdict(case: Case, config: Config, run: Run) -> str:
    """Why a run does not pass, or ''."""
    files = {
        name: text.replace("bpftrace", config.comm) for name, text in config.data.files.items()
    }
    reason = expect.unmet(case, files, run.output, run.after)
    if run.returncode is None:
        return f"timed out; {reason}" if reason else ""
    if case.will_fail and run.returncode == 0:
        return "exit status 0, but it had to fail"
    if not case.will_fail and run.returncode != case.return_code:
        return f"exit status {run.returncode}" + (f"; {reason}" if reason else "")
    return reason


def is_vacuous(case: Case, config: Config) -> bool:
    """Whether a program that does nothing but to say that it attached would pass a case too.
    Runs the command with such a program where the shell adds something of its own."""
    if expect.holds_for_nothing(case, config.data.files):
        return True
    if not case.command:
        return False
    with tempfile.TemporaryDirectory(prefix="pytrace-stub-") as directory:
        stub = Path(directory) / config.comm
        stub.write_text(f"#!/bin/sh\necho {expect.NOTICES[0]}\n", encoding="ascii")
        stub.chmod(0o755)
        return run_case(case, config._replace(executable=str(stub))).status == "pass"


def _run(case: Case, config: Config) -> tuple[Run, str]:
    with ExitStack() as stack:
        base = tempfile.mkdtemp(prefix="pytrace-case-")
        stack.callback(shutil.rmtree, base)
        tmp, work = os.path.join(base, "tmp"), os.path.join(base, "work")
        os.mkdir(tmp)
        # Probes sit on files: with copies, no case is hit by the programs of another.
        shutil.copytree(config.directory, work, symlinks=True)
        config = config._replace(directory=work)
        if case.cleanup:
            stack.callback(_run_to_completion, case.cleanup, config, tmp)
        if case.setup:
            _run_to_completion(case.setup, config, tmp)
        placed = _substituted(_with_comm(case, config.comm), {"tmp": tmp})
        run = _Runner(placed, config, tmp, stack).run()
        return run, verdict(placed, config, run)


class _Runner:
    """The sessions of one case, and how they start one another."""

    def __init__(self, case: Case, config: Config, tmp: str, stack: ExitStack) -> None:
        self.case = case
        self.config = config
        self.helper_env = {"PATH": config.path, "TMPDIR": tmp}
        self.stack = stack
        self.sessions: list[procs.Session] = []
        self.prefix: list[str] = []

    def run(self) -> Run:
        if self.case.new_pid_namespace:
            self.prefix = self._enter_namespace()
        self._start_before()
        command = self._tracer_command()
        tracer = self._start(command, self._tracer_env(), captured=True)
        output = procs.Output(tracer)
        self.stack.callback(output.close)
        return self._follow(tracer, output)

    def _follow(self, tracer: procs.Session, output: procs.Output) -> Run:
        deadline = time.monotonic() + ATTACH_SECONDS
        attachment = _Attachment(output)
        output.read_until(lambda: attachment.seen(), deadline)
        if attachment.position is not None:
            deadline = time.monotonic() + self.case.timeout * SCALE
            if self.case.after:
                self._start(_bash(self._with_pids(self.case.after)), self.helper_env)
        timed_out = not output.read_until(lambda: False, deadline)
        if timed_out:
            tracer.signal(signal.SIGTERM)
            output.read_until(lambda: False, time.monotonic() + TERM_SECONDS)
            tracer.signal(signal.SIGKILL)
        output.drain()
        returncode = None if timed_out else tracer.process.wait()
        data = bytes(output.data)
        after = data[attachment.position or 0 :]
        return Run(_text(data), _text(after), returncode)

    def _start(
        self, command: list[str], env: dict[str, str], *, captured: bool = False
    ) -> procs.Session:
        session = procs.Session(
            self.prefix + command, directory=self.config.directory, env=env, captured=captured
        )
        self.stack.callback(session.kill)
        self.sessions.append(session)
        return session

    def _enter_namespace(self) -> list[str]:
        """Make a pid name space that lives as long as the case; gives the command prefix that
        runs something in it."""
        options = ["--pid", "--fork", "--kill-child", "--mount-proc"]
        holder = self._start(["unshare", *options, "sleep", "infinity"], self.helper_env)
        init = holder.wait_for_comm("sleep", START_SECONDS)
        return ["nsenter", f"--target={init}", "--pid", "--mount", f"--wd={self.config.directory}"]

    def _start_before(self) -> None:
        """Start the programs that run all along, and replace {{before_pid}}."""
        first = ""
        for command in self.case.before:
            session = self._start(_bash("exec " + command), self.helper_env)
            comm = os.path.basename(shlex.split(command)[-1])[:15]
            found = session.wait_for_comm(comm, START_SECONDS)
            if not first:
                first = str(procs.namespace_pid(found) if self.prefix else session.pid)
        self.case = _substituted(self.case, {"before_pid": first})

    def _tracer_command(self) -> list[str]:
        if self.case.program:
            return [self.config.executable, *self.case.flags, "-e", self.case.program]
        quoted = shlex.quote(self.config.executable)
        return _bash(self._with_pids(self.case.command.replace("{{pytrace}}", quoted)))

    def _tracer_env(self) -> dict[str, str]:
        env = {"PATH": self.config.path}
        env.update(dict.fromkeys(expect.NOTICES, "1"))
        for name, value in self.case.env.items():
            env[name] = value
            if name.startswith("BPFTRACE_"):
                env["PYTRACE_" + name.removeprefix("BPFTRACE_")] = value
        return env

    def _with_pids(self, command: str) -> str:
        """A command with its ``$(pidof NAME)`` looked up among this case's own processes: on a
        shared machine the name may be somebody else's too."""

        def pids(match: re.Match[str]) -> str:
            name = self.config.comm if match[1] == "bpftrace" else match[1]
            members = {pid: comm for each in self.sessions for pid, comm in each.members().items()}
            return " ".join(str(pid) for pid, comm in members.items() if comm == name[:15])

        return PIDOF.sub(pids, command)


class _Attachment:
    """Finds, in an output that grows, the place where every probe was attached."""

    def __init__(self, output: procs.Output) -> None:
        self.output = output
        self.position: int | None = None
        self._line_seen_at: float | None = None

    def seen(self) -> bool:
        data = self.output.data
        notice = NOTICE.search(data)
        if notice:
            self.position = notice.end()
            return True
        line = ATTACHED.search(data)
        if not line:
            return False
        if self._line_seen_at is None:
            self._line_seen_at = time.monotonic()
        if time.monotonic() - self._line_seen_at < SETTLE_SECONDS:
            return False
        self.position = line.end()
        return True


def _bash(command: str) -> list[str]:
    return ["/bin/bash", "-c", command]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _all_text(case: Case) -> str:
    return " ".join((case.program, case.command, case.after, case.setup, *case.before))


def _with_comm(case: Case, comm: str) -> Case:
    """A case for a tracer whose comm is not pytrace."""
    if comm == "pytrace":
        return case

    def renamed(text: str) -> str:
        return re.sub(r"(?<!\{)\bpytrace\b", comm, text)

    expectations = tuple(
        each._replace(text=renamed(each.text)) if each.mode not in ("file", "json") else each
        for each in case.expect
    )
    return case._replace(
        program=renamed(case.program), command=renamed(case.command), expect=expectations
    )


def _substituted(case: Case, values: dict[str, str]) -> Case:
    """A case with some {{name}} replaced in its programs and expectations."""

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace("{{" + name + "}}", value)
        return text

    return case._replace(
        program=fill(case.program),
        command=fill(case.command),
        flags=tuple(map(fill, case.flags)),
        before=tuple(map(fill, case.before)),
        after=fill(case.after),
        expect=tuple(each._replace(text=fill(each.text)) for each in case.expect),
    )


def _run_to_completion(command: str, config: Config, tmp: str) -> None:
    """A set-up or clean-up command. Its status is not looked at, as the case's verdict is."""
    session = procs.Session(
        _bash(command), directory=config.directory, env={"PATH": config.path, "TMPDIR": tmp}
    )
    try:
        session.process.wait(timeout=START_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise procs.ProcessError(f"not done after {START_SECONDS:g} s: {command}") from error
    finally:
        session.kill()


@contextmanager
def _turn(config: Config, *, alone: bool) -> Iterator[None]:
    """Hold a turn: with others, or alone, among all runs that share the programs' directory.

    A first lock queues the requests, so that those that want to be alone are not starved.
    """
    base = Path(config.directory).parent
    with (
        open(base / "queue.lock", "a", encoding="ascii") as queue,
        open(base / "turn.lock", "a", encoding="ascii") as turn,
    ):
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
