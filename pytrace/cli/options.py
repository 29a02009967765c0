"""The command line: one table of options, from which come the parser, its errors and the usage.

The rules are those of getopt_long(3) with permutation, which people's scripts and fingers rely on:
options may stand anywhere before ``--``, short ones may be bundled, long ones may be shortened as
long as they stay unambiguous, and an argument may follow in the next word or, after ``=`` or a
short option's letter, in the same one.
"""

from __future__ import annotations

from pytrace.base.errors import UsageError
from pytrace.base.text import parse_integer
from pytrace.model.request import MODES, STAGES
from pytrace.output.sink import FORMATS
from pytrace.output.stream import MODES as BUFFERINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    Apply = Callable[["Options", str], None]

FEATURES: Final = ("kprobe_multi", "kprobe_session", "uprobe_multi")
"""Values of ``--no-feature``."""

MAX_PID: Final = 0x400000
"""The kernel's PID_MAX_LIMIT on 64-bit machines (include/linux/threads.h)."""


class Options:
    """What was asked for, as far as the words alone tell.

    ``action`` is ``run``, ``help``, ``version``, ``info``, ``list`` or ``repl``. ``program`` is
    the text of ``-e``, None without. ``file`` is the script's name, or with ``list`` the search.
    ``params`` are positional parameters, ``script_options`` what followed ``--`` as ``--name`` or
    ``--name=value``.
    """

    def __init__(self) -> None:
        self.action = "run"
        self.program: str | None = None
        self.file: str | None = None
        self.params: tuple[str, ...] = ()
        self.script_options: tuple[tuple[str, str | None], ...] = ()
        self.verbose = False
        self.quiet = False
        self.runtime_warnings = False
        self.warnings = True
        self.unsafe = False
        self.dry_run = False
        self.pid: int | None = None
        self.command: str | None = None
        self.dwarf_pids: list[int] = []
        self.output: str | None = None
        self.format = "text"
        self.buffering = "line"
        self.mode = ""
        self.probe_filter = ""
        self.include_dirs: list[str] = []
        self.include_files: list[str] = []
        self.debuginfo = ""
        self.traceable_functions = ""
        self.no_features: list[str] = []
        self.stages: list[str] = []
        self.verify_llvm_ir = False
        self.emit_elf = ""
        self.emit_llvm = ""


class OptionError(UsageError):
    """Words that getopt itself would refuse: told without ``ERROR:``, then the usage."""

    def __init__(self, message: str) -> None:
        super().__init__(f"pytrace: {message}", usage=True)


class Option:
    """One option: ``argument`` is what the usage calls its argument, empty for none."""

    __slots__ = ("apply", "argument", "doc", "long", "section", "short")

    def __init__(
        self, short: str, long: str, argument: str, apply: Apply, doc: str, section: str
    ) -> None:
        self.short = short
        self.long = long
        self.argument = argument
        self.apply = apply
        self.doc = doc
        self.section = section


def _program(options: Options, value: str) -> None:
    options.program = value


def _list(options: Options, value: str) -> None:
    options.action = "list"


def _info(options: Options, value: str) -> None:
    options.action = "info"


def _repl(options: Options, value: str) -> None:
    options.action = "repl"


def _verbose(options: Options, value: str) -> None:
    options.verbose = True


def _quiet(options: Options, value: str) -> None:
    options.quiet = True


def _runtime_warnings(options: Options, value: str) -> None:
    if options.runtime_warnings:
        raise UsageError(
            "USAGE: -kk has been deprecated. Use a single -k for runtime warnings for errors in "
            "map lookups and probe reads."
        )
    options.runtime_warnings = True


def _no_warnings(options: Options, value: str) -> None:
    options.warnings = False


def _unsafe(options: Options, value: str) -> None:
    options.unsafe = True


def _dry_run(options: Options, value: str) -> None:
    options.dry_run = True


def _pid(options: Options, value: str) -> None:
    options.pid = parse_pid(value)


def _command(options: Options, value: str) -> None:
    options.command = value


def _dwarf_pid(options: Options, value: str) -> None:
    options.dwarf_pids.append(parse_pid(value))


def _output(options: Options, value: str) -> None:
    options.output = value


def _format(options: Options, value: str) -> None:
    if value not in FORMATS:
        valid = ", ".join(f"'{name}'" for name in FORMATS)
        raise UsageError(f'Invalid output format "{value}"\nValid formats: {valid}')
    options.format = value


def _buffering(options: Options, value: str) -> None:
    if value not in BUFFERINGS:
        raise UsageError("USAGE: -B must be either 'line', 'full', or 'none'.")
    options.buffering = value


def _include_dir(options: Options, value: str) -> None:
    options.include_dirs.append(value)


def _include_file(options: Options, value: str) -> None:
    options.include_files.append(value)


def _debuginfo(options: Options, value: str) -> None:
    options.debuginfo += f":{value}" if options.debuginfo else value


def _traceable(options: Options, value: str) -> None:
    options.traceable_functions = value


def _no_feature(options: Options, value: str) -> None:
    for name in value.split(","):
        if name not in FEATURES:
            valid = ",".join(FEATURES)
            raise UsageError(f"USAGE: --no-feature can only have values '{valid}'.")
        options.no_features.append(name)


def _mode(options: Options, value: str) -> None:
    if value not in MODES:
        raise UsageError(
            "USAGE: --mode can only be 'codegen', 'compiler-bench', 'bench', 'test' or 'format'."
        )
    options.mode = value


def _short_mode(name: str, mode: str) -> Apply:
    def apply(options: Options, value: str) -> None:
        if options.mode:
            raise UsageError(f"USAGE: --{name} conflicts with existing --mode")
        options.mode = mode

    return apply


def _probe_filter(options: Options, value: str) -> None:
    options.probe_filter = value


def _verify_llvm_ir(options: Options, value: str) -> None:
    options.verify_llvm_ir = True


def _debug(options: Options, value: str) -> None:
    for stage in value.split(","):
        if stage not in STAGES:
            raise UsageError(f"USAGE: invalid option for -d: {stage}")
        options.stages.append(stage)


def _emit_elf(options: Options, value: str) -> None:
    options.emit_elf = value


def _emit_llvm(options: Options, value: str) -> None:
    options.emit_llvm = value


def _aot(options: Options, value: str) -> None:
    raise UsageError(
        "--aot is not supported: pytrace keeps compiled programs by itself and starts from them "
        "(PYTRACE_CACHE)"
    )


def _nothing(options: Options, value: str) -> None:
    """For options that are accepted and change nothing."""


_MAIN: Final = "Options"
_DEVELOP: Final = "Testing scripts"
_TROUBLE: Final = "Looking inside"

OPTIONS: Final = (
    Option("e", "", "PROGRAM", _program, "run this text", _MAIN),
    Option("l", "list", "", _list, "list attach points that match a search or a script", _MAIN),
    Option("v", "verbose", "", _verbose, "tell more; with -l, show arguments", _MAIN),
    Option("h", "help", "", _nothing, "show this text", _MAIN),
    Option("V", "version", "", _nothing, "show the version", _MAIN),
    Option("", "info", "", _info, "show what this kernel and this build can do", _MAIN),
    Option("", "repl", "", _repl, "prompt for scripts, as without arguments", _MAIN),
    Option("p", "pid", "PID", _pid, "trace this process, and end with it", _MAIN),
    Option("c", "cmd", "COMMAND", _command, "run a command, and end with it", _MAIN),
    Option("", "dwarf-pid", "PID", _dwarf_pid, "one more process for dw_ustack()", _MAIN),
    Option("", "usdt-file-activation", "", _nothing, "accepted, without effect", _MAIN),
    Option("o", "output", "FILE", _output, "write the program's output to a file", _MAIN),
    Option("f", "", "FORMAT", _format, "output format: text or json", _MAIN),
    Option("B", "", "MODE", _buffering, "buffering of the output: line, full or none", _MAIN),
    Option("q", "quiet", "", _quiet, "do not tell how many probes are attached", _MAIN),
    Option("k", "warnings", "", _runtime_warnings, "warn of reads and look-ups that fail", _MAIN),
    Option("", "no-warnings", "", _no_warnings, "no warnings at all", _MAIN),
    Option("I", "", "DIR", _include_dir, "look for included files here too", _MAIN),
    Option("", "include", "FILE", _include_file, "include this header first", _MAIN),
    Option("", "debuginfo", "DIR[:DIR]", _debuginfo, "look for debug files here too", _MAIN),
    Option(
        "",
        "traceable-functions",
        "FILE",
        _traceable,
        "read the traceable kernel functions from this file",
        _MAIN,
    ),
    Option("", "unsafe", "", _unsafe, "allow functions that change the system", _MAIN),
    Option(
        "",
        "no-feature",
        "NAME[,NAME]",
        _no_feature,
        "do without kprobe_multi, kprobe_session, uprobe_multi",
        _MAIN,
    ),
    Option("b", "btf", "", _nothing, "accepted, without effect", _MAIN),
    Option(
        "",
        "mode",
        "MODE",
        _mode,
        "codegen, compiler-bench, bench, test or format instead of a run",
        _DEVELOP,
    ),
    Option("", "test", "", _short_mode("test", "test"), "run the test probes", _DEVELOP),
    Option("", "bench", "", _short_mode("bench", "bench"), "run the bench probes", _DEVELOP),
    Option("", "fmt", "", _short_mode("fmt", "format"), "print the script, tidied", _DEVELOP),
    Option("", "probe-filter", "REGEX", _probe_filter, "only probes whose name matches", _DEVELOP),
    Option("", "dry-run", "", _dry_run, "end as soon as all probes are attached", _TROUBLE),
    Option("", "verify-llvm-ir", "", _verify_llvm_ir, "check the generated code", _TROUBLE),
    Option(
        "d",
        "debug",
        "STAGE[,STAGE]",
        _debug,
        "show what a stage made: ast, types, ir, codegen, codegen-opt, libbpf, verifier, dis, "
        "parse, syscalls, all",
        _TROUBLE,
    ),
    Option("", "emit-elf", "FILE", _emit_elf, "write the BPF object, do not run", _TROUBLE),
    Option(
        "", "emit-llvm", "FILE", _emit_llvm, "write FILE.original.ll, FILE.optimized.ll", _TROUBLE
    ),
    Option("", "aot", "FILE", _aot, "refused: programs are cached anyway", _TROUBLE),
)


def parse(words: Sequence[str]) -> Options:
    """The options in ``words`` (without the command's name). ``UsageError`` if they make none."""
    options = Options()
    operands, after = _scan(options, words)
    if options.action not in ("help", "version"):
        _place_operands(options, operands, after)
        _check(options)
    return options


def _scan(options: Options, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Apply all options; gives the words that are none, before and after ``--``.

    Stops at -h and -V, which mean that nothing else counts.
    """
    operands: list[str] = []
    queue = list(reversed(words))
    while queue and options.action not in ("help", "version"):
        word = queue.pop()
        if word == "--":
            return operands, queue[::-1]
        if word.startswith("--"):
            _apply_long(options, word[2:], queue)
        elif word.startswith("-") and word != "-":
            _apply_short(options, word[1:], queue)
        else:
            operands.append(word)
    return operands, []


def _apply_long(options: Options, word: str, queue: list[str]) -> None:
    name, has_value, value = word.partition("=")
    found = _candidates(name)
    if not found:
        raise OptionError(f"unrecognized option '--{name}'")
    if len(found) > 1:
        names = " ".join(f"'--{option.long}'" for option in sorted(found, key=_by_long))
        raise OptionError(f"option '--{name}' is ambiguous; possibilities: {names}")
    option = found[0]
    if has_value and not option.argument:
        raise OptionError(f"option '--{option.long}' doesn't allow an argument")
    if option.argument and not has_value:
        if not queue:
            raise OptionError(f"option '--{option.long}' requires an argument")
        value = queue.pop()
    _apply(options, option, value)


def _apply_short(options: Options, letters: str, queue: list[str]) -> None:
    for position, letter in enumerate(letters, 1):
        option = _short(letter)
        if option is None:
            raise OptionError(f"invalid option -- '{letter}'")
        if not option.argument:
            _apply(options, option, "")
            if options.action in ("help", "version"):
                return
            continue
        value = letters[position:]
        if not value:
            if not queue:
                raise OptionError(f"option requires an argument -- '{letter}'")
            value = queue.pop()
        _apply(options, option, value)
        return


def _apply(options: Options, option: Option, value: str) -> None:
    if option.long in ("help", "version"):
        options.action = option.long
    else:
        option.apply(options, value)


def _short(letter: str) -> Option | None:
    return next((option for option in OPTIONS if option.short == letter), None)


def _candidates(name: str) -> list[Option]:
    """The options that a long name may mean: the one of that name, or all that begin so."""
    exact = [option for option in OPTIONS if option.long == name and name]
    return exact or [option for option in OPTIONS if name and option.long.startswith(name)]


def _by_long(option: Option) -> str:
    return option.long


def _place_operands(options: Options, operands: list[str], after: list[str]) -> None:
    if not options.program and operands:
        # An empty -e counts as none, as for bpftrace.
        options.program = None
        options.file = operands.pop(0)
    elif options.program == "":
        options.program = None
    script = []
    for word in after:
        if word.startswith("--"):
            name, has_value, value = word[2:].partition("=")
            script.append((name, value if has_value else None))
        elif options.program is None and options.file is None:
            options.file = word
        else:
            operands.append(word)
    options.params = tuple(operands)
    options.script_options = tuple(script)


def _check(options: Options) -> None:
    if options.pid is not None and options.command:
        raise UsageError("USAGE: Cannot use both -c and -p.", usage=True)
    if options.runtime_warnings and not options.warnings:
        raise UsageError("USAGE: -k, --warnings conflicts with --no-warnings")
    if options.action == "run" and options.program is None and options.file is None:
        raise UsageError("USAGE: filename or -e 'program' required.")


def parse_pid(text: str) -> int:
    """A process id as a person writes it. ``UsageError`` if it cannot be one."""
    value = parse_integer(text.removeprefix("-"))
    if value is None:
        digits = len(text) - len(text.lstrip("0123456789"))
        problem = "invalid trailing bytes" if digits else "invalid integer"
        raise UsageError(f"Failed to parse pid: {problem}: {text}")
    if text.startswith("-"):
        value = -value % 2**64
    if value > MAX_PID:
        raise UsageError(f"Pid out of range: {value}")
    return value
