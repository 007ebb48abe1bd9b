"""The way to stop a call from outside: another thread, a watcher of the browser's connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar


class AbortSignal:
    """Stops one call, once, from any thread. It never blocks and never raises."""

    __slots__ = ("_callbacks", "aborted")
    # One for all, since it is held for a few lines.
    _lock: ClassVar = threading.Lock()

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[[], None], ...] = ()
        self.aborted = False

    def abort(self) -> None:
        """Stop the call: what waits is woken, what is open is cut."""
        with self._lock:
            if self.aborted:
                return
            self.aborted = True
            callbacks, self._callbacks = self._callbacks, ()
        for callback in callbacks:
            callback()

    def add(self, callback: Callable[[], None]) -> None:
        """Run this when the call is aborted; at once, if it already is."""
        with self._lock:
            if not self.aborted:
                self._callbacks = (*self._callbacks, callback)
                return
        callback()

    def remove(self, callback: Callable[[], None]) -> None:
        """Forget a callback, if it is still there."""
        with self._lock:
            self._callbacks = tuple(kept for kept in self._callbacks if kept != callback)
