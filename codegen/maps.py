"""Map operations, and the maps that pytrace makes for itself."""

from __future__ import annotations

from pytrace.codegen.function import FunctionText
from pytrace.codegen.memory import pointer
from pytrace.ir import nodes as ir
from pytrace.model.compiled import LoadParam, MapSpec
from pytrace.model.events import (
    CONTROL_MAP,
    EVENTS_MAP,
    PARAMS_MAP,
    SCRATCH_MAP,
    STATE_MAP,
    EventSchema,
    state_size,
)

BPF_F_RDONLY_PROG = 1 << 7
BPF_F_MMAPABLE = 1 << 10

CONTROL_BYTES = 1 << 18
"""Room of the control ring: thousands of records, and a multiple of any page size."""


def lookup(f: FunctionText, node: ir.MapLookup) -> str:
    key = pointer(f, node.key)
    return f.helper("map_lookup_elem", f"ptr {f.module.map(node.map)}", f"ptr {key}")


def lookup_percpu(f: FunctionText, node: ir.MapLookupPercpu) -> str:
    f.module.used_features.add("lookup_percpu_elem")
    key, cpu = pointer(f, node.key), f.value(node.cpu)
    args = (f"ptr {f.module.map(node.map)}", f"ptr {key}", f"i64 {cpu}")
    return f.helper("map_lookup_percpu_elem", *args)


def update(f: FunctionText, node: ir.MapUpdate) -> str:
    key, value = pointer(f, node.key), pointer(f, node.value)
    args = (f"ptr {f.module.map(node.map)}", f"ptr {key}", f"ptr {value}", f"i64 {node.flags}")
    return _error(f, f.helper("map_update_elem", *args))


def delete(f: FunctionText, node: ir.MapDelete) -> str:
    key = pointer(f, node.key)
    map_operand = f"ptr {f.module.map(node.map)}"
    return _error(f, f.helper("map_delete_elem", map_operand, f"ptr {key}"))


def _error(f: FunctionText, result: str) -> str:
    """The result of a map's operation as a word.

    The verifier calls the operation itself instead of the helper, and before Linux 6.4 it was an
    int, whose upper half means nothing (do_misc_fixups, commit d7ba4cc900bf). Cpu v4 is 6.6. The
    barrier keeps LLVM from comparing shifted words with shifted constants.
    """
    if f.module.target.cpu == "v4":
        return result
    low = f.op(f"trunc i64 {result} to i32")
    return f.opaque(f.op(f"sext i32 {low} to i64"))


def own_maps(
    events: tuple[EventSchema, ...],
    params: tuple[LoadParam, ...],
    scratch_size: int,
    scratch_entries: int,
) -> tuple[MapSpec, ...]:
    """The maps beside the script's own: ``.state`` always, the others where there is a use."""
    maps = [_array(STATE_MAP, state_size(len(events)), BPF_F_MMAPABLE)]
    if params:
        size = max(p.offset + p.size for p in params)
        maps.append(_array(PARAMS_MAP, -(-size // 8) * 8, BPF_F_RDONLY_PROG))
    if any(not e.control for e in events):
        maps.append(_ring(EVENTS_MAP, 0))
    if any(e.control for e in events):
        maps.append(_ring(CONTROL_MAP, CONTROL_BYTES))
    if scratch_entries:
        maps.append(
            MapSpec(
                name=SCRATCH_MAP,
                kind="PERCPU_ARRAY",
                key_size=4,
                value_size=scratch_size,
                max_entries=scratch_entries,
            )
        )
    return tuple(maps)


def _array(name: str, size: int, flags: int) -> MapSpec:
    return MapSpec(name=name, kind="ARRAY", key_size=4, value_size=size, max_entries=1, flags=flags)


def _ring(name: str, size: int) -> MapSpec:
    return MapSpec(name=name, kind="RINGBUF", key_size=0, value_size=0, max_entries=size)
