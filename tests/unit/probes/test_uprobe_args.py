"""``args`` of uprobes: registers by the calling convention, types by debug information."""

from __future__ import annotations

import pytest

from pytrace.base.types import (
    I32,
    U8,
    USER,
    VOID,
    Array,
    Field,
    Ptr,
    StructDef,
    Type,
)
from pytrace.ir.print import print_module
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import BinaryInfo, FuncProto, KernelIdentity, SymbolInfo
from pytrace.probes.registers import register_arguments
from tests.compiling import Outcome, compile_to_ir

DOUBLE = Array(elem=U8, count=8)
WIDE = Array(elem=U8, count=16)
WORDS = {"di": 112, "si": 104, "dx": 96, "cx": 88, "r8": 72, "r9": 64}


def struct_of(name: str, size: int, *kinds: Type) -> StructDef:
    fields = tuple(Field(name=f"m{n}", type=kind, offset=4 * n) for n, kind in enumerate(kinds))
    return StructDef(kind="struct", name=name, size=size, fields=fields)


SMALL, PAIR, LARGE = struct_of("small", 4, I32), struct_of("pair", 16, I32), struct_of("large", 24)
POINT = struct_of("point", 8, Array(elem=U8, count=4))
STRUCTS = {s.name: s for s in (SMALL, PAIR, LARGE, POINT)}


def placed(*kinds: Type, returns: Type = VOID, arch: str = "x86_64") -> dict[str, int]:
    """The offset of each parameter that has one."""
    params = tuple((f"p{n}", kind) for n, kind in enumerate(kinds))
    proto = FuncProto(name="f", module="", params=params, returns=returns)
    found = register_arguments("_f", proto, arch, lambda kind: STRUCTS.get(kind.name))
    return {field.name: field.offset for field in found.fields}


@pytest.mark.parametrize(
    ("kinds", "places"),
    [
        ((I32, I32), {"p0": "di", "p1": "si"}),
        ((I32,) * 8, dict(zip(("p0", "p1", "p2", "p3", "p4", "p5"), WORDS))),
        ((DOUBLE, I32), {"p1": "di"}),
        ((I32, WIDE, I32), {"p0": "di"}),
        ((SMALL.type, I32), {"p0": "di", "p1": "si"}),
        ((PAIR.type, I32), {"p1": "dx"}),
        ((LARGE.type, I32), {"p1": "di"}),
        ((POINT.type, I32), {}),
        ((*(I32,) * 5, PAIR.type, I32), {**dict(zip(("p0", "p1", "p2", "p3", "p4"), WORDS)),
                                         "p6": "r9"}),
    ],
)  # fmt: skip
def test_registers_of_x86_64(kinds: tuple[Type, ...], places: dict[str, str]) -> None:
    assert placed(*kinds) == {name: WORDS[register] for name, register in places.items()}


def test_a_large_result_takes_the_first_register() -> None:
    assert placed(I32, returns=LARGE.type) == {"p0": WORDS["si"]}
    assert placed(I32, returns=LARGE.type, arch="aarch64") == {"p0": 0}


def test_registers_of_aarch64() -> None:
    assert placed(I32, LARGE.type, I32, arch="aarch64") == {"p0": 0, "p2": 16}


def a_kernel() -> FakeKernel:
    symbols = tuple(
        SymbolInfo(name=name, address=at, offset=at, size=16)
        for name, at in (("pick", 16), ("bare", 32))
    )
    item = struct_of("item", 8, I32, I32)
    pick = FuncProto(
        name="pick", module="", returns=I32,
        params=(("from", Ptr(to=item.type, space=USER)), ("count", I32)),
    )  # fmt: skip
    return FakeKernel(
        binaries=[
            BinaryInfo(path="/opt/app", kind="exec", machine=62, build_id="", symbols=symbols)
        ],
        user_functions={("/opt/app", "pick"): pick},
        user_structs=[item],
        identity=KernelIdentity(release="6.18.0", arch="x86_64", build_id=""),
    )


def compiled(script: str) -> Outcome:
    return compile_to_ir(script, kernel=a_kernel())


def errors(script: str) -> list[str]:
    return [d.message for d in compiled(script).sink.errors]


def test_arguments_are_typed_and_read_from_registers() -> None:
    script = "uprobe:/opt/app:pick { $f = args.from; $c = args.count; $m = args.from.m1; }"
    found = compiled(script)
    assert found.variables() == {"f": "struct item *", "c": "int32", "m": "int32"}
    text = print_module(found.module)
    assert f"load.u64 ctx+{WORDS['di']}" in text
    assert f"load.s32 ctx+{WORDS['si']}" in text
    assert "read.user" in text


def test_all_arguments_at_once() -> None:
    lowered = compiled("uprobe:/opt/app:pick { @ = args; print(args); }").lowered
    assert lowered is not None
    (args,) = [s for s in lowered.structs if s.name.startswith("_uprobe")]
    assert [f.name for f in args.fields] == ["from", "count"]


def test_types_of_the_program_have_names_in_the_script() -> None:
    script = "uprobe:/opt/app:pick { @ = ((struct item *)arg0).m1; @s = sizeof(struct item); }"
    assert errors(script) == []
    assert errors("uretprobe:/opt/app:pick { @ = sizeof(struct item); }") == []
    assert errors("begin { @ = sizeof(struct item); }") == [
        'Cannot resolve unknown type "struct item"'
    ]


def test_functions_without_debug_information() -> None:
    assert errors("uprobe:/opt/app:bare { print(args.x); }")[:1] == [
        'Could not parse arguments of "uprobe:/opt/app:bare": no debuginfo found for /opt/app'
    ]
    assert errors("uprobe:/opt/app:bare { print(arg0); }") == []
    assert errors("uprobe:/opt/app:pick { print(args.nosuch); }") == [
        "Can't find function parameter nosuch"
    ]


@pytest.mark.parametrize("point", ["uretprobe:/opt/app:pick", "uprobe:/opt/app:pick+4"])
def test_where_arguments_are_gone(point: str) -> None:
    (message,) = errors(f"{point} {{ print(args.count); }}")
    assert message.startswith("The args builtin can only be used with ")
