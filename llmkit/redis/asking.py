"""What Redis is asked, how long that may take, and how it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1

from llmkit.errors import LLMKitError

# How long one call may wait for Redis in all, in seconds; and for a connection, and for one answer over it.
PATIENCE = 0.25
CONNECT = 0.1
ANSWER = 0.12
# By how much a timer may be late before the event loop counts as busy, in seconds; and the least that is awaited.
LATE = 0.02


class RedisUnavailable(LLMKitError):
    """Redis does not answer, or refuses.

    Attributes:
        was_asked: whether it may have done what it was asked all the same.
    """

    type = "redis_unavailable"

    def __init__(self, message: str, *, was_asked: bool = True) -> None:
        super().__init__(message)
        self.was_asked = was_asked


class ScriptFailed(LLMKitError):
    """A script failed by what it was asked. Redis serves."""

    type = "redis_script_failed"


class Script:
    """A script of Redis'."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()  # by which Redis knows it


class Patience:
    """How long one call may still wait for Redis, over all that it asks.

    Args:
        clock: gives the time in seconds.

    Attributes:
        left: how many seconds.
        was_late: whether what was awaited last came, or timed out, later than it could have: the event loop was busy.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.left = PATIENCE
        self.was_late = False

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Count what goes by within."""
        began = self._clock()
        try:
            yield
        finally:
            self.left -= self._clock() - began

    @contextmanager
    def awaited(self) -> Iterator[float]:
        """Say how long something may be awaited, and count that; not the time in which the event loop did something else."""
        began, left = self._clock(), self.left
        try:
            yield left
        finally:
            waited = self._clock() - began
            self.was_late = waited > left + LATE
            if not self.was_late:
                self.left -= waited
