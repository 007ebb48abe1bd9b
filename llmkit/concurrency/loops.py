"""What each event loop has of its own, such as connections: made when it first asks, closed when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

Loop: TypeAlias = asyncio.AbstractEventLoop


class Closable(Protocol):
    """What is closed in its loop."""

    async def aclose(self) -> None:
        """Close it."""


T = TypeVar("T", bound=Closable)


async def _nothing(_: Loop) -> None:
    pass


class PerLoop(Generic[T]):
    """One for every running event loop.

    A loop says that it ends in one way only: it closes the asynchronous generators that began in it. So one is begun for each,
    and closes what the loop has when its turn comes; `asyncio.run` once for every call leaves nothing behind.

    Args:
        make: makes one for the running loop.
        ending: awaited when a loop ends, while it still runs and before what it has is closed.
    """

    def __init__(
        self, make: Callable[[], T], ending: Callable[[Loop], Awaitable[None]] = _nothing
    ) -> None:
        self._make = make
        self._ending = ending
        self._lock = (
            threading.RLock()
        )  # loops run in several threads; a collector may end one within
        self._held: WeakKeyDictionary[Loop, _Held[T]] = WeakKeyDictionary()

    def get(self) -> T:
        """Return that of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            held = _Held(self._make(), self._until_end(loop))
            with self._lock:
                self._forget_closed()
                self._held[loop] = held
        return held.thing

    def _pop(self, loop: Loop) -> _Held[T] | None:
        with self._lock:
            return self._held.pop(loop, None)

    async def aclose(self) -> None:
        """Close that of the running loop."""
        held = self._pop(asyncio.get_running_loop())
        if held is not None:
            await held.end.aclose()
            await held.thing.aclose()

    async def _until_end(self, loop: Loop) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            held = self._pop(loop)
            if held is not None:
                await self._ending(loop)
                await held.thing.aclose()

    def _forget_closed(self) -> None:
        # What knows its loop, as a transport does, would be kept with it by the weak keys alone.
        for loop in [loop for loop in self._held if loop.is_closed()]:
            del self._held[loop]


class _Held(Generic[T]):
    """What a loop has, and the generator that waits for the loop's end."""

    __slots__ = ("end", "thing")

    def __init__(self, thing: T, end: AsyncGenerator[None]) -> None:
        self.thing = thing
        self.end = end
        try:
            end.asend(None).send(None)  # as the loop would drive it
        except StopIteration:
            pass  # it stands at its yield, which is where it waits
