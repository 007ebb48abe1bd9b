"""How many calls may run at once in this process."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from llmkit.errors import QueueFull


class ConcurrencyLimit:
    """Limits how many calls run at the same time, and how many may wait for their turn.

    A waiting call is told by a callback, so threads and tasks can wait side by side.

    Args:
        per_process, per_provider: how many calls may run; None means no limit.
        queue: how many calls may wait.
    """

    def __init__(
        self, *, per_process: int | None = None, per_provider: int | None = None, queue: int = 1000
    ) -> None:
        self._per_process = per_process
        self._per_provider = per_provider
        self._queue_length = queue
        self._lock = threading.Lock()
        self._left: deque[str] = deque()
        self._running: Counter[str] = Counter()
        self._total = 0
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._total - len(self._left)

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._waiting)

    def try_enter(self, provider: str) -> bool:
        """Take a place if one is free."""
        with self._lock:
            woken = self._admit()
            entered = self._has_room(provider)
            if entered:
                self._take(provider)
        self._wake(woken)
        return entered

    def enter(self, provider: str, wake: Callable[[], None]) -> bool:
        """Take a place. False means: wait until `wake` is called, the place is then yours.

        Raises:
            QueueFull: as many wait already as may.
        """
        full = False
        with self._lock:
            woken = self._admit()
            entered = self._has_room(provider)
            if entered:
                self._take(provider)
            elif len(self._waiting) >= self._queue_length:
                full = True
            else:
                self._waiting.append((provider, wake))
        self._wake(woken)
        if full:
            raise queue_full()
        return entered

    def withdraw(self, provider: str, wake: Callable[[], None]) -> bool:
        """Stop waiting. False means that the place was given meanwhile; it has to be left then."""
        entry = (provider, wake)
        with self._lock:
            waited = entry in self._waiting
            if waited:
                self._waiting.remove(entry)
        self._wake([])
        return waited

    def leave(self, provider: str) -> None:
        """Give the place back to whoever waited longest and may have it. It never waits: a destructor may leave, too."""
        self._left.append(provider)
        self._wake([])

    def _wake(self, woken: list[Callable[[], None]]) -> None:
        """Tell those who have a place now, and give on what was left meanwhile; whoever holds the lock does that after."""
        for wake in woken:
            wake()
        while self._left and self._lock.acquire(blocking=False):
            try:
                woken = self._admit()
            finally:
                self._lock.release()
            for wake in woken:
                wake()

    def _admit(self) -> list[Callable[[], None]]:
        """Take back the places that were left, and give free ones to those who wait."""
        while self._left:
            self._running[self._left.popleft()] -= 1
            self._total -= 1
        woken = []
        for entry in list(self._waiting):
            if self._total == self._per_process:
                break
            if self._has_room(entry[0]):
                self._take(entry[0])
                self._waiting.remove(entry)
                woken.append(entry[1])
        return woken

    def _has_room(self, provider: str) -> bool:
        if self._per_process is not None and self._total >= self._per_process:
            return False
        return self._per_provider is None or self._running[provider] < self._per_provider

    def _take(self, provider: str) -> None:
        self._running[provider] += 1
        self._total += 1


def queue_full() -> QueueFull:
    """Make the error for a call that found no place."""
    return QueueFull(
        "too many calls are running in this process",
        hint="Try again soon, or raise concurrency.per_process, per_provider or queue.",
    )
