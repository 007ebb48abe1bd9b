"""The way to stop a call from outside: another thread, a watcher of the browser's connection."""

from __future__ import annotations

import os
from collections.abc import Callable


class AbortSignal:
    """Stops one call, once, from any thread, and from a destructor too. It never blocks and never raises.

    It has no lock: a destructor may come in the midst of anything, and would wait for itself. Each step below is one that Python does
    not interrupt, and who takes a callback out is who runs it.

    A child of a fork stops nothing: what is open is its parent's.
    """

    __slots__ = ("_callbacks", "_pid", "aborted")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._callbacks: dict[Callable[[], None], None] = {}
        self.aborted = False

    def abort(self) -> None:
        """Stop the call: what waits is woken, what is open is cut."""
        self.aborted = True
        if os.getpid() != self._pid:
            return
        while self._callbacks:
            try:
                callback, _ = self._callbacks.popitem()
            except KeyError:
                return  # another has come between
            callback()

    def add(self, callback: Callable[[], None]) -> None:
        """Run this when the call is aborted; at once, if it already is."""
        self._callbacks[callback] = None
        if self.aborted:
            self.abort()

    def remove(self, callback: Callable[[], None]) -> None:
        """Forget a callback, if it is still there."""
        self._callbacks.pop(callback, None)
