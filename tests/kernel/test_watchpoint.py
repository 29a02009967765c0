"""Watchpoints on the memory of a process: counts, threads, executed addresses, unwatch()."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.tracer import Tracer, Workload, run

pytestmark = pytest.mark.needs("root")

PREPARE = """
import ctypes, threading, queue
cells = ctypes.create_string_buffer(64)
work = queue.SimpleQueue()
done = queue.SimpleQueue()
def serve():
    while True:
        ctypes.memset(*work.get())
        done.put(None)
threading.Thread(target=serve, daemon=True).start()
open({path!r}, 'w').write(str(ctypes.addressof(cells)))
"""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Workload, int]]:
    """A process with two threads, and the address of 8 bytes that only they write."""
    with Workload() as work:
        place = tmp_path / "address"
        work.do(f"exec({PREPARE.format(path=str(place))!r}, globals())", 1)
        yield work, int(place.read_text()) + 32


def write(address: int) -> str:
    return f"ctypes.memset({address}, 1, 1)"


def test_every_write_of_every_thread_counts(watched: tuple[Workload, int]) -> None:
    work, address = watched
    script = f"watchpoint:{address}:8:w {{ @[tid != pid] = count(); }}"
    with Tracer("-q", "-p", str(work.pid), "-e", script) as tracer:
        work.do(write(address), 7)
        work.do(f"work.put(({address}, 1, 1)); done.get()", 3)
        work.do(write(address + 8), 5)
        output = tracer.stop()
    assert "@[false]: 7\n" in output
    assert "@[true]: 3\n" in output


def test_unwatch_drops_the_watchpoint(watched: tuple[Workload, int]) -> None:
    work, address = watched
    script = f'watchpoint:{address}:8:w {{ @ = count(); unwatch({address}); print("gone"); }}'
    with Tracer("-q", "-p", str(work.pid), "-e", script) as tracer:
        work.do(write(address), 1)
        tracer.wait_for("gone")
        work.do(write(address), 1)
        # What was printed after unwatch() is shown after it was acted on: this write is not seen.
        output = tracer.stop()
    assert "@: 1" in output


def test_what_a_watchpoint_offers(watched: tuple[Workload, int]) -> None:
    work, address = watched
    script = (
        f'w:{address}:1:wr {{ printf("%s %s %d\\n", probe, probetype, reg("ip") != 0); exit(); }}'
    )
    with Tracer("-q", "-p", str(work.pid), "-e", script) as tracer:
        work.do(write(address), 1)
        output = tracer.finish()
    assert output.startswith(f"watchpoint:{address}:1:rw watchpoint 1\n")


def test_an_address_that_is_not_aligned_is_refused_by_the_kernel() -> None:
    done = run("-e", "watchpoint:0x10001:8:w { }")
    assert done.returncode == 255
    assert "Unable to attach probe: watchpoint:65537:8:w." in done.stderr
