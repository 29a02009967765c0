"""The prompt, typed at: reading, continuation, commands, history. Nothing is traced here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.cli.repl import COMMANDS
from tests.terminal import MORE, PROMPT, ROOT, Terminal


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(home=tmp_path)
    try:
        opened.expect(PROMPT)
        yield opened
    finally:
        opened.close()


def test_it_starts_without_words_and_ends_with_ctrl_d(terminal: Terminal) -> None:
    terminal.press("d")
    assert terminal.wait() == 0


def test_it_starts_with_its_option_and_ends_with_quit(tmp_path: Path) -> None:
    terminal = Terminal("--repl", home=tmp_path)
    try:
        terminal.expect("pytrace 0.1.0; :help")
        terminal.expect(PROMPT)
        terminal.type(":quit")
        assert terminal.wait() == 0
    finally:
        terminal.close()


def test_help_lists_every_command(terminal: Terminal) -> None:
    text = terminal.ask(":help")
    for name in COMMANDS:
        assert f"    :{name}" in text


def test_an_error_returns_to_the_prompt(terminal: Terminal) -> None:
    assert "stdin:1:11-12: ERROR: syntax: " in terminal.ask("begin { x y }")
    assert "stdin:1:3-4: ERROR: syntax: " in terminal.ask("1 2")


@pytest.mark.parametrize("first", ["begin {", "tracepoint:a:b", "(1 +", '"abc', "/* so", "1 +"])
def test_an_open_input_goes_on_until_ctrl_c_drops_it(terminal: Terminal, first: str) -> None:
    terminal.type(first)
    terminal.expect(MORE)
    terminal.press("c")
    assert "ERROR: syntax" not in terminal.ask("")


def test_lines_of_one_input_are_one_text(terminal: Terminal) -> None:
    terminal.type("begin {")
    terminal.expect(MORE)
    terminal.type("  x y")
    terminal.expect(MORE)
    assert "stdin:2:5-6: ERROR: syntax: " in terminal.ask("}")


def test_config_variables_are_set_and_shown(terminal: Terminal) -> None:
    terminal.ask(":set max_strlen 7")
    text = terminal.ask(":set")
    assert "max_strlen = 7" in text
    assert "print_maps_on_exit = true" in text
    assert "perf_rb_pages = 0" in text
    assert "\n:set max_strlen 7\n" in terminal.ask(":defs")
    terminal.ask(":reset")
    assert "max_strlen" not in terminal.ask(":defs")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (":set max_strlen x", "ERROR: max_strlen: expecting a number, got x"),
        (":set max_strlne 5", "HINT: Did you mean max_strlen?"),
        (":lost", "HINT: Did you mean :list?"),
        (":", "ERROR: no command :"),
        (":d", "ERROR: no command :d"),
        (":load /no/such/file", "ERROR: /no/such/file: No such file or directory"),
        (":type begin { }", "ERROR: :type wants an expression"),
        (":dis", "ERROR: :dis wants something that can run"),
        (":ir 1 2", "stdin:1:3-4: ERROR: syntax: "),
    ],
)
def test_wrong_commands(terminal: Terminal, command: str, text: str) -> None:
    assert text in terminal.ask(command)


def test_unambiguous_beginnings_of_commands_do(terminal: Terminal) -> None:
    assert "Commands:" in terminal.ask(":h")
    terminal.type(":q")
    assert terminal.wait() == 0


def test_inputs_are_kept_in_a_private_file_and_come_back(tmp_path: Path) -> None:
    for number in range(2):
        terminal = Terminal(home=tmp_path)
        try:
            terminal.expect(PROMPT)
            if number == 0:
                terminal.type(":lost one")
            else:
                terminal.press("p")  # the line before
                terminal.type("")
            terminal.expect("ERROR: no command :lost")
            assert terminal.leave() == 0
        finally:
            terminal.close()
    history = tmp_path / ".pytrace_history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "+:lost one" in history.read_text()


def test_without_a_home_directory_there_is_no_history(tmp_path: Path) -> None:
    terminal = Terminal(home=tmp_path / "missing")
    try:
        terminal.expect(PROMPT)
        terminal.ask(":help")
        assert terminal.leave() == 0
    finally:
        terminal.close()
    assert list(tmp_path.iterdir()) == []


def test_inputs_may_come_through_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from pytrace.cli.main import main; main()", "--repl"],
        input=":set max_strlen 9\nbegin {\nx y\n}\n:defs\n:quit\nnever\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout == ":set max_strlen 9\n"
    assert done.stderr.startswith("stdin:2:3-4: ERROR: syntax: ")
    assert "never" not in done.stderr
