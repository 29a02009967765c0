"""Closing links without making anybody wait for the kernel.

The last close of a perf tracepoint, a uprobe or a multi link waits for grace periods of RCU, 35 to
105 ms each (measured on 6.18: tracepoint 72, uprobe 104, uprobe_multi 36, raw tracepoint 0.1,
timer 0.01), and a process that exits with such links open waits just as long. The first thing the
kernel does is to take the prog out, so that only waiting is left; ``leave_links`` moves it into a
short-lived child. Measured for 8 tracepoints: one by one 620 ms, ``close_links`` 350, returning
from ``leave_links`` 0.7, after which the last link is gone in 250. The kernel serialises part of
this with one mutex (kernel/trace/trace_event_perf.c, event_mutex), so threads do not help more.

The other way, a cycle of descriptors in flight in a socket, costs no process but sends the closes
of the whole machine's kernel threads through one queue behind ours (fs/file_table.c,
delayed_fput), and needs some other socket to be closed before anything happens at all.
"""

from __future__ import annotations

import os

from pytrace.linux.links import RawTracepointLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence

    from pytrace.linux.links import Link
else:
    # The signal module proper makes enumerations of all numbers: 6 ms.
    import _signal

_THREADS = 16


def close_links(links: Sequence[Link]) -> None:
    """Close all and return when the kernel is done, in as little time as it allows."""
    waiting = [link for link in links if link.fd >= 0]
    if len(waiting) < 2:
        for link in waiting:
            link.close()
        return
    import _thread

    finished: list[BaseException | None] = []
    done = _thread.allocate_lock()
    done.acquire()
    count = min(len(waiting), _THREADS)

    def work() -> None:
        failure = None
        try:
            while waiting:
                waiting.pop().close()
        except IndexError:
            pass  # Another thread took the last one between the look and the pop.
        except OSError as error:
            failure = error
        finished.append(failure)
        if len(finished) == count:
            done.release()

    for _ in range(count):
        _thread.start_new_thread(work, ())
    done.acquire()
    for failure in finished:
        if failure is not None:
            raise failure


def leave_links(links: Sequence[Link]) -> int:
    """Close all without waiting; the pid of the child that waits instead, or 0 if none is needed.

    The caller exits at once, or reaps the child later. The child keeps no other descriptor than
    the links', so that whoever reads this process's output sees its end, and goes away as soon as
    the caller has let go of them, also when the caller dies at any point. Falls back to
    ``close_links`` when no child can be made.
    """
    slow = _slow_ones(links)
    if not slow:
        for link in links:
            link.close()
        return 0
    gate, parent_end = os.pipe()
    # Handlers of this process must not run in the child, and a Ctrl-C is meant for us.
    old_mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _hold(gate, [link.fd for link in slow])
    except OSError:
        pid = 0
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, old_mask)
    os.close(gate)
    if pid:
        # The child has copies of the slow ones: none of these is a last close that waits.
        for link in links:
            link.close()
    os.close(parent_end)
    if not pid:
        close_links(links)
    return pid


def _slow_ones(links: Sequence[Link]) -> list[Link]:
    """Links whose close waits; among them raw tracepoints with several progs on the same one.

    Taking one of several progs off a tracepoint waits 16 ms, taking the last one off does not
    (kernel/tracepoint.c, tracepoint_remove_func).
    """
    on_raw: dict[str, int] = {}
    for link in links:
        if link.fd >= 0 and isinstance(link, RawTracepointLink):
            on_raw[link.name] = on_raw.get(link.name, 0) + 1
    return [
        link for link in links if link.fd >= 0 and (link.slow_close or on_raw.get(link.name, 0) > 1)
    ]


def _hold(gate: int, fds: list[int]) -> None:
    """The child: wait until the parent has closed its copies, then exit, which closes ours."""
    try:
        below = 0
        for fd in sorted((*fds, gate)):
            os.closerange(below, fd)
            below = fd + 1
        os.closerange(below, os.sysconf("SC_OPEN_MAX"))
        os.read(gate, 1)
    finally:
        os._exit(0)
