"""Signals as events."""

from __future__ import annotations

import os
import select
import signal
import threading

import pytest

from pytrace.linux.signals import SignalQueue


def test_signals_come_in_order_and_wake_a_poller() -> None:
    with SignalQueue([signal.SIGUSR1, signal.SIGUSR2]) as queue, select.epoll() as epoll:
        epoll.register(queue.fileno(), select.EPOLLIN)
        assert queue.read() == []
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert epoll.poll(10) == [(queue.fileno(), select.EPOLLIN)]
        assert queue.read() == [signal.SIGUSR2, signal.SIGUSR1]
        assert epoll.poll(0) == []


def test_closing_restores_what_was_there() -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        queue = SignalQueue([signal.SIGUSR1])
        os.kill(os.getpid(), signal.SIGUSR1)
        assert (queue.read(), seen) == ([signal.SIGUSR1], [])
        queue.close()
        queue.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert seen == [signal.SIGUSR1]
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_an_ignored_signal_stays_ignored_where_asked() -> None:
    old = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with SignalQueue([signal.SIGUSR1], keep_ignored=[signal.SIGUSR1]) as queue:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert queue.read() == []
        with SignalQueue([signal.SIGUSR1]) as queue:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert queue.read() == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_other_threads_are_refused_without_a_leak() -> None:
    before = os.listdir("/proc/self/fd")
    caught: list[BaseException] = []

    def work() -> None:
        try:
            SignalQueue([signal.SIGUSR1])
        except ValueError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(caught) == 1
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("count", [1, 5])
def test_repeats_are_kept(count: int) -> None:
    with SignalQueue([signal.SIGUSR1]) as queue:
        for _ in range(count):
            signal.raise_signal(signal.SIGUSR1)
        assert queue.read() == [signal.SIGUSR1] * count
