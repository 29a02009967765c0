"""Names of paths and cookies of sockets, in probes on typed kernel functions."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.kernel.tracer import Tracer, Workload, run

pytestmark = pytest.mark.needs("root", "btf")


def need(probe: str, stderr: str) -> None:
    """Skips where the machine lets no such prog be."""
    for reason in ("lets no BPF prog onto kernel functions", "do not work"):
        if reason in stderr:
            pytest.skip(f"needs {probe}: {stderr.splitlines()[0].rpartition(': ')[2]}")


@pytest.fixture
def fentry() -> None:
    need("fentry", run("--dry-run", "-e", "fentry:vfs_read { }").stderr)


@pytest.mark.usefixtures("fentry")
def test_the_path_of_an_opened_file(tmp_path: Path) -> None:
    target = tmp_path / "a-file-with-a-long-name"
    target.write_text("x")
    script = (
        "fentry:security_file_open /pid == $1/ { $p = path(args.file->f_path);"
        f' if ($p == "{target}") {{ print(path(args.file.f_path, 10));'
        ' @[path(args.file.f_path)] = count(); printf("%s|\\n", path(args.file.f_path, 200)); } }'
    )
    with Workload() as work, Tracer("-q", "-e", script, str(work.pid)) as tracer:
        work.do(f"open({str(target)!r}).close()", 2)
        output = tracer.stop()
    lines = output.splitlines()
    # What does not fit is cut at the front, and the zero at the end counts.
    assert lines.count(str(target)[-9:]) == 2
    assert lines.count(f"{target}|") == 2
    assert f"@[{target}]: 2" in lines


@pytest.mark.usefixtures("fentry")
def test_a_function_that_may_not_ask_for_paths() -> None:
    script = 'fentry:vfs_read { print("a"); print(path(args.file.f_path)); print("b"); }'
    done = run("-e", script)
    assert done.returncode == 255
    assert done.stderr == (
        "stdin:1:37-59: ERROR: helper bpf_d_path not allowed in probe\n"
        f"{script}\n"
        f"{' ' * 36}{'~' * 22}\n"
    )


@pytest.mark.usefixtures("fentry")
def test_cookies_of_sockets_differ() -> None:
    script = "fentry:tcp_v4_connect /pid == $1/ { @[socket_cookie(args.sk)] = count(); }"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Workload() as work, Tracer("-q", "-e", script, str(work.pid)) as tracer:
            connect = f"import socket; socket.create_connection(('127.0.0.1', {port})).close()"
            work.do(connect, 3)
            output = tracer.stop()
    cookies = [line for line in output.splitlines() if line.startswith("@[")]
    assert len(cookies) == 3
    assert all(line.endswith("]: 1") and line != "@[0]: 1" for line in cookies)


def test_paths_of_all_open_files(tmp_path: Path) -> None:
    target = tmp_path / "kept-open"
    with target.open("w") as file:
        script = (
            "iter:task_file { if (ctx.task.comm == comm || ctx.fd == $1) {"
            ' printf("%d %s %s\\n", ctx.fd, ctx.task.comm, path(ctx.file->f_path)); } }'
        )
        done = run("-q", "-e", script, str(file.fileno()))
    need("iter", done.stderr)
    assert done.returncode == 0, done.stderr
    assert any(line.endswith(f" {target}") for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "begin { print(path(0)); }",
            "The path function can only be used with 'fentry', 'fexit', 'iter' probes",
        ),
        (
            "begin { print(socket_cookie(0)); }",
            'socket_cookie can not be used with "begin" probes',
        ),
    ],
)
def test_where_they_do_not_exist(script: str, message: str) -> None:
    done = run("-e", script)
    assert done.returncode == 1
    assert f"ERROR: {message}\n" in done.stderr


def test_a_helper_that_this_kind_of_prog_has_not() -> None:
    """The reason is told at the call, and nothing more."""
    script = "bench:a { @[ustack(3), 1] = count(); }"
    done = run("--bench", "-e", script)
    assert done.returncode == 255
    assert done.stderr == (
        "stdin:1:13-22: ERROR: helper bpf_get_stack not allowed in probe\n"
        f"{script}\n"
        f"{' ' * 12}{'~' * 9}\n"
    )
