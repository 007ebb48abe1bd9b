"""The relay for async frameworks that iterate over a response body."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Self

from llmkit._async.stream import AsyncStreamManager
from llmkit.concurrency.tasks import thread_safe
from llmkit.relay.dialects.text import HEADERS
from llmkit.relay.pull import NOT_OPEN
from llmkit.relay.push import PushRelay

# What may wait for a slow browser before the provider has to wait too, in bytes.
QUEUE_BYTES = 64 * 1024
# How long a body may lie about when the task that opened it has ended, in seconds.
UNREAD = 1.0


class BodyRelay:
    """Relays one answer as an async iterator of bytes, with its status and headers.

    `open` waits for the first content or the first heartbeat, whichever comes first. The call runs in its own task, so that the
    framework may drop the body at any time: `close` stops the call, from any thread, and may be called more than once. A body that
    was never iterated over closes itself: at once if the task that opened it was cancelled, else soon after that task has ended.

    Args:
        manager: the call, not opened yet.
        heartbeat: seconds of silence before a comment is sent.
        tool_details: whether the browser sees what tools are called with, and what they return.
        tasks: a set that keeps the call's task alive, and shows its owner what is still running.
        taken: awaited before the first piece is taken; by then the framework's middleware has handled the response.
    """

    def __init__(
        self,
        manager: AsyncStreamManager,
        *,
        heartbeat: float,
        tool_details: bool = False,
        tasks: set[asyncio.Task[Any]],
        taken: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._sink = _Sink(manager)
        self._heartbeat = heartbeat
        self._tool_details = tool_details
        self._tasks = tasks
        self._taken = taken
        self._iterated = False
        self._opened = False

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._sink.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, names in lower case."""
        return self._sink.headers

    async def open(self) -> Self:
        """Open the call, and wait for its status.

        Raises:
            Exception: what a middleware of the app's own raised before anything was sent.
        """
        self._opened = True
        loop = asyncio.get_running_loop()
        push = PushRelay(
            self._sink.manager,
            self._sink,
            heartbeat=self._heartbeat,
            tool_details=self._tool_details,
        )
        task = loop.create_task(push.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._sink.ended)
        try:
            await self._sink.head
        except BaseException:
            self.close()
            raise
        opener = asyncio.current_task()
        if opener is not None:
            opener.add_done_callback(partial(_opener_ended, weakref.ref(self), loop))
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._opened:
            raise RuntimeError(NOT_OPEN)
        try:
            if not self._iterated:
                self._iterated = True
                if self._taken is not None:
                    await self._taken()
            data = await self._sink.take()
        except asyncio.CancelledError:
            self.close()
            raise
        if not data:
            raise StopAsyncIteration
        return data

    def close(self) -> None:
        """Stop the call if it still runs, and let go of everything."""
        self._sink.close()

    async def aclose(self) -> None:
        """Do what `close` does."""
        self.close()

    def unread(self) -> None:
        """Close, unless somebody reads it."""
        if not self._iterated:
            self.close()

    def __del__(self) -> None:
        self.close()


class _Sink:
    """What the call's task and the host's task share: a head, and a queue with an end. It knows nothing of the body."""

    def __init__(self, manager: AsyncStreamManager) -> None:
        self.manager = manager
        self.status = 200
        self.headers: Mapping[str, str] = HEADERS
        self._loop = asyncio.get_running_loop()
        self.head: asyncio.Future[None] = self._loop.create_future()
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False
        self._closed = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status, self.headers = status, headers
        if not self.head.done():
            self.head.set_result(None)

    async def send(self, data: bytes, *, more: bool) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
        if not more:
            self._ended = True
        self._wake()
        while self._size >= QUEUE_BYTES and not self._closed:
            await self._wait()
        if self._closed:
            raise ConnectionError

    async def take(self) -> bytes:
        """Return all that waits, or the next part; nothing at the end."""
        if self._closed:
            self._parts.clear()
        while not self._parts:
            if self._ended or self._closed:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                return b""
            await self._wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._wake()
        return data

    def ended(self, task: asyncio.Task[None]) -> None:
        """Take note that the call's task has ended, whatever became of it."""
        self._ended = True
        self._error = None if task.cancelled() else task.exception()
        if not self.head.done():
            if self._error is None:
                self.head.set_result(None)
            else:
                self.head.set_exception(self._error)
                self._error = None
        self._wake()

    def close(self) -> None:
        """Let nothing more be sent, and stop the call. May come from any thread."""
        if not (self._closed or self._ended):
            self._closed = True
            self.manager.abort()
            thread_safe(self._loop, self._wake)()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()


def _opener_ended(
    body: weakref.ref[BodyRelay], loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]
) -> None:
    held = body()
    if held is None:
        return
    if task.cancelled():
        held.unread()
    else:
        loop.call_later(UNREAD, _unread, body)


def _unread(body: weakref.ref[BodyRelay]) -> None:
    held = body()
    if held is not None:
        held.unread()
