"""What all passes of one compilation share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.base.frozen import Frozen
from pytrace.base.types import I64, NONE, Aggregate, EnumDef, StructDef, Type
from pytrace.builtins import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytrace.base.config import Config
    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.base.source import Span
    from pytrace.builtins.registry import Builtin
    from pytrace.frontend import ast
    from pytrace.kernel.info import KernelInfo
    from pytrace.model.probing import ProbeContext, ProgShape, Target
    from pytrace.semantics.scope import Scopes, Variable


class MapInfo:
    """What is known of a map so far: one key type and one value type for the whole program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.scalar: bool | None = None
        self.key: Type = NONE
        self.key_parts = 0
        self.value: Type = NONE
        self.first: Span | None = None
        self.decl: ast.MapDecl | None = None
        self.used = False
        """An element of it is read or assigned somewhere."""
        self.assigned = False
        self.incremented = False
        self.copied = False
        """Assigned an aggregate of another map, which gives it no type."""
        self.values_read = False

    @property
    def aggregate(self) -> Aggregate | None:
        return self.value if isinstance(self.value, Aggregate) else None


class Instance:
    """A probe body compiled for one or more attach points that see the same types.

    ``types`` and ``variables`` are the side tables that type inference fills. ``idle``: the mode
    of this run has no use for it; it is checked, and no code made.
    """

    idle = False

    def __init__(
        self,
        name: str,
        probe: ast.Probe | ast.Fn,
        targets: tuple[tuple[Target, ast.AttachPoint], ...],
        context: ProbeContext,
        shape: ProgShape,
        scopes: Scopes,
    ) -> None:
        self.name = name
        self.probe = probe
        self.targets = targets
        self.context = context
        self.shape = shape
        self.scopes = scopes
        self.types: dict[ast.Node, Type] = {}
        self.literals: dict[ast.Node, int | bytes | bool] = {}
        self.variables: dict[Variable, Type] = {}
        self.typeinfo: dict[ast.Typeinfo, tuple[str, str]] = {}
        """Kind and name of the types that ``typeinfo`` was asked about."""
        self.returns: Type = NONE
        """Declared type of a function's result."""


class Settings(Frozen):
    """What the command line says about compiling: ``pid`` is -p's, ``has_child`` tells of -c,
    ``runtime_warnings`` of -k. ``clock_map`` is the scalar map that time series take for a clock.
    ``options`` are the script's named parameters, in the order given; ``mode`` is ``--mode``.
    """

    unsafe: bool = False
    pid: int | None = None
    has_child: bool = False
    runtime_warnings: bool = False
    clock_map: str = ""
    mode: str = ""
    options: tuple[tuple[str, str | None], ...] = ()


class Env:
    """One compilation: the target, the options, and where faults go."""

    def __init__(
        self,
        kernel: KernelInfo,
        sink: DiagnosticSink,
        config: Config,
        builtins: Mapping[str, Builtin],
        settings: Settings,
    ) -> None:
        self.kernel = kernel
        self.sink = sink
        self.config = config
        self.builtins = builtins
        self.settings = settings
        self.maps: dict[str, MapInfo] = {}
        self.instances: list[Instance] = []
        self.functions: tuple[ast.Fn, ...] = ()
        self.structs: dict[tuple[str, str], StructDef] = {}
        self.enums: dict[str, EnumDef] = {}
        self.defines: dict[str, ast.Expr] = {}
        self.typedefs: dict[str, Type] = {}
        self.debug_scopes: tuple[tuple[str, str], ...] = ()
        self.script_options: dict[str, tuple[int | bytes | bool, bytes]] = {}

    def struct(self, kind: str, name: str) -> StructDef | None:
        """A struct or union: the script's own first, then the kernel's, then the traced
        programs'."""
        found = self.structs.get((kind, name))
        if found is None:
            found = self.kernel.struct(kind, name)
            for path, symbol in self.debug_scopes if found is None else ():
                found = found or self.kernel.user_struct(path, symbol, kind, name)
            if found is not None:
                self.structs[kind, name] = found
        return found

    def tag(self, kind: str, name: str) -> StructDef | EnumDef | None:
        """What ``struct N``, ``union N`` or ``enum N`` stands for."""
        return self.enum(name) if kind == "enum" else self.struct(kind, name)

    def enum(self, name: str) -> EnumDef | None:
        found = self.enums.get(name)
        if found is None:
            found = self.kernel.enum(name)
            for path, symbol in self.debug_scopes if found is None else ():
                found = found or self.kernel.user_enum(path, symbol, name)
            if found is not None:
                self.enums[name] = found
        return found

    def enum_constant(self, name: str) -> tuple[int, Type] | None:
        for enum in self.enums.values():
            for label, value in enum.values:
                if label == name:
                    return value, enum.type
        if name in names.CONSTANTS:
            return names.CONSTANTS[name], I64
        return self.kernel.enum_constant(name)

    def note_option(self, name: str, default: int | bytes | bool, help_text: bytes) -> None:
        """Remembers a named parameter that the script asks for."""
        self.script_options[name] = (default, help_text)

    def parse_integer(self, text: str) -> int | None:
        """An integer in any form that a script may write."""
        from pytrace.semantics.params import integer

        return integer(text)

    def map(self, name: str) -> MapInfo:
        info = self.maps.get(name)
        if info is None:
            info = self.maps[name] = MapInfo(name)
        return info
