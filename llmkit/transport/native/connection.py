"""One connection: its bytes go out, and what comes is read."""

from __future__ import annotations

import asyncio
import select
from typing import cast

from llmkit.transport.base import BUFFER
from llmkit.transport.http1.answers import ASKED, BODY, GONE, IDLE, Answers

# A request that is longer, in bytes, may be answered with an error before all of it is sent.
LONG = 64 * 1024


class Connection(asyncio.Protocol):
    """A connection that serves one request after another.

    Attributes:
        answers: what has come over it.
        idle_since: since when nobody uses it, on the loop's clock, in seconds.
    """

    __slots__ = ("_is_long", "_loop", "_reader", "_transport", "_waiter", "answers", "idle_since")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_long = False
        self._loop = loop
        self._reader: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.answers = Answers()
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent over it: nothing has come since the last answer, not even its end, nor waits in the system for the loop."""
        line = self._transport
        if self.answers.state is not IDLE or line is None or line.is_closing():
            return False
        return not _can_be_read(line.get_extra_info("socket").fileno())

    def ask(self, request: bytes) -> None:
        """Send a request. The connection has to be open."""
        assert self._transport is not None  # noqa: S101  # it is open
        self.answers.expect()
        self._is_long = len(request) > LONG
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the head of the answer.

        Raises:
            ConnectionFailed: the connection broke or was cut, or what came is no HTTP.
        """
        if self.answers.state is ASKED:
            self._waiter = self._loop.create_future()
            await self._waiter
        if self.answers.state is GONE and not self.answers.status:
            raise self.answers.failure()

    def read(self) -> asyncio.Future[bytes]:
        """Return what has come of the body, once something has; nothing at its end. Not a coroutine, which a token would have to pass.

        Raises:
            ConnectionFailed: the connection broke or was cut, or what came is no HTTP.
        """
        answers = self.answers
        reader: asyncio.Future[bytes] = self._loop.create_future()
        if not answers.chunks and answers.state is BODY:
            self._reader = reader
            return reader
        if answers.waiting >= BUFFER and self._transport is not None:
            self._transport.resume_reading()
        reader.set_result(answers.take())
        return reader

    def renew(self) -> bool:
        """Make ready for the next request, if it can serve again; else cut it and return False."""
        line = self._transport
        # One that has answered before it was told all still has to be told. What TLS has handed on is not in the size that it tells.
        is_told = line is not None and not line.get_write_buffer_size()
        if is_told and not (self._is_long and self.answers.status >= 400) and self.answers.renew():
            return True
        self.cut()
        return False

    def cut(self, reason: str = "it was cut", cause: Exception | None = None) -> None:
        """Close the connection at once; who waits for it learns that it is gone."""
        self.answers.end(reason, cause)
        line, self._transport = self._transport, None  # uvloop does not always say that it is lost
        if line is not None:
            line.abort()
        self._wake()

    def detach(self) -> asyncio.Transport | None:
        """Give the transport away, for TLS to take the place of this protocol; None if more has come than a head, or it is gone."""
        line, self._transport = self._transport, None
        if line is not None and self.answers.chunks:
            line.abort()
            line = None
        self.answers.end("it was given away")
        return line

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport, unless nobody wants it any more."""
        line = cast("asyncio.Transport", transport)  # uvloop's are of classes of their own
        if self.answers.state is GONE:
            line.abort()
        else:
            self._transport = line

    def data_received(self, data: bytes) -> None:
        """Take in what one read of the network gave."""
        answers = self.answers
        state = answers.state
        answers.feed(data)
        if answers.is_closed:
            self.cut()
            return
        if answers.chunks or answers.state is not state:
            self._wake()
        if answers.waiting >= BUFFER and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> None:
        """Take note that the server sends no more. The transport then closes itself, once all is sent."""
        self.answers.feed_eof()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is closed. Under TLS uvloop says so in place of the end, where the server has left without a word."""
        if exc is None:
            self.answers.feed_eof()
        self.cut("it was closed" if exc is None else type(exc).__name__, exc)

    def _wake(self) -> None:
        """Give what has come to whoever waits for it."""
        reader, waiter, answers = self._reader, self._waiter, self.answers
        if reader is not None:
            self._reader = None
            if reader.done():  # cancelled
                return
            if answers.chunks or answers.state is not GONE:
                reader.set_result(answers.take())
            else:
                reader.set_exception(answers.failure())
        elif waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)


def _can_be_read(descriptor: int) -> bool:
    """Whether something has come on a socket, or its end."""
    if hasattr(select, "poll"):
        look = select.poll()
        look.register(descriptor, select.POLLIN)
        return bool(look.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])  # where it counts no descriptors
