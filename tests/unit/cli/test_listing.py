"""``-l`` on a made-up kernel: searches, order, argument lines, types, warnings."""

from __future__ import annotations

import pytest

from pytrace.base.types import I32, KERNEL, U64, VOID, Field, Ptr, Struct, StructDef
from pytrace.cli.listing import Lister, split_outside_quotes
from pytrace.cli.options import Options
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import (
    FEATURES,
    BinaryInfo,
    FuncProto,
    FuncText,
    SymbolInfo,
    TracepointFormat,
    Unknown,
    UsdtInfo,
)

FILE = Ptr(to=Struct(kind="struct", name="file", bytes=0), space=KERNEL)


def function(name: str, module: str = "vmlinux") -> FuncProto:
    return FuncProto(name=name, module=module, params=(("file", FILE),), returns=I32)


def symbol(name: str, at: int) -> SymbolInfo:
    return SymbolInfo(name=name, address=at, offset=at, size=16)


def usdt(namespace: str, name: str) -> UsdtInfo:
    return UsdtInfo(namespace=namespace, name=name, offset=8, semaphore=0, args="")


APP = BinaryInfo(
    path="/opt/app",
    kind="exec",
    machine=62,
    build_id="",
    symbols=(symbol("main", 16), symbol("_Z3runi", 32), symbol("_Z3runl", 48)),
    usdt=(usdt("app", "start"), usdt("app", "stop"), usdt("lib", "start")),
)


def tracepoint(category: str, event: str, *declarations: str) -> TracepointFormat:
    field = Field(name="n", type=U64, offset=8)
    return TracepointFormat(
        category=category, event=event, fields=(field,), size=16, declarations=declarations
    )


def a_kernel(features: tuple[str, ...] = FEATURES, unknown: Unknown | None = None) -> FakeKernel:
    return FakeKernel(
        functions=[function("vfs_read"), function("vfs_write"), function("open", "ext4")],
        tracepoints=[
            tracepoint("sched", "sched_switch", "char prev_comm[16]", "pid_t prev_pid"),
            tracepoint("syscalls", "sys_enter_read", "unsigned int fd"),
        ],
        raw_tracepoints=[FuncProto(name="sched_switch", module="vmlinux", params=(), returns=VOID)],
        structs=[StructDef(kind="struct", name="bpf_iter__task", size=16, fields=())],
        binaries=[APP],
        targets={"*": ["/opt/app"], "./bin/ap*": ["/opt/bin/app"], "app": ["/opt/app"]},
        cpp={"_Z3runi": "run(int)", "_Z3runl": "run(long)"},
        features=features,
        unknown=unknown,
        texts={
            ("function", "vfs_read"): FuncText(
                params=(("struct file *", "file"), ("size_t", "count")), returns="ssize_t"
            ),
            ("rawtracepoint", "sched_switch"): FuncText(
                params=(("bool", "preempt"),), returns="void"
            ),
            ("iter", "task"): FuncText(params=(("struct task_struct *", "task"),), returns="void"),
            ("struct", "qstr"): "struct qstr {\n\tu32 len;\n};\n",
            ("enum", "pid_type"): "enum pid_type {\n\tPIDTYPE_PID = 0,\n};\n",
        },
    )


class Listed:
    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.errors = ""

    def __call__(
        self,
        search: str,
        *,
        verbose: bool = False,
        pid: int | None = None,
        kernel: FakeKernel | None = None,
    ) -> list[str]:
        options = Options()
        options.verbose = verbose
        options.pid = pid
        Lister(kernel or a_kernel(), options).search(search)
        out, self.errors = self._capfd.readouterr()
        return out.splitlines()


@pytest.fixture
def listed(capfd: pytest.CaptureFixture[str]) -> Listed:
    return Listed(capfd)


@pytest.mark.parametrize(
    ("search", "items"),
    [
        ("tracepoint:sched:*", ["tracepoint:sched:sched_switch"]),
        ("t:sys*:sys_enter_*", ["tracepoint:syscalls:sys_enter_read"]),
        ("tracepoint:sched_switch", ["tracepoint:sched:sched_switch"]),
        ("TRACEPOINT:sched:", ["tracepoint:sched:sched_switch"]),
        ("tracepoint:sched:x:y", []),
        ("rawtracepoint:*", ["rawtracepoint:vmlinux:sched_switch"]),
        ("rt:vmlinux:sched_*", ["rawtracepoint:vmlinux:sched_switch"]),
        ("kprobe:vfs_*", ["kprobe:vfs_read", "kprobe:vfs_write"]),
        ("kprobe:*:open", ["kprobe:ext4:open"]),
        ("kretprobe:open", ["kretprobe:open"]),
        ("fentry:open", ["fentry:ext4:open"]),
        ("kfunc:vmlinux:vfs_r*", ["fentry:vmlinux:vfs_read"]),
        ("fexit:vfs_read", ["fexit:vmlinux:vfs_read"]),
        ("kretfunc:vfs_read", ["fexit:vmlinux:vfs_read"]),
        ("software:*-faults", [f"software:{e}-faults:" for e in
                               ("alignment", "emulation", "major", "minor", "page")]),
        ("s:faults:", ["software:faults:"]),
        ("hardware:c*cles", ["hardware:cpu-cycles:", "hardware:cycles:"]),
        ("interval:*", ["interval:hz:", "interval:ms:", "interval:s:", "interval:us:"]),
        ("p:hz:*", ["profile:hz:"]),
        ("iter:*", ["iter:task"]),
        ("self:*", ["self:signal:SIGUSR1"]),
        ("self:signal:SIGUSR2", []),
        ("begin", []),
        ("nosuch:*", []),
        ("watch*:*", []),
    ],
)  # fmt: skip
def test_searches_of_one_provider(listed: Listed, search: str, items: list[str]) -> None:
    assert listed(search) == items


@pytest.mark.parametrize(
    ("search", "items"),
    [
        ("sched_switch", ["rawtracepoint:vmlinux:sched_switch", "tracepoint:sched:sched_switch"]),
        ("*:sched:*", ["tracepoint:sched:sched_switch"]),
        ("vfs_read", ["fentry:vmlinux:vfs_read", "kprobe:vfs_read"]),
        ("*ware:c*cles", ["hardware:cpu-cycles:", "hardware:cycles:"]),
        ("task", ["iter:task"]),
        ("main", []),
        ("*:/opt/app:start", ["usdt:/opt/app:app:start", "usdt:/opt/app:lib:start"]),
        ("u*:/opt/app:m*", ["uprobe:/opt/app:main"]),
    ],
)
def test_words_and_patterns_for_providers(listed: Listed, search: str, items: list[str]) -> None:
    assert listed(search) == items


def test_everything_is_sorted_by_provider_and_name(listed: Listed) -> None:
    items = listed("*")
    providers = [item.split(":")[0] for item in items]
    assert providers == sorted(providers)
    assert set(providers) == {
        "fentry", "hardware", "iter", "kprobe", "rawtracepoint", "software", "tracepoint"
    }  # fmt: skip
    for provider in set(providers):
        names = [item for item in items if item.startswith(f"{provider}:")]
        assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("search", "items"),
    [
        ("uprobe:/opt/app:main", ["uprobe:/opt/app:main"]),
        ("uprobe:/opt/app", [f"uprobe:/opt/app:{n}" for n in ("_Z3runi", "_Z3runl", "main")]),
        ("uprobe:app:ma*", ["uprobe:/opt/app:main"]),
        ("ur:/opt/app:main", ["uretprobe:/opt/app:main"]),
        ("uprobe:/no/file:*", []),
        ("uprobe:/opt/app:cpp:run", [f'uprobe:/opt/app:cpp:"run({t})"' for t in ("int", "long")]),
        ('uprobe:/opt/app:cpp:"run(int)"', ['uprobe:/opt/app:cpp:"run(int)"']),
        ("uprobe:/opt/app:java:run", []),
        ("uprobe:main", ["uprobe:/opt/app:main"]),
        ("usdt:/opt/app:st*", ["usdt:/opt/app:app:start", "usdt:/opt/app:app:stop",
                               "usdt:/opt/app:lib:start"]),
        ("usdt:/opt/app:lib:*", ["usdt:/opt/app:lib:start"]),
        ("U:*:app:stop", ["usdt:/opt/app:app:stop"]),
    ],
)  # fmt: skip
def test_files(listed: Listed, search: str, items: list[str]) -> None:
    assert listed(search) == items


def test_a_wildcard_in_a_path_keeps_how_it_was_written(listed: Listed) -> None:
    app = BinaryInfo(
        path="/opt/bin/app", kind="exec", machine=62, build_id="", symbols=(symbol("main", 16),)
    )
    kernel = FakeKernel(binaries=[app], targets={"./bin/ap*": ["/opt/bin/app"]})
    assert listed("uprobe:./bin/ap*:*", kernel=kernel) == ["uprobe:./bin/app:main"]


def test_a_process_brings_its_files(listed: Listed) -> None:
    assert listed("main", pid=7) == ["uprobe:/opt/app:main"]
    assert listed("usdt:app:*", pid=7) == ["usdt:/opt/app:app:start", "usdt:/opt/app:app:stop"]
    assert listed("uprobe:cpp:run", pid=7)[0] == 'uprobe:/opt/app:cpp:"run(int)"'
    everything = listed("*", pid=7)
    assert "tracepoint:sched:sched_switch" in everything
    assert "usdt:/opt/app:lib:start" in everything


@pytest.mark.parametrize(
    ("search", "lines"),
    [
        ("tracepoint:sched:*", ["    char prev_comm[16]", "    pid_t prev_pid"]),
        ("rawtracepoint:*", ["    bool preempt"]),
        ("kprobe:vfs_read", ["    struct file * arg0", "    size_t arg1"]),
        ("kretprobe:vfs_read", ["    ssize_t retval"]),
        ("fentry:vfs_read", ["    struct file * file", "    size_t count"]),
        ("fexit:vfs_read", ["    struct file * file", "    size_t count", "    ssize_t retval"]),
        ("iter:task", ["    struct task_struct * task"]),
        ("kprobe:vfs_write", []),
        ("software:cs:", []),
    ],
)
def test_argument_lines(listed: Listed, search: str, lines: list[str]) -> None:
    assert listed(search, verbose=True)[1:] == lines


def test_a_file_without_debug_information_is_told_once(listed: Listed) -> None:
    assert len(listed("uprobe:/opt/app:*", verbose=True)) == 3
    assert listed.errors == ('WARNING: No DWARF found for "/opt/app", cannot show parameter info\n')


def test_types(listed: Listed) -> None:
    assert listed("struct q*") == ["struct qstr"]
    assert listed("enum pid_type") == ["enum pid_type"]
    assert listed("union *") == []
    assert listed("struct qstr", verbose=True) == [
        "vmlinux: struct qstr {", "\tu32 len;", "};", ""
    ]  # fmt: skip
    assert listed("struct") == []


def test_what_this_kernel_refuses_is_listed_with_a_warning(listed: Listed) -> None:
    kernel = a_kernel(features=("btf",))
    assert listed("kprobe:vfs_read", kernel=kernel) == ["kprobe:vfs_read"]
    assert listed.errors == (
        "WARNING: This kernel has no kprobes (it was built without CONFIG_KPROBES)\n"
    )
    assert listed("vfs_read", kernel=kernel) == ["fentry:vmlinux:vfs_read", "kprobe:vfs_read"]
    assert "fentry, fexit): Operation not permitted" in listed.errors
    assert listed("sched_switch", kernel=kernel)
    assert listed.errors == ""


def test_lists_that_the_machine_keeps_to_itself(listed: Listed) -> None:
    kernel = a_kernel(unknown=Unknown(reason="/sys/kernel/tracing: Permission denied"))
    assert listed("tracepoint:*", kernel=kernel) == []
    assert "tracepoints cannot be listed: /sys/kernel/tracing: Permission denied" in listed.errors


def test_pieces_outside_of_quotes() -> None:
    assert split_outside_quotes('a:"b:c":d', ":") == ["a", '"b:c"', "d"]
    assert split_outside_quotes('u:x:cpp:"f(int, long)",t:*', ",") == [
        'u:x:cpp:"f(int, long)"',
        "t:*",
    ]
    assert split_outside_quotes("", ",") == [""]
