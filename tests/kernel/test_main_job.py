"""The main job: one-liners on this kernel, counted against what a workload did exactly."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.kernel.tracer import COMMAND, ROOT, Tracer, Workload, environment, run

pytestmark = pytest.mark.needs("tracefs")

CALLS = 1234


@pytest.fixture
def work() -> object:
    with Workload() as workload:
        yield workload


class TestCounts:
    def test_a_tracepoint_counts_every_call(self, work: Workload) -> None:
        script = "tracepoint:syscalls:sys_enter_getppid /pid == $1/ < @[comm] = count(); >"
        with Tracer("-e", script, str(work.pid)) as tracer:
            work.do("os.getppid()", CALLS)
            output = tracer.stop()
        assert re.search(rf"^@\[python3?[\d.]*\]: {CALLS}$", output, re.MULTILINE), output

    def test_printf_delivers_every_record_in_order(self, work: Workload) -> None:
        script = (
            "tracepoint:syscalls:sys_enter_lseek /pid == $1/"
            ' { printf("%d %d\\n", pid, args.offset); }'
        )
        with Tracer("-q", "-e", script, str(work.pid)) as tracer:
            work.do("fd = os.open('/dev/null', 0)", 1)
            work.do("n = globals().get('n', 0) + 1; globals()['n'] = n; os.lseek(fd, n, 0)", CALLS)
            tracer.wait_for(f"{work.pid} {CALLS}")
            output = tracer.stop()
        assert output.split() == [
            word for n in range(1, CALLS + 1) for word in (str(work.pid), str(n))
        ]

    def test_enter_and_exit_pair_up(self, work: Workload) -> None:
        script = """
          tracepoint:syscalls:sys_enter_getppid /pid == $1/ { @start[tid] = nsecs; }
          tracepoint:syscalls:sys_exit_getppid /@start[tid]/ {
            @us[comm] = hist((nsecs - @start[tid]) / 1000); @n = count(); delete(@start, tid);
          }"""
        with Tracer("-q", "--no-warnings", "-e", script, str(work.pid)) as tracer:
            work.do("os.getppid()", CALLS)
            output = tracer.stop()
        rows = re.findall(r"^[\[(].*?[)\]] +(\d+) \|@* *\|$", output, re.MULTILINE)
        assert sum(int(n) for n in rows) == CALLS
        assert f"@n: {CALLS}\n" in output
        assert "@start" not in output

    @pytest.mark.needs("bash-readline")
    def test_bash_readline_by_uprobe_and_uretprobe(self) -> None:
        script = (
            "uprobe:/bin/bash:readline /pid == $1/ { @ = count(); }"
            ' uretprobe:/bin/bash:readline /pid == $1/ { printf("[%s]\\n", str(retval)); }'
        )
        bash = subprocess.Popen(
            ["/bin/bash", "--norc", "-i"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert bash.stdin is not None
        try:
            with Tracer("-q", "-e", script, str(bash.pid)) as tracer:
                for number in range(5):
                    bash.stdin.write(f": line {number}\n")
                    bash.stdin.flush()
                tracer.wait_for("[: line 4]")
                output = tracer.stop()
        finally:
            bash.stdin.close()
            bash.wait()
        lines = [line for line in output.splitlines() if line.startswith("[")]
        # The first readline was waiting before the probe was there, and is seen as it returns.
        assert lines[-4:] == [f"[: line {n}]" for n in range(1, 5)]

    def test_two_probes_share_a_map(self, work: Workload) -> None:
        script = (
            "tracepoint:syscalls:sys_enter_getppid, tracepoint:syscalls:sys_enter_getuid"
            " /pid == $1/ { @[probe] = count(); @all++; }"
        )
        with Tracer("-q", "-e", script, str(work.pid)) as tracer:
            work.do("os.getppid()", 10)
            work.do("os.getuid()", 20)
            output = tracer.stop()
        assert "@[tracepoint:syscalls:sys_enter_getppid]: 10\n" in output
        assert "@[tracepoint:syscalls:sys_enter_getuid]: 20\n" in output
        assert "@all: 30\n" in output


class TestEnds:
    """Every way to end a run: the records sent before, end probes, maps, the status."""

    SCRIPT = (
        'tracepoint:syscalls:sys_enter_getppid /pid == $1/ { @n = count(); printf("hit\\n"); }'
        ' END { printf("end\\n"); }'
    )

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals(self, work: Workload, number: int) -> None:
        with Tracer("-q", "-e", self.SCRIPT, str(work.pid)) as tracer:
            work.do("os.getppid()", 3)
            output = tracer.stop(number)
            assert tracer.process.returncode == 0
        assert output == "hit\nhit\nhit\nend\n\n\n@n: 3\n"

    def test_exit_with_a_code(self, work: Workload) -> None:
        script = self.SCRIPT.replace('printf("hit\\n");', 'printf("hit\\n"); exit(7);')
        with Tracer("-q", "-e", script, str(work.pid)) as tracer:
            work.do("os.getppid()", 3)
            output = tracer.finish()
            assert tracer.process.returncode == 7
        # The first call closes the gate: what comes after it neither counts nor prints.
        assert output == "hit\nend\n\n\n@n: 1\n"

    def test_the_end_of_a_child(self) -> None:
        script = (
            "tracepoint:syscalls:sys_enter_clock_nanosleep /pid == cpid/ { @n = count(); }"
            ' END { printf("end\\n"); }'
        )
        done = run("-q", "-e", script, "-c", "/bin/sleep 0.01")
        assert done.returncode == 0
        assert done.stdout == "end\n\n\n@n: 1\n"

    def test_the_end_of_the_process_that_p_names(self) -> None:
        sleeper = subprocess.Popen(["/bin/sleep", "1000"])
        try:
            with Tracer(
                "-q", "-p", str(sleeper.pid), "-e", "interval:s:100 { } END { @x = 1; }"
            ) as t:
                sleeper.kill()
                sleeper.wait()
                assert t.finish() == "\n\n@x: 1\n"
                assert t.process.returncode == 0
        finally:
            sleeper.kill()
            sleeper.wait()

    def test_begin_and_end_alone_end_by_themselves(self) -> None:
        script = (
            "BEGIN { @a = lhist(15, 0, 100, 10); @b = stats(3); @c = avg(4);"
            ' @d = (1, "x"); exit(); }'
        )
        done = run("-q", "-e", script)
        bar = "@" * 52
        assert done.stdout == (
            f"\n\n@a:\n[10, 20)               1 |{bar}|\n\n"
            "@b: { .count = 1, .average = 3, .total = 3 }\n@c: 4\n@d: (1, x)\n"
        )

    def test_interval_prints_and_clears(self) -> None:
        script = (
            "interval:ms:50 { print(@); clear(@); @ticks++; }"
            " tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }"
            " interval:ms:1 /@ticks > 3/ { exit(); }"
        )
        done = run("-q", "-e", script)
        assert done.returncode == 0
        assert re.search(r"^@\[.+\]: \d+$", done.stdout, re.MULTILINE)
        assert re.search(r"^@ticks: \d+$", done.stdout, re.MULTILINE)


class TestScripts:
    TEXT = '#!/usr/bin/env pytrace\nBEGIN { printf("%d %s\\n", $1, str($2)); exit(); }\n'

    def test_a_file_with_parameters(self, tmp_path: Path) -> None:
        script = tmp_path / "opens.bt"
        script.write_text(self.TEXT)
        assert run("-q", str(script), "42", "x y").stdout == "42 x y\n\n\n"

    def test_an_executable_script(self, tmp_path: Path) -> None:
        script = tmp_path / "my opens.bt"
        script.write_text(self.TEXT)
        script.chmod(0o755)
        path = f"{Path(COMMAND[0]).parent}:{environment()['PATH']}"
        done = subprocess.run(
            [str(script), "7", "seven"],
            capture_output=True,
            text=True,
            env=environment(PATH=path),
            check=False,
        )
        assert done.stdout == "7 seven\n\n\n", done.stderr

    def test_standard_input(self) -> None:
        done = run("-q", "-", "1", "one", stdin=self.TEXT)
        assert done.stdout == "1 one\n\n\n", done.stderr


class TestTools:
    """Each tool of the standard library does what it is for."""

    TOOLS = ROOT / "stdlib" / "tools"

    def test_opens(self, work: Workload, tmp_path: Path) -> None:
        there = tmp_path / "there"
        there.touch()
        with Tracer("-q", str(self.TOOLS / "opens.bt"), "--", f"--pid={work.pid}") as tracer:
            work.do(f"os.close(os.open({str(there)!r}, 0))", 2)
            work.do(f"os.path.exists({str(there)!r}) and os.stat('/')", 1)
            tracer.wait_for(str(there))
            output = tracer.stop()
        hits = [line.split() for line in output.splitlines() if str(there) in line]
        assert len(hits) == 2
        assert {hit[0] for hit in hits} == {str(work.pid)}
        assert {hit[3] for hit in hits} == {"0"}

    def test_syslat(self, work: Workload) -> None:
        with Tracer("-q", str(self.TOOLS / "syslat.bt"), "--", f"--pid={work.pid}") as tracer:
            work.do("os.getppid()", 100)
            output = tracer.stop()
        table = output.partition("@us[getppid]:\n")[2].partition("\n\n")[0]
        rows = re.findall(r" (\d+) \|", table)
        assert sum(int(n) for n in rows) == 100, output
