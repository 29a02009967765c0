"""LLVM, through llvmlite: text of LLVM IR to a BPF object. The only file that knows llvmlite.

LLVM's own errors in the BPF back end end the process without an exception. The code generator
never gives it what causes them; ``compile_isolated`` is for callers who must survive even so.
"""

from __future__ import annotations

import functools
import os
import sys

from llvmlite import binding

from pytrace.base.errors import PytraceError

TRIPLE = "bpfel"

# A stack over 512 bytes would end the process; the verifier refuses it politely.
_OPTIONS = ("-bpf-stack-size=65536",)


class CodegenError(PytraceError):
    """LLVM refused the generated code: a fault of pytrace, never of the script."""


class StackTooLargeError(PytraceError):
    """A probe needs more of the BPF stack than there is, whatever is moved away from it."""


class Compiled:
    """What LLVM made of one module. Texts are None unless asked for."""

    __slots__ = ("elf", "optimised")

    def __init__(self, elf: bytes, optimised: str | None) -> None:
        self.elf = elf
        self.optimised = optimised


def llvm_version() -> str:
    """The release of LLVM that llvmlite carries: ``22.1.0``."""
    return ".".join(map(str, binding.llvm_version_info))


@functools.cache
def _initialise() -> binding.Target:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    for option in _OPTIONS:
        binding.set_option("", option)
    return binding.Target.from_triple(TRIPLE)


def compile_module(text: str, *, cpu: str, level: int = 2, keep_text: bool = False) -> Compiled:
    """Optimise and compile LLVM IR.

    ``cpu`` is ``v2``, ``v3`` or ``v4``; ``level`` the optimisation of 0 to 2. Raises
    ``CodegenError`` where LLVM does not read the text; some other faults end the process.
    """
    target = _initialise()
    machine = target.create_target_machine(cpu=cpu, opt=level)
    try:
        module = binding.parse_assembly(text, binding.create_context())
    except RuntimeError as error:
        raise CodegenError(f"LLVM does not read the generated code: {error}") from error
    tuning = binding.create_pipeline_tuning_options(speed_level=level)
    tuning.loop_vectorization = tuning.slp_vectorization = tuning.loop_interleaving = False
    builder = binding.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    optimised = str(module) if keep_text else None
    return Compiled(machine.emit_object(module), optimised)


def compile_isolated(text: str, *, cpu: str, level: int = 2, keep_text: bool = False) -> Compiled:
    """As ``compile_module``, in a child process: raises ``CodegenError`` whatever LLVM does.

    The message holds what LLVM wrote before it ended the child.
    """
    _initialise()
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
    try:
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
