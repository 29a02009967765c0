"""A typed IR module to a compiled program."""

from __future__ import annotations

from pytrace.base.errors import NotSupported
from pytrace.base.frozen import Frozen
from pytrace.base.source import SourceFile
from pytrace.base.types import EnumDef, StructDef
from pytrace.codegen import llvm, maps
from pytrace.codegen.debuginfo import NOWHERE, DebugInfo
from pytrace.codegen.emit import emit_module
from pytrace.codegen.function import ModuleText, Target
from pytrace.codegen.loops import Outlining
from pytrace.codegen.object import Object, Unit, parse
from pytrace.codegen.scratch import Scratch
from pytrace.ir import nodes as ir
from pytrace.ir.storage import STACK_LIMIT, Placement, place_module
from pytrace.ir.walk import walk
from pytrace.model.compiled import CompiledProgram, MapSpec, ProgSpec, SubprogSpec

_BUDGETS = (STACK_LIMIT, 256, 0)
"""Stack given to slots; less on each try, since only LLVM knows what it spills."""

_LARGE = 16000
"""Lines of LLVM IR from which a function may get too long for BPF's 16-bit branches: LLVM then ends
its process, so that it gets one of its own."""

_VERY_LARGE = 200_000
"""Lines of LLVM IR from which optimisation is lowered."""


class CodegenOptions(Frozen):
    """What the code is for, and what only passes through to the compiled program.

    ``cpu`` is ``v2``, ``v3`` (Linux 5.12) or ``v4`` (6.6); ``features`` are the names of
    ``kernel.info.FEATURES`` that the target has. ``optimise`` is LLVM's level, 1 or 2; None lets
    the size decide (without any, values lie on the stack, which is too small for that).
    ``isolated`` compiles in a child process (see ``llvm.compile_isolated``).
    """

    version: str
    arch: str
    cpu: str = "v3"
    features: frozenset[str] = frozenset()
    on_stack_limit: int = 32
    optimise: int | None = None
    isolated: bool = False
    config: tuple[tuple[str, object], ...] = ()
    structs: tuple[StructDef, ...] = ()
    enums: tuple[EnumDef, ...] = ()
    natives: tuple[tuple[str, bytes], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()


class Generated(Frozen):
    """Everything that code generation makes on the way to a compiled program.

    ``llvm`` and ``optimised`` are texts of LLVM IR, the latter only if asked for.
    """

    program: CompiledProgram
    elf: bytes
    llvm: str
    optimised: str | None


def generate(module: ir.Module, options: CodegenOptions) -> CompiledProgram:
    """Compile a checked module (``ir.check`` found nothing).

    Raises ``ScratchTooLargeError``, ``StackTooLargeError`` or ``ProgTooLargeError`` for a script
    that needs more than a prog can have, ``NotSupported`` for a loop over a map on a kernel
    without it, and ``CodegenError`` where LLVM refuses, which is a fault of ours.
    """
    return generate_all(module, options).program


def llvm_text(module: ir.Module, options: CodegenOptions) -> str:
    """The LLVM IR of a module, before optimisation."""
    return _write(module, options, _BUDGETS[0])[0]


def generate_all(
    module: ir.Module, options: CodegenOptions, *, keep_text: bool = False
) -> Generated:
    """As ``generate``, with the texts and the ELF file. ``keep_text`` keeps the optimised text."""
    if "for_each_map_elem" not in options.features:
        _refuse_for_each(module)
    for budget in _BUDGETS:
        text, written, placements = _write(module, options, budget)
        compiled = _compile(text, options, keep_text)
        parsed = parse(compiled.elf)
        if deepest_chain(parsed) <= STACK_LIMIT:
            break
    else:
        raise llvm.StackTooLargeError("a probe needs more than 512 bytes of stack; make it shorter")
    return Generated(
        program=_program(module, options, parsed, written, placements),
        elf=compiled.elf,
        llvm=text,
        optimised=compiled.optimised,
    )


def _compile(text: str, options: CodegenOptions, keep_text: bool) -> llvm.Compiled:
    lines = text.count("\n")
    level = options.optimise or (2 if lines < _VERY_LARGE else 1)
    isolated = options.isolated or lines >= _LARGE
    compiler = llvm.compile_isolated if isolated else llvm.compile_module
    try:
        return compiler(text, cpu=options.cpu, level=level, keep_text=keep_text)
    except llvm.CodegenError as error:
        if "Branch target out of insn range" in str(error):
            raise llvm.ProgTooLargeError(
                "a probe is too long: its branches do not reach over 32767 instructions"
            ) from error
        raise


def _write(
    module: ir.Module, options: CodegenOptions, budget: int
) -> tuple[str, ModuleText, dict[str, Placement]]:
    target = Target(arch=options.arch, cpu=options.cpu, features=options.features)
    placements = place_module(
        module,
        outlined=Outlining(options.features),
        on_stack_limit=options.on_stack_limit,
        stack_budget=budget,
    )
    written = ModuleText(module, placements, target, DebugInfo(_main_source(module)))
    return emit_module(written), written, placements


def _main_source(module: ir.Module) -> SourceFile:
    for function in module.functions:
        if function.span is not None:
            return function.span.source
    return NOWHERE


def _refuse_for_each(module: ir.Module) -> None:
    for function in module.functions:
        for instr in walk(function.body):
            if isinstance(instr, ir.ForEach):
                raise NotSupported(
                    "for_each_map_elem",
                    "this kernel cannot loop over a map (bpf_for_each_map_elem)",
                    kernel="5.13",
                )


def deepest_chain(parsed: Object) -> int:
    """Stack of the deepest chain of calls, as the kernel counts it (check_max_stack_depth)."""
    units = {u.name: u for u in parsed.units}
    known: dict[str, int] = {}

    def chain(name: str) -> int:
        if name not in known:
            unit = units[name]
            inner = (chain(r.name) for r in unit.relocs if r.kind in ("call", "func"))
            known[name] = -(-max(unit.stack, 1) // 32) * 32 + max(inner, default=0)
        return known[name]

    return max((chain(u.name) for u in parsed.units if u.is_prog), default=0)


def _subprogs(parsed: Object, name: str) -> tuple[str, ...]:
    """Names of the functions that a prog needs, in the order of the object."""
    units = {u.name: u for u in parsed.units}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for reloc in units[waiting.pop()].relocs:
            if reloc.kind in ("call", "func") and reloc.name not in found:
                found.add(reloc.name)
                waiting.append(reloc.name)
    return tuple(u.name for u in parsed.units if u.name in found)


def _program(
    module: ir.Module,
    options: CodegenOptions,
    parsed: Object,
    written: ModuleText,
    placements: dict[str, Placement],
) -> CompiledProgram:
    progs = []
    for function in module.functions:
        if not function.prog_type:
            continue
        unit = parsed.unit(function.name)
        progs.append(
            ProgSpec(
                name=function.name,
                prog_type=function.prog_type,
                insns=unit.insns,
                relocs=unit.relocs,
                subprogs=_subprogs(parsed, function.name),
                btf_func=unit.btf_func,
                line_info=unit.line_info,
                expected_attach_type=function.expected_attach_type,
                attach_btf=function.attach_btf,
                flags=function.flags,
            )
        )
    used = {name for prog in progs for name in prog.subprogs}
    return CompiledProgram(
        version=options.version,
        target=options.arch,
        sources=module.sources,
        progs=tuple(progs),
        subprogs=tuple(_subprog(u) for u in parsed.units if u.name in used),
        maps=module.maps + _own_maps(module, written, placements),
        events=module.events,
        attach=module.attach,
        params=module.params,
        btf=parsed.btf,
        license=module.license,
        config=options.config,
        structs=options.structs,
        enums=options.enums,
        natives=options.natives,
        warnings=options.warnings,
        features=tuple(sorted(written.used_features)),
    )


def _subprog(unit: Unit) -> SubprogSpec:
    return SubprogSpec(
        name=unit.name,
        insns=unit.insns,
        relocs=unit.relocs,
        btf_func=unit.btf_func,
        line_info=unit.line_info,
    )


def _own_maps(
    module: ir.Module, written: ModuleText, placements: dict[str, Placement]
) -> tuple[MapSpec, ...]:
    scratch = Scratch(module, placements, written.target)
    return maps.own_maps(module.events, module.params, scratch.size, scratch.entries)
