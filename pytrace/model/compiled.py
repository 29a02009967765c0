"""The compiled program: everything a run needs, and nothing else.

Passive data that crosses from the compile side to the run side, packed by ``model.pack``.
A *program* is the user's whole script; a *prog* is one BPF program in the kernel's sense.
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.types import Aggregate, EnumDef, StructDef, Type
from pytrace.model.events import EventSchema, SpanRef


class SourceText(FrozenValue):
    """A script or library text, for excerpts in messages printed while running."""

    name: str
    text: bytes


class Reloc(FrozenValue):
    """Instruction ``insn`` (index) of a prog refers to something known at load.

    ``kind``: ``map`` (its descriptor), ``map_value`` (address of ``offset`` within the only
    value of a map: global data), ``func`` (address of subprog ``name``, for callbacks),
    ``call`` (call of subprog ``name``), ``kfunc`` (call of kernel function ``name``),
    ``ksym`` (address of a kernel variable's BTF).
    """

    insn: int
    kind: str
    name: str
    offset: int = 0


class LineInfo(FrozenValue):
    """``insn`` is the first instruction (index) of source ``line``/``column``; offsets of strings
    are within the program's BTF string section."""

    insn: int
    file_name_off: int
    line_off: int
    line: int
    column: int


class SubprogSpec(FrozenValue):
    """A BPF function called by progs; copied into each prog that uses it, at load."""

    name: str
    insns: bytes
    relocs: tuple[Reloc, ...]
    btf_func: int
    line_info: tuple[LineInfo, ...]


class ProgSpec(FrozenValue):
    """A prog before it is loaded.

    ``insns`` are 8-byte instructions; ``btf_func`` is the BTF id of its FUNC (0: none);
    ``prog_type`` and ``expected_attach_type`` are names without their BPF_ prefix, in the
    kernel's spelling (``PROG_TYPE_TRACEPOINT``, ``TRACE_KPROBE_MULTI``); ``attach_btf`` names the
    kernel function or BTF type that the verifier checks against: "", "module:name", or with its
    number in vmlinux's BTF, which is the kernel build's, "vmlinux:name:id".
    """

    name: str
    prog_type: str
    insns: bytes
    relocs: tuple[Reloc, ...]
    subprogs: tuple[str, ...]
    btf_func: int
    line_info: tuple[LineInfo, ...]
    expected_attach_type: str = ""
    attach_btf: str = ""
    flags: int = 0


class MapSpec(FrozenValue):
    """A BPF map before it is created.

    ``name`` is the user's (``@start``) or internal (``.events``). ``kind`` is the kernel's name
    without BPF_MAP_TYPE_ (``PERCPU_HASH``). Internal maps have no ``value``. ``scalar`` marks a
    map used without keys. ``presence``: array kinds keep a u64 behind the value that is 1 once
    the element was set, since an array element always exists. Sizes are bytes, what the kernel is
    told; 0 entries of a ring buffer mean "decided at load".
    """

    name: str
    kind: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    key: Type | None = None
    value: Type | None = None
    scalar: bool = False
    presence: bool = False
    data: bytes = b""  # initial value of global data (the only element of an ARRAY)

    @property
    def user(self) -> bool:
        """True if the map is the script's, False if pytrace's own."""
        return self.name.startswith("@")

    @property
    def percpu(self) -> bool:
        return "PERCPU" in self.kind

    @property
    def series(self) -> bool:
        """True for a time series, whose kernel keys hold more than the script's."""
        return isinstance(self.value, Aggregate) and self.value.kind == "tseries"


class AttachSpec(FrozenValue):
    """One event to attach a prog to.

    ``provider`` is its module in pytrace.probes; ``name`` the attach point's full name, as
    ``probe`` gives it; ``args`` the provider's own data (plain values, tuples), opaque to others.
    ``span`` is the attach point in the script. Order is the script's; the session decides the
    order of attaching (language 7.5). ``count`` is the number of attach points that it
    stands for: one call may attach a prog to many functions.
    """

    provider: str
    name: str
    prog: str
    args: tuple[object, ...]
    span: SpanRef | None
    label: str = ""
    count: int = 1


class LoadParam(FrozenValue):
    """A read-only constant filled in at load: ``size`` bytes at ``offset`` of map ``.params``.

    ``kind``: ``start_ns`` (boot clock), ``pid_ns_dev``, ``pid_ns_ino``, ``child_pid``,
    ``has_child``, ``filter_pid``, ``ncpus``, ``kaddr`` (``name`` is the symbol) ...
    """

    name: str
    kind: str
    offset: int
    size: int


class CompiledProgram(FrozenValue):
    """See the module's text. Same inputs give the same bytes when packed.

    ``target`` is the architecture; ``sources[0]`` is the script; ``btf`` is a .BTF section whose
    func and line info the progs refer to; ``config`` the config values that the run side uses.
    ``warnings`` is the text of the diagnostics that compiling gave, repeated on each cached run.
    """

    version: str
    target: str
    sources: tuple[SourceText, ...]
    progs: tuple[ProgSpec, ...]
    subprogs: tuple[SubprogSpec, ...]
    maps: tuple[MapSpec, ...]
    events: tuple[EventSchema, ...]
    attach: tuple[AttachSpec, ...]
    params: tuple[LoadParam, ...]
    btf: bytes
    license: str
    config: tuple[tuple[str, object], ...]
    structs: tuple[StructDef, ...] = ()
    enums: tuple[EnumDef, ...] = ()
    natives: tuple[tuple[str, bytes], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    features: tuple[str, ...] = ()

    def prog(self, name: str) -> ProgSpec:
        return next(p for p in self.progs if p.name == name)

    def map(self, name: str) -> MapSpec:
        return next(m for m in self.maps if m.name == name)
