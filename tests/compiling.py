"""Scripts compiled up to their typed IR, against the recorded kernel of the golden tests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pytrace.base.diagnostics import DiagnosticSink
from pytrace.base.source import SourceFile
from pytrace.base.types import Type
from pytrace.builtins import registry
from pytrace.codegen.helpers import TABLE
from pytrace.compiler import library
from pytrace.frontend.parser import parse
from pytrace.ir.check import check
from pytrace.kernel import snapshot
from pytrace.kernel.fake import FakeKernel
from pytrace.probes import provider
from pytrace.semantics import pipeline
from pytrace.semantics.env import Settings
from tests.golden.record_kernel import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.base import config
    from pytrace.frontend import ast
    from pytrace.ir import nodes as ir
    from pytrace.kernel.info import KernelInfo


@cache
def recorded_kernel() -> KernelInfo:
    """The kernel of tests/golden/kernel; what was not recorded does not exist."""
    return snapshot.load(str(DIRECTORY), FakeKernel())


class Outcome:
    """What came of a script: diagnostics, and the lowered program unless they hold an error."""

    def __init__(self, sink: DiagnosticSink, lowered: pipeline.Lowered | None) -> None:
        self.sink = sink
        self.lowered = lowered

    @property
    def module(self) -> ir.Module:
        assert self.lowered is not None, [d.message for d in self.sink.errors]
        return self.lowered.module

    def variables(self, probe: int = 0) -> dict[str, str]:
        """Types of the variables of one probe, by name without ``$``."""
        assert self.lowered is not None, [d.message for d in self.sink.errors]
        found = self.lowered.env.instances[probe].variables
        return {variable.name.split("#")[0]: str(kind) for variable, kind in found.items()}

    def maps(self) -> dict[str, tuple[Type, Type]]:
        """Key and value type of each map."""
        assert self.lowered is not None, [d.message for d in self.sink.errors]
        return {name: (i.key, i.value) for name, i in self.lowered.env.maps.items()}


def compile_to_ir(
    script: str,
    *,
    params: Sequence[str] = (),
    environment: config.Settings = (),
    settings: Settings | None = None,
    kernel: KernelInfo | None = None,
) -> Outcome:
    """Parses, types and lowers a script; the typed IR must keep its own rules."""
    sink = DiagnosticSink()
    program = parse(SourceFile("stdin", script.encode("utf-8", "surrogateescape")), sink)
    if program is None or sink.failed:
        return Outcome(sink, None)
    lowered = pipeline.run(
        program,
        kernel or recorded_kernel(),
        sink,
        builtins=registry.load_all(),
        providers=provider.load_all(),
        library=library(),
        parameters=params,
        environment=environment,
        settings=settings or Settings(),
        dump=_no_dump,
    )
    if lowered is not None:
        problems = check(lowered.module, TABLE)
        assert not problems, problems
    return Outcome(sink, lowered)


def _no_dump(stage: str, tree: ast.Program) -> None:
    """Nobody looks at the tree between passes here."""
