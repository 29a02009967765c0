"""From attach points to instances: what each body is compiled for (language 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.diagnostics import ERROR, WARNING, Diagnostic
from pytrace.base.frozen import replace
from pytrace.base.text import is_wildcard, matches
from pytrace.frontend import ast
from pytrace.frontend.walk import walk
from pytrace.model.probing import AttachText, ParseProblem, ProbeContext, ProgShape, Target
from pytrace.probes.provider import KERNEL_PROVIDERS, USER_PROVIDERS, find, unknown
from pytrace.semantics import functions
from pytrace.semantics.env import Instance
from pytrace.semantics.scope import resolve
from pytrace.semantics.type_calls import family

if TYPE_CHECKING:
    from pytrace.probes.provider import Provider
    from pytrace.semantics.env import Env
    from pytrace.semantics.scope import Scopes

Points = list[tuple[Target, ast.AttachPoint]]


def instances(env: Env, program: ast.Program, providers: dict[str, Provider]) -> list[Instance]:
    """One instance for each body and group of attach points that see the same types."""
    made: list[Instance] = []
    total = 0
    for number, probe in enumerate(program.probes):
        points = expand(env, probe, providers)
        scopes = resolve(probe.body, env.sink, predicate=probe.predicate)
        total += len(points)
        if points:
            made.extend(_group(env, probe, points, providers, scopes, number))
    _check_trials(env, made)
    _check_alone(env, made, providers)
    env.debug_scopes = _debug_scopes(made, providers)
    _check_limits(env, program, total, len(made))
    return made


def expand(env: Env, probe: ast.Probe, providers: dict[str, Provider]) -> Points:
    """The distinct attach points of a probe, in the order of the script."""
    points: Points = []
    broken = False
    for point in probe.attach_points:
        found = _expand(env, point, providers)
        broken = broken or found is None
        points.extend((target, point) for target in found or ())
    if not points and not broken:
        _nothing_left(env, probe)
    return points


def function_instances(env: Env, program: ast.Program) -> list[Instance]:
    """One instance for each ``fn``; functions see no probe."""
    functions.check(program.functions, env.sink)
    made = []
    for fn in program.functions:
        scopes = resolve(fn.body, env.sink, tuple(p.var for p in fn.params))
        context = ProbeContext(space="none", probetype="function")
        made.append(Instance(f"fn_{fn.name}", fn, (), context, ProgShape(prog_type=""), scopes))
    return made


def _text(point: ast.AttachPoint, unsafe: bool) -> AttachText:
    return AttachText(
        provider=point.provider,
        parts=point.parts,
        quoted=point.quoted,
        text=point.text,
        label=point.label,
        location=point.location,
        span=point.span,
        unsafe=unsafe,
    )


def _expand(
    env: Env, point: ast.AttachPoint, providers: dict[str, Provider]
) -> list[Target] | None:
    """Targets of one attach point; None after an error that ends compiling."""
    if is_wildcard(point.provider):
        return _expand_pattern(env, point, providers)
    provider = find(providers, point.provider)
    if provider is None:
        _report(env, unknown(providers, point.provider), point, ERROR)
        return None
    pid = env.settings.pid
    target = provider.parse(_text(point, env.settings.unsafe), pid)
    if isinstance(target, ParseProblem):
        _report(env, target, point, ERROR)
        return None
    expanded = provider.expand(target, env.kernel, pid)
    if isinstance(expanded, ParseProblem):
        for text in expanded.warnings:
            _report(env, ParseProblem(code=expanded.code, message=text), point, WARNING)
        if not expanded.message:
            return list(expanded.instead)
        if target.wildcard and expanded.code == "no-match":
            # A pattern may match nothing, as long as something is left of the probe.
            return []
        return _unresolved(env, expanded, point)
    return list(expanded)


def _expand_pattern(
    env: Env, point: ast.AttachPoint, providers: dict[str, Provider]
) -> list[Target] | None:
    """Targets of all providers that a pattern means, where the rest makes sense to them."""
    pid = env.settings.pid
    has_file = len(point.parts) > 1 and "/" in point.parts[0]
    names = USER_PROVIDERS if has_file or pid is not None else KERNEL_PROVIDERS
    meant = [providers[n] for n in names if matches(point.provider.lower(), n)]
    if not meant:
        text = f"No probe type matched for {point.provider}"
        _report(env, ParseProblem(code="unknown-provider", message=text), point, ERROR)
        return None
    found: list[Target] = []
    for provider in meant:
        target = provider.parse(_text(point, env.settings.unsafe), pid)
        if isinstance(target, ParseProblem) or provider.refused(env.kernel):
            continue
        expanded = provider.expand(target, env.kernel, pid)
        if not isinstance(expanded, ParseProblem):
            found.extend(expanded)
    # An iterator must be alone in its script.
    return [t for t in found if t.provider != "iter"] or found


def _unresolved(env: Env, problem: ParseProblem, point: ast.AttachPoint) -> list[Target] | None:
    """``missing_probes`` says what to do about an attach point that does not exist."""
    policy = env.config.missing_probes
    if problem.code != "no-match" or policy == "error":
        _report(env, problem, point, ERROR)
        return None
    if policy == "warn":
        text = f"{problem.message} Skipping."
        _report(env, ParseProblem(code=problem.code, message=text), point, WARNING)
    return []


def _report(env: Env, problem: ParseProblem, point: ast.AttachPoint, severity: str) -> None:
    env.sink.add(
        Diagnostic(
            severity=severity,
            code=problem.code,
            message=problem.message,
            span=point.span,
            hints=problem.hints,
        )
    )


def _nothing_left(env: Env, probe: ast.Probe) -> None:
    first = probe.attach_points[0].span
    if env.config.missing_probes == "error":
        env.sink.error(
            "no-attach-points",
            "Probe has no valid attach points. If this is expected, set the 'missing_probes'"
            " config variable to 'warn'.",
            first,
        )
    elif env.config.missing_probes == "warn":
        env.sink.warn(
            "no-attach-points",
            "Probe has no valid attach points. It is being removed which may cause issues with"
            " program behavior.",
            first,
        )


def _group(
    env: Env,
    probe: ast.Probe,
    points: Points,
    providers: dict[str, Provider],
    scopes: Scopes,
    number: int,
) -> list[Instance]:
    """Points share one instance unless the body looks at what differs between them."""
    first = points[0][0]
    varied = providers[first.provider].context(first, env.kernel).missing_args
    specific = _looks_at_target(env, probe, varied)
    wants_args = _uses_args(probe)
    groups: dict[tuple[object, ...], Points] = {}
    for index, (target, point) in enumerate(points):
        provider = providers[target.provider]
        alone = specific and (len(points) > 1)
        shape = provider.shape([target], env.kernel)
        key = (target.provider, shape, index if alone or not shape.multi else -1)
        groups.setdefault(key, []).append((target, point))
    made = []
    for sub, group in enumerate(groups.values()):
        target = group[0][0]
        provider = providers[target.provider]
        context = provider.context(target, env.kernel)
        if wants_args:
            context = _with_args(env, provider, context, group[0])
        shape = provider.shape([t for t, _ in group], env.kernel)
        name = _prog_name(target, number, sub)
        instance = Instance(name, probe, tuple(group), context, shape, scopes)
        instance.idle = provider.mode not in ("", env.settings.mode)
        made.append(instance)
    return made


def _check_trials(env: Env, made: list[Instance]) -> None:
    """Tests and benchmarks have names of their own kind that differ."""
    known: dict[str, ast.AttachPoint] = {}
    for target, point in (pair for instance in made for pair in instance.targets):
        if target.provider not in ("test", "bench"):
            continue
        first = known.setdefault(target.name, point)
        if first is not point:
            env.sink.error(
                "name-used",
                f'"{target.args[0]}" was used as the name for more than one'
                f" {target.provider.upper()} probe",
                point.span,
                labels=[("this is the other instance", first.span)],
            )


def _uses_args(probe: ast.Probe) -> bool:
    return any(
        isinstance(node, (ast.Ident, ast.Call)) and family(node.name) == "args"
        for node in walk(probe)
    )


def _with_args(
    env: Env, provider: Provider, context: ProbeContext, where: tuple[Target, ast.AttachPoint]
) -> ProbeContext:
    """The context with those fields of ``args`` that are looked for only where they are used."""
    found = provider.typed_args(where[0], env.kernel)
    if isinstance(found, ParseProblem):
        _report(env, found, where[1], ERROR)
        return context
    return context if found is None else replace(context, args=found)


def _looks_at_target(env: Env, probe: ast.Probe, varied_args: bool) -> bool:
    """True if the body sees which attach point fired; ``varied_args``: argN differ between them."""
    for node in walk(probe):
        if isinstance(node, (ast.Ident, ast.Call)):
            builtin = env.builtins.get(family(node.name))
            if builtin is None:
                continue
            if builtin.per_target or (varied_args and builtin.name == "argN"):
                return True
    return False


def _prog_name(target: Target, number: int, sub: int) -> str:
    """A C identifier: the attach point's name made plain, and numbers that keep it unique."""
    plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in target.name)
    return f"{plain[:48]}_{number}_{sub}"


def _debug_scopes(
    made: list[Instance], providers: dict[str, Provider]
) -> tuple[tuple[str, str], ...]:
    """Functions of programs whose debug information knows types that the script may name: the
    first of each file."""
    found: dict[str, str] = {}
    for target, _ in (pair for instance in made for pair in instance.targets):
        scope = providers[target.provider].debug_scope(target)
        if scope is not None:
            found.setdefault(*scope)
    return tuple(found.items())


def _check_alone(env: Env, made: list[Instance], providers: dict[str, Provider]) -> None:
    """A probe that must be alone has no second attach point, in its script either."""
    points = [p for i in made for p in i.targets if i.context.probetype != "special"]
    single = [target for target, _ in points if providers[target.provider].alone]
    if single and len(points) > 1:
        text = f"{single[0].provider} probe only supports one attach point."
        _report(env, ParseProblem(code="attach-point", message=text), points[1][1], ERROR)


def _check_limits(env: Env, program: ast.Program, points: int, progs: int) -> None:
    span = program.probes[0].span if program.probes else program.span
    if progs > env.config.max_bpf_progs:
        env.sink.error(
            "too-many-progs",
            f"Your program is trying to generate more than {progs} BPF programs, which exceeds"
            f" the current limit of {env.config.max_bpf_progs}.",
            span,
            hints=["You can increase the limit through the PYTRACE_MAX_BPF_PROGS environment"
                   " variable or config variable."],
        )  # fmt: skip
    elif points > env.config.max_probes:
        env.sink.error(
            "too-many-probes",
            f"Can't attach to {points} probes because it exceeds the current limit of"
            f" {env.config.max_probes} probes.",
            span,
            hints=["You can increase the limit through the PYTRACE_MAX_PROBES environment variable"
                   " or config variable, but BE CAREFUL since a high number of probes attached can"
                   " cause your system to crash."],
        )  # fmt: skip
