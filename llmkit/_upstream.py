"""One exchange under its clocks: read by the event loop, or by a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from llmkit._concurrency import closed, thread_safe
from llmkit.abort import AbortSignal
from llmkit.errors import Clock, LLMKitError, ProviderTimeout
from llmkit.policy.clocks import Clocks
from llmkit.transport import AsyncExchange, Exchange

# How much of an answer may wait for a slow reader, in bytes, before its provider has to wait too.
HIGH_WATER = 256 * 1024
# How long a thread is waited for, in seconds.
JOIN_LIMIT = 1.0


class AsyncUpstream:
    """One exchange under the clocks: one timer a stream, no task and no timeout a token."""

    __slots__ = (
        "_clock",
        "_clocks",
        "_exchange",
        "_fired",
        "_left_at",
        "_loop",
        "_signal",
        "_timer",
        "_waits",
    )

    def __init__(
        self,
        exchange: AsyncExchange,
        clocks: Clocks,
        signal: AbortSignal,
        clock: Callable[[], float],
    ) -> None:
        self._exchange = exchange
        self._clocks = clocks
        self._signal = signal
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._fired: Clock | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waits = False
        self._left_at = clock()

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._exchange.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, names in lower case."""
        return {name.lower(): value for name, value in self._exchange.headers.items()}

    async def open(self) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ConnectionFailed, ProviderTimeout: as it says.
            StreamClosed: the call was aborted.
        """
        limit = asyncio.timeout(self._clocks.deadline - self._clock())
        cut = thread_safe(self._loop, lambda: limit.reschedule(self._loop.time()))
        try:
            async with limit:
                self._signal.add(cut)
                await self._exchange.send()
        except TimeoutError:
            if self._signal.aborted:
                raise closed() from None
            raise self._timeout(self._clocks.ran_out(self._clock()) or "first_content") from None
        finally:
            self._signal.remove(cut)
        self._signal.add(self._abort)
        self._look()

    async def read(self) -> bytes:
        """Return what one network read gave; nothing at the end of the body.

        Raises:
            ConnectionFailed: the connection broke.
            ProviderTimeout: a clock ran out.
            StreamClosed: the call was aborted.
        """
        self._clocks.paused(self._clock() - self._left_at)
        self._waits = True
        try:
            return await self._exchange.read()
        except LLMKitError:
            if self._fired is not None:
                raise self._timeout(self._fired) from None
            if self._signal.aborted:
                raise closed() from None
            raise
        finally:
            self._waits = False
            self._left_at = self._clock()

    def content(self) -> None:
        """Take note that what was read held content."""
        first = self._clocks.first_content_at is None
        self._clocks.content(self._left_at)
        if first and self._timer is not None:
            # The idle clock may run out before the time at which the first-content clock would have.
            self._timer.cancel()
            self._look()

    async def aclose(self) -> None:
        """Stop the clocks and let the connection go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._signal.remove(self._abort)
        await self._exchange.aclose()

    def _look(self) -> None:
        now = self._clock()
        if not self._waits:
            self._clocks.paused(now - self._left_at)
            self._left_at = now
        fired = self._clocks.ran_out(now)
        if fired is not None:
            self._fired = fired
            self._exchange.abort()
            return
        self._timer = self._loop.call_later(max(0.0, self._clocks.deadline - now), self._look)

    def _abort(self) -> None:
        thread_safe(self._loop, self._exchange.abort)()

    def _timeout(self, clock: Clock) -> ProviderTimeout:
        return ProviderTimeout(clock, self._clocks.seconds(clock))


class Upstream:
    """One exchange, read by a thread of its own into a bounded buffer, so that its reader can wait by the clocks."""

    def __init__(
        self,
        exchange: Exchange,
        clocks: Clocks,
        signal: AbortSignal,
        clock: Callable[[], float],
    ) -> None:
        self._exchange = exchange
        self._clocks = clocks
        self._signal = signal
        self._clock = clock
        self._changed = threading.Condition()
        self._left_at = clock()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._opened = False
        self._ended = False
        self._closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._pump, name="llmkit-reader", daemon=True)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._exchange.status

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, names in lower case."""
        return {name.lower(): value for name, value in self._exchange.headers.items()}

    def open(self) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ConnectionFailed, ProviderTimeout: as it says.
            StreamClosed: the call was aborted.
        """
        self._signal.add(self._abort)
        self._thread.start()
        with self._changed:
            self._wait_for(lambda: self._opened or self._ended)
            if not self._opened:
                self._raise()

    def read(self) -> bytes:
        """Return all that has come; nothing at the end of the body.

        Raises:
            ConnectionFailed: the connection broke.
            ProviderTimeout: a clock ran out.
            StreamClosed: the call was aborted.
        """
        self._clocks.paused(self._clock() - self._left_at)
        with self._changed:
            self._wait_for(lambda: bool(self._chunks) or self._ended)
            self._left_at = self._clock()
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._size = 0
                self._changed.notify_all()
                return data
            if self._error is not None or self._signal.aborted:
                self._raise()
            return b""

    def wait(self, seconds: float) -> bool:
        """Say whether `read` has something to tell, waiting for it so long at most."""
        now = self._clock()
        until = now + seconds
        self._clocks.paused(now - self._left_at)
        with self._changed:
            while not (self._chunks or self._ended or self._signal.aborted):
                if now >= self._clocks.deadline:
                    break
                if now >= until:
                    self._left_at = now
                    return False
                self._changed.wait(min(until, self._clocks.deadline) - now)
                now = self._clock()
            self._left_at = now
            return True

    def content(self) -> None:
        """Take note that what was read held content."""
        self._clocks.content(self._left_at)

    def close(self) -> None:
        """Let the connection go and the thread end. A body that was not read to its end is cut."""
        with self._changed:
            self._closed = True
            ended = self._ended
            self._changed.notify_all()
        self._signal.remove(self._abort)
        if not ended:
            self._exchange.abort()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_LIMIT)

    def _wait_for(self, ready: Callable[[], bool]) -> None:
        while not ready():
            if self._signal.aborted:
                raise closed()
            now = self._clock()
            fired = self._clocks.ran_out(now)
            if fired is not None:
                self._exchange.abort()
                raise ProviderTimeout(fired, self._clocks.seconds(fired))
            self._changed.wait(self._clocks.deadline - now)

    def _raise(self) -> None:
        if self._signal.aborted:
            raise closed()
        if self._error is not None:
            raise self._error

    def _abort(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._exchange.abort()

    def _pump(self) -> None:
        try:
            self._exchange.send()
            with self._changed:
                self._opened = True
                self._changed.notify_all()
            while not self._closed:
                data = self._exchange.read()
                with self._changed:
                    if not data:
                        break
                    self._chunks.append(data)
                    self._size += len(data)
                    self._changed.notify_all()
                    while self._size > HIGH_WATER and not self._closed:
                        self._changed.wait()
        except Exception as error:  # noqa: BLE001  # it is raised again where it is waited for
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._exchange.close()
