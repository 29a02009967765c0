"""What the compiler may know of the target machine: ``KernelInfo`` and its small answers.

Answers are immutable and made of plain values, so that they can be recorded, replayed and masked.
"""

from __future__ import annotations

from pytrace.base.frozen import FrozenValue
from pytrace.base.types import Field, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, Protocol

    from pytrace.base.types import EnumDef, StructDef


class KernelIdentity(FrozenValue):
    """``build_id`` is hex from /sys/kernel/notes, empty if unreadable; ``arch`` as uname -m."""

    release: str
    arch: str
    build_id: str
    little_endian: bool = True


class FuncProto(FrozenValue):
    """A kernel function's prototype from BTF. ``btf_id`` is within ``module`` ("vmlinux")."""

    name: str
    module: str
    params: tuple[tuple[str, Type], ...]
    returns: Type
    btf_id: int = 0


class FuncRef(FrozenValue):
    """A traceable kernel function; ``module`` is "vmlinux" for built-in ones."""

    name: str
    module: str


class TracepointRef(FrozenValue):
    category: str
    event: str


class TracepointFormat(FrozenValue):
    """Layout of a tracepoint's record, common fields left out.

    ``fields`` offsets count from the start of the record as the prog sees it. ``id`` is not
    here: it changes with each boot and is read at attach.
    """

    category: str
    event: str
    fields: tuple[Field, ...]
    size: int
    declarations: tuple[str, ...] = ()  # C text of each field as the format file has it


class SymbolInfo(FrozenValue):
    """A symbol of an ELF file. ``address`` is the ELF virtual address, ``offset`` in the file."""

    name: str
    address: int
    offset: int
    size: int
    function: bool = True


class UsdtInfo(FrozenValue):
    """A USDT probe site: file offset, semaphore's file offset (0: none), raw argument text."""

    namespace: str
    name: str
    offset: int
    semaphore: int
    args: str


class BinaryInfo(FrozenValue):
    """A traced ELF file. ``kind`` is "exec" or "dyn"; ``machine`` the ELF machine number."""

    path: str
    kind: str
    machine: int
    build_id: str
    symbols: tuple[SymbolInfo, ...]
    usdt: tuple[UsdtInfo, ...] = ()

    def symbol(self, name: str) -> SymbolInfo | None:
        return next((s for s in self.symbols if s.name == name), None)


class CppFunction(FrozenValue):
    """A C++ function of a file: its name with parameters, and the symbol that stands for it."""

    name: str
    symbol: str


class FuncText(FrozenValue):
    """A function's prototype as C text: (type, name) of each parameter, type of the result."""

    params: tuple[tuple[str, str], ...]
    returns: str


class Unknown(FrozenValue):
    """The machine refuses to tell (``reason``): try at attach, do not conclude "absent"."""

    reason: str


if TYPE_CHECKING:

    class KernelInfo(Protocol):
        """The only window on the target (docs/architecture.md)."""

        def identity(self) -> KernelIdentity: ...

        def struct(self, kind: str, name: str) -> StructDef | None:
            """A struct or union by C name, from BTF."""

        def enum(self, name: str) -> EnumDef | None:
            """An enum by C name; anonymous enums are reached by ``enum_constant``."""

        def enum_constant(self, name: str) -> tuple[int, Type] | None:
            """Value and enum type of an enumerator's name."""

        def typedef(self, name: str) -> Type | None:
            """What a C typedef stands for."""

        def function(self, name: str, module: str = "") -> FuncProto | None: ...

        def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
            """Traceable functions whose name matches (``*`` only), sorted."""

        def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
            """Those of ``functions`` whose prototype is known."""

        def tracepoint(self, category: str, event: str) -> TracepointFormat | None: ...

        def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
            """Tracepoints that match both patterns, sorted."""

        def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
            """Typed arguments of a raw tracepoint."""

        def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
            """Raw tracepoints whose name matches, sorted; ``module`` may be a pattern too."""

        def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
            """Kinds of BPF iterators (``task``) whose name matches, sorted."""

        def has_symbol(self, name: str) -> bool:
            """True if the kernel has a symbol of this name; its address is known at load."""

        def supports(self, feature: str) -> bool:
            """True if the smallest real use of a feature works (see ``FEATURES``)."""

        def refusal(self, feature: str) -> str:
            """Why a feature does not work, in the kernel's words; empty if it does."""

        def binary(self, path: str) -> BinaryInfo | None:
            """Symbols and USDT notes of an ELF file; None if it is not one."""

        def user_function(self, path: str, symbol: str) -> FuncProto | None:
            """A function's prototype from a file's debug information (no ``module``)."""

        def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
            """A struct or union that the prototype of a function of the file leads to, or that
            is known where it was compiled."""

        def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None: ...

        def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
            """C++ functions of a file whose name matches, sorted; ``pattern`` may leave out the
            parameters. Empty where names cannot be read."""

        def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
            """Absolute paths for a uprobe target: a path, a $PATH name or a library's name."""

        def typeless_memory(self) -> bool:
            """True if this kernel has no BTF."""

    class KernelTexts(KernelInfo, Protocol):
        """What listings show beyond names. Nothing here decides what a script compiles to."""

        def function_text(self, name: str, module: str = "") -> FuncText | None:
            """A kernel function's prototype."""

        def raw_tracepoint_text(self, event: str, module: str = "") -> FuncText | None:
            """A raw tracepoint's arguments."""

        def iterator_text(self, kind: str) -> FuncText | None:
            """What an iterator's context holds, as parameters."""

        def type_names(self, word: str, pattern: str) -> Sequence[str]:
            """Names of ``struct``, ``union`` or ``enum`` types, sorted."""

        def type_texts(self, word: str, pattern: str) -> Iterator[tuple[str, str]]:
            """(module, definition) of types, sorted by name."""

        def user_function_text(self, path: str, symbol: str) -> FuncText | None | Unknown:
            """A function's prototype from a file's debug information; ``Unknown`` if the file
            has none, None if that does not tell of this function."""


FEATURES: Final = (
    "raw_tp_test_run", "ringbuf", "loop", "for_each_map_elem", "ns_pid_tgid", "ktime_boot",
    "ktime_tai", "lookup_percpu_elem", "get_func_ip", "d_path", "btf", "kprobe", "kprobe_multi",
    "kprobe_session", "fentry", "uprobe", "uprobe_multi", "uprobe_ref_ctr", "iter", "perf_link",
    "map_batch", "cpu_v4", "cpu_v3", "probe_read_kernel", "task_kfuncs", "signal_thread",
)  # fmt: skip
"""Names that ``KernelInfo.supports`` knows, besides ``kfunc:PROG_TYPE_X:name``: whether progs of a
type may call a kernel function by its name; PYTRACE_MASK_FEATURES hides some of them."""
