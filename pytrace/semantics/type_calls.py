"""Typing of builtin values and calls: who is called, with what, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.text import closest
from pytrace.base.types import (
    NONE,
    Aggregate,
    Array,
    Bool,
    Buf,
    Enum,
    Int,
    NoneType,
    Ptr,
    Str,
    Type,
)
from pytrace.builtins.registry import Arg, Builtin, BuiltinCall, arguments, count_problem
from pytrace.frontend import ast
from pytrace.semantics import type_maps
from pytrace.semantics.macros import RAW_PREFIX
from pytrace.semantics.merge import settled, value_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.base.source import Span
    from pytrace.semantics.typing import Typing


def family(name: str) -> str:
    """The name that a builtin is declared by: ``arg0``, ``arg17`` are ``argN``."""
    name = name.removeprefix(RAW_PREFIX)
    if name.startswith("arg") and name[3:].isdigit():
        return "argN"
    return name


def find(t: Typing, name: str) -> Builtin | None:
    return t.env.builtins.get(family(name))


def known_names(t: Typing) -> list[str]:
    """What a mistyped word may have meant."""
    return sorted(n for n in t.env.builtins if not n.startswith("__"))


def bare(t: Typing, node: ast.Ident, builtin: Builtin) -> Type:
    """A builtin written without parentheses."""
    if builtin.aggregate:
        return not_assigned(t, node, builtin)
    if not builtin.bare and builtin.required:
        return t.error(
            "argument-count", count_problem(builtin, 0) or "", node.span, hints=[builtin.doc]
        )
    return _typed(t, BuiltinCall(name=node.name, args=(), span=node.span, node=node), builtin)


def call(t: Typing, node: ast.Call) -> Type:
    builtin = find(t, node.name)
    if builtin is None:
        fn = next((i for i in t.env.functions if i.name == node.name), None)
        if fn is not None:
            return _function_call(t, node, fn)
        for arg in node.args:
            if not _is_type(arg):
                t.expr(arg)  # type: ignore[arg-type]
        guess = closest(node.name, known_names(t))
        return t.error(
            "unknown-function",
            f"Unknown function: '{node.name}'",
            node.span,
            hints=[f"Did you mean {guess}()?"] if guess else [],
        )
    if builtin.aggregate:
        return not_assigned(t, node, builtin)
    made = _call_of(node)
    problem = count_problem(builtin, len(node.args))
    if problem is not None:
        _type_arguments(t, made, builtin)
        return t.error("argument-count", problem, node.span)
    if not _type_arguments(t, made, builtin):
        return builtin.returns if isinstance(builtin.returns, Type) else NONE
    return _typed(t, made, builtin)


def aggregate_call(t: Typing, node: ast.Expr) -> Builtin | None:
    """The aggregating builtin that an assigned expression calls, if it does."""
    if isinstance(node, (ast.Call, ast.Ident)):
        builtin = find(t, node.name)
        if builtin is not None and builtin.aggregate:
            return builtin
    return None


def aggregate(t: Typing, node: ast.Call | ast.Ident, builtin: Builtin) -> Type:
    """Type of the map value that an aggregating call fills."""
    made = (
        _call_of(node)
        if isinstance(node, ast.Call)
        else BuiltinCall(name=node.name, args=(), span=node.span, node=node)
    )
    problem = count_problem(builtin, len(made.args))
    if problem is not None:
        _type_arguments(t, made, builtin)
        return t.error("argument-count", problem, node.span)
    if not _type_arguments(t, made, builtin):
        return NONE
    return _typed(t, made, builtin)


def not_assigned(t: Typing, node: ast.Call | ast.Ident, builtin: Builtin) -> Type:
    return t.error(
        "aggregate-not-assigned",
        f"{builtin.name}() must be assigned directly to a map",
        node.span,
        hints=[f"for example: @ = {builtin.name}({', '.join(p.name for p in builtin.params)})"],
    )


def allowed(t: Typing, feature: str, span: Span) -> bool:
    """Asks the config about an unstable feature and reports what it says (language 14.4)."""
    gate = getattr(t.env.config, f"unstable_{feature}")
    if gate == "warn" and t.reporting:
        t.env.sink.warn(
            "unstable",
            f"Script is using an unstable feature: {feature}. To prevent this warning you must"
            f" explicitly enable it in the config e.g. unstable_{feature}=enable",
            None,
        )
    if gate == "error":
        t.error(
            "unstable",
            f"{feature} feature is not enabled by default. To enable this unstable feature, set"
            f" the config flag to enable. unstable_{feature}=enable",
            span,
        )
    return bool(gate != "error")


def _typed(t: Typing, made: BuiltinCall, builtin: Builtin) -> Type:
    if builtin.unsafe and not t.env.settings.unsafe:
        return t.error(
            "unsafe",
            f"{builtin.name}() is an unsafe function being used in safe mode",
            made.span,
            hints=["--unsafe allows it"],
        )
    if builtin.unstable and not allowed(t, builtin.unstable, made.span):
        return NONE
    if builtin.probe_only and t.is_function:
        name = made.name.removeprefix(RAW_PREFIX)
        return t.error("not-here", f"Builtin {name} not supported outside probe", made.span)
    found = builtin.returns if isinstance(builtin.returns, Type) else builtin.returns(t, made)
    if t.for_depth and not builtin.in_for and not isinstance(found, NoneType):
        return t.error(
            "not-in-for",
            f"'{made.name}' builtin is not allowed in a for-loop",
            made.span,
            hints=["read it into a variable before the loop"],
        )
    return found


def _call_of(node: ast.Call) -> BuiltinCall:
    return BuiltinCall(
        name=node.name,
        args=node.args,  # type: ignore[arg-type]
        span=node.span,
        node=node,
    )


def _type_arguments(t: Typing, made: BuiltinCall, builtin: Builtin) -> bool:
    """Types the arguments and checks them against the parameters; True if all fit."""
    fine = True
    for index, arg in enumerate(made.args):
        param = builtin.params[index] if index < len(builtin.params) else Arg(name="value")
        fine = _argument(t, builtin, param, arg, made.span) and fine
    return fine


def _argument(t: Typing, builtin: Builtin, param: Arg, arg: ast.Expr, span: Span) -> bool:
    if param.kind == "map":
        if isinstance(arg, ast.MapAccess) and builtin.name == "delete":
            type_maps.key(t, arg, used=False)
        elif not isinstance(arg, ast.Map):
            t.error("bad-argument", f"{builtin.name}() expects a map argument", arg.span)
            return False
        node = arg.map if isinstance(arg, ast.MapAccess) else arg
        return not t.reporting or type_maps.is_known(t, node)
    if param.kind == "text" and isinstance(arg, ast.StrLit):
        # A format or name is never stored in the program: no limit of max_strlen.
        t.types[arg] = Str(length=len(arg.value) + 1)
        return True
    if param.kind == "word" and isinstance(arg, ast.Ident):
        return True
    if param.kind == "var":
        if isinstance(arg, ast.Var):
            return True
        t.error("bad-argument", f"{builtin.name}() expects a variable argument", arg.span)
        return False
    if param.kind == "printable" and isinstance(arg, ast.Map):
        if t.reporting and not type_maps.is_known(t, arg):
            return False
        t.types[arg] = settled(t.env.map(arg.name).value)
        return True
    if param.kind == "type":
        return True
    found = t.expr(arg)
    if isinstance(found, NoneType):
        literal = param.kind in ("text", "number")
        return param.kind == "any" or not (t.reporting or literal)
    fits = _FITS.get(param.kind)
    if fits is None or fits(t, arg, found):
        return True
    t.error("bad-argument", _complaint(t, builtin, param, arg, found), span)
    return False


def _complaint(t: Typing, builtin: Builtin, param: Arg, arg: ast.Expr, found: Type) -> str:
    """What is wrong with an argument, in the contract's words."""
    name, kind = builtin.name, t.kind(arg)
    match param.kind:
        case "text":
            return f"{name}() expects a string literal ({kind} provided)"
        case "number":
            return f"{name}() expects a int literal ({kind} provided)"
        case "string":
            return (
                f"{name}() expects a string, integer or a pointer type as first argument"
                f" ({settled(found)} provided)"
            )
        case "address":
            return f"{name}() expects an integer or pointer argument"
        case "int":
            # Functions of one number alone name its type.
            if builtin.aggregate and len(builtin.params) == 1:
                return f"{name}() only supports integer arguments ({settled(found)} provided)"
    return f"{name}() only supports {_WORDS[param.kind]} arguments ({kind} provided)"


def _is_type(arg: object) -> bool:
    return isinstance(
        arg, (ast.NamedType, ast.TagType, ast.TypeofType, ast.PointerType, ast.ArrayType)
    )


def _is_number(t: Typing, arg: ast.Expr, found: Type) -> bool:
    return isinstance(found, (Int, Enum))


def _is_address(t: Typing, arg: ast.Expr, found: Type) -> bool:
    return isinstance(found, (Ptr, Int))


def _is_text_like(t: Typing, arg: ast.Expr, found: Type) -> bool:
    if isinstance(found, Array):
        return found.elem.size == 1
    return isinstance(found, (Str, Ptr, Int))


def _is_int_literal(t: Typing, arg: ast.Expr, found: Type) -> bool:
    return isinstance(t.literal(arg), int) and not isinstance(t.literal(arg), bool)


_FITS: dict[str, Callable[[Typing, ast.Expr, Type], bool]] = {
    "int": _is_number,
    "string": _is_text_like,
    "pointer": _is_address,
    "address": _is_address,
    "text": lambda t, arg, found: t.is_text(arg),
    "number": _is_int_literal,
    "buffer": lambda t, arg, found: isinstance(found, (Str, Ptr, Int, Array, Buf)),
    "strict_string": lambda t, arg, found: isinstance(found, Str),
}
_WORDS = {"int": "int", "pointer": "integer or pointer", "buffer": "buffer",
          "strict_string": "string"}  # fmt: skip


def _function_call(t: Typing, node: ast.Call, fn: ast.Fn) -> Type:
    from pytrace.semantics.type_names import resolve_type

    if len(node.args) != len(fn.params):
        return t.error(
            "argument-count",
            f"{fn.name}() requires {arguments(len(fn.params))} ({len(node.args)} provided)",
            node.span,
        )
    for arg, param in zip(node.args, fn.params):
        found = value_type(t.expr(arg))  # type: ignore[arg-type]
        wanted = resolve_type(t, param.type)
        if wanted is None or isinstance(found, NoneType):
            continue
        accepted = (Int, Ptr) if isinstance(wanted, Ptr) else (Int, Bool, Enum)
        if not isinstance(found, accepted):
            t.error(
                "bad-argument",
                f"Expected {wanted} for argument `${param.var.name}` got {settled(found)}",
                arg.span,
            )
    return resolve_type(t, fn.returns) or NONE


__all__ = ["Aggregate", "aggregate", "aggregate_call", "bare", "call", "family", "find",
           "known_names", "not_assigned"]  # fmt: skip
