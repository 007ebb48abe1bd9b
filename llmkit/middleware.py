"""Middleware around calls: one class, with a method for sync and one for async code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from llmkit._async.stream import AsyncStream
    from llmkit._sync.stream import Stream
    from llmkit.call import Call

CallNext: TypeAlias = "Callable[[Call], Stream]"
AsyncCallNext: TypeAlias = "Callable[[Call], Awaitable[AsyncStream]]"


@runtime_checkable
class Middleware(Protocol):
    """Middleware around the calls of a `Client`.

    `call_next` returns when the first content of the answer has arrived, or raises. To be told when the stream ends, use
    `stream.finalise(callback)`; to see every list of events, use `stream.tap(callback)`. For an `AsyncClient` write `handle_async`; if
    you use both clients, write both methods.
    """

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        """Handle one call: pass it (or a changed copy) to `call_next`, or return another stream."""


@runtime_checkable
class AsyncMiddleware(Protocol):
    """Middleware around the calls of an `AsyncClient`; see `Middleware`."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        """Handle one call: pass it (or a changed copy) to `call_next`, or return another stream."""
