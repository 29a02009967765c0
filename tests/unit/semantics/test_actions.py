"""Builtins that act on tasks, talk to the kernel's trace, or ask what the kernel has."""

from __future__ import annotations

import pytest

from pytrace.base.source import SourceFile
from pytrace.builtins.actions import signal_number
from pytrace.compiler import compile_program
from pytrace.kernel.fake import FakeKernel
from pytrace.model.request import CompileRequest


def errors(script: str, *, unsafe: bool = True) -> list[str]:
    source = SourceFile("stdin", script.encode())
    result = compile_program(CompileRequest(source=source, unsafe=unsafe), FakeKernel())
    return [d.message for d in result.sink.errors]


RANGE = "signal() accepts a string literal or an integer between 1 and 64 (inclusive)"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("begin { signal(5); }", "signal() can not be used for this probetype special"),
        ("interval:s:1 { signal(5); }", "signal() can not be used for this probetype interval"),
        ("profile:s:1 { signal(0); }", RANGE),
        ("profile:s:1 { signal(65); }", RANGE),
        ("profile:s:1 { signal_thread(65); }", RANGE.replace("signal()", "signal_thread()")),
        ('profile:s:1 { signal("FOO"); }', "Invalid string for signal: FOO"),
        ('profile:s:1 { $x = "a"; signal($x); }', RANGE.partition(" between")[0]),
        ("profile:s:1 { signal(true); }", RANGE.partition(" between")[0]),
        ("profile:s:1 { signal(); }", "signal() requires one argument (0 provided)"),
        ("begin { override(5); }", "override() can only be used inside kprobes"),
        ("begin { $x = write_user(8, 5, 9); }", "write_user() has 1 bytes to write (9 asked for)"),
        ('begin { print(uaddr("x")); }', 'uaddr can not be used with "begin" probes'),
        (
            'begin { print(percpu_kaddr("nosuch")); }',
            'Could not resolve variable "nosuch" from BTF',
        ),
        ("begin { print(kfunc_exist(5)); }", "kfunc_exist() accepts a string literal only"),
        (
            'begin { debugf("%d %d %d %d", 1, 2, 3, 4); }',
            "cannot use more than 3 conversion specifiers",
        ),
        ('begin { debugf("%r", buf("a", 1)); }', "Invalid format specifier for `debugf`: r"),
        ('begin { debugf("%d", true); }', "Type does not match format specifier: d"),
        (
            'begin { debugf("x", 1); }',
            "too many arguments for format string (1 supplied, 0 expected)",
        ),
        (
            "begin { print(str_concat(1, 2)); }",
            "string-like values must be either strings, arrays or pointers",
        ),
        (
            'begin { print(memcmp("a", "b", -1)); }',
            "memcmp() expects a count that is not negative (-1 provided)",
        ),
    ],
)
def test_what_is_wrong(script: str, message: str) -> None:
    assert errors(script) == [message]


@pytest.mark.parametrize(
    ("probe", "call"),
    [
        ("profile:s:1", 'signal("KILL")'),
        ("profile:s:1", "signal_thread(9)"),
        ("begin", "write_user(8, 5, 1)"),
        ("begin", "override(1)"),
    ],
)
def test_actions_need_the_option(probe: str, call: str) -> None:
    name = call.partition("(")[0]
    assert errors(f"{probe} {{ _ = {call}; }}", unsafe=False) == [
        f"{name}() is an unsafe function being used in safe mode"
    ]


def test_names_of_signals() -> None:
    assert [signal_number(n) for n in ("KILL", "SIGKILL", "usr1", "SIG", "9", "")] == [
        9, 9, 10, None, None, None,
    ]  # fmt: skip


def test_a_kernel_without_task_functions_knows_no_names() -> None:
    source = SourceFile("stdin", b"begin { @[comm(1)] = 1; }")
    result = compile_program(CompileRequest(source=source), FakeKernel())
    assert result.program is not None
