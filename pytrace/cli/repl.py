"""The prompt: each input is a script of its own, with what was defined before in front of it.

A run happens in a forked child. So nothing that goes wrong in one, not even LLVM ending the
process, takes the prompt with it, and Ctrl-C ends the run alone.
"""

from __future__ import annotations

import os
import signal
import sys

from pytrace.base.config import VARIABLES, Config, from_entries
from pytrace.base.diagnostics import Diagnostic, DiagnosticSink, render
from pytrace.base.frozen import replace
from pytrace.base.text import closest
from pytrace.cli.main import guarded
from pytrace.cli.repl_input import (
    COMMAND,
    DEFINE,
    EMPTY,
    EXPRESSION,
    OPEN,
    STATEMENTS,
    WRONG,
    Definitions,
    Input,
    Script,
    understand,
)
from pytrace.cli.run import config_of, make_request, wants_color
from pytrace.cli.terminal import open_reader
from pytrace.frontend.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from pytrace.cli.options import Options
    from pytrace.cli.terminal import Reader
    from pytrace.model.compiled import CompiledProgram
    from pytrace.model.request import CompileRequest

    Command = Callable[["Repl", str], None]

_WELCOME: Final = "pytrace {version}; :help tells what can be typed here.\n"

_HELP: Final = """\
Type a script; it runs until it ends or until Ctrl-C:
    tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }
Or an expression or statements, which run at once:
    nsecs / 1000000000
Definitions (struct, #define, config, import, let, macro, fn) are kept for later inputs.
An input goes on in the next line while something is open; Ctrl-C drops it.

Commands:
"""


class Repl:
    """One session at the prompt."""

    def __init__(self, options: Options, environ: Mapping[str, str]) -> None:
        self.options = options
        self.environ = environ
        self.definitions = Definitions()
        self.settings: dict[str, object] = {}
        self.last: Input | None = None
        self.leaving = False
        self.unprintable = False
        self._goes_on: tuple[str, bool] = ("", False)

    def loop(self, read: Reader) -> int:
        """Read and run inputs until the end of input or ``:quit``; gives the exit code."""
        while not self.leaving:
            try:
                text = read()
            except EOFError:
                self.show("\n" if os.isatty(1) else "")
                break
            except KeyboardInterrupt:
                self.show("\n" if os.isatty(1) else "")
                continue
            guarded(lambda: self.take(text))  # noqa: B023 - called at once
        return 0

    def goes_on(self, text: str) -> bool:
        """True if the next line belongs to the same input."""
        if self._goes_on[0] != text:
            kind = understand(text, parse).kind
            self._goes_on = (text, kind == OPEN)
        return self._goes_on[1]

    def take(self, text: str) -> int:
        """Do what an input asks for."""
        given = understand(text, parse)
        if given.kind == EMPTY:
            return 0
        if given.kind == COMMAND:
            return self.command(text.strip())
        if given.kind in (WRONG, OPEN):
            self.complain(given)
            return 1
        if given.kind == DEFINE:
            return self.define(given)
        self.last = given
        return self.run(given)

    def define(self, given: Input) -> int:
        """Keep definitions, if they compile together with those that are there."""
        code = self.in_child(lambda: self.compile(given, ()) is None)
        if code == 0:
            self.definitions.remember(given)
        return code

    def run(self, given: Input) -> int:
        def run() -> int:
            from pytrace.cli.checks import check_machine
            from pytrace.cli.execute import execute

            check_machine()
            program = self.compile(given, tuple(self.options.stages))
            if program is None:
                return 1
            return execute(program, self.options, self.environ)

        return self.in_child(run)

    def complain(self, given: Input) -> None:
        """Show what is wrong with an input, or with one that ended too early."""
        problems = given.problems
        if not problems:
            sink = DiagnosticSink()
            parse(given.source, sink)
            problems = tuple(sink.errors)
        color = wants_color(self.environ)
        for problem in problems:
            self.tell(render(problem, color=color))

    def request(self, script: Script, stages: tuple[str, ...]) -> CompileRequest | None:
        settings, problem = config_of(self.environ)
        if problem:
            self.tell(f"{problem}\n")
            return None
        request = make_request(self.options, script.source, (*settings, *self.settings.items()))
        return replace(request, stages=stages)

    def compile(self, given: Input, stages: tuple[str, ...]) -> CompiledProgram | None:
        """Compile and tell what there is to tell, with places as the user typed them.

        An expression without a value, which cannot be printed, is compiled as a statement;
        ``unprintable`` tells.
        """
        from pytrace.cli.build import build

        script = self.definitions.script(given)
        self.unprintable = False

        def rewrite(sink: DiagnosticSink) -> DiagnosticSink:
            told = DiagnosticSink()
            told.extend(script.told(problem) for problem in sink.items)
            if given.kind == EXPRESSION and any(_is_about(script, e) for e in told.errors):
                self.unprintable = True
                return DiagnosticSink()
            return told

        request = self.request(script, stages)
        if request is None:
            return None
        program = build(request, self.options, self.environ, None, "", rewrite=rewrite)[0]
        if self.unprintable:
            program = self.compile(replace(given, kind=STATEMENTS), stages)
            self.unprintable = True
        return program

    def in_child(self, action: Callable[[], int]) -> int:
        """Run an action in a process of its own; gives its exit code."""
        sys.stdout.flush()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                code = guarded(action)
                sys.stdout.flush()
                os._exit(code & 0xFF)
            _, status = os.waitpid(pid, 0)
        finally:
            signal.signal(signal.SIGINT, before)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            self.tell(f"ERROR: the run was ended by {signal.Signals(-code).name}\n")
        return code

    # Commands

    def command(self, text: str) -> int:
        name, _, argument = text[1:].partition(" ")
        found = [known for known in COMMANDS if known.startswith(name)] if name else []
        if name in COMMANDS:
            found = [name]
        if len(found) != 1:
            guess = closest(name, COMMANDS)
            hint = f"HINT: Did you mean :{guess}?\n" if guess else "HINT: :help lists them.\n"
            self.tell(f"ERROR: no command :{name}\n{hint}")
            return 1
        COMMANDS[found[0]][1](self, argument.strip())
        return 0

    def help(self, argument: str) -> None:
        """this text"""
        lines = []
        for name, (parameter, method) in COMMANDS.items():
            lines.append(f"    {f':{name} {parameter}':<18}{method.__doc__}\n")
        self.show(_HELP + "".join(lines))

    def quit(self, argument: str) -> None:
        """leave, as Ctrl-D does"""
        self.leaving = True

    def list(self, argument: str) -> None:
        """list attach points that match a pattern"""
        from pytrace.cli.listing import list_items
        from pytrace.cli.options import Options

        options = Options()
        options.action = "list"
        options.verbose = self.options.verbose
        options.file = argument or None
        list_items(options, self.environ)

    def type(self, argument: str) -> None:
        """the type of an expression"""
        given = understand(argument, parse)
        if given.kind != EXPRESSION:
            self.tell("ERROR: :type wants an expression\n")
            return

        def show() -> int:
            program = self.compile(given, ())
            if program is None:
                return 1
            self.show("void\n" if self.unprintable else f"{printed_type(program)}\n")
            return 0

        self.in_child(show)

    def load(self, argument: str) -> None:
        """run a file, or keep its definitions"""
        with open(os.path.expanduser(argument), encoding="utf-8", errors="surrogateescape") as f:
            text = f.read()
        if text.startswith("#!"):
            text = "//" + text
        self.take(text)

    def defs(self, argument: str) -> None:
        """show what is kept"""
        for name, value in self.settings.items():
            self.show(f":set {name} {value}\n")
        self.show(self.definitions.listing())

    def reset(self, argument: str) -> None:
        """forget what is kept"""
        self.definitions.forget()
        self.settings.clear()

    def set(self, argument: str) -> None:
        """set a config variable for later runs; alone: show all"""
        key, _, value = argument.partition(" ")
        if not key:
            settings, _ = config_of(self.environ)
            for name, shown in Config(settings, self.settings.items()).items():
                self.show(f"{name} = {str(shown).lower() if isinstance(shown, bool) else shown}\n")
            return
        settings, problems = from_entries([(key, value.strip().strip('"'))])
        for problem in problems:
            self.tell(f"{problem.severity}: {problem.text}\n")
            guess = closest(key, VARIABLES) if problem.code == "config-unknown" else None
            if guess:
                self.tell(f"HINT: Did you mean {guess}?\n")
        self.settings.update(settings)

    def dis(self, argument: str) -> None:
        """the instructions of an input, or of the last one"""
        self.stage("dis", argument)

    def ir(self, argument: str) -> None:
        """the typed intermediate code of an input, or of the last one"""
        self.stage("ir", argument)

    def stage(self, name: str, text: str) -> None:
        """Compile an input and show what a stage made."""
        given = understand(text, parse) if text else self.last
        if given is None or given.kind in (EMPTY, COMMAND, DEFINE):
            self.tell(f"ERROR: :{name} wants something that can run\n")
            return
        if given.kind in (WRONG, OPEN):
            self.complain(given)
            return
        self.in_child(lambda: self.compile(given, (name,)) is None)

    def show(self, text: str) -> None:
        """Text on standard output, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def tell(self, text: str) -> None:
        """Text on standard error, after what was shown before."""
        sys.stdout.flush()
        sys.stderr.write(text)
        sys.stderr.flush()


COMMANDS: Final[Mapping[str, tuple[str, Command]]] = {
    "help": ("", Repl.help),
    "quit": ("", Repl.quit),
    "list": ("PATTERN", Repl.list),
    "type": ("EXPR", Repl.type),
    "load": ("FILE", Repl.load),
    "defs": ("", Repl.defs),
    "reset": ("", Repl.reset),
    "set": ("KEY VALUE", Repl.set),
    "dis": ("[INPUT]", Repl.dis),
    "ir": ("[INPUT]", Repl.ir),
}


def _is_about(script: Script, problem: Diagnostic) -> bool:
    """True if a problem is not in what the user typed but in what was put around it."""
    return problem.span is not None and problem.span.source is script.source


def printed_type(program: CompiledProgram) -> str:
    """The type of what the only ``print`` of a program prints."""
    for event in program.events:
        if event.fields:
            return str(event.fields[0].type)
        for item in program.maps:
            if item.user and item.name in event.static:
                return str(item.value)
    return "none"


def repl(options: Options, environ: Mapping[str, str]) -> int:
    """The prompt, until the user has enough."""
    from pytrace import __version__

    session = Repl(options, environ)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.isatty(0) and os.isatty(1):
        session.show(_WELCOME.format(version=__version__))
    return session.loop(open_reader(session.goes_on))
