"""Who may import whom, who may touch the operating system, and that modules keep no state.

The rules are those of docs/architecture.md, "Who may import whom". Every import statement of the
tree is read with ast; nothing is imported. `violations` is a function of one module's text, so
the tests below also show that each rule bites.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Room -> (layer, column). Columns: c compile side, r run side, "" both.
ROOMS = {
    "pytrace": (0, ""),  # The package itself: the version and lazy names.
    "base": (0, ""),
    "model": (1, ""),
    "kernel": (1, ""),
    "builtins": (2, ""),
    "probes": (2, ""),
    "frontend": (3, "c"),
    "grammar": (3, "c"),
    "stdlib": (3, "c"),
    "ir": (3, "c"),
    "linux": (3, "r"),
    "semantics": (4, "c"),
    "codegen": (4, "c"),
    "output": (4, "r"),
    "kernel.live": (4, "r"),
    "compiler": (5, "c"),
    "runtime": (5, "r"),
    "cache": (5, "r"),
    "api": (6, ""),
    "cli": (7, ""),
}

# The only import between rooms of one layer: the parser reads the grammar.
NEIGHBOURS = {("frontend", "grammar")}

# Third-party package -> the rooms or modules that may import it.
OWNERS = {
    "lark": ("grammar.generate",),  # It writes the tables; parsing a script does not import lark.
    "llvmlite": ("codegen.llvm",),
    "elftools": ("kernel.dwarf",),
    "prompt_toolkit": ("cli",),
    "pygments": ("cli", "grammar"),
}

# Standard modules that reach the operating system, and the rooms and modules that may.
OS_MODULES = frozenset(
    "_ctypes _posixsubprocess asyncio ctypes fcntl glob grp mmap multiprocessing os pathlib posix "
    "pty pwd resource select selectors shutil signal socket subprocess tempfile termios threading "
    "tty".split()
)
OS_CALLS = frozenset({"open", "input", "breakpoint"})
OS_ROOMS = (
    "linux runtime cli cache kernel.debug_files kernel.demangle kernel.live kernel.live_types "
    "kernel.snapshot kernel.targets kernel.witness"
).split()
# Module -> what else it may use, and only there.
OS_EXCEPTIONS = {
    # libllvmlite's C functions are called directly (stock llvmlite.binding costs 60 ms more), in a
    # child where need be: an error in LLVM's back end ends its process.
    "codegen.llvm": {"ctypes", "_ctypes", "os", "resource", "select", "signal"},
    # The only file of its room that writes to a descriptor.
    "output.stream": {"os", "select"},
    "output.json": {"os"},  # strerror, which asks libc and not the kernel.
    "stdlib": {"open"},  # The library's own texts, which are part of the package.
}

# Standard modules too slow for the run path, where they may be imported inside functions only.
SLOW = frozenset(
    "argparse asyncio concurrent dataclasses datetime difflib email enum inspect json logging "
    "multiprocessing pathlib re shutil string subprocess tempfile textwrap typing urllib".split()
)
RUN_PATH = (
    "pytrace base model builtins probes linux output runtime cache api "
    "kernel.info kernel.live kernel.live_types cli.bundle cli.main cli.run cli.start"
).split()
# Where a cached run enters; what these import at module level is imported by every run.
ENTRANCES = ("cli.start", "cli.main", "cli.run")

MUTATORS = frozenset(
    "add append clear discard extend insert pop popitem remove setdefault sort update".split()
)
MUTABLE_CALLS = frozenset({"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter"})


# What every type checker knows without an installed package.
TYPING_ONLY = frozenset({"typing_extensions", "_typeshed"})


class Import(NamedTuple):
    target: str  # Dotted name, resolved as far as modules exist.
    line: int
    in_function: bool
    typing_only: bool


def tree() -> dict[str, Path]:
    """Module name without the leading `pytrace.` -> file, for every module of the package."""
    modules = {}
    for top in ("pytrace", "grammar", "codegen", "stdlib"):
        for directory, _, names in walk(ROOT / top):
            for name in names:
                if name.endswith(".py"):
                    parts = (directory / name).relative_to(ROOT).with_suffix("").parts
                    modules[dotted(parts)] = directory / name
    return modules


def walk(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Like os.walk, which does not enter linked directories: each module is seen once."""
    import os

    for directory, dirs, names in os.walk(top):
        yield Path(directory), dirs, names


def dotted(parts: tuple[str, ...]) -> str:
    """("pytrace", "base", "__init__") -> "base"; the package itself is "pytrace"."""
    names = [name for name in parts if name != "__init__"]
    if names[0] == "pytrace":
        names = names[1:]
    return ".".join(names) or "pytrace"


def within(module: str, places: tuple[str, ...] | list[str]) -> bool:
    """Whether a module is one of the places or lies in one of them."""
    return any(module == place or module.startswith(place + ".") for place in places)


def room_of(module: str) -> str:
    return "kernel.live" if within(module, ("kernel.live",)) else module.split(".")[0]


def is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(module: str, source: str, known: frozenset[str]) -> Iterator[Import]:
    """Every import statement of a module, at any depth."""

    def visit(node: ast.AST, in_function: bool, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function, typing_only)
        elif isinstance(node, ast.ImportFrom):
            for target in from_targets(module, node, known):
                yield Import(target, node.lineno, in_function, typing_only)
        elif isinstance(node, ast.If) and is_type_checking(node):
            for statement in node.body:
                yield from visit(statement, in_function, True)
            for statement in node.orelse:
                yield from visit(statement, in_function, typing_only)
        else:
            enters = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, in_function or enters, typing_only)

    yield from visit(ast.parse(source), False, False)


def from_targets(module: str, node: ast.ImportFrom, known: frozenset[str]) -> Iterator[str]:
    """`from pytrace.base import text` names a module, `... import Span` a thing in one."""
    base = node.module or ""
    if node.level:
        package = ["pytrace", *module.split(".")][: -node.level]
        base = ".".join([*package, *([node.module] if node.module else [])])
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full.removeprefix("pytrace.") in known else base


def import_fault(module: str, found: Import) -> str | None:
    """What is wrong with one import of a module of ours, or None."""
    top = found.target.split(".")[0]
    if top == "pytrace":
        return own_import_fault(module, found)
    if top in {"grammar", "codegen", "stdlib"}:
        return f"imports {found.target} by its short name"
    if top == "__future__" or (found.typing_only and top in TYPING_ONLY):
        return None
    if top not in sys.stdlib_module_names:
        if within(module, OWNERS.get(top, ())):
            return None
        return f"imports the third-party package {top}"
    if found.typing_only:
        return None
    if top in OS_MODULES and not within(module, OS_ROOMS):
        if top not in OS_EXCEPTIONS.get(module, ()):
            return f"reaches the operating system through {top}"
    if top in SLOW and not found.in_function and within(module, RUN_PATH):
        return f"imports {top} at module level on the run path"
    return None


def own_import_fault(module: str, found: Import) -> str | None:
    target = found.target.removeprefix("pytrace.")
    source_room, target_room = room_of(module), room_of(target)
    if target_room not in ROOMS:
        return f"imports {found.target}, which is in no known room"
    if source_room == target_room or target == "pytrace":
        return None
    if (source_room, target_room) in NEIGHBOURS:
        return None
    if source_room in {"builtins", "probes"}:
        if found.typing_only or within(target, ("base", "model", "kernel.info")):
            return None
        return f"imports {target} at run time; base, model and kernel.info are all it may"
    if source_room == "codegen" and target_room in {"frontend", "grammar", "stdlib"}:
        return f"imports {target}; code generation sees the typed IR alone"
    layer, column = ROOMS[source_room]
    target_layer, target_column = ROOMS[target_room]
    if target_layer >= layer:
        return f"imports {target} of layer {target_layer} from layer {layer}"
    if target_column in {"", column}:
        return None
    if column == "":  # api and cli stand above both sides.
        lazily = found.in_function or found.typing_only
        if target_column == "r" or lazily or not within(module, RUN_PATH):
            return None
        return f"imports {target} of the compile side at module level"
    return f"imports {target} of the other side"


def state_faults(source: str) -> Iterator[tuple[int, str]]:
    """Mutable module globals: `global`, a mutable value that is no constant, a changed constant.

    A module-level list, dict or set is a constant if its name is in capitals (or a dunder) and no
    function of the module changes it.
    """
    parsed = ast.parse(source)
    constants = set()
    for line in parsed.body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value and is_mutable(line.value):
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                if name.strip("_").isupper() or name.startswith("__"):
                    constants.add(name)
                else:
                    yield line.lineno, f"{name} is a mutable module global"
    for node in ast.walk(parsed):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global {', '.join(node.names)}"
        elif isinstance(node, ast.FunctionDef):
            for where, name in changed_names(node):
                if name in constants:
                    yield where, f"{node.name}() changes the module's {name}"


def is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in MUTABLE_CALLS
    return isinstance(
        value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    )


def changed_names(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Names whose value a function changes in place: x[k] = v, del x[k], x.append(v)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if isinstance(node.value, ast.Name):
                yield node.lineno, node.value.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in MUTATORS and isinstance(node.func.value, ast.Name):
                yield node.lineno, node.func.value.id


def call_faults(module: str, source: str) -> Iterator[tuple[int, str]]:
    """Calls of built-in functions that reach outside, where only arguments may be used."""
    if within(module, OS_ROOMS):
        return
    allowed = OS_EXCEPTIONS.get(module, set())
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in OS_CALLS and node.func.id not in allowed:
                yield node.lineno, f"calls {node.func.id}()"


def violations(module: str, source: str, known: frozenset[str]) -> list[str]:
    """`module:line: fault` for everything that one module does against the rules."""
    if room_of(module) not in ROOMS:
        return [f"{module}:1: is in no known room"]
    faults = []
    for found in imports(module, source, known):
        fault = import_fault(module, found)
        if fault is not None:
            faults.append((found.line, fault))
    faults += [*state_faults(source), *call_faults(module, source)]
    return [f"{module}:{line}: {fault}" for line, fault in sorted(faults)]


def test_the_tree_holds_the_rules() -> None:
    modules = tree()
    known = frozenset(modules)
    assert len(known) >= 17
    faults = [
        fault
        for module, path in sorted(modules.items())
        for fault in violations(module, path.read_text(encoding="utf-8"), known)
    ]
    assert not faults, "\n" + "\n".join(faults)


def eager_imports(modules: dict[str, Path]) -> dict[str, str]:
    """Module of ours -> who imports it at module level, for all that a cached run imports."""
    known = frozenset(modules)
    reached = {name: "the command" for name in ENTRANCES if name in modules}
    waiting = list(reached)
    while waiting:
        module = waiting.pop()
        source = modules[module].read_text(encoding="utf-8")
        for found in imports(module, source, known):
            target = found.target.removeprefix("pytrace.")
            lazy = found.in_function or found.typing_only
            if target in known and target not in reached and not lazy:
                reached[target] = module
                waiting.append(target)
    return reached


def test_a_cached_run_reaches_no_compiler_by_module_level_imports() -> None:
    modules = tree()
    reached = eager_imports(modules)
    assert "base.errors" in reached
    faults = []
    for module, importer in reached.items():
        if ROOMS[room_of(module)][1] == "c":
            faults.append(f"{importer} imports {module}")
        for found in imports(module, modules[module].read_text(encoding="utf-8"), frozenset()):
            lazy = found.in_function or found.typing_only
            if found.target.split(".")[0] in {*SLOW, *OWNERS} and not lazy:
                faults.append(f"{module}:{found.line} imports {found.target}")
    assert not faults, "\n" + "\n".join(faults)


KNOWN = frozenset({"frontend.ast", "ir.nodes", "kernel.info", "kernel.live", "model", "linux"})


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("base.text", "import pytrace.model.events", "layer 1 from layer 0"),
        ("base.text", "from pytrace import model", "layer 1 from layer 0"),
        ("frontend.build", "from pytrace.ir import nodes", "layer 3 from layer 3"),
        ("ir.nodes", "from pytrace.frontend.ast import Expr", "layer 3 from layer 3"),
        ("ir.nodes", "from ..frontend.ast import Expr", "layer 3 from layer 3"),
        ("codegen.emit", "from pytrace.frontend.ast import Expr", "typed IR alone"),
        ("codegen.emit", "from pytrace.linux import bpf", "the other side"),
        ("runtime.loader", "from pytrace.ir import nodes", "the other side"),
        ("runtime.loader", "def f():\n from pytrace.ir import nodes", "the other side"),
        ("runtime.loader", "import pytrace.cache", "layer 5 from layer 5"),
        ("kernel.btf", "from pytrace.kernel.live import X", "layer 4 from layer 1"),
        ("kernel.btf", "from pytrace.kernel import live", "layer 4 from layer 1"),
        ("semantics.lower", "from pytrace.kernel import live", "layer 4 from layer 4"),
        ("builtins.clock", "from pytrace.ir.nodes import X", "at run time"),
        ("probes.uprobe", "from pytrace.kernel.btf import X", "at run time"),
        ("api", "from pytrace.compiler import compile", "compile side at module level"),
        ("cli.main", "import pytrace.compiler", "compile side at module level"),
        ("cli.main", "import grammar", "short name"),
        ("somewhere", "", "in no known room"),
        ("base.text", "import pytrace.somewhere", "in no known room"),
        ("runtime.loader", "import lark", "third-party package lark"),
        ("frontend.parser", "import lark", "third-party package lark"),
        ("frontend.parser", "import llvmlite", "third-party package llvmlite"),
        ("codegen.emit", "import llvmlite.binding", "third-party package llvmlite"),
        ("cli.main", "import requests", "third-party package requests"),
        ("codegen.emit", "import os", "operating system through os"),
        ("base.text", "def f():\n import ctypes.util", "operating system through ctypes"),
        ("semantics.lower", "def f(p):\n return open(p)", "calls open()"),
        ("linux.bpf", "import dataclasses", "dataclasses at module level"),
        ("base.text", "from typing import Any", "typing at module level"),
        ("frontend.lexer", "seen = []", "seen is a mutable module global"),
        ("frontend.lexer", "seen: dict[str, int] = dict()", "seen is a mutable module global"),
        ("frontend.lexer", "SEEN = {}\ndef f(k):\n SEEN[k] = 1", "f() changes the module's SEEN"),
        ("frontend.lexer", "S = set()\ndef f(k):\n S.add(k)", "f() changes the module's S"),
        ("frontend.lexer", "n = 0\ndef f():\n global n\n n = 1", "global n"),
    ],
)
def test_a_fault_is_found(module: str, source: str, fault: str) -> None:
    found = violations(module, source, KNOWN)
    assert len(found) == 1, found
    assert fault in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("base.text", "from pytrace.base.source import Span"),
        ("base.text", "def f():\n import difflib"),
        ("base.text", "TYPE_CHECKING = False\nif TYPE_CHECKING:\n from typing import Any"),
        ("base.text", "if TYPE_CHECKING:\n from typing_extensions import Self"),
        ("grammar.generate", "import lark"),
        ("frontend.parser", "import pytrace.grammar"),
        ("semantics.lower", "from pytrace.frontend import ast\nfrom pytrace.ir import nodes"),
        ("kernel.live", "import os\nfrom pytrace.linux import bpf\nimport pytrace.kernel.info"),
        ("builtins.clock", "if TYPE_CHECKING:\n from pytrace.semantics.builder import Builder"),
        ("probes.uprobe", "from pytrace.kernel.info import KernelInfo"),
        ("codegen.llvm", "import llvmlite.binding\nimport ctypes"),
        ("api", "from pytrace.runtime import session\ndef f():\n import pytrace.compiler"),
        ("cli.main", "from pytrace import __version__, api"),
        ("frontend.lexer", "KINDS = {'a': 1}\n__all__ = ['x']\ndef f():\n s = []\n s.append(1)"),
    ],
)
def test_what_is_allowed_is_no_fault(module: str, source: str) -> None:
    assert violations(module, source, KNOWN) == []
