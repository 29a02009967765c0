"""LLVM, through llvmlite: text of LLVM IR to a BPF object. The only file that knows llvmlite.

llvmlite's own Python side takes 40 to 70 ms to import, most of it for functions that nobody needs
here. So its library's C functions are called directly: those that its ``binding`` package declares,
with the same arguments.

LLVM's own errors in the BPF back end end the process without an exception. The code generator
never gives it what causes them; ``compile_isolated`` is for callers who must survive even so.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from ctypes import byref, c_bool, c_char_p, c_int, c_size_t, c_uint, c_void_p

from pytrace.base.errors import PytraceError

TRIPLE = "bpfel"

_OLDEST = (20, 0, 0)

_OPTIONS = (
    # A stack over 512 bytes would end the process; the verifier refuses it politely.
    "-bpf-stack-size=65536",
    # BPF has no conditional move: what LLVM turns from a branch into a choice becomes two branches.
    "-two-entry-phi-node-folding-threshold=1",
    "-phi-node-folding-threshold=1",
)


class CodegenError(PytraceError):
    """LLVM refused the generated code: a fault of pytrace, never of the script."""


class StackTooLargeError(PytraceError):
    """A probe needs more of the BPF stack than there is, whatever is moved away from it."""


class ProgTooLargeError(PytraceError):
    """A probe is longer than BPF's branches reach. Cpu v4 has longer ones."""


class Compiled:
    """What LLVM made of one module. ``optimised`` is None unless asked for."""

    __slots__ = ("elf", "optimised")

    def __init__(self, elf: bytes, optimised: str | None) -> None:
        self.elf = elf
        self.optimised = optimised


class _Library:
    """The C functions of libllvmlite that compiling takes, and the BPF target."""

    def __init__(self, path: str) -> None:
        self._dll = ctypes.CDLL(path)
        packed: int = self.function("GetVersionInfo", result=c_uint)()
        self.version = tuple(packed >> shift & 255 for shift in (16, 8, 0))
        if self.version < _OLDEST:
            raise CodegenError("llvmlite is too old: pytrace needs 0.45 or later")
        for name in ("AllTargetInfos", "AllTargets", "AllTargetMCs", "AllAsmPrinters"):
            self.function(f"Initialize{name}")()
        for option in _OPTIONS:
            self.function("SetCommandLine", c_char_p, c_char_p)(b"", option.encode())
        find = self.function("GetTargetFromTriple", c_char_p, c_void_p, result=c_void_p)
        with _Text(self) as complaint:
            self.target: int | None = find(TRIPLE.encode(), byref(complaint.pointer))
            if not self.target:
                raise CodegenError(f"this LLVM has no BPF target: {complaint}")

    def function(
        self, name: str, *arguments: type[object], result: type[object] | None = None
    ) -> ctypes._NamedFuncPointer:
        """``LLVMPY_`` + ``name``; ctypes keeps one object for each, so this may be repeated."""
        function = self._dll[f"LLVMPY_{name}"]
        function.argtypes = arguments  # type: ignore[assignment]
        function.restype = result
        return function

    def new(self, name: str, *handles: int | None) -> int | None:
        """Call a function that takes handles and gives one."""
        made: int | None = self.function(name, *(c_void_p,) * len(handles), result=c_void_p)(
            *handles
        )
        return made

    def drop(self, name: str, handle: int | None) -> None:
        """``LLVMPY_Dispose`` + ``name``."""
        self.function(f"Dispose{name}", c_void_p)(handle)


class _Text:
    """A string that LLVM hands out, freed at the end of the context."""

    def __init__(self, library: _Library) -> None:
        self._library = library
        self.pointer = c_char_p()

    def __enter__(self) -> _Text:
        return self

    def __exit__(self, *error: object) -> None:
        self._library.function("DisposeString", c_char_p)(self.pointer)

    def __str__(self) -> str:
        return (self.pointer.value or b"").decode("utf-8", "replace")


@functools.cache
def _library() -> _Library:
    import llvmlite

    name = "libllvmlite.dylib" if sys.platform == "darwin" else "libllvmlite.so"
    return _Library(os.path.join(os.path.dirname(llvmlite.__file__), "binding", name))


def llvm_version() -> str:
    """The version of the LLVM inside llvmlite, such as ``22.1.0``."""
    return ".".join(str(part) for part in _library().version)


# ---------------------------------------------------------------- compiling


def compile_module(text: str, *, cpu: str, level: int = 2, keep_text: bool = False) -> Compiled:
    """Optimise and compile LLVM IR.

    ``cpu`` is ``v2``, ``v3`` or ``v4``; ``level`` the optimisation of 1 or 2. Raises
    ``CodegenError`` where LLVM does not read the text; some other faults end the process.
    """
    lib = _library()
    context = lib.new("ContextCreate")
    machine = _machine(lib, cpu, level)
    module = None
    try:
        module = _parse(lib, context, text)
        _optimise(lib, machine, module, level)
        optimised = _print(lib, module) if keep_text else None
        return Compiled(_emit(lib, machine, module), optimised)
    finally:
        if module:
            lib.drop("Module", module)
        lib.drop("TargetMachine", machine)
        lib.function("ContextDispose", c_void_p)(context)


def _machine(lib: _Library, cpu: str, level: int) -> int | None:
    create = lib.function(
        "CreateTargetMachine",
        *(c_void_p, c_char_p, c_char_p, c_char_p, c_int, c_char_p, c_char_p, c_int, c_int),
        c_char_p,
        result=c_void_p,
    )
    machine: int | None = create(
        lib.target, TRIPLE.encode(), cpu.encode(), b"", level, b"default", b"default", 0, 0, b""
    )
    if not machine:
        raise CodegenError(f"this LLVM has no BPF cpu {cpu}")
    return machine


def _parse(lib: _Library, context: int | None, text: str) -> int:
    parse = lib.function("ParseAssembly", c_void_p, c_char_p, c_void_p, result=c_void_p)
    with _Text(lib) as complaint:
        module: int | None = parse(context, text.encode(), byref(complaint.pointer))
        if not module or complaint.pointer.value:
            raise CodegenError(f"LLVM does not read the generated code: {complaint}")
    return module


def _optimise(lib: _Library, machine: int | None, module: int, level: int) -> None:
    tuning = lib.new("CreatePipelineTuningOptions")
    for option in ("LoopVectorization", "SLPVectorization", "LoopInterleaving"):
        lib.function(f"PTOSet{option}", c_void_p, c_bool)(tuning, False)
    builder = lib.new("CreatePassBuilder", machine, tuning)
    # The second number is the size level of llvmlite before 0.50, which later ones do not read.
    build = lib.function("buildPerModuleDefaultPipeline", c_void_p, c_int, c_int, result=c_void_p)
    passes: int | None = build(builder, level, 0)
    lib.function("RunNewModulePassManager", *(c_void_p,) * 3)(passes, module, builder)
    # The last name is llvmlite's spelling.
    lib.drop("NewModulePassManger", passes)
    lib.drop("PassBuilder", builder)
    lib.drop("PipelineTuningOptions", tuning)


def _print(lib: _Library, module: int) -> str:
    with _Text(lib) as text:
        lib.function("PrintModuleToString", c_void_p, c_void_p)(module, byref(text.pointer))
        return str(text)


def _emit(lib: _Library, machine: int | None, module: int) -> bytes:
    emit = lib.function(
        "TargetMachineEmitToMemory", c_void_p, c_void_p, c_int, c_void_p, result=c_void_p
    )
    with _Text(lib) as complaint:
        buffer: int | None = emit(machine, module, 1, byref(complaint.pointer))
        if not buffer:
            raise CodegenError(f"LLVM makes no object of the generated code: {complaint}")
    start = lib.function("GetBufferStart", c_void_p, result=c_void_p)(buffer)
    size = lib.function("GetBufferSize", c_void_p, result=c_size_t)(buffer)
    elf = ctypes.string_at(start, size)
    lib.drop("MemoryBuffer", buffer)
    return elf


def compile_isolated(text: str, *, cpu: str, level: int = 2, keep_text: bool = False) -> Compiled:
    """As ``compile_module``, in a child process: raises ``CodegenError`` whatever LLVM does.

    The message holds what LLVM wrote before it ended the child.
    """
    _library()
    results, complaints = os.pipe(), os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _child(text, cpu, level, keep_text, results, complaints)
    os.close(results[1])
    os.close(complaints[1])
    output, noise = _read_both(results[0], complaints[0])
    _, status = os.waitpid(pid, 0)
    if status == 0 and output:
        size = int.from_bytes(output[:8], "little")
        elf, rest = output[8 : 8 + size], output[8 + size :]
        return Compiled(elf, rest.decode() if keep_text else None)
    reason = noise.decode("utf-8", "replace").strip() or f"the compiler ended with status {status}"
    raise CodegenError(f"LLVM cannot compile the generated code: {reason}")


def _child(
    text: str,
    cpu: str,
    level: int,
    keep_text: bool,
    results: tuple[int, int],
    complaints: tuple[int, int],
) -> None:
    """The child's life. It leaves by os._exit, so that nothing of the parent runs twice."""
    import faulthandler
    import resource

    try:
        # LLVM ends by SIGABRT: neither a core file nor Python's own report is wanted.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.disable()
        os.dup2(complaints[1], 2)
        os.dup2(complaints[1], 1)
        compiled = compile_module(text, cpu=cpu, level=level, keep_text=keep_text)
        data = len(compiled.elf).to_bytes(8, "little") + compiled.elf
        data += (compiled.optimised or "").encode()
        while data:
            data = data[os.write(results[1], data) :]
        os._exit(0)
    except BaseException as error:
        os.write(complaints[1], f"{error}\n".encode())
        os._exit(1)


def _read_both(first: int, second: int) -> tuple[bytes, bytes]:
    """Everything from two pipes, which are then closed; neither may block the other's writer."""
    import select

    parts: dict[int, bytearray] = {first: bytearray(), second: bytearray()}
    waiting = [first, second]
    while waiting:
        for fd in select.select(waiting, (), ())[0]:
            data = os.read(fd, 1 << 16)
            parts[fd] += data
            if not data:
                waiting.remove(fd)
                os.close(fd)
    return bytes(parts[first]), bytes(parts[second])
