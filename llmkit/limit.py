"""How many calls may run at once in this process."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from llmkit.errors import QueueFull


class ConcurrencyLimit:
    """Counts running calls, and lets a stated number wait for a place. Nothing queues in silence.

    Pure under its lock: whoever waits is told by a callback, so that threads and tasks wait side by side.

    Args:
        per_process, per_provider: how many may run; None is no limit.
        queue: how many may wait.
    """

    def __init__(
        self, *, per_process: int | None = None, per_provider: int | None = None, queue: int = 1000
    ) -> None:
        self._per_process = per_process
        self._per_provider = per_provider
        self._queue_length = queue
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._total = 0
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._total

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._waiting)

    def try_enter(self, provider: str) -> bool:
        """Take a place if one is free."""
        with self._lock:
            if not self._has_room(provider):
                return False
            self._take(provider)
            return True

    def enter(self, provider: str, wake: Callable[[], None]) -> bool:
        """Take a place. False means: wait until `wake` is called, the place is then yours.

        Raises:
            QueueFull: as many wait already as may.
        """
        with self._lock:
            if self._has_room(provider):
                self._take(provider)
                return True
            if len(self._waiting) >= self._queue_length:
                raise queue_full()
            self._waiting.append((provider, wake))
            return False

    def withdraw(self, provider: str, wake: Callable[[], None]) -> bool:
        """Stop waiting. False means that the place was given meanwhile; it has to be left then."""
        with self._lock:
            try:
                self._waiting.remove((provider, wake))
            except ValueError:
                return False
            return True

    def leave(self, provider: str) -> None:
        """Give the place back to whoever waited longest and may have it."""
        woken = []
        with self._lock:
            self._running[provider] -= 1
            self._total -= 1
            for entry in list(self._waiting):
                if self._total == self._per_process:
                    break
                if self._has_room(entry[0]):
                    self._take(entry[0])
                    self._waiting.remove(entry)
                    woken.append(entry[1])
        for wake in woken:
            wake()

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
        "too many calls run at once in this process",
        hint="Try again soon, or raise concurrency.per_process, per_provider or queue.",
    )
