"""One run of a loaded program, from its begin progs to its maps (language 13.3, 11.6)."""

from __future__ import annotations

import os
import select

from pytrace.base.errors import AttachError, NotSupported
from pytrace.base.frozen import Frozen
from pytrace.base.modules import load_module
from pytrace.linux.closing import close_links, leave_links
from pytrace.linux.signals import SignalQueue
from pytrace.model.events import GATE_OFFSET, SKIPPED_OFFSET
from pytrace.output.stream import write_all, write_error
from pytrace.runtime.decode import Codecs
from pytrace.runtime.environment import Environment
from pytrace.runtime.notify import READY, STOPPING, notify
from pytrace.runtime.reader import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from typing import Any, Final

    from pytrace.linux.process import Child
    from pytrace.model.compiled import AttachSpec
    from pytrace.model.running import Sink
    from pytrace.model.values import MapContents, Value
    from pytrace.runtime.loader import LoadedProgram
    from pytrace.runtime.maps import UserMap
else:
    # The signal module proper makes enumerations of all numbers: 6 ms.
    import _signal

BEGIN: Final = "begin"
END: Final = "end"
SELF: Final = "self"
WATCHPOINT: Final = "watchpoint"
ITER: Final = "iter"

ITERATOR_BYTES: Final = 256
"""A read of an iterator returns when its progs have written so many bytes, or at the end."""

_NOTIFY: Final = ("__PYTRACE_NOTIFY_PROBES_ATTACHED", "__BPFTRACE_NOTIFY_PROBES_ATTACHED")

_FORWARD: Final = frozenset(
    "kretprobe tracepoint profile interval watchpoint hardware rawtracepoint software".split()
)
"""Kinds whose progs the kernel runs in the order of attaching; the others run the latest first."""


class SessionOptions(Frozen):
    """``child`` is that of ``-c``, waiting to be resumed; ``pidfd`` (owned by the caller) that of
    ``-p``, -1 without. ``config`` overlays the compiled program's.

    ``mode`` is ``test`` or ``bench`` where the run is one of tests or benchmarks.

    ``leave``: the process ends after the run, so that waiting for the kernel to close links may
    be left to a child. ``warnings`` false is ``--no-warnings``.
    """

    child: Child | None = None
    pidfd: int = -1
    config: tuple[tuple[str, object], ...] = ()
    verbose: bool = False
    dry_run: bool = False
    mode: str = ""
    leave: bool = True


class Session:
    """Fulfils ``model.running.SessionView`` for the handlers."""

    def __init__(self, loaded: LoadedProgram, sink: Sink, options: SessionOptions) -> None:
        compiled = loaded.compiled
        self.loaded = loaded
        self.sink = sink
        self.options = options
        self.config: dict[str, object] = {**dict(compiled.config), **dict(options.config)}
        self.env = Environment(self.config)
        self._codecs = Codecs(compiled.structs, compiled.enums, self.env)
        self._user_maps: dict[str, UserMap] = {}
        self._reader = Reader(loaded, self._codecs, self)
        self._exit_code = 0
        self._exiting = False
        self._cut_short = False
        self._failed = False
        self._watched: dict[int, list[Any]] = {}
        self._signals: SignalQueue | None = None

    # --- what handlers use

    def exit(self, code: int) -> None:
        self._exit_code = code & 0xFF
        self._exiting = True
        self._reader.stop()

    def read_map(self, name: str, top: int = 0, div: int = 1) -> MapContents:
        return self._map(name).read(top, div)

    def print_map(self, name: str, top: int = 0, div: int = 1) -> None:
        self.sink.map(self._map(name).print_contents(top, div))

    def map_value(self, name: str, key: bytes) -> Value:
        return self._map(name).value(key)

    def clear_map(self, name: str) -> None:
        self._map(name).clear()

    def zero_map(self, name: str) -> None:
        self._map(name).zero()

    def unwatch(self, address: int) -> None:
        gone = self._watched.pop(address, [])
        self.loaded.links = [link for link in self.loaded.links if link not in gone]
        close_links(gone)

    def read_file(self, path: str, limit: int) -> str:
        with open(path, "rb", buffering=0) as file:
            parts = []
            while limit > 0 and (part := file.read(min(limit, 1 << 16))):
                parts.append(part)
                limit -= len(part)
        return b"".join(parts).decode("utf-8", "surrogateescape")

    def run_shell(self, command: str) -> tuple[int, str]:
        from pytrace.runtime.shell import run_shell

        self.sink.flush()
        return run_shell(command)

    def _map(self, name: str) -> UserMap:
        found = self._user_maps.get(name)
        if found is None:
            from pytrace.runtime.maps import open_map

            spec = self.loaded.compiled.map(name)
            found = open_map(spec, self.loaded.maps[name], self._codecs, self.env)
            self._user_maps[name] = found
        return found

    # --- the run

    def run(self) -> int:
        """Run the program to its end; gives the exit code. Links are closed afterwards, progs and
        maps are the caller's to close.

        Raises ``AttachError`` when a probe cannot be attached and that is not to be ignored.
        """
        self._signals = _open_signals()
        try:
            if not self.options.dry_run:
                self._run_begin()
            self._attach()
            if self.options.dry_run:
                return 0
            if self.options.child is not None:
                self.options.child.resume()
            if self.options.mode:
                self._run_trials()
            elif self._specs(ITER):
                self._iterate()
            elif self._lives_on():
                self._loop()
            self._finish()
            self.sink.flush()
            return 1 if self.sink.failed or self._failed else self._exit_code
        finally:
            self._end_child()
            self._close_links()
            self._reader.close()
            if self._signals is not None:
                self._signals.close()

    def _specs(self, kind: str) -> list[AttachSpec]:
        return [s for s in self.loaded.compiled.attach if _kind(s) == kind]

    def _run_begin(self) -> None:
        """Run the begin progs. What they send is handled after the attach line, as long as the
        rings have room for more of it."""
        for spec in self._specs(BEGIN):
            self._run_prog(spec)
            if self._reader.filling:
                self._drain()

    def _run_end(self) -> None:
        """Run the end progs, up to the first that exits."""
        for spec in self._specs(END):
            if self._exiting:
                break
            self._run_prog(spec)
            self._drain()

    def _run_trials(self) -> None:
        """Run the test or bench progs. What begin progs have sent belongs to the first."""
        specs = self._specs(self.options.mode)
        if not specs:
            return
        from pytrace.runtime.trials import run_benchmarks, run_tests

        if self.options.mode == "bench":
            run_benchmarks(self.loaded, specs, self.sink, self._drain_to)
        elif not run_tests(self.loaded, specs, self.sink, self._drain_to):
            self._failed = True

    def _drain_to(self, sink: Sink) -> int:
        """Handle what has been sent with another sink; the code of ``exit()``, 0 without one."""
        shown, self.sink = self.sink, sink
        self._exit_code = 0
        try:
            self._drain()
        finally:
            self.sink = shown
        if self._exiting:
            self._reader.discard()
            self._exiting = False
        code, self._exit_code = self._exit_code, 0
        return code

    def _run_prog(self, spec: AttachSpec) -> None:
        if self.options.verbose:
            write_error(f"Attaching '{_kind(spec)}' probe\n")
        self.loaded.progs[spec.prog].test_run()

    def _drain(self) -> None:
        """Handle what has been sent, unless a second interrupt comes."""
        while not self._exiting and self._reader.poll(self._interrupted):
            if self._cut_short:
                return

    # --- attaching

    def _attach(self) -> None:
        compiled = self.loaded.compiled
        missing = str(self.config.get("missing_probes", "error"))
        attached = count_points([s for s in compiled.attach if _is_special(s)])
        places = attach_order(compiled.attach)
        failed = 0
        done: list[AttachSpec] = []
        for spec in places:
            if self.options.verbose:
                write_error(f"Trying to attach probe: {spec.name}\n")
            try:
                self.loaded.links += self._attach_one(spec)
                done.append(spec)
            except (OSError, AttachError, NotSupported) as error:
                if missing == "error":
                    raise _attach_error(spec, error) from error
                failed += 1
                if missing == "warn":
                    self.sink.message("WARNING", f"Unable to attach probe: {spec.name}. Skipping.")
        attached += count_points(done)
        if failed and not attached:
            raise AttachError("Attachment failed for all probes.")
        if self.options.dry_run:
            return
        if not self.options.mode:
            self.sink.attached(attached)
        self._notify()
        notify(READY)

    def _attach_one(self, spec: AttachSpec) -> Sequence[Any]:
        provider = load_module(f"pytrace.probes.{spec.provider}")
        links: Sequence[Any] = provider.attach(
            self.loaded.progs[spec.prog], spec, self.loaded.linux
        )
        if spec.provider == WATCHPOINT:
            self._watched.setdefault(int(str(spec.args[0])), []).extend(links)
        return links

    def _notify(self) -> None:
        """Test programs wait for this line: one, our own name of it first."""
        name = next((n for n in _NOTIFY if n in os.environ), None)
        if name is not None:
            self.sink.flush()
            write_all(1, f"{name}\n".encode())

    def _close_links(self) -> None:
        links, self.loaded.links = self.loaded.links, []
        if self.options.leave:
            leave_links(links)
        else:
            close_links(links)

    # --- the child

    def _end_child(self) -> None:
        child = self.options.child
        if child is not None:
            child.terminate()

    # --- waiting

    def _lives_on(self) -> bool:
        """True if something can still happen: a program of begin and end probes ends by itself."""
        return any(_kind(s) not in (BEGIN, END) for s in self.loaded.compiled.attach)

    def _loop(self) -> None:
        with select.epoll() as poll:
            watched = [ring.fileno() for ring in (self._reader.data, self._reader.control) if ring]
            if self._signals is not None:
                watched.append(self._signals.fileno())
            ends = {self.options.pidfd}
            if self.options.child is not None:
                ends.add(self.options.child.pidfd)
            ends.discard(-1)
            for fd in (*watched, *ends):
                poll.register(fd, select.EPOLLIN)
            while not self._exiting:
                busy = self._reader.poll()
                if self.sink.failed:
                    break
                if not busy and not self._exiting:
                    self.sink.idle()
                ready = poll.poll(0 if busy or self._exiting else -1)
                ended = any(fd in ends for fd, _ in ready)
                if self._on_signals() or ended:
                    break

    def _on_signals(self) -> bool:
        """Act on the signals that came; true if one of them ends the run."""
        for number in self._signals.read() if self._signals is not None else ():
            if number in (_signal.SIGINT, _signal.SIGTERM):
                return True
            if number == _signal.SIGUSR1:
                for spec in self._specs(SELF):
                    self.loaded.progs[spec.prog].test_run()
        return False

    def _iterate(self) -> None:
        """Let the kernel run an iterator's prog on each object, handling what it sends."""
        for link in self.loaded.links:
            fd = link.open_iterator()
            try:
                more = True
                while more and not self._exiting and not self._on_signals():
                    try:
                        more = bool(os.read(fd, ITERATOR_BYTES))
                    except BlockingIOError:
                        pass  # A million objects, and the prog wrote nothing: go on.
                    self._reader.poll()
            finally:
                os.close(fd)

    def _interrupted(self) -> bool:
        """During the last drain: whether another SIGINT came."""
        if self._signals is not None and _signal.SIGINT in self._signals.read():
            self._cut_short = True
        return self._cut_short

    # --- the end

    def _finish(self) -> None:
        """Stop all progs, hand out what they have sent, run the end progs, print the maps."""
        notify(STOPPING)
        self.loaded.state[GATE_OFFSET // 8] = 1
        self._drain()
        self.sink.idle()
        self._reader.discard()
        self._exiting = self._cut_short = False
        self._run_end()
        if self.sink.failed:
            return
        lost = self._reader.lost
        if lost:
            self.sink.lost_total(lost)
        skipped = self.loaded.state[SKIPPED_OFFSET // 8]
        if skipped:
            text = f"{skipped} runs of probes did nothing for want of scratch memory"
            self.sink.message("WARNING", text)
        self.sink.end()
        if self.config.get("print_maps_on_exit", True) and not self.options.mode:
            names = [spec.name for spec in self.loaded.compiled.maps if spec.user]
            for name in sorted(names, key=os.fsencode):
                self.sink.map(self._map(name).read())


def _open_signals() -> SignalQueue | None:
    """None in a thread, which gets no signals: who runs a program there ends it otherwise."""
    try:
        numbers = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGUSR1)
        return SignalQueue(numbers, keep_ignored=(_signal.SIGINT,))
    except ValueError:
        return None


def count_points(specs: Sequence[AttachSpec]) -> int:
    """Attach points that specs stand for; one that needed several progs (the places of a USDT
    probe may differ in their arguments) counts once."""
    return sum({(s.name, s.span, s.label): s.count for s in specs}.values())


def _kind(spec: AttachSpec) -> str:
    return spec.name.partition(":")[0]


def _is_special(spec: AttachSpec) -> bool:
    return _kind(spec) in (BEGIN, END, SELF)


def attach_order(specs: Sequence[AttachSpec]) -> list[AttachSpec]:
    """Real probes so that several on one event run in the order of the script (language 7.5)."""
    places = [s for s in specs if not _is_special(s)]
    forward = [s for s in places if _kind(s) in _FORWARD]
    return forward + [s for s in reversed(places) if _kind(s) not in _FORWARD]


def _attach_error(spec: AttachSpec, error: Exception) -> AttachError:
    text = (
        f"Unable to attach probe: {spec.name}. If this is expected, set the 'missing_probes' "
        "config variable to 'warn'."
    )
    cause = error.strerror if isinstance(error, OSError) else str(error)
    hints = error.hints if isinstance(error, AttachError) else ()
    return AttachError(text, probe=spec.name, cause=cause or "", hints=hints)
