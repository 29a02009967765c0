"""The prompt with scripts that run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import MORE, PROMPT, Terminal

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(home=tmp_path)
    try:
        opened.expect(PROMPT)
        yield opened
    finally:
        opened.close()


def test_a_script_runs_and_the_prompt_comes_back(terminal: Terminal) -> None:
    shown = terminal.ask('begin { printf("%s %d\\n", comm, 6 * 7); @a = 3; exit(); }')
    assert "\npytrace 42\n" in shown
    assert "\n@a: 3\n" in shown
    assert terminal.leave() == 0


def test_expressions_and_statements_run(terminal: Terminal) -> None:
    assert "\n7\n" in terminal.ask("1 + 2 * 3")
    assert "\n(1, x)\n" in terminal.ask('(1, "x")')
    assert "\nhi\n" in terminal.ask('printf("hi\\n")')
    assert "\n@x: 5\n" in terminal.ask("@x = 5;")


def test_ctrl_c_ends_the_run_and_not_the_prompt(terminal: Terminal) -> None:
    terminal.type('interval:ms:1 { @n = count(); printf("tick\\n"); } end { print(77); }')
    terminal.expect("tick\ntick\n")
    terminal.press("c")
    terminal.expect("77\n")
    terminal.expect("\n@n: ")
    terminal.expect(PROMPT)
    assert "\n5\n" in terminal.ask("5")
    assert terminal.leave() == 0


def test_definitions_serve_later_inputs(terminal: Terminal) -> None:
    terminal.ask("macro twice($x) { $x * 2 }")
    terminal.ask("config = { print_maps_on_exit = false }")
    shown = terminal.ask("begin { $y = 21; print(twice($y)); @hidden = 1; }")
    assert "\n42\n" in shown
    assert "@hidden:" not in shown
    terminal.ask("macro twice($x) { $x * 3 }")
    assert "\n63\n" in terminal.ask("begin { $y = 21; print(twice($y)); }")
    shown = terminal.ask(":defs")
    assert "$x * 3" in shown
    assert "$x * 2" not in shown
    terminal.ask(":reset")
    assert "ERROR: " in terminal.ask("begin { $y = 21; print(twice($y)); }")


def test_wrong_definitions_are_not_kept(terminal: Terminal) -> None:
    assert "ERROR: Invalid bpf map type: foo" in terminal.ask("let @a = foo(5);")
    assert "foo" not in terminal.ask(":defs").replace(":defs", "")
    assert "\n5\n" in terminal.ask("5")


def test_settings_serve_later_inputs(terminal: Terminal) -> None:
    terminal.ask(":set print_maps_on_exit false")
    assert "@hidden:" not in terminal.ask("begin { @hidden = 1; }")
    terminal.ask(":set print_maps_on_exit true")
    assert "\n@shown: 1\n" in terminal.ask("begin { @shown = 1; }")


def test_errors_stand_where_they_were_typed(terminal: Terminal) -> None:
    terminal.ask("config = { max_strlen = 64 }")
    shown = terminal.ask("begin { print(nosuch); }")
    assert "stdin:1:15-21: ERROR: Unknown identifier: 'nosuch'" in shown
    assert "stdin:1:5-11: ERROR: Unknown identifier: 'nosuch'" in terminal.ask("1 + nosuch")


def test_types_and_code_are_shown(terminal: Terminal) -> None:
    assert "\nuint64\n" in terminal.ask(":type nsecs")
    assert "\n(int8,string[2])\n" in terminal.ask(':type (1, "x")')
    assert "\nvoid\n" in terminal.ask(':type printf("x")')
    assert "prog begin" in terminal.ask(":ir nsecs + 1")
    assert "ERROR: :dis wants something that can run" in terminal.ask(":dis")


def test_code_of_the_last_input(terminal: Terminal) -> None:
    terminal.ask("5 + nsecs")
    assert ": exit\n" in terminal.ask(":dis")
    assert "ktime_get" in terminal.ask(":ir")


def test_a_file_is_loaded(terminal: Terminal, tmp_path: Path) -> None:
    script = tmp_path / "x.bt"
    script.write_text("#!/usr/bin/env pytrace\nmacro nine() { 9 }\n")
    terminal.ask(f":load {script}")
    assert "\n9\n" in terminal.ask("nine()")
    script.write_text("begin {\n  print(44);\n}\n")
    assert "\n44\n" in terminal.ask(f":load {script}")


def test_attach_points_are_listed(terminal: Terminal) -> None:
    assert "\ninterval:ms:\n" in terminal.ask(":list interval:*")


def test_lines_of_one_script(terminal: Terminal) -> None:
    terminal.type("begin")
    terminal.expect(MORE)
    terminal.type("<")
    terminal.expect(MORE)
    terminal.type("print(5);")
    terminal.expect(MORE)
    assert "\n5\n" in terminal.ask(">")


def test_a_run_that_is_killed_leaves_the_prompt(terminal: Terminal) -> None:
    terminal.type("interval:s:100 { }")
    terminal.expect("Attached 1 probe\n")
    children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    terminal.expect("ERROR: the run was ended by SIGKILL\n")
    assert "\n5\n" in terminal.ask("5")
