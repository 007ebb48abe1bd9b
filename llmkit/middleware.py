"""What may stand around every call: one class, two doors."""

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
    """Stands around the calls of a `Client`.

    `call_next` returns when the answer's first content is there, or raises. To watch the end, give the stream a
    `finalise(callback)`; to see every list of events, a `tap(callback)`. For an `AsyncClient` write `handle_async`; write
    both if both are used.
    """

    def handle(self, call: Call, call_next: CallNext) -> Stream:
        """Handle one call: pass it on, or a changed copy of it, or answer otherwise."""


@runtime_checkable
class AsyncMiddleware(Protocol):
    """Stands around the calls of an `AsyncClient`: see `Middleware`."""

    async def handle_async(self, call: Call, call_next: AsyncCallNext) -> AsyncStream:
        """Handle one call: pass it on, or a changed copy of it, or answer otherwise."""
