"""Patterns in a provider's place, in scripts; C++ names; files by pattern."""

from __future__ import annotations

import pytest

from pytrace.base.types import I32, VOID
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import (
    FEATURES,
    BinaryInfo,
    FuncProto,
    SymbolInfo,
    TracepointFormat,
    UsdtInfo,
)
from pytrace.probes.uprobe import shown_path
from pytrace.semantics.env import Settings
from tests.compiling import compile_to_ir


def symbol(name: str, at: int) -> SymbolInfo:
    return SymbolInfo(name=name, address=at, offset=at, size=16)


APP = BinaryInfo(
    path="/opt/app",
    kind="exec",
    machine=62,
    build_id="",
    symbols=(symbol("_Z3runi", 32), symbol("_Z3runl", 48), symbol("main", 16), symbol("start", 64)),
    usdt=(UsdtInfo(namespace="app", name="start", offset=8, semaphore=0, args=""),),
)


def a_kernel(features: tuple[str, ...] = FEATURES) -> FakeKernel:
    return FakeKernel(
        functions=[FuncProto(name="wake", module="vmlinux", params=(), returns=I32)],
        tracepoints=[TracepointFormat(category="sched", event="wake", fields=(), size=8)],
        raw_tracepoints=[FuncProto(name="wake", module="vmlinux", params=(), returns=VOID)],
        binaries=[APP],
        targets={"*": ["/opt/app"]},
        cpp={"_Z3runi": "run(int)", "_Z3runl": "run(long)"},
        features=features,
    )


def attached(
    script: str, *, pid: int | None = None, features: tuple[str, ...] = FEATURES
) -> list[str]:
    found = compile_to_ir(script, kernel=a_kernel(features), settings=Settings(pid=pid))
    names = [(spec.name, spec.count) for spec in found.module.attach]
    return [name if count == 1 else f"{name} x{count}" for name, count in names]


def errors(script: str) -> list[str]:
    return [d.message for d in compile_to_ir(script, kernel=a_kernel()).sink.errors]


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("*:wake { @ = probe; }", ["fentry:vmlinux:wake", "kprobe:wake",
                                   "rawtracepoint:vmlinux:wake"]),
        ("*:sched:wake { @ = probe; }", ["tracepoint:sched:wake"]),
        ("*point:sched:w* { }", ["tracepoint:sched:wake"]),
        ("h*:cycles:1000 { }", ["hardware:cycles:1000"]),
        ("*:/opt/app:start { @ = probe; }", ["uprobe:/opt/app:start",
                                             "usdt:/opt/app:app:start"]),
        ("u*:/opt/app:main { }", ["uprobe:/opt/app:main"]),
    ],
)  # fmt: skip
def test_patterns_for_providers(script: str, names: list[str]) -> None:
    assert attached(script) == names


def test_a_process_turns_patterns_to_its_files() -> None:
    assert attached("*:main { }", pid=7) == ["uprobe:/opt/app:main"]


def test_patterns_pass_over_what_the_kernel_refuses() -> None:
    assert attached("*:wake { }", features=("btf",)) == ["rawtracepoint:vmlinux:wake"]


def test_patterns_that_fit_nothing() -> None:
    assert errors("x*:wake { }") == ["No probe type matched for x*"]
    assert errors("*:nothing { }") == [
        "Probe has no valid attach points. If this is expected, set the 'missing_probes' config"
        " variable to 'warn'."
    ]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("run", ["_Z3runi", "_Z3runl"]),
        ("ru*", ["_Z3runi", "_Z3runl"]),
        ('"run(int)"', ["_Z3runi"]),
        ("main", ["main"]),
        ("_Z3runl", ["_Z3runl"]),
    ],
)
def test_cpp_names(function: str, names: list[str]) -> None:
    script = f"uprobe:/opt/app:cpp:{function} {{ @ = probe; }}"
    assert attached(script) == [f"uprobe:/opt/app:cpp:{name}" for name in names]


def test_a_cpp_name_that_is_not_there() -> None:
    assert errors('uprobe:/opt/app:cpp:"walk(int)" { }') == [
        "No matches for uprobe /opt/app:walk(int)."
    ]


@pytest.mark.parametrize(
    ("written", "full", "shown"),
    [
        ("/bin/bash", "/usr/bin/bash", "/bin/bash"),
        ("bash", "/usr/bin/bash", "/usr/bin/bash"),
        ("*", "/usr/bin/bash", "/usr/bin/bash"),
        ("./bin/ap*", "/home/me/bin/app", "./bin/app"),
        ("/opt/*/lib*.so", "/opt/x/libx.so", "/opt/x/libx.so"),
        ("../p*/app", "/home/prog/app", "../prog/app"),
        ("bin/*/../app", "/home/me/bin/app", "/home/me/bin/app"),
    ],
)
def test_how_files_are_shown(written: str, full: str, shown: str) -> None:
    assert shown_path(written, full) == shown
