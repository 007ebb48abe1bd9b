"""The middleware chain, built once for a client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit._async.stream import AsyncStream
from llmkit.middleware import AsyncMiddleware

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.middleware import AsyncCallNext


def async_build_chain(middleware: Sequence[object], last: AsyncCallNext) -> AsyncCallNext:
    """Put the middleware around the last step, the first outermost.

    Raises:
        TypeError: one of them does not have the method that this client calls.
    """
    step = last
    for item in reversed(middleware):
        if not isinstance(item, AsyncMiddleware):
            raise TypeError(
                f"{type(item).__name__} has no handle_async(call, call_next), which AsyncClient calls"
            )
        step = _AsyncStep(item, step)
    return step


class _AsyncStep:
    __slots__ = ("_call_next", "_middleware")

    def __init__(self, middleware: AsyncMiddleware, call_next: AsyncCallNext) -> None:
        self._middleware = middleware
        self._call_next = call_next

    async def __call__(self, call: Call) -> AsyncStream:
        opened: list[AsyncStream] = []

        async def call_next(call: Call) -> AsyncStream:
            stream = await self._call_next(call)
            opened.append(stream)
            return stream

        try:
            stream = await self._middleware.handle_async(call, call_next)
            if not isinstance(stream, AsyncStream):
                raise TypeError(
                    f"{type(self._middleware).__name__}.handle_async returned a "
                    f"{type(stream).__name__}; return the stream from call_next, or an AsyncStream"
                )
        except BaseException as error:
            for stream in opened:  # nobody else has them
                await stream.fail(error)
            raise
        return stream
