"""iter: kinds, contexts, and that such a probe is alone."""

from __future__ import annotations

import pytest

from pytrace.base.types import I32, KERNEL, U32, Field, Ptr, Struct, StructDef
from pytrace.ir.print import print_module
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import FEATURES, FuncProto
from pytrace.model.compiled import AttachSpec
from pytrace.probes import iter as iterators
from tests.compiling import Outcome, compile_to_ir

TASK = Struct(kind="struct", name="task_struct", bytes=64)


def context(kind: str, *fields: tuple[str, str]) -> StructDef:
    structs = [Struct(kind="struct", name=kind, bytes=0) for _, kind in fields]
    pointers = [
        Field(name=name, type=Ptr(to=to, space=KERNEL), offset=8 * number)
        for number, ((name, _), to) in enumerate(zip(fields, structs))
    ]
    return StructDef(
        kind="struct", name=f"bpf_iter__{kind}", size=8 * len(fields), fields=tuple(pointers)
    )


def a_kernel(features: tuple[str, ...] = FEATURES) -> FakeKernel:
    pid = Field(name="pid", type=I32, offset=32)
    return FakeKernel(
        structs=[
            context("task", ("meta", "bpf_iter_meta"), ("task", "task_struct")),
            context("tcp", ("meta", "bpf_iter_meta"), ("sk_common", "sock_common")),
            context("bpf_map_elem", ("meta", "bpf_iter_meta"), ("map", "bpf_map")),
            StructDef(kind="struct", name="task_struct", size=64, fields=(pid,)),
            StructDef(kind="struct", name="bpf_iter_meta", size=8,
                      fields=(Field(name="seq_num", type=U32, offset=0),)),
        ],
        functions=[
            FuncProto(name="bpf_iter_task", module="vmlinux", params=(), returns=I32, btf_id=9)
        ],
        features=features,
    )  # fmt: skip


def compiled(script: str, kernel: FakeKernel | None = None) -> Outcome:
    return compile_to_ir(script, kernel=kernel or a_kernel())


def errors(script: str, kernel: FakeKernel | None = None) -> list[str]:
    return [d.message for d in compiled(script, kernel).sink.errors]


def test_how_an_iterator_is_loaded() -> None:
    module = compiled("iter:task { @ = count(); }").module
    (prog,) = module.functions
    assert (prog.prog_type, prog.expected_attach_type, prog.attach_btf) == (
        "PROG_TYPE_TRACING",
        "TRACE_ITER",
        "vmlinux:bpf_iter_task:9",
    )
    assert [spec.name for spec in module.attach] == ["iter:task"]
    assert [spec.name for spec in compiled("it:tcp { }").module.attach] == ["iter:tcp"]


def test_the_context_is_typed() -> None:
    found = compiled("iter:task { $t = ctx.task; $p = ctx.task.pid; $n = ctx.meta.seq_num; }")
    assert found.variables() == {"t": "struct task_struct *", "p": "int32", "n": "uint32"}


def test_the_call_without_an_object_is_left_at_once() -> None:
    lines = print_module(compiled("iter:task { @ = 1; }").module).splitlines()
    start = next(n for n, line in enumerate(lines) if "load.u64 ctx+8" in line)
    assert [line.strip() for line in lines[start : start + 4]] == [
        "%1 = load.u64 ctx+8",
        "%2 = eq %1, 0",
        "if %2 {",
        "return",
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("iter { }", "iter probe type takes 2 arguments (1 optional)"),
        ("iter:a:b:c { }", "iter probe type takes 2 arguments (1 optional)"),
        ("iter:ta* { }", "iter probe type does not support wildcards"),
        ("iter:tsak { }", "iter tsak not available for your kernel version."),
        (
            "iter:bpf_map_elem { }",
            "iter bpf_map_elem looks at the elements of one map, which an attach point cannot"
            " name.",
        ),
        ("iter:task, iter:tcp { }", "iter probe only supports one attach point."),
        ("iter:task { } iter:tcp { }", "iter probe only supports one attach point."),
        ("iter:task { } interval:s:1 { }", "iter probe only supports one attach point."),
        (
            "iter:task { print(args); }",
            "The args builtin can only be used with tracepoint, rawtracepoint, fentry/fexit, and"
            " uprobe probes (iter used here)",
        ),
    ],
)
def test_mistakes(script: str, message: str) -> None:
    assert errors(script) == [message]


def test_begin_and_end_may_stand_beside_it() -> None:
    assert errors("begin { @ = 0; } iter:task { @++; } end { print(@); }") == []


def test_hints() -> None:
    assert compiled("iter:tsak { }").sink.errors[0].hints == ("Did you mean task?",)


def test_a_machine_without_iterators() -> None:
    assert errors("iter:task { }", a_kernel(features=("btf",))) == [
        "iterators do not work on this machine: Operation not permitted"
    ]


def test_a_pattern_means_the_iterator_only_if_nothing_else_fits() -> None:
    assert [s.name for s in compiled("*:task { }").module.attach] == ["iter:task"]
    kernel = FakeKernel(
        structs=[context("task", ("meta", "bpf_iter_meta"), ("task", "task_struct"))],
        functions=[FuncProto(name="task", module="vmlinux", params=(), returns=I32)],
    )
    assert {s.name for s in compiled("*:task { }", kernel).module.attach} == {
        "fentry:vmlinux:task",
        "kprobe:task",
    }


class Attaching:
    def __init__(self) -> None:
        self.calls: list[tuple[str, bool]] = []

    def iterator(self, prog: object, name: str, *, cgroups: bool) -> str:
        self.calls.append((name, cgroups))
        return "link"


def test_attaching() -> None:
    linux = Attaching()
    for kind in ("task", "cgroup"):
        spec = AttachSpec(
            provider="iter", name=f"iter:{kind}", prog="p", args=(kind, "vmlinux"), span=None
        )
        assert iterators.attach("prog", spec, linux) == ["link"]
    assert linux.calls == [("iter:task", False), ("iter:cgroup", True)]
