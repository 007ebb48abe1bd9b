"""One exchange under its clocks, in an event loop: its timer aborts the exchange when one runs out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.tasks import thread_safe
from llmkit.concurrency.threads import closed
from llmkit.errors import LLMKitError, ProviderError
from llmkit.policy.clocks import Clocks
from llmkit.transport.base import AsyncExchange
from llmkit.transport.inflate import Inflater
from llmkit.transport.upstream import DRAIN_LIMIT, DRAIN_SECONDS, UpstreamBase


class AsyncUpstream(UpstreamBase[Awaitable[bytes]]):
    """One exchange under the clocks: one timer a stream, no task and no timeout a token."""

    __slots__ = ("_loop", "_opening", "_stopped")
    _exchange: AsyncExchange

    def __init__(
        self,
        exchange: AsyncExchange,
        clocks: Clocks,
        signal: AbortSignal,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(exchange, clocks, signal, clock)
        self._loop = asyncio.get_running_loop()
        self._opening: asyncio.Task[object] | None = None
        self._stopped = False

    async def open(self) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ConnectionFailed, ProviderTimeout: as it says.
            StreamClosed: the call was aborted.
        """
        task = self._opening = asyncio.current_task()
        assert task is not None  # noqa: S101  # for this is a coroutine
        others = task.cancelling()
        self._waits = True
        self._signal.add(self._cut)
        self._look()
        failure = None
        try:
            try:
                if not self._stopped:
                    await self._exchange.open()
            finally:
                if (
                    self._stopped
                ):  # a cancelling of ours is met here, also where nothing had to be waited for
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            by_others = task.cancelling() > others + 1
            if by_others or not self._stopped:
                raise
        except LLMKitError as error:
            failure = self._reason(error)
        finally:
            self._opening = None
            if self._stopped:
                task.uncancel()
        if failure is not None:
            raise failure
        if self._stopped:
            raise self._reason(closed())
        inflater = self._opened()
        if inflater is not None:
            self._exchange = _AsyncInflating(self._exchange, inflater)

    async def aclose(self, *, drain: bool) -> None:
        """Stop the clocks and let the connection go.

        Args:
            drain: read first what follows the end of the answer, a little and not for long, so that the connection can serve
                again.
        """
        self._stop_clocks()
        if drain:
            await self._drain()
        await self._exchange.aclose()

    async def _drain(self) -> None:
        size = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while size < DRAIN_LIMIT and (data := await self._exchange.read()):
                    size += len(data)
        except Exception:  # noqa: BLE001, S110  # then it cannot serve again
            pass

    def _call_later(self, seconds: float) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, self._look)

    def _cut(self) -> None:
        thread_safe(self._loop, self._stop)()

    def _stop(self) -> None:
        """Cut what is open; while it is being opened, cancel whoever opens it, as asyncio.timeout() does."""
        if self._opening is None:
            self._exchange.abort()
        elif not self._stopped:
            self._stopped = True
            self._opening.cancel()


class _AsyncInflating:
    """An exchange whose body is decoded as it is read, in steps between which the loop goes on."""

    __slots__ = ("_exchange", "_inflater", "headers", "status")
    sent = True

    def __init__(self, exchange: AsyncExchange, inflater: Inflater) -> None:
        self._exchange = exchange
        self._inflater = inflater
        self.status = exchange.status
        self.headers = exchange.headers

    async def open(self) -> None:
        """Do nothing: it is open."""

    async def read(self) -> bytes:
        """Return the next step, once there is one; nothing at the end of the body."""
        if self._inflater.pending:
            await asyncio.sleep(0)
            if data := self._inflater.feed():
                return data
        while data := await self._exchange.read():
            if decoded := self._inflater.feed(data):
                return decoded
        return b""

    @property
    def is_over(self) -> bool:
        """Whether the body is over, and was read and decoded."""
        return self._exchange.is_over and not self._inflater.pending

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception that `read` raised means."""
        return self._exchange.to_error(error)

    def abort(self) -> None:
        """Cut the connection."""
        self._exchange.abort()

    def try_release(self) -> bool:
        """Give the connection back."""
        return self._exchange.try_release()

    async def aclose(self) -> None:
        """Give the connection back, or cut it."""
        await self._exchange.aclose()
