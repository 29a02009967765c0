"""Functions of the script (language 2.4): what they may take, return and call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.types import VOID, Bool, Enum, Int, NoneType, Ptr, Type, int_type, is_scalar
from pytrace.frontend import ast
from pytrace.frontend.walk import walk
from pytrace.semantics.merge import is_void, settled
from pytrace.semantics.type_names import UNSIZED, resolve_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import Span
    from pytrace.semantics.typing import Typing

MAX_PARAMETERS = 5
"""Arguments of a BPF subprogram are in registers r1 to r5."""


def check(functions: Sequence[ast.Fn], sink: DiagnosticSink) -> None:
    """Names given twice, too many parameters, and functions that call themselves."""
    known: dict[str, ast.Fn] = {}
    for fn in functions:
        if fn.name in known:
            sink.error(
                "function-redefined",
                f"Redefinition of function: {fn.name}",
                fn.span,
                labels=[("This is the original definition.", known[fn.name].span)],
            )
        known.setdefault(fn.name, fn)
        if len(fn.params) > MAX_PARAMETERS:
            sink.error(
                "too-many-parameters",
                f"Function {fn.name} has {len(fn.params)} parameters, at most {MAX_PARAMETERS}"
                " are possible",
                fn.span,
            )
    calls = {
        name: [n.name for n in walk(fn.body) if isinstance(n, ast.Call) and n.name in known]
        for name, fn in known.items()
    }
    for name, fn in known.items():
        chain = _way_back(name, calls)
        if chain is not None:
            text = " > ".join(chain)
            sink.error(
                "function-recursion",
                f"Recursive function call detected. Call chain: {text}",
                fn.span,
            )


def _way_back(name: str, calls: dict[str, list[str]]) -> list[str] | None:
    """The shortest chain of calls from a function to itself."""
    waiting = [[name]]
    seen: set[str] = set()
    while waiting:
        chain = waiting.pop(0)
        for callee in calls[chain[-1]]:
            if callee == name:
                return [*chain, name]
            if callee not in seen:
                seen.add(callee)
                waiting.append([*chain, callee])
    return None


def signature(t: Typing, fn: ast.Fn) -> None:
    """Gives the parameters their declared types; all of them must fit a register."""
    for param in fn.params:
        variable = t.variable(param.var)
        declared = resolve_type(t, param.type)
        if declared is None or variable is None:
            continue
        if not is_scalar(declared):
            _no_word(t, fn, declared, param.span)
            continue
        t.instance.variables[variable] = declared
    returns = resolve_type(t, fn.returns)
    if returns is None:
        return
    t.instance.returns = returns
    if not is_void(returns) and not is_scalar(returns):
        _no_word(t, fn, returns, fn.returns.span)
    elif not is_void(returns) and not _always_returns(fn.body):
        span = fn.body.stmts[-1].span if fn.body.stmts else fn.body.span
        _cannot_return(t, fn, returns, VOID, span)


def _no_word(t: Typing, fn: ast.Fn, found: Type, span: Span) -> None:
    name = "string" if getattr(found, "length", None) == UNSIZED else str(found)
    t.error(
        "function-type",
        f"Function {fn.name} can only take and return integers, bools and pointers, not {name}",
        span,
    )


def check_return(t: Typing, fn: ast.Fn, stmt: ast.Return, found: Type) -> None:
    """A returned value must be of the declared type's kind; integers are cast to it."""
    wanted = resolve_type(t, fn.returns)
    if wanted is None or isinstance(found, NoneType):
        return
    value = t.literal(stmt.value) if stmt.value is not None else None
    if isinstance(wanted, (Int, Enum)) and isinstance(found, (Int, Enum)):
        number = int_type(wanted)
        fits = not isinstance(value, int) or number.low <= value <= number.high
    elif isinstance(wanted, Ptr):
        fits = isinstance(found, Ptr)
    elif isinstance(wanted, Bool):
        fits = isinstance(found, Bool)
    elif is_void(wanted):
        fits = is_void(found)
    else:
        # A type that no function can return was reported with the signature.
        fits = not is_scalar(wanted)
    if not fits:
        _cannot_return(t, fn, wanted, found, stmt.span)


def _cannot_return(t: Typing, fn: ast.Fn, wanted: Type, found: Type, span: Span) -> None:
    t.error(
        "return-type",
        f"Function {fn.name} is of type {wanted}, cannot return {settled(found)}",
        span,
    )


def _always_returns(block: ast.Block) -> bool:
    """True if every way through a block meets a ``return``."""
    for stmt in block.stmts:
        match stmt:
            case ast.Return():
                return True
            case ast.BlockStmt() if _always_returns(stmt.body):
                return True
            case ast.If() if _if_returns(stmt):
                return True
    return False


def _if_returns(stmt: ast.If) -> bool:
    if not _always_returns(stmt.then):
        return False
    if isinstance(stmt.orelse, ast.If):
        return _if_returns(stmt.orelse)
    return stmt.orelse is not None and _always_returns(stmt.orelse)
