"""Reads the machine that pytrace runs on: ``LiveKernel`` answers the compiler's questions.

Everything is read when first asked and kept. Files that cannot be read give ``None`` or
``Unknown``, as the protocol says; the pure parsers beside this file do the rest.
"""

from __future__ import annotations

import os
from mmap import PROT_READ, mmap
from sys import byteorder

from pytrace.base.text import matches
from pytrace.kernel import witness
from pytrace.kernel.binary import ElfBinary
from pytrace.kernel.btf_index import FUNC, STRUCT, TYPEDEF
from pytrace.kernel.elf import NT_GNU_BUILD_ID, Elf, ElfError, debug_candidates, parse_notes
from pytrace.kernel.functions import CandidateFunctions, ListedFunctions
from pytrace.kernel.info import FuncRef, KernelIdentity, TracepointRef, Unknown
from pytrace.kernel.kallsyms import Kallsyms
from pytrace.kernel.live_types import BTF_DIRECTORY, LiveTypes
from pytrace.kernel.targets import TargetResolver
from pytrace.kernel.tracefs import FormatError, char_type, format_from_types, parse_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Final

    from pytrace.base.types import EnumDef, StructDef, Type
    from pytrace.kernel.debug_files import DebugFiles
    from pytrace.kernel.dwarf import Die
    from pytrace.kernel.dwarf_types import DwarfTypes
    from pytrace.kernel.functions import FunctionList
    from pytrace.kernel.info import BinaryInfo, CppFunction, FuncProto, FuncText, TracepointFormat
    from pytrace.kernel.texts import KernelTypeTexts
    from pytrace.linux.features import Features

NOTES: Final = "/sys/kernel/notes"
KALLSYMS: Final = "/proc/kallsyms"
TRACEFS: Final = "/sys/kernel/tracing"
DEBUG_ROOTS: Final = ("/usr/lib/debug",)


class LiveKernel:
    """The running kernel and this machine's files.

    ``btf_path`` replaces the kernel's own type information; ``cache_directory`` (trusted: owned
    by this user, not writable by others) keeps indexes between runs; ``traceable`` is a list of
    traceable functions to read instead of the kernel's; ``debug_roots`` are searched for
    separate debug files.
    """

    def __init__(
        self,
        *,
        btf_path: str = "",
        cache_directory: str = "",
        traceable: str = "",
        debug_roots: Sequence[str] = DEBUG_ROOTS,
        tracefs: str = TRACEFS,
    ) -> None:
        self._btf_path = btf_path
        self._cache_directory = cache_directory
        self._traceable = traceable
        self._debug_roots = tuple(debug_roots)
        self._tracefs = tracefs
        self._identity: KernelIdentity | None = None
        self._types: LiveTypes | None = None
        self._features: Features | None = None
        self._functions: FunctionList | Unknown | None = None
        self._symbols: bytes | None = None
        self._typed: dict[str, set[bytes]] | None = None
        self._events: list[str] | Unknown | None = None
        self._binaries: dict[str, BinaryInfo | None] = {}
        self._targets = TargetResolver()
        self._texts: KernelTypeTexts | None = None
        self._debug: DebugFiles | None = None
        self._user: dict[str, DwarfTypes] = {}
        self._addresses: dict[str, dict[str, int]] = {}

    def identity(self) -> KernelIdentity:
        if self._identity is None:
            self._identity = read_identity()
        return self._identity

    def types(self) -> LiveTypes:
        """The kernel's type information, for callers that need more than the protocol."""
        if self._types is None:
            who = self.identity()
            build = f"{who.build_id} {who.release} {os.uname().version}"
            self._types = LiveTypes(self._btf_path, self._cache_directory, build)
        return self._types

    def typeless_memory(self) -> bool:
        return not self.types().exist()

    def struct(self, kind: str, name: str) -> StructDef | None:
        for btf in self.types().all(_module_word(name)):
            found = btf.struct(kind, name)
            if found is not None:
                return found
        return None

    def enum(self, name: str) -> EnumDef | None:
        for btf in self.types().all(_module_word(name)):
            found = btf.enum(name)
            if found is not None:
                return found
        return None

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        for btf in self.types().all(name):
            found = btf.enum_constant(name)
            if found is not None:
                return found
        return None

    def typedef(self, name: str) -> Type | None:
        for btf in self.types().all(name):
            found = btf.typedef(name)
            if found is not None:
                return found
        return None

    def function(self, name: str, module: str = "") -> FuncProto | None:
        if module:
            btf = self.types().module(module)
            found = btf.function(name) if btf else None
            return found if found and found.module == module else None
        for btf in self.types().all(name):
            found = btf.function(name)
            if found is not None:
                return found
        return None

    def raw_tracepoint(self, event: str, module: str = "") -> FuncProto | None:
        """Arguments of a raw tracepoint; ``module`` of the answer says where it is defined."""
        for btf in self.types().all(f"btf_trace_{event}"):
            found = btf.raw_tracepoint(event)
            if found is not None and module in ("", found.module):
                return found
        return None

    def raw_tracepoints(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        """Raw tracepoints whose name matches, by module, then name."""
        return self._typed_names("btf_trace_", TYPEDEF, pattern, module)

    def iterators(self, pattern: str) -> Sequence[FuncRef] | Unknown:
        """Kinds of BPF iterators (``task``): each has a context struct bpf_iter__<kind> and a
        function bpf_iter_<kind> (DEFINE_BPF_ITER_FUNC, include/linux/bpf.h)."""
        found = self._typed_names("bpf_iter__", STRUCT, pattern, "")
        if isinstance(found, Unknown):
            return found
        return [ref for ref in found if self.function(f"bpf_iter_{ref.name}", ref.module)]

    def _typed_names(
        self, prefix: str, kind: int, pattern: str, module: str
    ) -> Sequence[FuncRef] | Unknown:
        if not self.types().exist():
            return Unknown(reason=f"no type information in {BTF_DIRECTORY}")
        found = set()
        for btf in self.types().all(prefix):
            if not module or matches(module, btf.module):
                for name in btf.names(kind):
                    if name.startswith(prefix) and matches(pattern, name[len(prefix) :]):
                        found.add((btf.module, name[len(prefix) :]))
        return [FuncRef(name=name, module=module) for module, name in sorted(found)]

    def typed_functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        found = self.functions(pattern, module)
        if isinstance(found, Unknown):
            return found
        if not self.types().exist():
            return Unknown(reason=f"no type information in {BTF_DIRECTORY}")
        if "*" not in pattern:
            return [ref for ref in found if self._has_prototype(ref.name, ref.module)]
        known = self._prototypes()
        return [ref for ref in found if ref.name.encode() in known.get(ref.module, ())]

    def functions(self, pattern: str, module: str = "") -> Sequence[FuncRef] | Unknown:
        if self._functions is None:
            self._functions = self._open_functions()
        if isinstance(self._functions, Unknown):
            return self._functions
        return self._functions.find(pattern, module)

    def _open_functions(self) -> FunctionList | Unknown:
        path = self._traceable or f"{self._tracefs}/available_filter_functions"
        text = _read(path)
        # The kernel's own list is empty where it refuses; a list that was given may be meant so.
        if text or (self._traceable and text is not None):
            return ListedFunctions(text or b"")
        symbols = b"" if self._traceable else self._symbol_text()
        if not symbols:
            return Unknown(reason=f"cannot read {path}")
        if self.typeless_memory():
            return CandidateFunctions(symbols)
        return CandidateFunctions(symbols, self._has_prototype, self._prototypes)

    def _has_prototype(self, name: str, module: str) -> bool:
        return self.function(name, module) is not None

    def _prototypes(self) -> dict[str, set[bytes]]:
        if self._typed is None:
            self._typed = {btf.module: set(btf.raw_names(FUNC)) for btf in self.types().all()}
        return self._typed

    def has_symbol(self, name: str) -> bool:
        return Kallsyms(self._symbol_text()).has(name)

    def _symbol_text(self) -> bytes:
        """/proc/kallsyms, which the kernel takes 40 ms to write; empty if it refuses."""
        if self._symbols is None:
            self._symbols = _read(KALLSYMS) or b""
        return self._symbols

    def supports(self, feature: str) -> bool:
        return not self.refusal(feature)

    def refusal(self, feature: str) -> str:
        if self._features is None:
            from pytrace.linux.features import Features
            from pytrace.linux.syscall import Syscalls

            self._features = Features(Syscalls(), find_function=self._function_id)
        works, reason = self._features.check(feature)
        return "" if works else reason or "it failed"

    def _function_id(self, name: str) -> int:
        found = self.function(name, "vmlinux")
        return found.btf_id if found else 0

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        if not _is_plain(category) or not _is_plain(event):
            return None
        raw = _read(f"{self._tracefs}/events/{category}/{event}/format")
        if raw is None:
            if isinstance(self._event_names(), Unknown):
                return format_from_types(self, category, event)
            return None
        char = char_type(self.identity().release)
        try:
            return parse_format(raw.decode(), category, event, self, char=char)
        except FormatError:
            return None

    def tracepoints(self, category: str, event: str) -> Sequence[TracepointRef] | Unknown:
        if _is_plain(category) and _is_plain(event) and "*" not in category + event:
            # One name needs no list. ftrace's own records have formats but are no tracepoints.
            if category != "ftrace" and os.access(
                f"{self._tracefs}/events/{category}/{event}/format", os.F_OK
            ):
                return [TracepointRef(category=category, event=event)]
        names = self._event_names()
        if isinstance(names, Unknown):
            return names
        found = []
        for name in names:
            left, _, right = name.partition(":")
            if matches(category, left) and matches(event, right):
                found.append(TracepointRef(category=left, event=right))
        return found

    def _event_names(self) -> list[str] | Unknown:
        """``category:event`` of all tracepoints, sorted.

        ftrace's own events (category ftrace) are not in available_events: they cannot be traced.
        """
        if self._events is None:
            try:
                with open(f"{self._tracefs}/available_events", encoding="ascii") as file:
                    self._events = sorted(set(file.read().split()))
            except OSError as error:
                self._events = Unknown(reason=f"{error.filename}: {error.strerror}")
        return self._events

    def binary(self, path: str) -> BinaryInfo | None:
        if path not in self._binaries:
            self._binaries[path] = self._open_binary(path)
        return self._binaries[path]

    def _open_binary(self, path: str) -> BinaryInfo | None:
        elf = open_elf(path)
        if elf is None:
            return None
        try:
            debug, sources = self._debug_files(path, elf)
            return ElfBinary(path, elf, debug, sources)
        except ElfError:
            return None

    def _debug_files(self, path: str, elf: Elf) -> tuple[list[Elf], list[str]]:
        """The separate debug file with the symbols that ``strip`` took, if it is installed.

        Also the paths that were tried, ``path`` itself first.
        """
        tried = [path]
        if elf.section(".symtab") is not None:
            return [], tried
        build_id = elf.build_id()
        for candidate in debug_candidates(path, build_id, elf.debug_link(), self._debug_roots):
            tried.append(candidate)
            found = open_elf(candidate)
            if found is not None and found.build_id() == build_id:
                return [found], tried
        return [], tried

    def rests_on(self, method: str, args: tuple[object, ...]) -> Iterable[tuple[str, str]]:
        """(kind, subject) of what an answer rests on, for ``record.RecordingKernel``."""
        if method == "resolve_target":
            name, pid = args
            assert isinstance(name, str) and (pid is None or isinstance(pid, int))
            return self._targets.rests_on(name, pid)
        if method in ("binary", "cpp_functions"):
            path = str(args[0])
            found = self._binaries.get(path)
            sources = found.sources if isinstance(found, ElfBinary) else (path,)
            return [(witness.FILE, source) for source in sources]
        if method in ("user_function", "user_struct", "user_enum"):
            debug = self.debug_files().sources(str(args[0]))
            return [(witness.FILE, source) for source in debug]
        if method == "functions" and self._traceable:
            return [(witness.FILE, self._traceable)]
        if self._btf_path and method not in ("identity", "supports", "tracepoints"):
            return [(witness.FILE, self._btf_path)]
        return ()

    def cpp_functions(self, path: str, pattern: str) -> Sequence[CppFunction]:
        from pytrace.kernel.demangle import cpp_functions

        info = self.binary(path)
        return cpp_functions((s.name for s in info.symbols if s.function), pattern) if info else ()

    def resolve_target(self, name: str, pid: int | None) -> Sequence[str]:
        return self._targets.resolve(name, pid)

    def user_function(self, path: str, symbol: str) -> FuncProto | None:
        die = self._user_die(path, symbol)
        return self._user_types(path).prototype(die, symbol) if die is not None else None

    def user_struct(self, path: str, symbol: str, kind: str, name: str) -> StructDef | None:
        return self._with_names(path, symbol).struct(kind, name)

    def user_enum(self, path: str, symbol: str, name: str) -> EnumDef | None:
        return self._with_names(path, symbol).enum(name)

    def _with_names(self, path: str, symbol: str) -> DwarfTypes:
        types = self._user_types(path)
        die = self._user_die(path, symbol)
        if die is not None:
            types.read_names(die.unit)
        return types

    def _user_types(self, path: str) -> DwarfTypes:
        known = self._user.get(path)
        if known is None:
            from pytrace.kernel.dwarf_types import DwarfTypes

            label = path.rpartition("/")[2]
            known = self._user[path] = DwarfTypes(self._is_taken, label)
        return known

    def _is_taken(self, kind: str, name: str) -> bool:
        return (self.enum(name) if kind == "enum" else self.struct(kind, name)) is not None

    def _user_die(self, path: str, symbol: str) -> Die | None:
        """The debug information of a function; None also where it is broken."""
        from pytrace.kernel.dwarf import DwarfError

        info = self.binary(path)
        try:
            file = self.debug_files().dwarf(path)
            address = self._address_in(info, symbol) if info is not None and file else None
            return file.function(address) if file is not None and address is not None else None
        except DwarfError:
            return None

    # For listings (``KernelTexts``)

    def texts(self) -> KernelTypeTexts:
        if self._texts is None:
            from pytrace.kernel.texts import KernelTypeTexts

            self._texts = KernelTypeTexts(self.types().all)
        return self._texts

    def function_text(self, name: str, module: str = "") -> FuncText | None:
        return self.texts().function(name, module)

    def raw_tracepoint_text(self, event: str, module: str = "") -> FuncText | None:
        return self.texts().raw_tracepoint(event, module)

    def iterator_text(self, kind: str) -> FuncText | None:
        return self.texts().iterator(kind)

    def type_names(self, word: str, pattern: str) -> Sequence[str]:
        return self.texts().names(word, pattern)

    def type_texts(self, word: str, pattern: str) -> Iterator[tuple[str, str]]:
        return self.texts().definitions(word, pattern)

    def user_function_text(self, path: str, symbol: str) -> FuncText | None | Unknown:
        from pytrace.kernel.dwarf import DwarfError
        from pytrace.kernel.dwarf_text import function_text

        info = self.binary(path)
        try:
            file = self.debug_files().dwarf(path)
            if info is None or file is None:
                return Unknown(reason=f'No DWARF found for "{path}"')
            address = self._address_in(info, symbol)
            die = file.function(address) if address is not None else None
            return function_text(die) if die is not None else None
        except DwarfError as error:
            return Unknown(reason=f'No usable DWARF found for "{path}": {error}')

    def _address_in(self, info: BinaryInfo, symbol: str) -> int | None:
        """The address of a function; from the second one of a file on, all are kept at hand."""
        known = self._addresses.get(info.path)
        if known is None:
            self._addresses[info.path] = {}
            found = info.symbol(symbol)
            return found.address if found is not None else None
        if not known:
            known.update((s.name, s.address) for s in reversed(info.symbols))
        return known.get(symbol)

    def debug_files(self) -> DebugFiles:
        if self._debug is None:
            from pytrace.kernel.debug_files import DebugFiles

            self._debug = DebugFiles(open_elf, self._debug_roots)
        return self._debug


def read_identity() -> KernelIdentity:
    """Release, machine and build id of the running kernel; a build id that is secret is empty."""
    uname = os.uname()
    order = "<" if byteorder == "little" else ">"
    build_id = ""
    for owner, kind, contents in parse_notes(_read(NOTES) or b"", order):
        if owner == b"GNU" and kind == NT_GNU_BUILD_ID:
            build_id = contents.hex()
    return KernelIdentity(
        release=uname.release,
        arch=uname.machine,
        build_id=build_id,
        little_endian=byteorder == "little",
    )


def open_elf(path: str) -> Elf | None:
    """An ELF file mapped into memory, or None. The mapping lives as long as the ``Elf``."""
    try:
        with open(path, "rb") as file:
            return Elf(mmap(file.fileno(), 0, prot=PROT_READ))
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped; not ELF
        return None


def _read(path: str) -> bytes | None:
    """A small file's bytes, or None if it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None


def _module_word(name: str) -> str:
    """What must occur among a module's strings if it defines ``name``."""
    return "" if name.startswith("anon_") else name


def _is_plain(name: str) -> bool:
    """True for a name that cannot lead out of its directory."""
    return bool(name) and "/" not in name and name not in (".", "..")
