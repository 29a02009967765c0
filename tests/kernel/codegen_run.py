"""Compile a typed IR module, load what came out, run its progs, read maps and rings.

A loader of the tests' own, so that what the code generator makes is tried without the runtime.
"""

from __future__ import annotations

import os
import struct
from types import TracebackType

from pytrace.base.types import U64
from pytrace.codegen import CodegenOptions, generate
from pytrace.ir import nodes as ir
from pytrace.ir.build import Builder
from pytrace.ir.check import check
from pytrace.linux import btf, maps, progs, uapi
from pytrace.linux.ringbuf import RingBuffer
from pytrace.linux.syscall import Syscalls
from pytrace.model.compiled import CompiledProgram, LoadParam, MapSpec, ProgSpec, SubprogSpec
from pytrace.model.events import CONTROL_MAP, EVENTS_MAP, EventSchema

FEATURES = frozenset(
    ("loop", "for_each_map_elem", "probe_read_kernel", "ringbuf", "lookup_percpu_elem")
)
RESULT = "@r"


def options(**changes: object) -> CodegenOptions:
    values: dict[str, object] = {"version": "0", "arch": "x86_64", "features": FEATURES}
    values.update(changes)
    return CodegenOptions(**values)  # type: ignore[arg-type]


def result_map(words: int = 64) -> MapSpec:
    """An array with one element in which a prog leaves what it computed."""
    return MapSpec(
        name=RESULT, kind="ARRAY", key_size=4, value_size=8 * words, max_entries=1, value=U64
    )


def prog(body: ir.Block, name: str = "prog", **fields: object) -> ir.Function:
    values: dict[str, object] = {"prog_type": "PROG_TYPE_RAW_TRACEPOINT", "gate": True}
    values.update(fields)
    return ir.Function(name=name, body=body, **values)  # type: ignore[arg-type]


def module(
    *functions: ir.Function,
    maps: tuple[MapSpec, ...] = (),
    events: tuple[EventSchema, ...] = (),
    params: tuple[LoadParam, ...] = (),
) -> ir.Module:
    return ir.Module(
        functions=functions,
        maps=(result_map(), *maps),
        events=events,
        params=params,
        attach=(),
        sources=(),
    )


def keep(b: Builder, index: int, value: ir.Value | int) -> None:
    """Store a word as result ``index``."""
    b.store(b.map_value(RESULT), 8 * index, 8, value)


class Loaded:
    """A compiled program in the kernel. Close it, or use it as a context."""

    def __init__(self, program: CompiledProgram, params: bytes = b"") -> None:
        self.program = program
        self.sys = Syscalls()
        self.maps = {m.name: self._create(m) for m in program.maps}
        if params:
            target = self.maps[".params"]
            target.update(bytes(4), params.ljust(target.value_size, b"\0"))
            target.freeze()
        self.btf = btf.load(self.sys, program.btf)
        self.rings = {
            name: RingBuffer(self.maps[name].fd, self.maps[name].max_entries)
            for name in (EVENTS_MAP, CONTROL_MAP)
            if name in self.maps
        }
        self.progs = {p.name: self._load(p) for p in program.progs}

    def __enter__(self) -> Loaded:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for ring in self.rings.values():
            ring.close()
        for thing in (*self.progs.values(), self.btf, *self.maps.values()):
            thing.close()

    def _create(self, spec: MapSpec) -> maps.BpfMap:
        return maps.create(
            self.sys,
            spec.name,
            kind=getattr(uapi, f"BPF_MAP_TYPE_{spec.kind}"),
            key_size=spec.key_size,
            value_size=spec.value_size,
            max_entries=spec.max_entries or 1 << 16,
            flags=spec.flags,
        )

    def _load(self, spec: ProgSpec) -> progs.BpfProg:
        units: list[ProgSpec | SubprogSpec] = [spec]
        units += [s for s in self.program.subprogs if s.name in spec.subprogs]
        starts, at = {}, 0
        for unit in units:
            starts[unit.name] = at
            at += len(unit.insns) // 8
        insns, functions, lines = bytearray(), b"", b""
        for unit in units:
            insns += self._relocated(unit, starts)
            functions += struct.pack("<II", starts[unit.name], unit.btf_func)
            for line in unit.line_info:
                where = starts[unit.name] + line.insn
                position = line.line << 10 | line.column
                lines += struct.pack("<4I", where, line.file_name_off, line.line_off, position)
        return progs.load(
            self.sys,
            spec.name,
            prog_type=getattr(uapi, f"BPF_{spec.prog_type}"),
            insns=insns,
            btf_fd=self.btf.fd,
            func_info=functions,
            line_info=lines,
        )

    def _relocated(self, unit: ProgSpec | SubprogSpec, starts: dict[str, int]) -> bytearray:
        code = bytearray(unit.insns)
        for reloc in unit.relocs:
            at = reloc.insn * 8 + 4
            if reloc.kind in ("map", "map_value"):
                value = self.maps[reloc.name].fd
            elif reloc.kind in ("func", "call"):
                value = starts[reloc.name] - (starts[unit.name] + reloc.insn) - 1
            else:
                raise AssertionError(f"relocation {reloc.kind}")
            struct.pack_into("<i", code, at, value)
        return code

    def run(self, name: str = "prog", *args: int) -> int:
        """Run a raw tracepoint prog with up to 12 arguments, on CPU 0; its 32-bit result.

        This thread goes to that CPU. To ask the kernel for a CPU would run the prog in an
        interrupt there, in the memory of whatever process it meets.
        """
        context = struct.pack("<12Q", *(args + (0,) * (12 - len(args))))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {0})
        try:
            return self.progs[name].test_run(context=context).retval
        finally:
            os.sched_setaffinity(0, before)

    def results(self, count: int = 64) -> tuple[int, ...]:
        """The first words of the result map, unsigned."""
        data = self.maps[RESULT].lookup(bytes(4))
        assert data is not None
        return struct.unpack_from(f"<{count}Q", data)

    def state(self, offset: int) -> int:
        data = self.maps[".state"].lookup(bytes(4))
        assert data is not None
        word: int = struct.unpack_from("<Q", data, offset)[0]
        return word


def compile_checked(m: ir.Module, **changes: object) -> CompiledProgram:
    from pytrace.codegen.helpers import TABLE

    problems = check(m, helpers=TABLE)
    assert not problems, "\n".join(problems)
    return generate(m, options(**changes))


def run_once(m: ir.Module, *args: int, count: int = 64, **changes: object) -> tuple[int, ...]:
    """Compile, load, run prog ``prog`` once; the first ``count`` results."""
    with Loaded(compile_checked(m, **changes)) as loaded:
        loaded.run("prog", *args)
        return loaded.results(count)
