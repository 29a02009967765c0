"""Drives the compile side: text in, ``CompiledProgram`` out.

A pure function of the request and of what ``KernelInfo`` answers.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pytrace.base.diagnostics import DiagnosticSink, render
from pytrace.base.errors import PytraceError
from pytrace.base.source import SourceFile
from pytrace.builtins import registry
from pytrace.frontend.parser import parse
from pytrace.ir import nodes as ir
from pytrace.ir.walk import walk
from pytrace.model.request import CompileResult
from pytrace.probes import provider
from pytrace.semantics import pipeline
from pytrace.semantics.env import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytrace.codegen import Generated
    from pytrace.frontend import ast
    from pytrace.kernel.info import KernelInfo
    from pytrace.model.request import CompileRequest

NOT_ATTACHED = 255
"""Exit code for a program of which nothing can be attached."""


def compile_program(request: CompileRequest, kernel: KernelInfo) -> CompileResult:
    """Compiles a script. Faults of the script are in the result's sink, never raised."""
    sink = DiagnosticSink()
    dumps: list[tuple[str, str]] = []
    wanted = set(request.stages)
    program = parse(request.source, sink)
    if program is None or sink.failed:
        return CompileResult(program=None, sink=sink)

    def dump(stage: str, tree: ast.Program) -> None:
        if "ast" in wanted or "all" in wanted:
            from pytrace.frontend.print import program_text

            dumps.append(("ast", f"AST after: {stage}\n{'-' * 19}\n{program_text(tree)}"))

    lowered = pipeline.run(
        program,
        kernel,
        sink,
        builtins=registry.load_all(),
        providers=provider.load_all(),
        library=library(),
        parameters=request.params,
        environment=request.config_environment,
        settings=_settings(request),
        dump=dump,
    )
    if lowered is None:
        return CompileResult(program=None, sink=sink, dumps=tuple(dumps))
    if not lowered.module.attach and _only_idle(lowered, sink):
        return CompileResult(program=None, sink=sink, dumps=tuple(dumps), exit_code=NOT_ATTACHED)
    try:
        made = _generate(lowered, kernel, sink, wanted, dumps)
    except PytraceError as error:
        # The script asks for more than a BPF prog can be; the code generator says what.
        sink.error("too-large", str(error), program.span)
        return CompileResult(program=None, sink=sink, dumps=tuple(dumps))
    return CompileResult(
        program=made.program,
        sink=sink,
        dumps=tuple(dumps),
        elf=made.elf,
        llvm=made.llvm,
        optimised=made.optimised or "",
    )


def _only_idle(lowered: pipeline.Lowered, sink: DiagnosticSink) -> bool:
    """True, and told, if all probes of a script are for another mode."""
    idle = next((i for i in lowered.env.instances if i.idle), None)
    if idle is not None:
        name = idle.targets[0][0].provider
        kind = "benchmark" if name == "bench" else name
        text = f"No probes attached; use --{name} to run {kind} probes."
        sink.error("idle-probes", text, None)
    return idle is not None


def list_script(
    request: CompileRequest, kernel: KernelInfo
) -> tuple[list[tuple[provider.Provider, provider.Item]], DiagnosticSink]:
    """The attach points of a script as ``-l`` shows them; faults are in the sink."""
    sink = DiagnosticSink()
    program = parse(request.source, sink)
    if program is None or sink.failed:
        return [], sink
    providers = provider.load_all()
    found = pipeline.targets(
        program,
        kernel,
        sink,
        providers=providers,
        parameters=request.params,
        environment=request.config_environment,
        settings=_settings(request),
    )
    items = [(providers[t.provider], providers[t.provider].item(t, kernel)) for t in found]
    return [(owner, item) for owner, item in items if item.text], sink


def _settings(request: CompileRequest) -> Settings:
    return Settings(
        unsafe=request.unsafe,
        pid=request.pid,
        has_child=request.has_child,
        runtime_warnings=request.runtime_warnings,
        clock_map=request.clock_map,
        mode=request.mode,
        options=request.options,
    )


def _generate(
    lowered: pipeline.Lowered,
    kernel: KernelInfo,
    sink: DiagnosticSink,
    wanted: set[str],
    dumps: list[tuple[str, str]],
) -> Generated:
    from pytrace import __version__
    from pytrace.codegen import CodegenOptions, generate_all
    from pytrace.ir.print import print_module

    if "ir" in wanted or "all" in wanted:
        dumps.append(("ir", print_module(lowered.module)))
    config = lowered.env.config
    options = CodegenOptions(
        version=__version__,
        arch=kernel.identity().arch,
        cpu=_cpu(kernel),
        on_stack_limit=config.on_stack_limit,
        config=config.run_values(),
        structs=lowered.structs,
        enums=lowered.enums,
        warnings=tuple((d.severity, render(d)) for d in sink.warnings),
        features=_features(lowered.module, kernel),
    )
    keep = bool(wanted & {"codegen-opt", "emit-llvm", "all"})
    made = generate_all(lowered.module, options, keep_text=keep)
    if wanted & {"codegen", "all"}:
        dumps.append(("codegen", _titled("LLVM IR before optimization", 27, made.llvm)))
    if wanted & {"codegen-opt", "all"}:
        text = _titled("LLVM IR after optimization", 28, made.optimised or "")
        dumps.append(("codegen-opt", text))
    return made


def _titled(title: str, width: int, text: str) -> str:
    return f"\n{title}\n{'-' * width}\n\n{text}"


def _cpu(kernel: KernelInfo) -> str:
    """The newest instruction set that this kernel takes (v4: Linux 6.6, v3: 5.12)."""
    for level in ("v4", "v3"):
        if kernel.supports(f"cpu_{level}"):
            return level
    return "v2"


def _features(module: ir.Module, kernel: KernelInfo) -> frozenset[str]:
    """The features that this module could use and this kernel has: each answer costs a trial."""
    kinds = {type(instr) for function in module.functions for instr in walk(function.body)}
    wanted = {ir.Repeat: "loop", ir.ForEach: "for_each_map_elem"}
    used = {name for kind, name in wanted.items() if kind in kinds}
    used.add("probe_read_kernel")
    return frozenset(name for name in used if kernel.supports(name))


@cache
def library() -> Mapping[str, Sequence[ast.Macro]]:
    """Macros of the standard library by name."""
    from pytrace.stdlib import sources

    found: dict[str, list[ast.Macro]] = {}
    for name, text in sources():
        sink = DiagnosticSink()
        program = parse(SourceFile(name, text), sink)
        assert program is not None and not sink.failed, render(sink.items[0])
        for macro in program.macros:
            found.setdefault(macro.name, []).append(macro)
    return found
