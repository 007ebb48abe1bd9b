"""The connections of each event loop: made when it first asks, closed when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias
from weakref import WeakKeyDictionary

from llmkit.transport.base import AsyncTransport

Loop: TypeAlias = asyncio.AbstractEventLoop


class LoopTransports:
    """One transport for every running event loop.

    A loop says that it ends in one way only: it closes the asynchronous generators that began in it. So one is begun for each,
    and closes the transport when its turn comes; `asyncio.run` once for every call leaves nothing behind.

    Args:
        make: makes a transport for the running loop.
        ending: awaited when a loop ends, while it still runs and before its transport is closed.
    """

    def __init__(
        self, make: Callable[[], AsyncTransport], ending: Callable[[Loop], Awaitable[None]]
    ) -> None:
        self._make = make
        self._ending = ending
        self._lock = (
            threading.RLock()
        )  # loops run in several threads; a collector may end one within
        self._held: WeakKeyDictionary[Loop, _Held] = WeakKeyDictionary()

    def get(self) -> AsyncTransport:
        """Return the transport of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            held = _Held(self._make(), self._until_end(loop))
            with self._lock:
                self._forget_closed()
                self._held[loop] = held
        return held.transport

    def _pop(self, loop: Loop) -> _Held | None:
        with self._lock:
            return self._held.pop(loop, None)

    async def aclose(self) -> None:
        """Close the transport of the running loop."""
        held = self._pop(asyncio.get_running_loop())
        if held is not None:
            await held.end.aclose()
            await held.transport.aclose()

    async def _until_end(self, loop: Loop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            held = self._pop(loop)
            if held is not None:
                await self._ending(loop)
                await held.transport.aclose()

    def _forget_closed(self) -> None:
        # A transport knows its loop, so the weak keys alone would keep both.
        for loop in [loop for loop in self._held if loop.is_closed()]:
            del self._held[loop]


class _Held:
    """A transport, and the generator that waits for its loop's end."""

    __slots__ = ("end", "transport")

    def __init__(self, transport: AsyncTransport, end: AsyncGenerator[None]) -> None:
        self.transport = transport
        self.end = end
        try:
            end.asend(None).send(None)  # as the loop would drive it
        except StopIteration:
            pass  # it stands at its yield, which is where it waits
