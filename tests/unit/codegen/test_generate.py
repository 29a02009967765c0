"""What code generation gives besides instructions that run (tests/kernel has those)."""

from __future__ import annotations

import struct

import pytest

from pytrace.base.errors import NotSupported
from pytrace.base.source import SourceFile, Span
from pytrace.codegen import CodegenOptions, generate, generate_all, llvm_text
from pytrace.codegen.debuginfo import escape
from pytrace.codegen.helpers import HELPERS, KFUNCS, TABLE
from pytrace.codegen.llvm import ProgTooLargeError
from pytrace.codegen.scratch import ALONE, GUARDED, PREEMPTED, nesting
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.model.compiled import AttachSpec, MapSpec, SourceText
from pytrace.model.events import EventSchema

SCRIPT = SourceFile("stdin", b'BEGIN {\n  @x = "\xff\\"; }\n')
MAP = MapSpec(name="@h", kind="HASH", key_size=8, value_size=8, max_entries=16)
FEATURES = frozenset(("loop", "for_each_map_elem", "probe_read_kernel", "ringbuf"))


def options(**changes: object) -> CodegenOptions:
    values: dict[str, object] = {"version": "1", "arch": "x86_64", "features": FEATURES}
    values.update(changes)
    return CodegenOptions(**values)  # type: ignore[arg-type]


def module(*functions: ir.Function, **changes: object) -> ir.Module:
    values: dict[str, object] = {
        "functions": functions,
        "maps": (MAP,),
        "events": (),
        "params": (),
        "attach": (),
        "sources": (SourceText(name="stdin", text=SCRIPT.text),),
    }
    values.update(changes)
    return ir.Module(**values)  # type: ignore[arg-type]


def prog(body: ir.Block, name: str = "p", **fields: object) -> ir.Function:
    values: dict[str, object] = {
        "prog_type": "PROG_TYPE_RAW_TRACEPOINT",
        "span": Span(source=SCRIPT, start=0, end=5),
    }
    values.update(fields)
    return ir.Function(name=name, body=body, **values)  # type: ignore[arg-type]


def counting(b: Builder) -> None:
    b.span = Span(source=SCRIPT, start=10, end=20)
    key = b.slot("key", 8)
    b.store(b.address(key), 0, 8, b.helper("get_current_pid_tgid"))
    found = b.lookup("@h", b.address(key))
    with b.when(b.negate(b.is_null(found))):
        b.atomic_add(found, 0, 1)


def simple() -> ir.Module:
    b = Builder()
    counting(b)
    return module(prog(b.finish()))


def test_the_same_module_gives_the_same_program() -> None:
    assert generate(simple(), options()) == generate(simple(), options())
    assert generate(simple(), options(isolated=True)) == generate(simple(), options())


def test_what_the_module_and_the_options_hold_arrives() -> None:
    attach = AttachSpec(provider="special", name="begin", prog="p", args=(), span=None)
    function = prog(
        Builder().finish(), expected_attach_type="TRACE_FENTRY", attach_btf="vfs_read", flags=16
    )
    program = generate(
        module(function, attach=(attach,), license="Dual MIT/GPL"),
        options(config=(("max_strlen", 64),), warnings=(("WARNING", "text"),)),
    )
    spec = program.prog("p")
    assert (spec.prog_type, spec.expected_attach_type) == (
        "PROG_TYPE_RAW_TRACEPOINT",
        "TRACE_FENTRY",
    )
    assert (spec.attach_btf, spec.flags, spec.subprogs) == ("vfs_read", 16, ())
    assert program.attach == (attach,)
    assert (program.version, program.target, program.license) == ("1", "x86_64", "Dual MIT/GPL")
    assert program.config == (("max_strlen", 64),)
    assert program.warnings == (("WARNING", "text"),)
    assert program.sources[0].text == SCRIPT.text
    assert [m.name for m in program.maps] == ["@h", ".state"]


def btf_string(btf: bytes, offset: int) -> bytes:
    header, _, _, strings = struct.unpack_from("<4I", btf, 4)
    start = header + strings + offset
    return btf[start : btf.index(b"\0", start)]


def test_line_info_names_the_scripts_lines() -> None:
    program = generate(simple(), options())
    spec = program.prog("p")
    assert spec.btf_func > 0
    assert spec.line_info[0].insn == 0
    seen = {(line.line, btf_string(program.btf, line.line_off)) for line in spec.line_info}
    assert seen == {(1, b"BEGIN {"), (2, b'  @x = "\xff\\"; }')}
    names = {btf_string(program.btf, line.file_name_off) for line in spec.line_info}
    assert names == {b"stdin"}
    at = [line.insn for line in spec.line_info]
    assert at == sorted(set(at))


def test_subprograms_come_along_where_they_are_needed() -> None:
    b, c, f, g, unused = (Builder() for _ in range(5))
    b.emit(ir.SetCell(cell=b.cell("x"), value=b.call("f", (b.const(1),))))
    b.ret(b.get(b.cell("y")))
    c.ret(c.call("g", (c.const(1),)))
    for builder in (f, g):
        slot = builder.slot("s", 16)
        builder.helper("get_current_comm", builder.address(slot), 16)
        builder.store(builder.address(slot), 0, 8, builder.argument(0))
        builder.delete("@h", builder.address(slot))
    f.ret(f.call("g", (f.argument(0),)))
    g.ret(g.const(0))
    unused.ret(unused.const(0))
    functions = [
        ir.Function(name=name, body=builder.finish(), params=("$a",))
        for name, builder in (("f", f), ("g", g), ("unused", unused))
    ]
    program = generate(module(prog(b.finish()), prog(c.finish(), "q"), *functions), options())
    assert program.prog("p").subprogs == ("f", "g")
    assert program.prog("q").subprogs == ("g",)
    assert [s.name for s in program.subprogs] == ["f", "g"]
    assert all(s.btf_func for s in program.subprogs)


def test_features_that_the_code_uses_are_listed() -> None:
    b = Builder()
    with b.block() as body:
        b.element_key()
    b.for_each("@h", body[0])
    b.submit(b.reserve(0))
    event = EventSchema(id=0, handler="m:f", fields=(), size=8)
    program = generate(module(prog(b.finish()), events=(event,)), options())
    assert program.features == ("for_each_map_elem", "ringbuf")


def test_a_loop_over_a_map_needs_a_kernel_that_has_it() -> None:
    b = Builder()
    b.for_each("@h", ir.Block(instrs=()))
    with pytest.raises(NotSupported, match="cannot loop over a map"):
        generate(module(prog(b.finish())), options(features=frozenset(("loop",))))


def test_texts_for_people() -> None:
    m = simple()
    text = llvm_text(m, options())
    assert 'define i64 @"p"(ptr %ctx)' in text
    both = generate_all(m, options(), keep_text=True)
    assert both.llvm == text
    assert both.optimised is not None
    assert "@p(ptr" in both.optimised
    assert both.elf.startswith(b"\x7fELF")
    assert generate_all(m, options()).optimised is None


def test_the_optimisation_level_can_be_given() -> None:
    assert generate(simple(), options(optimise=2)) == generate(simple(), options())
    assert generate(simple(), options(optimise=1)).prog("p").insns


def long_prog() -> ir.Module:
    b = Builder()
    with b.when(b.helper("get_current_pid_tgid")):
        for _ in range(4000):
            counting(b)
    b.ret(b.const(7))
    return module(prog(b.finish()))


def test_a_prog_that_is_too_long_is_an_error_for_people_and_ends_nothing() -> None:
    with pytest.raises(ProgTooLargeError, match="32767 instructions"):
        generate(long_prog(), options())
    program = generate(long_prog(), options(cpu="v4"))
    assert len(program.prog("p").insns) // 8 > 32767


def test_a_chain_of_hundreds_of_branches_and_deep_nesting() -> None:
    b = Builder()
    word = b.helper("get_current_pid_tgid")
    chain = ir.Block(instrs=(ir.Return(value=ir.Const(value=1)),))
    for number in range(400):
        with b.block() as arm:
            b.ret(b.const(number))
        test = ir.Compare(op="eq", left=word, right=ir.Const(value=number))
        chain = ir.Block(instrs=(test, ir.If(cond=test, then=arm[0], orelse=chain)))
    nested = ir.Block(instrs=())
    for _ in range(200):
        nested = ir.Block(instrs=(ir.If(cond=word, then=nested, orelse=chain),))
        chain = ir.Block(instrs=())
    for instr in nested.instrs:
        b.emit(instr)
    assert generate(module(prog(b.finish())), options()).prog("p").insns


def test_bytes_of_metadata_are_escaped() -> None:
    assert escape(b'a"\\\n\xff\0~') == "a\\22\\5C\\0A\\FF\\00~"


def test_helper_numbers_are_those_of_the_kernel() -> None:
    numbers = [h.number for h in HELPERS.values()]
    assert len(set(numbers)) == len(numbers)
    some = {"map_lookup_elem": 1, "get_current_task_btf": 158, "loop": 181, "ktime_get_tai_ns": 208}
    assert {name: HELPERS[name].number for name in some} == some
    assert all(not k.number and k.symbol.startswith("bpf_") for k in KFUNCS.values())
    assert all(set(h.args) <= set("wpam") and len(h.args) <= 5 for h in TABLE.values())


@pytest.mark.parametrize(
    ("kind", "attach", "providers", "expected"),
    [
        ("PROG_TYPE_TRACEPOINT", "", {"tracepoint"}, GUARDED),
        ("PROG_TYPE_PERF_EVENT", "", {"interval"}, GUARDED),
        ("PROG_TYPE_KPROBE", "", {"kprobe"}, GUARDED),
        ("PROG_TYPE_KPROBE", "TRACE_KPROBE_MULTI", {"kprobe"}, GUARDED),
        ("PROG_TYPE_KPROBE", "TRACE_KPROBE_SESSION", {"kprobe"}, GUARDED),
        ("PROG_TYPE_KPROBE", "", {"uprobe"}, PREEMPTED),
        ("PROG_TYPE_KPROBE", "", {"kprobe", "uprobe"}, PREEMPTED),
        ("PROG_TYPE_KPROBE", "", {"usdt"}, PREEMPTED),
        ("PROG_TYPE_KPROBE", "", set(), PREEMPTED),
        ("PROG_TYPE_KPROBE", "TRACE_UPROBE_MULTI", {"uprobe"}, PREEMPTED),
        ("PROG_TYPE_RAW_TRACEPOINT", "", {"special"}, ALONE),
        ("PROG_TYPE_TRACING", "TRACE_FENTRY", {"fentry"}, ALONE),
        ("PROG_TYPE_TRACING", "TRACE_ITER", {"iter"}, PREEMPTED),
    ],
)
def test_which_runs_of_progs_may_overlap(
    kind: str, attach: str, providers: set[str], expected: str
) -> None:
    function = ir.Function(
        name="p", body=ir.Block(instrs=()), prog_type=kind, expected_attach_type=attach
    )
    assert nesting(function, frozenset(providers)) == expected


def test_progs_that_exclude_each_other_share_scratch_and_others_do_not() -> None:
    kinds = ("PROG_TYPE_TRACEPOINT", "PROG_TYPE_PERF_EVENT", "PROG_TYPE_RAW_TRACEPOINT")
    functions = []
    for number, kind in enumerate((*kinds, "PROG_TYPE_RAW_TRACEPOINT")):
        b = Builder()
        slot = b.slot("s", 100)
        b.zero(b.address(slot), 100)
        b.helper("get_current_comm", b.address(slot), 16)
        functions.append(prog(b.finish(), f"p{number}", prog_type=kind))
    scratch = generate(module(*functions), options()).map(".scratch")
    assert (scratch.kind, scratch.max_entries, scratch.value_size) == ("PERCPU_ARRAY", 3, 104)
