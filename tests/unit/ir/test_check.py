"""Each rule of the typed IR, broken once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytrace.base.frozen import FrozenValue
from pytrace.base.types import U64
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.ir.check import check
from pytrace.model.compiled import LoadParam, MapSpec
from pytrace.model.events import EventSchema, RecordField
from tests.unit.ir.test_print import everything


class Shape(FrozenValue):
    args: str
    pointer: bool = False


HELPERS = {
    "words": Shape(args="ww"),
    "find": Shape(args="mp", pointer=True),
    "any": Shape(args="a"),
    "ringbuf_query": Shape(args="mw"),
}
HASH = MapSpec(name="@h", kind="HASH", key_size=8, value_size=8, max_entries=16)
ARRAY = MapSpec(name="@n", kind="ARRAY", key_size=4, value_size=16, max_entries=1)
PERCPU = MapSpec(name="@p", kind="PERCPU_HASH", key_size=8, value_size=8, max_entries=16)
RING = MapSpec(name="@ring", kind="RINGBUF", key_size=0, value_size=0, max_entries=4096)
EVENT = EventSchema(id=0, handler="m:f", fields=(RecordField(type=U64, offset=8),), size=16)
PARAM = LoadParam(name="small", kind="x", offset=0, size=4)


def module(*functions: ir.Function, **changes: object) -> ir.Module:
    values: dict[str, object] = {
        "functions": functions,
        "maps": (HASH, ARRAY, PERCPU, RING),
        "events": (EVENT,),
        "params": (PARAM,),
        "attach": (),
        "sources": (),
    }
    values.update(changes)
    return ir.Module(**values)  # type: ignore[arg-type]


def prog(body: ir.Block) -> ir.Function:
    return ir.Function(name="p", body=body, prog_type="PROG_TYPE_KPROBE")


def function(body: ir.Block) -> ir.Function:
    return ir.Function(name="f", body=body, params=("$a",))


def problems(build: Callable[[Builder], object]) -> list[str]:
    """What is wrong with a prog whose body ``build`` makes; it may call function f."""
    b, f = Builder(), Builder()
    build(b)
    f.ret(f.argument(0))
    return check(module(prog(b.finish()), function(f.finish())), HELPERS)


def test_a_module_with_every_kind_of_node_is_right() -> None:
    assert check(everything(), HELPERS) == []


def slot(b: Builder, size: int = 8) -> ir.Value:
    return b.address(b.slot("s", size))


def in_body(b: Builder, make: Callable[[], object], loop: str = "repeat") -> None:
    with b.block() as body:
        make()
    if loop == "repeat":
        b.repeat(b.cell("i"), 0, 3, body[0])
    else:
        b.for_each("@h", body[0])


def use_from_branch(b: Builder) -> None:
    values: list[ir.Value] = []
    with b.when(b.param("small") if False else ir.Const(value=1)):
        values.append(b.get(b.cell("x")))
    b.set(b.cell("y"), values[0])


def use_across_body(b: Builder) -> None:
    value = b.get(b.cell("x"))
    in_body(b, lambda: b.set(b.cell("y"), value))


def twice(b: Builder) -> None:
    b.emit(b.get(b.cell("x")))


def nested_element(b: Builder) -> None:
    in_body(b, lambda: in_body(b, lambda: b.load(b.element_key(), 0, 8)), "for_each")


def endless(b: Builder) -> None:
    with b.block() as body:
        in_body(b, lambda: b.jump("break"))
    b.loop(body[0])


def update_with_element(b: Builder) -> None:
    found = b.lookup("@h", slot(b))
    b.update("@h", slot(b), found)


BROKEN: dict[str, tuple[Callable[[Builder], object], str]] = {
    "const": (lambda b: b.ret(ir.Const(value=1 << 64)), "does not fit 64 bits"),
    "negative const": (lambda b: b.ret(ir.Const(value=-(1 << 63) - 1)), "does not fit"),
    "before": (lambda b: b.ret(ir.GetCell(cell=ir.Cell("x"))), "not made before it here"),
    "branch": (use_from_branch, "not made before it here"),
    "body": (use_across_body, "not made before it here"),
    "twice": (twice, "stands in two places"),
    "operation": (lambda b: b.binop("pow", b.get(b.cell("x")), 2), "unknown operation pow"),
    "comparison": (lambda b: b.compare("lt", 1, 2), "unknown comparison lt"),
    "zero": (lambda b: b.binop("udiv", b.get(b.cell("x")), 0), "divides by zero"),
    "extend": (
        lambda b: b.emit(ir.Extend(value=ir.Const(value=1), bits=7, signed=False)),
        "extends 7 bits",
    ),
    "swap": (lambda b: b.byte_swap(ir.Const(value=1), 8), "swaps 8 bits"),
    "word wanted": (lambda b: b.compare("eq", slot(b), 1), "left is a pointer, not a word"),
    "pointer wanted": (lambda b: b.load(b.const(8), 0, 8), "pointer is a word, not a pointer"),
    "map": (lambda b: b.load(b.map_ref("@h"), 0, 8), "is a map, which only helpers take"),
    "width": (lambda b: b.load(slot(b), 0, 3), "accesses 3 bytes"),
    "atomic width": (lambda b: b.atomic_add(slot(b), 0, 1, size=2), "accesses 2 bytes"),
    "outside": (lambda b: b.load(slot(b), 4, 8), "bytes 4 to 12 of 8 are accessed"),
    "before slot": (lambda b: b.load(b.offset(slot(b), -1), 0, 1), "bytes -1 to 0 of 8"),
    "map value": (lambda b: b.store(b.map_value("@n"), 16, 1, 0), "bytes 16 to 17 of 16"),
    "looked up": (lambda b: b.load(b.lookup("@h", slot(b)), 8, 1), "bytes 8 to 9 of 8"),
    "record": (lambda b: b.store(b.reserve(0), 16, 8, 1), "bytes 16 to 24 of 16"),
    "copy": (lambda b: b.copy(slot(b, 16), slot(b, 8), 16), "bytes 0 to 16 of 8"),
    "no size": (lambda b: b.emit(ir.Zero(target=slot(b), size=0)), "has a size of 0"),
    "empty slot": (lambda b: b.emit(ir.SlotAddr(slot=ir.Slot("s", 0))), "has no size"),
    "state": (lambda b: b.load(b.state(200), 0, 8), "lies outside of the state"),
    "offset": (lambda b: b.offset(slot(b), b.get(b.cell("x"))), "needs a limit"),
    "ctx offset": (
        lambda b: b.offset(b.context(), b.get(b.cell("x")), 8),
        "only read at constant offsets",
    ),
    "space": (lambda b: b.read("moon", slot(b), 8, b.const(1)), "unknown address space moon"),
    "read size": (
        lambda b: b.read("user", slot(b), b.get(b.cell("x")), b.const(1)),
        "variable size needs a limit",
    ),
    "read outside": (lambda b: b.read("user", slot(b), 9, b.const(1)), "bytes 0 to 9 of 8"),
    "read limit": (
        lambda b: b.read("user", slot(b), b.get(b.cell("x")), b.const(1), 9),
        "bytes 0 to 9 of 8",
    ),
    "no map": (lambda b: b.lookup("@x", slot(b)), "there is no map @x"),
    "no map value": (lambda b: b.load(b.map_value("@x"), 0, 8), "there is no map @x"),
    "not an array": (lambda b: b.load(b.map_value("@h"), 0, 8), "map @h is no array"),
    "key": (lambda b: b.lookup("@h", slot(b, 4)), "bytes 0 to 8 of 4"),
    "value": (lambda b: b.update("@h", slot(b), slot(b, 4)), "bytes 0 to 8 of 4"),
    "flags": (lambda b: b.update("@h", slot(b), slot(b), 4), "unknown flags 4"),
    "updated element": (update_with_element, "points into what a look-up returned"),
    "per cpu": (lambda b: b.lookup_percpu("@h", slot(b), b.const(0)), "@h is not per CPU"),
    "event": (lambda b: b.reserve(1), "there is no event 1"),
    "submit": (lambda b: b.submit(slot(b)), "was not reserved"),
    "break": (lambda b: b.jump("break"), "outside of any loop"),
    "continue": (lambda b: b.jump("continue"), "outside of any loop"),
    "element": (lambda b: b.load(b.element_key(), 0, 8), "outside of a ForEach"),
    "nested element": (nested_element, "or in a loop inside it"),
    "for each map": (lambda b: b.for_each("@x", ir.Block(instrs=())), "there is no map @x"),
    "for each ring": (lambda b: b.for_each("@ring", ir.Block(instrs=())), "can loop over map"),
    "endless": (endless, "never ends"),
    "context in body": (
        lambda b: in_body(b, lambda: b.load(b.context(), 0, 8)),
        "cannot be reached in the body of a loop",
    ),
    "param": (lambda b: b.ret(b.param("other")), "there is no parameter other"),
    "param size": (lambda b: b.ret(b.param("small")), "parameter small has 4 bytes"),
    "argument": (lambda b: b.ret(b.argument(0)), "there is no argument 0"),
    "helper": (lambda b: b.helper("nothing"), "unknown helper nothing"),
    "helper count": (lambda b: b.helper("words", 1), "takes 2 arguments"),
    "helper word": (lambda b: b.helper("words", 1, slot(b)), "argument 2 is of the wrong kind"),
    "helper map": (lambda b: b.helper("find", slot(b), slot(b)), "argument 1 is of the wrong"),
    "helper pointer": (
        lambda b: b.helper("find", b.map_ref("@h"), 1),
        "argument 2 is of the wrong kind",
    ),
    "helper any": (lambda b: b.helper("any", b.map_ref("@h")), "argument 1 is of the wrong"),
    "function": (lambda b: b.call("g", ()), "there is no function g"),
    "calls a prog": (lambda b: b.call("p", ()), "there is no function p"),
    "arguments": (lambda b: b.call("f", ()), "takes 1 arguments"),
    "pointer argument": (lambda b: b.call("f", (slot(b),)), "functions take words only"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named_with_its_instruction(name: str) -> None:
    build, fault = BROKEN[name]
    found = problems(build)
    if name == "context in body":  # once for the leaf in the block, once for the load
        assert found.pop(0) == "p: ctx: the context cannot be reached in the body of a loop"
    assert len(found) == 1, found
    assert found[0].startswith("p: ")
    assert fault in found[0]


def test_results_of_helpers_are_of_the_kind_that_the_table_says() -> None:
    def right(b: Builder) -> None:
        found = b.helper("find", b.map_ref("@h"), slot(b))
        b.load(found, 0, 8)
        b.set(b.cell("x"), b.helper("words", 1, 2))

    def wrong(b: Builder) -> None:
        b.load(b.helper("words", 1, 2), 0, 8)

    assert problems(right) == []
    assert len(problems(wrong)) == 1


def test_without_a_table_helpers_are_left_alone() -> None:
    b = Builder()
    b.load(b.helper("whatever", 1), 0, 8)
    assert check(module(prog(b.finish()))) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"maps": (HASH, HASH)}, "map @h: the name is given twice"),
        ({"events": (EVENT, EVENT)}, "event 1: its id is 0"),
        (
            {"events": (EventSchema(id=0, handler="m:f", fields=(), size=4),)},
            "event 0: size 4",
        ),
        (
            {"events": (EventSchema(id=0, handler="m:f", fields=EVENT.fields, size=12),)},
            "event 0: field at 8 lies outside of the record",
        ),
        (
            {
                "events": (
                    EventSchema(id=0, handler="m:f", fields=EVENT.fields, size=32, control=True),
                )
            },
            "event 0: field at 8 lies outside of the record",
        ),
    ],
)
def test_declarations(changes: dict[str, object], fault: str) -> None:
    assert check(module(**changes)) == [fault]


def test_functions_have_names_of_their_own_and_do_not_recur() -> None:
    first, second = Builder(), Builder()
    first.call("g", ())
    second.call("f", ())
    empty = ir.Block(instrs=())
    assert check(
        module(
            ir.Function(name="f", body=first.finish()), ir.Function(name="g", body=second.finish())
        )
    ) == ["function f: calls itself", "function g: calls itself"]
    same = ir.Function(name="a-b", body=empty)
    assert check(module(same, same)) == [
        "function a-b: the name is given twice",
        "function a-b: not a C identifier",
        "function a-b: not a C identifier",
    ]


def test_only_progs_have_a_context_and_no_prog_has_parameters() -> None:
    b = Builder()
    b.load(b.context(), 0, 8)
    found = check(module(function(b.finish())))
    assert len(found) == 1
    assert found[0].endswith("a function has no context")
    with_params = ir.Function(
        name="p", body=ir.Block(instrs=()), prog_type="PROG_TYPE_KPROBE", params=("$a",)
    )
    assert check(module(with_params)) == ["p: a prog has no parameters"]
