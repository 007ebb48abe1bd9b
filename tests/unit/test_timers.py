"""Timers for threads."""

from __future__ import annotations

import os
import threading

import pytest

from llmkit.concurrency.timers import Timers, timers
from support.forks import needs_fork


def test_timers_call_back_in_their_order() -> None:
    """The one that is due first comes first, whatever the order they were set in; all in one thread."""
    mine = Timers()
    done = threading.Event()
    came: list[tuple[str, str]] = []

    def note(name: str) -> None:
        came.append((name, threading.current_thread().name))
        if name == "c":
            done.set()

    for name, seconds in (("c", 0.4), ("a", 0.0), ("b", 0.2)):
        mine.call_later(seconds, lambda name=name: note(name))  # type: ignore[misc]
    assert done.wait(5)
    assert came == [(name, "llmkit-timers") for name in "abc"]


def test_a_cancelled_timer_is_not_called_and_not_kept() -> None:
    """Cancelling is cheap and leaves nothing behind, though the timer was far off."""
    mine = Timers()
    done = threading.Event()
    for _ in range(1000):
        mine.call_later(3600, done.set).cancel()
    assert mine.waiting < 200
    last = threading.Event()
    mine.call_later(0, last.set)
    assert last.wait(5)
    assert not done.is_set()


def test_a_callback_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Its traceback goes to the log."""
    mine = Timers()
    done = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    mine.call_later(0, fail)
    mine.call_later(0.01, done.set)
    assert done.wait(5)
    assert "ZeroDivisionError" in caplog.text


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_timers_run_in_a_child_too() -> None:
    """After a fork the thread is gone; the child starts its own, and does not run its parent's timers."""
    inherited = timers.call_later(3600, lambda: None)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover  # in the child
        try:
            done = threading.Event()
            timers.call_later(0, done.set)
            os.write(write, b"%d %d" % (done.wait(5), timers.waiting))
        finally:
            os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"1 0"
    os.close(read)
    os.waitpid(pid, 0)
    inherited.cancel()
