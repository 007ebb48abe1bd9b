"""What Redis is asked, how long that may take, and how it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from hashlib import sha1
from typing import Any, TypeVar

from llmkit.errors import LLMKitError

T = TypeVar("T")

# How long one call may wait for Redis in all, in seconds; and for a connection, and for one answer over it.
PATIENCE = 0.25
CONNECT = 0.1
ANSWER = 0.12
# In what pieces an event loop waits, in seconds.
PIECE = 0.02


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


_thread = threading.local()


def patience_of_thread() -> Patience | None:
    """Return that of what this thread waits for; None if it waits for nothing."""
    return getattr(_thread, "patience", None)


def in_bytes(text: str) -> bytes:
    """Return what Redis has sent in place of a text."""
    return text.encode("utf-8", "surrogateescape")


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
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        self.left = PATIENCE

    @property
    def remaining(self) -> float:
        """How many seconds are left of what is being spent."""
        return self.left - (self._clock() - self._began)

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Count what goes by within, which is what this thread waits for."""
        self._began = self._clock()
        _thread.patience = self
        try:
            yield
        finally:
            _thread.patience = None
            self.left = self.remaining

    async def awaited(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something; in pieces, each of which counts for no more than itself: a busy event loop comes back to it later, and is not Redis.

        Raises:
            TimeoutError: all time is spent.
        """
        import asyncio  # noqa: PLC0415  # not for those who have threads only

        task = asyncio.ensure_future(work)
        try:
            while self.left > 0:
                began = self._clock()
                done, _ = await asyncio.wait([task], timeout=min(PIECE, self.left))
                self.left -= min(PIECE, self._clock() - began)
                if done:
                    return task.result()
            raise TimeoutError
        finally:
            if not task.done():
                task.cancel()
