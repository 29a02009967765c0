"""Child processes that start when told to, and descriptors of processes.

``subprocess`` takes 18 ms to import and cannot hold a child before or after its exec.
"""

from __future__ import annotations

import errno
import os

from pytrace.linux.syscall import PIDFD_OPEN, PIDFD_SEND_SIGNAL, failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from types import TracebackType

    from typing_extensions import Self

    from pytrace.linux.syscall import Syscalls
else:
    # The signal module proper makes enumerations of all numbers: 6 ms.
    import _signal

_PTRACE_TRACEME = 0
_PTRACE_DETACH = 17
_PTRACE_SETOPTIONS = 0x4200
_PTRACE_O_EXITKILL = 1 << 20

_EXEC_FAILED = 127


def open_pidfd(sys: Syscalls, pid: int) -> int:
    """A descriptor, owned by the caller, that is readable once process ``pid`` has ended.

    ``OSError`` ESRCH if there is no such process, EINVAL (later kernels ENOENT) if ``pid`` is a
    thread that leads no process.
    """
    fd = sys.raw(PIDFD_OPEN, pid, 0)
    if fd < 0:
        raise failure(-fd, f"open process {pid}")
    return fd


def send_signal(sys: Syscalls, pidfd: int, number: int) -> bool:
    """Send a signal to exactly the process behind ``pidfd``; False if it has ended."""
    result = sys.raw(PIDFD_SEND_SIGNAL, pidfd, number, 0, 0)
    if result == -errno.ESRCH:
        return False
    if result < 0:
        raise failure(-result, f"send signal {number}")
    return True


def name_process(name: str) -> None:
    """Set what ``comm`` of this thread shows, at most 15 bytes; as prctl(PR_SET_NAME) does."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, os.fsencode(name)[:15])
    finally:
        os.close(fd)


class Child:
    """A child process that waits for ``resume``. Owns its pid until it is reaped, and ``pidfd``.

    ``pidfd`` is readable (epoll, poll) once the child has ended. ``status`` is None until
    ``poll`` or ``wait`` saw that, then the exit code, or minus the signal's number.
    """

    def __init__(self, sys: Syscalls, pid: int, pidfd: int, gate: int, report: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.status: int | None = None
        self._sys = sys
        self._gate = gate  # Write end; -1: the child is stopped after its exec instead.
        self._report = report  # Read end: an errno if exec fails, end of file if it succeeds.
        self._resumed = False

    def resume(self) -> None:
        """Let the child run. Raises ``OSError`` if its exec fails."""
        if self._resumed:
            return
        self._resumed = True
        if self._gate >= 0:
            try:
                os.write(self._gate, b"!")
            except BrokenPipeError:
                pass  # Somebody killed the child while it waited; ``poll`` will say so.
            self._drop_gate()
            self._check_exec()
        else:
            result = self._sys.raw(self._sys.numbers.ptrace, _PTRACE_DETACH, self.pid)
            if result < 0 and result != -errno.ESRCH:
                raise failure(-result, f"resume process {self.pid}")

    def poll(self) -> int | None:
        """``status`` now, without waiting."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def wait(self) -> int:
        """``status`` at the child's end."""
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def terminate(self, number: int = _signal.SIGTERM) -> None:
        """Ask the child to end. One that was never resumed ends without having run."""
        if self.status is not None:
            return
        if not self._resumed:
            self._drop_gate()
            number = _signal.SIGKILL
        send_signal(self._sys, self.pidfd, number)

    def close(self) -> None:
        """Give the descriptors back. A child that was never resumed ends; one that runs goes on."""
        if not self._resumed and self.status is None and self.pidfd >= 0:
            self.terminate()
            self.wait()
        self._drop_gate()
        for name in ("_report", "pidfd"):
            fd = getattr(self, name)
            setattr(self, name, -1)
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _drop_gate(self) -> None:
        gate, self._gate = self._gate, -1
        if gate >= 0:
            os.close(gate)

    def _check_exec(self) -> None:
        number = os.read(self._report, 4)
        if number:
            self.wait()
            code = int.from_bytes(number, "little")
            raise failure(code, f"start process {self.pid}")

    def _stopped_after_exec(self) -> None:
        """Wait for the stop that follows the exec, and make sure the child dies with us."""
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            self.status = os.waitstatus_to_exitcode(status)
            self._check_exec()
            raise OSError(errno.ECHILD, "the process ended before it started", str(self.pid))
        options = self._sys.numbers.ptrace, _PTRACE_SETOPTIONS, self.pid, 0, _PTRACE_O_EXITKILL
        result = self._sys.raw(*options)
        if result < 0:
            raise failure(-result, f"hold process {self.pid}")


def start_child(
    sys: Syscalls, path: str, argv: Sequence[str], *, stop_after_exec: bool = False
) -> Child:
    """Start ``path`` with ``argv`` (its name first) and hold it until ``Child.resume``.

    Normally it waits before its exec. With ``stop_after_exec`` it stands at its first instruction,
    its memory laid out, held by ptrace: then only the thread that started it may resume it.

    ``OSError`` if ``path`` is no executable file, with what is known before the exec; the rest
    comes from here (``stop_after_exec``) or from ``resume``.
    """
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        number = errno.EACCES if os.path.exists(path) else errno.ENOENT
        raise failure(number, path)
    gate_read, gate_write = os.pipe()
    report_read, report_write = os.pipe()
    # No handler of this process may run in the child.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(sys, path, argv, mask, gate_read, gate_write, report_write, stop_after_exec)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    os.close(gate_read)
    os.close(report_write)
    if stop_after_exec:
        os.close(gate_write)
        gate_write = -1
    child = Child(sys, pid, -1, gate_write, report_read)
    try:
        child.pidfd = open_pidfd(sys, pid)
        if stop_after_exec:
            child._stopped_after_exec()
    except BaseException:
        if child.status is None:
            os.kill(pid, _signal.SIGKILL)
            child.wait()
        child.close()
        raise
    return child


def _run_child(
    sys: Syscalls,
    path: str,
    argv: Sequence[str],
    mask: set[int | _signal.Signals],
    gate_read: int,
    gate_write: int,
    report: int,
    stop_after_exec: bool,
) -> None:
    """In the child: become what the user's command would be without us, wait, exec."""
    number = errno.ENOEXEC
    try:
        os.close(gate_write)
        _reset_signals(mask)
        if stop_after_exec:
            result = sys.raw(sys.numbers.ptrace, _PTRACE_TRACEME)
            if result < 0:
                raise failure(-result, "ptrace")
        elif os.read(gate_read, 1) != b"!":
            os._exit(_EXEC_FAILED)  # The parent has gone or does not want us any more.
        os.execv(path, list(argv))
    except OSError as error:
        number = error.errno or number
    finally:
        os.write(report, number.to_bytes(4, "little"))
        os._exit(_EXEC_FAILED)


def _reset_signals(mask: set[int | _signal.Signals]) -> None:
    """Default dispositions, but for signals that were ignored when this process began.

    Python itself ignores SIGPIPE and SIGXFSZ; an exec would hand that on.
    """
    for number in _signal.valid_signals():
        if number in (_signal.SIGKILL, _signal.SIGSTOP):
            continue
        ignored = _signal.getsignal(number) == _signal.SIG_IGN
        if not ignored or number in (_signal.SIGPIPE, _signal.SIGXFSZ):
            try:
                _signal.signal(number, _signal.SIG_DFL)
            except OSError:
                continue  # The C library keeps signals 32 and 33 for itself.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
