"""One exchange under its clocks, in a thread: the timers' thread aborts the exchange when one runs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from llmkit.concurrency.abort import AbortSignal
from llmkit.concurrency.threads import closed
from llmkit.concurrency.timers import Timer, timers
from llmkit.errors import Clock, LLMKitError, ProviderError, ProviderTimeout
from llmkit.policy.clocks import Clocks
from llmkit.tracebacks import free
from llmkit.transport.base import AsyncExchange, Exchange
from llmkit.transport.inflate import Inflater, inflater_for

if TYPE_CHECKING:
    from asyncio import TimerHandle

# What a read gives: bytes, or what to await for them.
Read = TypeVar("Read", bytes, Awaitable[bytes])

# What is read after the end of an answer, so that its connection can serve again: bytes, seconds.
DRAIN_LIMIT = 64 * 1024
DRAIN_SECONDS = 1.0
# How much too early a loop's timer may be, in seconds: uvloop counts in milliseconds.
EARLY = 0.005


class UpstreamBase(ABC, Generic[Read]):
    """What both colours share: the facts of the answer, and the clocks' verdict.

    Attributes:
        headers: the headers of the answer, found in whatever case they are asked for.
    """

    __slots__ = (
        "_clock",
        "_clocks",
        "_closed",
        "_exchange",
        "_fired",
        "_left_at",
        "_signal",
        "_spoke",
        "_timer",
        "_waits",
        "headers",
    )

    def __init__(
        self,
        exchange: AsyncExchange | Exchange,
        clocks: Clocks,
        signal: AbortSignal,
        clock: Callable[[], float],
    ) -> None:
        self._exchange = exchange
        self._clocks = clocks
        self._signal = signal
        self._clock = clock
        self._fired: Clock | None = None
        self._timer: TimerHandle | Timer | None = None
        self._waits = False
        self._spoke = False
        self._closed = False
        self._left_at = clock()
        self.headers: Mapping[str, str] = {}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._exchange.status

    @property
    def is_over(self) -> bool:
        """Whether the answer is known to be over, and was read."""
        return self._exchange.is_over

    def read(self) -> Read:
        """Wait for what one network read gives, or return what to await. Its outcome is for `received` or for `failed`, whichever it is."""
        now = self._clock()
        if self._spoke:  # since then nobody listened
            self._spoke = False
            self._clocks.silent_since = now
        else:
            self._clocks.paused(now - self._left_at)
        self._waits = True
        return self._exchange.read()  # type: ignore[return-value]  # it is of the same colour

    def received(self, data: bytes) -> bytes:
        """Take note of what a read gave, and return it."""
        self._waits = False
        self._left_at = self._clock()
        return data

    @property
    def sent(self) -> bool:
        """Whether the request may have begun to go out."""
        return self._exchange.sent

    def failed(self, error: Exception) -> LLMKitError:
        """Say why a read failed: by a clock, by an abort, or by itself."""
        self._waits = False
        self._left_at = self._clock()
        if isinstance(error, LLMKitError):
            error.__traceback__ = None  # whose frames know the stream
            return self._reason(error)
        reason = self._exchange.to_error(error)
        free(error, but=reason.__cause__)
        return self._reason(reason)

    def content(self) -> None:
        """Take note that what was read held content."""
        self._spoke = True
        if self._clocks.first_content_at is None:
            self._clocks.content(self._left_at)

    def stopping(self, stops: bool) -> None:  # noqa: FBT001  # the one thing that it is told
        """Take note that the answer has said why it stops, so that silence now ends it; or that it goes on after all."""
        self._clocks.stopping(self._left_at, stops=stops)
        if stops and self._timer is not None:
            self._timer.cancel()
            self._look()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._exchange.abort()

    def try_release(self) -> bool:
        """Stop the clocks and let the connection serve again, if its answer is over and nothing has to be waited for."""
        if not self._exchange.try_release():
            return False
        self._stop_clocks()
        return True

    @abstractmethod
    def _call_later(self, seconds: float) -> TimerHandle | Timer:
        """Look at the clocks after so many seconds."""

    def _opened(self) -> Inflater | None:
        """Take note of the head of the answer; return what decodes its body, if it comes compressed."""
        self._waits = False
        self._left_at = self._clock()
        self.headers = self._exchange.headers
        return inflater_for(self.headers)

    def _stop(self) -> None:
        """Cut what is open."""
        self._exchange.abort()

    def _stop_clocks(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._signal.remove(self._cut)

    @abstractmethod
    def _cut(self) -> None:
        """Abort from whatever thread."""

    def _look(self) -> None:
        if self._closed or self._fired is not None:
            return
        now = self._clock()
        if not self._waits:
            self._clocks.paused(now - self._left_at)
            self._left_at = now
        self._fired = self._clocks.ran_out(now)
        if self._fired is not None:
            self._stop()
        else:
            self._timer = self._call_later(max(0.0, self._clocks.next_look(now) - now))

    def _reason(self, error: LLMKitError) -> LLMKitError:
        """Say why a connection broke: by a clock, by an abort, or by itself."""
        clock = self._fired
        if clock is None and isinstance(error, ProviderTimeout) and not self._signal.aborted:
            # Connecting waits no longer than until the next of the other clocks.
            clock = self._clocks.ran_out(self._clock() + EARLY)
        if clock is None and not self._signal.aborted:
            return error
        free(error)
        return closed() if clock is None else self._timeout(clock)

    def _timeout(self, clock: Clock) -> ProviderTimeout:
        timeout = ProviderTimeout(clock, self._clocks.seconds(clock))
        timeout.sent = self.sent
        return timeout


class Upstream(UpstreamBase[bytes]):
    """The same for threads: the one who reads waits, and one timer thread a process cuts what takes too long."""

    __slots__ = ()
    _exchange: Exchange

    def open(self) -> None:
        """Send the request and wait for the head of the answer.

        Raises:
            ConnectionFailed, ProviderTimeout: as it says.
            StreamClosed: the call was aborted.
        """
        self._signal.add(self._cut)
        self._waits = True
        self._look()
        failure = None
        try:
            self._exchange.open()
        except LLMKitError as error:
            failure = self._reason(error)
        if failure is not None:
            raise failure
        if self._signal.aborted:
            raise closed()
        inflater = self._opened()
        if inflater is not None:
            self._exchange = _Inflating(self._exchange, inflater)

    def close(self, *, drain: bool) -> None:
        """Stop the clocks and let the connection go; see `AsyncUpstream.aclose`."""
        self._stop_clocks()
        if drain:
            self._drain()
        self._exchange.close()

    def _drain(self) -> None:
        size = 0
        limit = timers.call_later(DRAIN_SECONDS, self._exchange.abort)
        try:
            while size < DRAIN_LIMIT and (data := self._exchange.read()):
                size += len(data)
        except Exception:  # noqa: BLE001, S110  # then it cannot serve again
            pass
        finally:
            limit.cancel()

    def _call_later(self, seconds: float) -> Timer:
        return timers.call_later(seconds, self._look)

    def _cut(self) -> None:
        self._exchange.abort()


class _Inflating:
    """An exchange whose body is decoded as it is read, in steps."""

    __slots__ = ("_exchange", "_inflater", "headers", "status")
    sent = True

    def __init__(self, exchange: Exchange, inflater: Inflater) -> None:
        self._exchange = exchange
        self._inflater = inflater
        self.status = exchange.status
        self.headers = exchange.headers

    def open(self) -> None:
        """Do nothing: it is open."""

    def read(self) -> bytes:
        """Return the next step, once there is one; nothing at the end of the body."""
        if self._inflater.pending and (data := self._inflater.feed()):
            return data
        while data := self._exchange.read():
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

    def close(self) -> None:
        """Give the connection back, or cut it."""
        self._exchange.close()
