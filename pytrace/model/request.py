"""What a compilation is asked for, and what it gives."""

from __future__ import annotations

from pytrace.base.frozen import Frozen
from pytrace.base.source import SourceFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from pytrace.base.config import Settings
    from pytrace.base.diagnostics import DiagnosticSink
    from pytrace.model.compiled import CompiledProgram

MODES: Final = ("codegen", "compiler-bench", "bench", "test", "format")
"""Values of ``CompileRequest.mode``, besides the empty one of an ordinary run."""

STAGES: Final = (
    "ast", "types", "ir", "codegen", "codegen-opt", "libbpf", "verifier", "dis", "parse",
    "syscalls", "all",
)  # fmt: skip
"""Values of ``-d``."""

RUN_STAGES: Final = ("libbpf", "verifier", "syscalls")
"""Those that show what loading and attaching do; the others need a compilation."""


class CompileRequest(Frozen):
    """Everything that a compiled program depends on, the target machine apart.

    ``params`` are the script's positional parameters; ``options`` its named ones, (name, value)
    in the order given, the value None where there was no ``=``. ``config_environment`` holds the
    parsed config values of the environment (``base.config.from_environment``), which beat the
    script's block. ``pid`` is that of ``-p``, None without; ``has_child`` tells of ``-c``.

    ``runtime_warnings`` is ``-k``: failed reads and look-ups are reported. ``clock_map`` names the
    scalar map that time series take for a clock, so that a test can choose the times.
    ``no_features`` are those of ``--no-feature``. ``include_dirs``, ``include_files``,
    ``debuginfo`` and
    ``traceable_functions`` (a file, empty for none) are paths as given. ``stages`` are those of
    ``-d``; their texts come back as dumps.
    """

    source: SourceFile
    params: tuple[str, ...] = ()
    options: tuple[tuple[str, str | None], ...] = ()
    config_environment: Settings = ()
    unsafe: bool = False
    pid: int | None = None
    has_child: bool = False
    runtime_warnings: bool = False
    clock_map: str = ""
    mode: str = ""
    no_features: tuple[str, ...] = ()
    include_dirs: tuple[str, ...] = ()
    include_files: tuple[str, ...] = ()
    debuginfo: tuple[str, ...] = ()
    traceable_functions: str = ""
    stages: tuple[str, ...] = ()


class CompileResult(Frozen):
    """What came out: ``program`` is None if ``sink`` holds an error or the mode makes none.

    ``dumps`` are (stage, text) in the order made. ``files`` are absolute paths of the files that
    the compiler read or looked for besides the script (imports, includes): if one changes, the
    program is stale. ``exit_code`` is what a failed compilation ends with. ``elf``, ``llvm`` and
    ``optimised`` (text of LLVM IR before and after optimisation) are the code generator's; the last
    only if a stage or an option asked for it.
    """

    program: CompiledProgram | None
    sink: DiagnosticSink
    dumps: tuple[tuple[str, str], ...] = ()
    files: tuple[str, ...] = ()
    exit_code: int = 1
    elf: bytes = b""
    llvm: str = ""
    optimised: str = ""
