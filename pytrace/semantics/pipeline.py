"""The passes from syntax tree to typed IR, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import (
    Array,
    Enum,
    EnumDef,
    Ptr,
    Record,
    Struct,
    StructDef,
    Tuple,
    Type,
)
from pytrace.ir import nodes as ir
from pytrace.model.compiled import AttachSpec
from pytrace.semantics import attach, declare, infer, macros, params
from pytrace.semantics.env import Env
from pytrace.semantics.fold import fold
from pytrace.semantics.lower import Lowering, ModuleBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytrace.base.config import Settings
    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.builtins.registry import Builtin
    from pytrace.frontend import ast
    from pytrace.kernel.info import KernelInfo
    from pytrace.model.probing import Target
    from pytrace.probes.provider import Provider
    from pytrace.semantics import env as env_module
    from pytrace.semantics.env import Instance

    Dump = Callable[[str, ast.Program], None]


class Lowered:
    """What the passes leave: the module, and the types that its events and maps show."""

    def __init__(self, module: ir.Module, env: Env) -> None:
        self.module = module
        self.env = env
        self.structs, self.enums = _shown_types(module, env)


def run(
    program: ast.Program,
    kernel: KernelInfo,
    sink: DiagnosticSink,
    *,
    builtins: Mapping[str, Builtin],
    providers: dict[str, Provider],
    library: Mapping[str, Sequence[ast.Macro]],
    parameters: Sequence[str],
    environment: Settings,
    settings: env_module.Settings,
    dump: Dump,
) -> Lowered | None:
    """None if ``sink`` has errors; passes report and go on, a pass with errors ends the run."""
    config = declare.configure(program, environment, sink)
    env = Env(kernel, sink, config, builtins, settings)
    declare.declare_types(env, program)
    tree = _expand(program, env, library, parameters, dump)
    if tree is None:
        return None
    env.functions = tree.functions
    declare.declare_maps(env, tree)
    env.instances = attach.function_instances(env, tree)
    env.instances.extend(attach.instances(env, tree, providers))
    if sink.failed:
        return None
    infer.infer(env)
    if sink.failed:
        return None
    return Lowered(lower(env), env)


def targets(
    program: ast.Program,
    kernel: KernelInfo,
    sink: DiagnosticSink,
    *,
    providers: dict[str, Provider],
    parameters: Sequence[str],
    environment: Settings,
    settings: env_module.Settings,
) -> list[Target]:
    """What a script's probes attach to, in its order, whatever their bodies say."""
    config = declare.configure(program, environment, sink)
    env = Env(kernel, sink, config, {}, settings)
    tree = params.substitute(program, parameters, sink)
    return [t for probe in tree.probes for t, _ in attach.expand(env, probe, providers)]


def _expand(
    program: ast.Program,
    env: Env,
    library: Mapping[str, Sequence[ast.Macro]],
    parameters: Sequence[str],
    dump: Dump,
) -> ast.Program | None:
    """The passes that only rewrite the tree."""
    sink = env.sink
    dump("parse", program)
    tree = params.substitute(program, parameters, sink)
    macros.check(tree.macros, sink)
    tree = macros.expand_defines(tree, env.defines)
    tree = macros.Expander(tree.macros, library, sink, env.builtins).program(tree)
    dump("macros", tree)
    if sink.failed:
        return None
    tree = fold(tree, sink)
    dump("fold", tree)
    return None if sink.failed else tree


def lower(env: Env) -> ir.Module:
    """Typed IR of all instances."""
    builder = ModuleBuilder(env)
    functions = []
    specs = []
    for instance in env.instances:
        if instance.idle:
            continue
        lowering = Lowering(builder, instance)
        functions.append(lowering.run())
        specs.extend(_attach_specs(instance, builder))
    for info in env.maps.values():
        if info.used and info.name not in builder.maps and env.instances:
            Lowering(builder, env.instances[0]).map_spec(info.name)
    return ir.Module(
        functions=tuple(functions),
        maps=tuple(builder.maps[name] for name in sorted(builder.maps)),
        events=tuple(builder.events),
        params=tuple(builder.params.values()),
        attach=tuple(specs),
        sources=builder.source_texts(),
        license=env.config.license,
    )


def _attach_specs(instance: Instance, builder: ModuleBuilder) -> list[AttachSpec]:
    """How the prog of an instance is attached: for each attach point of the script in turn."""
    from pytrace.probes.provider import load_all

    providers = load_all()
    by_point: dict[ast.AttachPoint, list[Target]] = {}
    for target, point in instance.targets:
        by_point.setdefault(point, []).append(target)
    return [
        AttachSpec(
            provider=providers[targets[0].provider].module,
            name=made.name,
            prog=instance.name,
            args=made.args,
            span=builder.span_ref(point.span),
            label=point.label,
            count=made.count,
        )
        for point, targets in by_point.items()
        for made in providers[targets[0].provider].gather(targets, instance.shape)
    ]


def _shown_types(module: ir.Module, env: Env) -> tuple[tuple[StructDef, ...], tuple[EnumDef, ...]]:
    """Definitions that decoding events and maps needs."""
    structs: dict[tuple[str, str], StructDef] = {}
    enums: dict[str, EnumDef] = {}
    arguments = [i.context.args for i in env.instances if i.context.args is not None]
    own = {(args.kind, args.name): args for args in arguments}

    def visit(t: Type | None) -> None:
        match t:
            case Struct() if (t.kind, t.name) not in structs:
                definition = own.get((t.kind, t.name)) or env.struct(t.kind, t.name)
                if definition is not None:
                    structs[t.kind, t.name] = definition
                    for field in definition.fields:
                        visit(field.type)
            case Enum() if t.name not in enums:
                enum = env.enum(t.name)
                if enum is not None:
                    enums[t.name] = enum
            case Tuple() | Record():
                for elem in t.elems:
                    visit(elem)
            case Array():
                visit(t.elem)
            case Ptr() | None:
                pass

    for event in module.events:
        for field in event.fields:
            visit(field.type)
    for spec in module.maps:
        visit(spec.key)
        visit(spec.value)
    return tuple(structs.values()), tuple(enums.values())
