"""What the halves of a program's run say to each other: events, handlers, session, output.

This file holds protocols and nothing that exists while running: import it under
``if TYPE_CHECKING:``.

**Handlers.** ``EventSchema.handler`` is ``module:name``. The session imports
``pytrace.builtins.<module>`` when the first event of that kind arrives and takes
``HANDLERS[name]`` from it, a ``Handler``: a function of the event and the session that returns
nothing. It may raise ``OSError`` only for what it did itself; the session does not catch
programming errors. Records of one ring arrive in order, and control records at their place among
the data records (see ``EventSchema``). A module may have ``BATCHES`` too: a ``BatchHandler`` of
the same name gets the texts (``Event.text``) of several records that came one after the other.

**Attaching.** ``pytrace.probes.<AttachSpec.provider>`` has ``attach(prog, spec, linux)``, which
returns links. ``linux`` is a ``pytrace.linux.attach.Linux``. It raises ``AttachError``,
``NotSupported`` or the ``OSError`` of a system call; what it had already attached it closes itself.

**Shows.** ``Printable.show`` is ``module:name`` too and names an entry of ``SHOWS`` of that module,
a ``Show``: raw bytes, what the compiler knew, and the environment, to text. It raises
``ValueError`` with the text for ``!{message}`` where the value cannot be shown.

Text is str throughout; bytes that are not UTF-8 are surrogates (``surrogateescape``) and come out
as the same bytes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from pytrace.base.source import Span
    from pytrace.model.events import EventSchema
    from pytrace.model.trials import BenchResult, TrialResult
    from pytrace.model.values import MapContents, Value

    class Event(Protocol):
        """One record. There is one object for each schema, used again for the next record: what
        a handler wants to keep it takes out before it returns. Everything but ``schema``,
        ``static`` and ``span`` is decoded when asked for."""

        @property
        def schema(self) -> EventSchema: ...
        @property
        def static(self) -> tuple[object, ...]:
            """``schema.static``."""

        @property
        def span(self) -> Span | None:
            """The place in the script, with its source and expansions."""

        @property
        def values(self) -> tuple[Value, ...]:
            """The fields, decoded."""

        @property
        def text(self) -> str:
            """The fields rendered by the format string ``static[0]`` (language 11.1). The fastest
            way to a formatted text: renderers are made once for each schema."""

        def raw(self, index: int) -> bytes:
            """The bytes of one field as they are in memory (a map key for ``map_value``)."""

    class SessionView(Protocol):
        """What a handler may do."""

        @property
        def sink(self) -> Sink: ...
        @property
        def config(self) -> Mapping[str, object]:
            """Config values of the run side (``max_cat_bytes`` ...), environment applied."""

        @property
        def env(self) -> ShowEnv: ...
        def exit(self, code: int) -> None:
            """End the run: records after this one are dropped, end progs run, maps print. The
            last call that is handled decides the code."""

        def read_map(self, name: str, top: int = 0, div: int = 1) -> MapContents:
            """The map now, in the contract's order; ``top`` 0 means all (language 11.3)."""

        def print_map(self, name: str, top: int = 0, div: int = 1) -> None:
            """``print(@m, top, div)``: reads the map and gives it to the sink; a scalar that was
            never set or was cleared prints its zero."""

        def map_value(self, name: str, key: bytes) -> Value:
            """One element, reduced over CPUs; the zero of its type if it is missing."""

        def clear_map(self, name: str) -> None: ...
        def zero_map(self, name: str) -> None:
            """Set all values to zero; the keys stay."""

        def unwatch(self, address: int) -> None:
            """Drop the watchpoints of an address."""

        def read_file(self, path: str, limit: int) -> str:
            """Up to ``limit`` bytes of a file. Raises ``OSError``."""

        def run_shell(self, command: str) -> tuple[int, str]:
            """Run ``sh -c command``, wait, and give its exit code (128 + n for a signal n) and
            its stdout and stderr. Raises ``OSError``."""

    class ShowEnv(Protocol):
        """What showing a value may need of the machine and of this run."""

        @property
        def trailer(self) -> str:
            """``str_trunc_trailer``."""

        @property
        def boot_epoch_ns(self) -> int:
            """Wall clock (ns since 1970) at boot-clock zero: add it to a boot time."""

        @property
        def tai_offset_ns(self) -> int:
            """TAI minus wall clock, as the kernel has it (0 where nobody told it)."""

        def local_time(self, format: str, wall_ns: int) -> str:
            """strftime(3) in local time, as ``time()`` prints it. ``ValueError`` if nothing comes
            out."""

        def strftime(self, format: str, wall_ns: int) -> str:
            """As ``local_time`` with ``%f`` (us), ``%l`` (ms), ``%k`` (ns) as language 9.4 defines
            them for ``strftime()``."""

        def kernel_symbol(self, address: int) -> str:
            """``name`` or ``0x...``; 0 gives ``0``."""

        def user_symbol(self, address: int, pid: int) -> str: ...
        def user_name(self, uid: int) -> str:
            """Name of a user, empty if there is none."""

        def cgroup_paths(self, id: int) -> Sequence[tuple[str, str]]:
            """(hierarchy, path) for each mounted hierarchy in which the id exists."""

    class Sink(Protocol):
        """An output format: writes what happened to the output stream, or to stderr where the
        contract says so. Never raises for what it is given; a stream whose reader is gone is
        reported by the stream itself."""

        def attached(self, count: int) -> None: ...
        def printf(self, text: str) -> None: ...
        def printfs(self, texts: list[str]) -> None:
            """Several at once."""

        def value(self, value: Value) -> None:
            """``print(v)``."""

        def map(self, contents: MapContents) -> None: ...
        def time(self, text: str) -> None: ...
        def cat(self, text: str) -> None: ...
        def join(self, text: str) -> None:
            """``text`` without the newline that follows it."""

        def syscall(self, text: str) -> None:
            """Output of ``system()``."""

        def errorf(self, severity: str, text: str, span: Span | None) -> None:
            """``errorf`` (severity ``ERROR``) and ``warnf`` (``WARNING``)."""

        def runtime_error(
            self, message: str, span: Span | None, *, helper: str = "", retcode: int = 0
        ) -> None:
            """A fault inside a probe (language 14.3). ``helper`` is the BPF helper that failed
            with ``retcode``, empty where none did."""

        def message(self, severity: str, text: str) -> None:
            """A line for stderr in every format: ``ERROR: text``."""

        def lost(self, count: int) -> None:
            """Events lost since the last call."""

        def lost_total(self, count: int) -> None: ...
        def tests_begin(self, count: int) -> None: ...
        def test_begin(self, name: str) -> None: ...
        def test_result(self, result: TrialResult) -> None: ...
        def tests_end(self, results: Sequence[TrialResult]) -> None: ...
        def benchmarks(self, results: Sequence[BenchResult]) -> None: ...
        def end(self) -> None:
            """End progs have run; maps follow (language 11.6)."""

        def idle(self) -> None:
            """Nothing more waits to be written: a reader may want to see what there is."""

        def flush(self) -> None: ...
        @property
        def failed(self) -> bool:
            """True once output could not be written; the run then ends."""

    Handler = Callable[[Event, SessionView], None]
    BatchHandler = Callable[[list[str], SessionView], None]
    Show = Callable[[bytes, tuple[str, ...], ShowEnv], str]
