"""Shared by the front end's tests: parse a text, show a tree without spans."""

from __future__ import annotations

from pytrace.base.diagnostics import DiagnosticSink, location
from pytrace.base.frozen import Frozen
from pytrace.base.source import SourceFile, Span
from pytrace.frontend import ast
from pytrace.frontend.parser import parse


def parsed(text: str) -> ast.Program:
    """The tree of a script that must have no fault."""
    sink = DiagnosticSink()
    program = parse(SourceFile("stdin", text.encode("utf-8", "surrogateescape")), sink)
    assert not sink.items, [(d.message, d.span and location(d.span)) for d in sink.items]
    assert program is not None
    return program


def faults(text: str | bytes) -> list[str]:
    """``line:columns: message`` of each error in a script that must have some."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    sink = DiagnosticSink()
    program = parse(SourceFile("stdin", raw), sink)
    assert program is None
    assert sink.failed
    return [told(d.message, d.span) for d in sink.errors]


def told(message: str, span: Span | None) -> str:
    assert span is not None
    assert message.startswith("syntax: ")
    return f"{location(span).removeprefix('stdin:')}: {message.removeprefix('syntax: ')}"


def block(text: str) -> ast.Block:
    """The body of ``begin { text }``."""
    return parsed(f"begin {{ {text} }}").probes[0].body


def stmt(text: str) -> ast.Stmt:
    """The only statement of ``begin { text }``."""
    (only,) = block(text).stmts
    return only


def expr(text: str) -> ast.Expr:
    """``text`` as the value of an assignment."""
    found = stmt(f"$v = {text};")
    assert isinstance(found, ast.Assign)
    return found.value


def shape(value: object) -> object:
    """A tree as nested tuples (class, field values) without spans, comparable by ``==``."""
    if isinstance(value, Span):
        return None
    if isinstance(value, Frozen):
        fields = [getattr(value, name) for name in value.__fields__]
        return (type(value).__name__, *(shape(f) for f in fields if not isinstance(f, Span)))
    if isinstance(value, tuple):
        return tuple(map(shape, value))
    return value


def lisp(value: object) -> str:
    """A short form of an expression that shows how it nests."""
    match value:
        case ast.IntLit():
            return str(value.value)
        case ast.Ident() | ast.Map():
            return value.name
        case ast.Var():
            return "$" + value.name
        case ast.Binary():
            return f"({value.op} {lisp(value.left)} {lisp(value.right)})"
        case ast.Unary():
            return f"({value.op} {lisp(value.operand)})"
        case ast.IncDec():
            return f"({value.op if value.prefix else 'post' + value.op} {lisp(value.target)})"
        case ast.FieldAccess():
            return f"(. {lisp(value.base)} {value.name})"
        case ast.TupleAccess():
            return f"(. {lisp(value.base)} {value.index})"
        case ast.Index():
            return f"([] {lisp(value.base)} {lisp(value.index)})"
        case ast.MapAccess():
            return f"({value.map.name} {' '.join(map(lisp, value.keys))})"
        case ast.Ternary():
            return f"(? {lisp(value.cond)} {lisp(value.then)} {lisp(value.orelse)})"
        case ast.Cast():
            return f"(cast {lisp(value.type)} {lisp(value.operand)})"
        case ast.Call():
            return f"({' '.join([value.name, *map(lisp, value.args)])})"
        case ast.TupleLit():
            return f"<{' '.join(map(lisp, value.elems))}>"
        case ast.RecordLit():
            pairs = zip(value.names, value.elems, strict=True)
            return f"<{' '.join(f'{n}={lisp(e)}' for n, e in pairs)}>"
        case ast.NamedType():
            return value.name
        case ast.TagType():
            return f"{value.kind}:{value.name}"
        case ast.PointerType():
            return lisp(value.base) + "*"
        case ast.ArrayType():
            return f"{lisp(value.base)}[{'' if value.count is None else value.count}]"
        case ast.TypeofType():
            return f"(typeof {lisp(value.operand)})"
        case ast.AddressOf():
            return f"(& {lisp(value.target)})"
        case ast.Comptime():
            return f"(comptime {lisp(value.operand)})"
        case ast.Sizeof() | ast.Typeinfo():
            return f"({type(value).__name__.lower()} {lisp(value.operand)})"
        case ast.StrLit():
            return repr(value.value.decode("latin-1"))
        case ast.BoolLit():
            return str(value.value).lower()
        case None:
            return "-"
        case _:
            return type(value).__name__
