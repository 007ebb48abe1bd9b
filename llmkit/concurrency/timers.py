"""Timers for threads: what `call_later` is to an event loop, one thread is to a process."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger("llmkit")

# Cancelled timers are thrown out when there are so many, and more of them than of the others.
_SWEEP_FROM = 64


class Timer:
    """A callback that is due at a time. `cancel` may come from any thread, at any time."""

    __slots__ = ("_timers", "callback", "when")

    def __init__(self, timers: Timers, when: float, callback: Callable[[], object]) -> None:
        self._timers = timers
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Forget the callback, if it has not been called."""
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled()


class Timers:
    """Calls back when it is time, from one daemon thread, which starts on first use and again after a fork.

    A callback must not block: the others wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())  # a collector may cancel within
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._cancelled = 0
        self._thread: threading.Thread | None = None

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back after so many seconds."""
        timer = Timer(self, time.monotonic() + seconds, callback)
        with self._changed:
            heapq.heappush(self._heap, (timer.when, next(self._numbers), timer))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="llmkit-timers", daemon=True
                )
                self._thread.start()
            if self._heap[0][2] is timer:
                self._changed.notify()
        return timer

    def cancelled(self) -> None:
        """Take note that a timer was cancelled."""
        with self._changed:
            self._cancelled += 1
            if self._cancelled > _SWEEP_FROM and self._cancelled * 2 > len(self._heap):
                # In place: this may come from a destructor in the midst of `call_later`, which has the list in its hands.
                self._heap[:] = [entry for entry in self._heap if entry[2].callback is not None]
                heapq.heapify(self._heap)
                self._cancelled = 0

    @property
    def waiting(self) -> int:
        """How many timers are kept, the cancelled ones that are not thrown out yet among them."""
        return len(self._heap)

    def _work(self) -> None:
        while True:
            with self._changed:
                callback = self._next()
            if callback is not None:
                try:
                    callback()
                except Exception:
                    log.exception("a timer's callback failed; the others still run")

    def _next(self) -> Callable[[], object] | None:
        if not self._heap:
            self._changed.wait()
            return None
        wait = self._heap[0][0] - time.monotonic()
        if wait > 0:
            self._changed.wait(wait)
            return None
        timer = heapq.heappop(self._heap)[2]
        callback, timer.callback = timer.callback, None
        if callback is None:
            self._cancelled = max(0, self._cancelled - 1)
        return callback


timers = Timers()
"""Those of this process."""

if hasattr(os, "register_at_fork"):
    # The child has no thread, and nobody who could release a lock that was held.
    os.register_at_fork(after_in_child=timers.__init__)  # type: ignore[misc]  # begins anew
