"""One HTTP request over ASGI: what came in, what goes out, and whether anybody is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from llmkit.relay.answer import Answer

Scope = MutableMapping[str, Any]  # as ASGI defines it
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGISink:
    """Writes a response."""

    __slots__ = ("_send",)

    def __init__(self, send: Send) -> None:
        self._send = send

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the head."""
        pairs = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    def send(self, data: bytes, *, more: bool) -> Awaitable[None]:
        """Write a part of the body."""
        return self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, answer: Answer) -> None:
        """Write a whole response."""
        await self.start(answer.status, answer.headers)
        await self.send(answer.body, more=False)


class Watch:
    """Calls back when the client leaves. The request's body has to be read before."""

    def __init__(self, receive: Receive, left: Callable[[], None]) -> None:
        self._receive = receive
        self._left = left
        self._task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            return  # not raised, for its traceback would tie the task to its frames until the collector comes
        self._left()

    def __enter__(self) -> None:
        """Watch until the block ends."""

    def __exit__(self, *exc_info: object) -> None:
        self._task.cancel()
