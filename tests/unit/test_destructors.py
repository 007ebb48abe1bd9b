"""A destructor may come in the midst of anything, and calls back into what it interrupts: nothing of ours waits for itself.

Each case runs in a thread, with the collector set to come at every allocation: one that waited would wait for ever.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import pytest

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.limit import ConcurrencyLimit
from llmkit.concurrency.timers import Timers

PATIENCE = 30.0


class Dropped:
    """What is dropped in a cycle, so that the collector finds it."""

    def __init__(self, at_end: Callable[[], object]) -> None:
        self._self = self
        self._at_end = at_end

    def __del__(self) -> None:
        self._at_end()


def run_collecting(work: Callable[[], None]) -> None:
    """Run in a thread, with the collector at every allocation."""
    threshold = gc.get_threshold()
    thread = threading.Thread(target=work, daemon=True)
    gc.collect()
    gc.freeze()  # what is there already is not looked at, or each of them would take long
    gc.set_threshold(1, 1, 1)
    try:
        thread.start()
        thread.join(PATIENCE)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
    assert not thread.is_alive()


def test_an_abort_signal() -> None:
    """A dropped stream stops its own call while another's signal is used."""
    aborted = []

    def work() -> None:
        for _ in range(300):
            theirs = AbortSignal()
            theirs.add(lambda: aborted.append(1))
            Dropped(theirs.abort)
            ours = AbortSignal()
            for callback in [lambda: None for _ in range(20)]:
                ours.add(callback)
                ours.remove(callback)
            ours.abort()

    run_collecting(work)
    gc.collect()
    assert len(aborted) == 300


@pytest.mark.parametrize("options", [{"per_process": 2}, {"per_provider": 2}])
def test_a_limit(options: dict[str, int]) -> None:
    """A dropped stream gives its place back while another asks for one: none is lost, and nobody waits beside a free one."""
    limit = ConcurrencyLimit(**options)

    def work() -> None:
        for _ in range(300):
            woken = threading.Event()
            if limit.try_enter("a"):
                Dropped(lambda: limit.leave("a"))
            if limit.enter("a", woken.set):
                Dropped(lambda: limit.leave("a"))
                continue
            gc.collect()  # those before are dropped by now at the latest
            assert woken.wait(PATIENCE)
            Dropped(lambda: limit.leave("a"))

    run_collecting(work)
    gc.collect()
    assert (limit.running, limit.waiting) == (0, 0)


def test_timers() -> None:
    """A dropped stream cancels its timers while another is set: that one still comes."""
    timers = Timers()
    came = threading.Semaphore(0)

    def work() -> None:
        for _ in range(300):
            theirs = [timers.call_later(60, lambda: None) for _ in range(3)]
            Dropped(lambda theirs=theirs: [timer.cancel() for timer in theirs])  # type: ignore[misc]
            timers.call_later(0, came.release)

    run_collecting(work)
    for _ in range(300):
        assert came.acquire(timeout=PATIENCE)
