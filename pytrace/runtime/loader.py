"""A compiled program into the kernel: maps, BTF, progs (the step ``load`` of the architecture)."""

from __future__ import annotations

import os
import struct

from pytrace.base.errors import LoadError, VerifierError
from pytrace.linux import maps as bpf_maps
from pytrace.linux import progs as bpf_progs
from pytrace.linux import uapi
from pytrace.linux.ringbuf import PAGE_SIZE, mmap_array
from pytrace.model.events import CONTROL_MAP, EVENTS_MAP, PARAMS_MAP, STATE_MAP
from pytrace.runtime.params import RunParams, fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from pytrace.linux.attach import Linux
    from pytrace.linux.btf import Btf
    from pytrace.linux.links import Link
    from pytrace.linux.maps import BpfMap
    from pytrace.linux.progs import BpfProg
    from pytrace.model.compiled import CompiledProgram, LineInfo, MapSpec, ProgSpec, Reloc
    from pytrace.runtime.btf_targets import BtfTarget

    FindFunction = Callable[[str], int]

_KEY_ZERO: Final = bytes(4)
_IMMEDIATE: Final = struct.Struct("=i")
_FUNC_INFO: Final = struct.Struct("=II")
_LINE_INFO: Final = struct.Struct("=IIII")

MIN_RING_PAGES: Final = 64
MAX_RING_PAGES: Final = 4096
CONTROL_PAGES: Final = 64
_RARE: Final = "faults:"
"""Handlers of records that a healthy script hardly ever sends."""

_MEMORY_SHARE: Final = 512  # the events' ring takes this part of the free memory by default


class LoadedProgram:
    """A program in the kernel. Owns all descriptors; ``close`` gives them back.

    ``state`` is the value of map ``.state`` as this process sees it, in words of 8 bytes.
    ``links`` are the session's to fill and to close.
    """

    def __init__(self, compiled: CompiledProgram, linux: Linux) -> None:
        self.compiled = compiled
        self.linux = linux
        self.maps: dict[str, BpfMap] = {}
        self.progs: dict[str, BpfProg] = {}
        self.links: list[Link] = []
        self.btf: Btf | None = None
        self.state: memoryview = memoryview(bytearray(64)).cast("Q")

    def close(self) -> None:
        """Close progs and maps, and links that are still there. Closing twice is fine."""
        for link in self.links:
            link.close()
        self.links.clear()
        for prog in self.progs.values():
            prog.close()
        self.state.release()
        for bpf_map in self.maps.values():
            bpf_map.close()
        if self.btf is not None:
            self.btf.close()


def load(
    compiled: CompiledProgram,
    linux: Linux,
    params: RunParams | None = None,
    *,
    find_function: FindFunction | None = None,
) -> LoadedProgram:
    """Create what the program needs and load its progs.

    ``find_function`` gives the id of a kernel function in the kernel's BTF, which only programs
    with kfuncs or BTF-typed probes need; by default it reads the running kernel's.

    Raises ``LoadError``, of which ``VerifierError`` has the log and the place in the script.
    Nothing stays open then.
    """
    loaded = LoadedProgram(compiled, linux)
    try:
        _create_maps(loaded, params or RunParams())
        _load_btf(loaded)
        linker = _Linker(loaded, find_function or _kernel_function)
        for spec in compiled.progs:
            loaded.progs[spec.name] = linker.load(spec)
    except BaseException:
        loaded.close()
        raise
    return loaded


# --- maps -----------------------------------------------------------------------------------


def _create_maps(loaded: LoadedProgram, params: RunParams) -> None:
    for spec in loaded.compiled.maps:
        created = loaded.maps[spec.name] = _create_map(loaded, spec)
        data = bytearray(spec.data)
        if spec.name == PARAMS_MAP:
            data = data.ljust(spec.value_size, b"\0")
            fill(loaded.compiled.params, data, params)
        if data:
            created.update(_KEY_ZERO, data.ljust(spec.value_size, b"\0"))
        if spec.name == PARAMS_MAP:
            created.freeze()
        elif spec.name == STATE_MAP:
            view = mmap_array(created.fd, spec.value_size)
            loaded.state.release()
            loaded.state = view.cast("Q")


def _create_map(loaded: LoadedProgram, spec: MapSpec) -> BpfMap:
    kind: int | None = getattr(uapi, f"BPF_MAP_TYPE_{spec.kind}", None)
    if kind is None:
        raise LoadError(f"map {spec.name} is of unknown kind {spec.kind}")
    sizes = [spec.max_entries]
    if spec.kind == "RINGBUF" and not spec.max_entries:
        sizes = _ring_sizes(loaded.compiled, spec.name)
    for last, entries in enumerate(sizes, 1 - len(sizes)):
        try:
            return bpf_maps.create(
                loaded.linux.sys,
                spec.name,
                kind=kind,
                key_size=spec.key_size,
                value_size=spec.value_size,
                max_entries=entries,
                flags=spec.flags,
            )
        except LoadError as error:
            # A memory cgroup may be smaller than what the machine has free.
            if last == 0 or error.errno != _ENOMEM:
                raise
    raise AssertionError("a ring buffer has at least one size")


_ENOMEM: Final = 12


def _ring_sizes(compiled: CompiledProgram, name: str) -> list[int]:
    """Bytes of a ring buffer: the size to try first, then what to make do with."""
    if name != EVENTS_MAP:
        return [CONTROL_PAGES * PAGE_SIZE]
    configured = dict(compiled.config).get("perf_rb_pages", 0)
    if isinstance(configured, int) and configured > 0:
        pages = configured
    elif all(e.control or e.handler.startswith(_RARE) for e in compiled.events):
        pages = MIN_RING_PAGES  # A large ring takes milliseconds to make and to give back.
    else:
        pages = _default_pages()
    pages = max(pages, os.cpu_count() or 1)
    size = 1 << (pages - 1).bit_length()
    if configured:
        return [size * PAGE_SIZE]
    sizes = [size * PAGE_SIZE]
    while size > MIN_RING_PAGES:
        size //= 2
        sizes.append(size * PAGE_SIZE)
    return sizes


def _default_pages() -> int:
    free = os.sysconf("SC_AVPHYS_PAGES")
    return min(max(free // _MEMORY_SHARE, MIN_RING_PAGES), MAX_RING_PAGES)


# --- BTF ------------------------------------------------------------------------------------


def _load_btf(loaded: LoadedProgram) -> None:
    """Our own BTF carries lines for the verifier's log. A kernel that refuses it does without."""
    if not loaded.compiled.btf:
        return
    from pytrace.linux import btf

    try:
        loaded.btf = btf.load(loaded.linux.sys, loaded.compiled.btf)
    except LoadError:
        loaded.btf = None


def _kernel_function(name: str) -> int:
    """BTF id of a kernel function, or of the type of a raw tracepoint (``btf_trace_...``)."""
    from pytrace.kernel.live_types import LiveTypes

    vmlinux = LiveTypes("", "", "").vmlinux()
    found = None
    if vmlinux is not None:
        kinds = (_BTF_TYPEDEF,) if name.startswith("btf_trace_") else (_BTF_FUNC,)
        found = vmlinux.find(name, kinds)
    if found is None:
        raise LoadError(f"the kernel's type information has no function {name}")
    return found


# include/uapi/linux/btf.h
_BTF_TYPEDEF: Final = 8
_BTF_FUNC: Final = 12


# --- progs ----------------------------------------------------------------------------------


class _Part:
    """A prog or a subprogram at its place in the instructions that are loaded together."""

    __slots__ = ("btf_func", "insns", "line_info", "name", "relocs", "start")

    def __init__(
        self,
        name: str,
        start: int,
        insns: bytes,
        relocs: tuple[Reloc, ...],
        btf_func: int,
        line_info: tuple[LineInfo, ...],
    ) -> None:
        self.name = name
        self.start = start
        self.insns = insns
        self.relocs = relocs
        self.btf_func = btf_func
        self.line_info = line_info


class _Linker:
    """Puts progs together with their subprograms and fills in what is known only now."""

    def __init__(self, loaded: LoadedProgram, find_function: FindFunction) -> None:
        self._loaded = loaded
        self._find_function = find_function
        self._subprogs = {s.name: s for s in loaded.compiled.subprogs}

    def load(self, spec: ProgSpec) -> BpfProg:
        parts = self._parts(spec)
        insns = bytearray().join([p.insns for p in parts])
        starts = {p.name: p.start for p in parts}
        for part in parts:
            for reloc in part.relocs:
                self._patch(insns, part.start + reloc.insn, reloc, starts)
        func_info, line_info = self._info(parts)
        compiled = self._loaded.compiled
        target = self._target(spec)
        try:
            return bpf_progs.load(
                self._loaded.linux.sys,
                spec.name,
                prog_type=_constant("BPF_", spec.prog_type),
                insns=insns,
                license_name=compiled.license,
                expected_attach_type=_constant("BPF_", spec.expected_attach_type),
                flags=spec.flags,
                btf_fd=self._loaded.btf.fd if func_info and self._loaded.btf else 0,
                func_info=func_info,
                line_info=line_info,
                attach_btf_id=target.id if target else 0,
                attach_fd=target.fd if target else 0,
            )
        except VerifierError as error:
            from pytrace.runtime.verifier import explain

            lines = [(p.start, p.line_info) for p in parts]
            raise explain(error, spec.name, compiled, lines) from error
        except LoadError as error:
            raise LoadError(failure_text(spec.name, error.errno), errno=error.errno) from error
        finally:
            if target is not None:
                target.close()

    def _target(self, spec: ProgSpec) -> BtfTarget | None:
        """The kernel's type that the prog is checked against, if there is one."""
        if not spec.attach_btf:
            return None
        from pytrace.runtime.btf_targets import find_target

        return find_target(self._loaded.linux.sys, spec.attach_btf, self._find_function)

    def _parts(self, spec: ProgSpec) -> list[_Part]:
        """The prog, then the subprograms that it reaches, each once."""
        parts = [_Part(spec.name, 0, spec.insns, spec.relocs, spec.btf_func, spec.line_info)]
        names = {spec.name}
        at = len(spec.insns) // 8
        for part in parts:
            for reloc in part.relocs:
                if reloc.kind not in ("call", "func") or reloc.name in names:
                    continue
                names.add(reloc.name)
                sub = self._subprogs[reloc.name]
                parts.append(
                    _Part(sub.name, at, sub.insns, sub.relocs, sub.btf_func, sub.line_info)
                )
                at += len(sub.insns) // 8
        return parts

    def _patch(self, insns: bytearray, index: int, reloc: Reloc, starts: dict[str, int]) -> None:
        """Fill in one immediate. The source register already tells its kind."""
        kind = reloc.kind
        if kind in ("map", "map_value"):
            value = self._loaded.maps[reloc.name].fd
            if kind == "map_value":
                _set_immediate(insns, index + 1, reloc.offset)
        elif kind in ("func", "call"):
            value = starts[reloc.name] - index - 1
        elif kind == "kfunc":
            value = reloc.offset or self._find_function(reloc.name)
        else:
            raise LoadError(f"relocation of unknown kind {kind} for {reloc.name}")
        _set_immediate(insns, index, value)

    def _info(self, parts: list[_Part]) -> tuple[bytes, bytes]:
        """Func info and line info of everything. The kernel wants one func info for each function
        and a line at the start of each (check_btf_func, check_btf_line of kernel/bpf/verifier.c),
        or none at all."""
        if self._loaded.btf is None or not all(p.btf_func for p in parts):
            return b"", b""
        functions = b"".join([_FUNC_INFO.pack(p.start, p.btf_func) for p in parts])
        if not all(p.line_info and p.line_info[0].insn == 0 for p in parts):
            return functions, b""
        lines = [
            _LINE_INFO.pack(
                p.start + x.insn, x.file_name_off, x.line_off, x.line << 10 | min(x.column, 1023)
            )
            for p in parts
            for x in p.line_info
        ]
        return functions, b"".join(lines)


def failure_text(prog: str, errno: int) -> str:
    """What is said of a prog that the kernel refused."""
    reason = os.strerror(errno)
    return (
        f"Error loading BPF program for {prog}. Error code: -{errno} ({reason}). "
        "Use -v for full kernel error log."
    )


def _set_immediate(insns: bytearray, index: int, value: int) -> None:
    _IMMEDIATE.pack_into(insns, index * 8 + 4, value)


def _constant(prefix: str, name: str) -> int:
    """The value of a kernel constant by its name without ``BPF_``; 0 for no name."""
    if not name:
        return 0
    value: int | None = getattr(uapi, prefix + name, None)
    if value is None:
        raise LoadError(f"unknown kernel constant {prefix}{name}")
    return value


__all__ = ["CONTROL_MAP", "LoadedProgram", "failure_text", "load"]
