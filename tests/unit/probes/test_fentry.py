"""fentry and fexit: which functions they mean, what a probe sees there, how progs are loaded."""

from __future__ import annotations

import pytest

from pytrace.base.types import (
    BOOL,
    I32,
    I64,
    KERNEL,
    U32,
    U64,
    VOID,
    Enum,
    EnumDef,
    Field,
    Ptr,
    Struct,
    StructDef,
    Type,
)
from pytrace.ir.print import print_module
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import FEATURES, FuncProto, TracepointFormat, Unknown
from pytrace.probes.fentry import FexitProvider
from tests.compiling import Outcome, compile_to_ir

FILE = Struct(kind="struct", name="file", bytes=16)
FILE_DEF = StructDef(
    kind="struct",
    name="file",
    size=16,
    fields=(Field(name="f_mode", type=U32, offset=4), Field(name="f_pos", type=I64, offset=8)),
)
PAIR = Struct(kind="struct", name="pair", bytes=16)
PAIR_DEF = StructDef(
    kind="struct",
    name="pair",
    size=16,
    fields=(Field(name="low", type=U32, offset=0), Field(name="high", type=U32, offset=12)),
)
COLOR = EnumDef(name="color", bits=32, signed=False, values=(("RED", 1),))


def function(
    name: str,
    *params: tuple[str, Type],
    returns: Type = I32,
    module: str = "vmlinux",
    number: int = 7,
) -> FuncProto:
    return FuncProto(name=name, module=module, params=params, returns=returns, btf_id=number)


READ = function(
    "vfs_read",
    ("file", Ptr(to=FILE, space=KERNEL)),
    ("pair", PAIR),
    ("color", Enum(name="color", bits=32, signed=False)),
    ("wait", BOOL),
    returns=I64,
)


def a_kernel(
    *more: FuncProto, features: tuple[str, ...] = FEATURES, unknown: Unknown | None = None
) -> FakeKernel:
    number = Field(name="n", type=U64, offset=8)
    return FakeKernel(
        functions=[READ, function("vfs_write"), function("quiet", returns=VOID), *more],
        structs=[FILE_DEF, PAIR_DEF],
        enums=[COLOR],
        tracepoints=[
            TracepointFormat(category="syscalls", event="sys_enter_read", fields=(number,), size=16)
        ],
        features=features,
        unknown=unknown,
    )


def compiled(script: str, kernel: FakeKernel | None = None) -> Outcome:
    return compile_to_ir(script, kernel=kernel or a_kernel())


def errors(script: str, kernel: FakeKernel | None = None) -> list[str]:
    return [d.message for d in compiled(script, kernel).sink.errors]


def progs(script: str) -> list[tuple[str, str, str]]:
    return [
        (f.prog_type, f.expected_attach_type, f.attach_btf)
        for f in compiled(script).module.functions
    ]


@pytest.mark.parametrize("spelling", ["fentry", "f", "kfunc", "FENTRY"])
def test_spellings_of_entry(spelling: str) -> None:
    module = compiled(f"{spelling}:vfs_read {{ }}").module
    assert [spec.name for spec in module.attach] == ["fentry:vmlinux:vfs_read"]
    assert progs(f"{spelling}:vfs_read {{ }}") == [
        ("PROG_TYPE_TRACING", "TRACE_FENTRY", "vmlinux:vfs_read:7")
    ]


@pytest.mark.parametrize("spelling", ["fexit", "fr", "kretfunc"])
def test_spellings_of_return(spelling: str) -> None:
    assert progs(f"{spelling}:vmlinux:vfs_read {{ }}") == [
        ("PROG_TYPE_TRACING", "TRACE_FEXIT", "vmlinux:vfs_read:7")
    ]


def test_each_function_has_a_prog_of_its_own() -> None:
    assert [p[2] for p in progs("fentry:vfs_* { @ = count(); }")] == [
        "vmlinux:vfs_read:7",
        "vmlinux:vfs_write:7",
    ]


def test_a_module_s_function_is_found_when_the_prog_is_loaded() -> None:
    kernel = a_kernel(function("ext4_open", module="ext4"))
    module = compiled("fentry:ext4_open { }", kernel).module
    assert [f.attach_btf for f in module.functions] == ["ext4:ext4_open"]
    assert [spec.name for spec in module.attach] == ["fentry:ext4:ext4_open"]


def loads(script: str) -> list[str]:
    """The lines of the IR in which the prog reads its context."""
    text = print_module(compiled(script).module)
    return [line.strip() for line in text.splitlines() if "ctx" in line]


def test_arguments_are_read_in_whole_slots_and_narrowed() -> None:
    assert loads("fentry:vfs_read { @ = args.wait; }") == ["%1 = load.u64 ctx+32"]
    text = print_module(compiled("fentry:vfs_read { @ = args.color; }").module)
    assert "%1 = load.u64 ctx+24\n  %2 = zext32 %1" in text


def test_a_struct_by_value_takes_its_slots() -> None:
    text = print_module(compiled("fentry:vfs_read { @ = args.pair.high; }").module)
    assert "load.u64 ctx+16\n" in text
    assert "lshr %1, 32" in text


def test_arguments_behind_pointers() -> None:
    text = print_module(compiled("fentry:vfs_read { @ = args.file.f_pos; }").module)
    assert "%1 = load.u64 ctx\n" in text
    assert "read.kernel" in text


def test_the_result_follows_the_arguments() -> None:
    assert loads("fexit:vfs_read { @ = retval; }") == ["%1 = load.u64 ctx+40"]
    text = print_module(compiled("fexit:vfs_write { @ = retval; }").module)
    assert "%1 = load.u64 ctx\n  %2 = sext32 %1" in text


def test_types_of_arguments_and_results() -> None:
    found = compiled("fexit:vfs_read { $f = args.file; $w = args.wait; $r = retval; }")
    assert found.variables() == {"f": "struct file *", "w": "bool", "r": "int64"}


def test_arguments_print_as_a_struct() -> None:
    lowered = compiled("fentry:vfs_read { print(args); }").lowered
    assert lowered is not None
    names = [s.name for s in lowered.structs]
    assert "_fentry_vmlinux_vfs_read" in names


def test_bodies_that_look_at_arguments_are_compiled_for_each_function() -> None:
    script = "fentry:vfs_read,fentry:vfs_write { print(args.file); }"
    assert errors(script) == ["Can't find function parameter file"]


def test_usermode_is_the_kernel() -> None:
    text = print_module(compiled("fentry:vfs_read { @ = usermode; }").module)
    assert "ctx" not in text
    assert "store.8 value(@), 0" in text


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("fentry { }", "fentry probe type requires 1 or 3 arguments, found 0"),
        ("fentry:a:b:c { }", "Only the 'bpf' variant of this probe supports 4 arguments"),
        ("fentry:vfs_raed { }", "No matches for fentry vfs_raed."),
        ("fexit:mod:vfs_read { }", "No matches for fexit mod:vfs_read."),
        (
            "fentry:bpf:prog { }",
            "fentry probes on BPF programs are not supported by this version of pytrace.",
        ),
        (
            "fentry:vfs_read { print(arg0); }",
            "The arg0 builtin can only be used with 'kprobes', 'uprobes' and 'usdt' probes",
        ),
        (
            "fentry:vfs_read { print(retval); }",
            "The retval builtin can only be used with 'kretprobe' and 'uretprobe' and 'fentry'"
            " probes",
        ),
        (
            "fexit:quiet { print(retval); }",
            "The retval builtin can only be used with 'kretprobe' and 'uretprobe' and 'fentry'"
            " probes",
        ),
        ("fentry:vfs_read { print(ctx); }", "The ctx builtin can not be used with 'fentry' probes"),
    ],
)
def test_mistakes(script: str, message: str) -> None:
    assert errors(script) == [message]


def test_a_mistyped_name_gets_a_hint() -> None:
    sink = compiled("fentry:vfs_raed { }").sink
    assert sink.errors[0].hints == ("Did you mean vfs_read?",)


def test_one_name_in_two_modules_is_ambiguous() -> None:
    kernel = a_kernel(function("init", module="a"), function("init", module="b"))
    sink = compiled("fentry:init { }", kernel).sink
    assert [d.message for d in sink.errors] == [
        "ambiguous attach point, please specify module containing the function 'init'"
    ]
    assert sink.errors[0].hints == ("fentry:a:init", "fentry:b:init")
    assert errors("fentry:b:init { }", kernel) == []


def test_a_refusal_names_its_cause_and_what_works() -> None:
    kernel = a_kernel(features=("btf",))
    sink = compiled("fentry:vfs_read { }", kernel).sink
    assert [d.message for d in sink.errors] == [
        "This machine lets no BPF prog onto kernel functions (fentry, fexit):"
        " Operation not permitted"
    ]
    assert sink.errors[0].hints[0] == "here works: tracepoint:syscalls:sys_enter_read"
    with_kprobes = a_kernel(features=("btf", "kprobe"))
    hints = compiled("fexit:vfs_read { }", with_kprobes).sink.errors[0].hints
    assert hints == ("here works: kprobe:vfs_read (its arguments are arg0, arg1 ...)",)


def test_a_name_is_checked_before_the_kernel_is_blamed() -> None:
    assert errors("fentry:nonsense { }", a_kernel(features=("btf",))) == [
        "No matches for fentry nonsense."
    ]


def test_a_kernel_that_keeps_its_functions_to_itself() -> None:
    kernel = a_kernel(unknown=Unknown(reason="Permission denied"))
    assert errors("fentry:vfs_read { }", kernel) == []
    assert errors("fentry:vfs_* { }", kernel) == [
        "fentry needs a list of the kernel's functions and their types: Permission denied"
    ]


class Attaching:
    """Takes down what a provider attaches."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def tracing(self, prog: object, attach_type: int, name: str) -> str:
        self.calls.append((prog, attach_type, name))
        return "link"


def test_attaching() -> None:
    from pytrace.model.compiled import AttachSpec
    from pytrace.probes import fentry

    linux = Attaching()
    for name in ("fentry:vmlinux:f", "fexit:vmlinux:f"):
        spec = AttachSpec(provider="fentry", name=name, prog="p", args=("vmlinux", "f"), span=None)
        assert fentry.attach("prog", spec, linux) == ["link"]
    assert linux.calls == [("prog", 24, "fentry:vmlinux:f"), ("prog", 25, "fexit:vmlinux:f")]
    assert not FexitProvider().fires_forward
