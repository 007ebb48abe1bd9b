"""One connection: what it is doing, and what came over it."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import cast

import httptools

from llmkit.errors import ConnectionFailed
from llmkit.tracebacks import system_error
from llmkit.transport.base import BUFFER
from llmkit.transport.http1 import Headers

# How much may come, in bytes, that is no part of a body: a head, what stands between the chunks and behind them.
LONGEST_HEAD = 64 * 1024


class State(Enum):
    """What a connection is doing. See `llmkit.transport.native` for how one leads to another."""

    IDLE = "waits for a request"
    ASKED = "waits for the head of the answer"
    BODY = "the head is there, the body comes"
    OVER = "the whole answer has come"
    GONE = "lost or cut, before the end of the answer"


IDLE, ASKED, BODY, OVER, GONE = State


class _Refused(Exception):
    """What a callback of the parser does not take."""


class Connection(asyncio.Protocol):
    """A connection that serves one request after another.

    Attributes:
        state: what it is doing.
        status, headers: those of the answer, once its head is there.
        idle_since: since when nobody uses it, on the loop's clock, in seconds.
    """

    __slots__ = (
        *("_bare", "_cause", "_chunks", "_fields", "_keeps", "_loop", "_parser", "_reason"),
        *("_size", "_transport", "_waiter"),
        *("headers", "idle_since", "on_body", "state", "status"),
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self.on_body = self._chunks.append  # called by the parser, once for every chunk
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # Some servers end their lines without a CR, or fill up the size of a chunk.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._fields: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._bare = 0
        self._keeps = True
        self._reason = "it is closed"
        self._cause: OSError | None = None
        self.state = IDLE
        self.status = 0
        self.headers = Headers([])
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent over it."""
        line = self._transport
        return self.state is IDLE and line is not None and not line.is_closing()

    def ask(self, request: bytes) -> None:
        """Send a request. The connection has to be open."""
        assert self._transport is not None  # noqa: S101  # it is open
        self.state = ASKED
        self._bare = 0
        self._transport.write(request)

    async def head(self) -> None:
        """Wait for the head of the answer. It fails as `read` does."""
        if self.state is ASKED:
            await self._wait()
        if self.state is GONE:
            raise self.failure()

    async def read(self) -> bytes:
        """Return what has come of the body, once something has; nothing at its end.

        Raises:
            ConnectionFailed: the connection broke or was cut, or what came is no HTTP.
        """
        chunks = self._chunks
        if not chunks and self.state is BODY:
            await self._wait()
        if chunks:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            if self._size >= BUFFER and self._transport is not None:
                self._transport.resume_reading()
            self._size = 0
            return data
        if self.state is OVER:
            return b""
        raise self.failure()

    @property
    def is_silent(self) -> bool:
        """Whether no byte has come of the head that is waited for."""
        return self._bare == 0

    @property
    def is_over(self) -> bool:
        """Whether the whole answer has come and was read."""
        return self.state is OVER and not self._chunks

    def renew(self) -> bool:
        """Make ready for the next request, if it can serve again; else cut it and return False."""
        line = self._transport
        # One that has answered before it was told all still has to be told.
        if line is None or not (self._keeps and self.is_over) or line.get_write_buffer_size():
            self.cut()
            return False
        self.state = IDLE
        return True

    def cut(self) -> None:
        """Close the connection at once; who waits for it learns that it is gone."""
        self._end("it was cut")

    def failure(self) -> ConnectionFailed:
        """Say why the connection is gone."""
        failure = ConnectionFailed(f"the connection to the provider broke ({self._reason})")
        failure.__cause__, self._cause = self._cause, None
        return failure

    def detach(self) -> asyncio.Transport | None:
        """Give the transport away, for TLS to take the place of this protocol; None if more has come than a head, or it is gone."""
        line, self._transport = self._transport, None
        if line is not None and self._chunks:
            line.abort()
            line = None
        self._parser, self.state = None, GONE
        return line

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport, unless nobody wants it any more."""
        line = cast("asyncio.Transport", transport)  # uvloop's are of classes of their own
        if self.state is GONE:
            line.abort()
        else:
            self._transport = line

    def data_received(self, data: bytes) -> None:
        """Take in what one read of the network gave."""
        parser = self._parser
        if parser is None or self.state is IDLE:
            self._end("it spoke without being asked")
            return
        state, came = self.state, len(self._chunks)
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._end(str(error.__context__))
        except httptools.HttpParserError as error:
            self._end(f"the answer is not HTTP/1.1 ({error})")
        if len(self._chunks) > came:
            self._bare = 0
            self._size += len(data)
            if self._size >= BUFFER and self._transport is not None:
                self._transport.pause_reading()
        else:
            self._bare += len(data)
            if self._bare > LONGEST_HEAD:
                self._end(f"its head is longer than {LONGEST_HEAD} bytes")
        if self._waiter is not None and (self._chunks or self.state is not state):
            self._wake()

    def eof_received(self) -> None:
        """Take note that the server sends no more: the end of a body that has no other. The transport then closes itself."""
        if self.state is BODY and self.headers.end_with_the_connection:
            self.state = OVER

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is closed."""
        self._end("the answer has no end" if exc is None else type(exc).__name__)
        if exc is not None and self.state is GONE:
            self._cause = system_error(exc)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See that this is the answer that is waited for."""
        if self.state is not ASKED:
            raise _Refused("it sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a field of the head; not one that follows the body."""
        if self.state is ASKED:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """Take in the head, unless it is one that only says that another follows."""
        assert self._parser is not None  # noqa: S101  # it has called
        status = self._parser.get_status_code()
        if status < 100 or status == 101:  # with which another protocol begins
            raise _Refused(f"the answer is not HTTP/1.1 (its status is {status})")
        fields, self._fields = self._fields, []
        if not 100 <= status < 200:
            self.status = status
            self.headers = Headers(fields)
            self.state = BODY

    def on_message_complete(self) -> None:
        """Take note that the answer is over."""
        if self.state is BODY and self._parser is not None:
            self._keeps = self._parser.should_keep_alive()  # which it forgets with the next byte
            self.state = OVER

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _end(self, reason: str) -> None:
        """Close the connection. An answer that has come to its end stays what it is, and what came before is still read."""
        self._keeps = False
        self._parser = None  # which holds this protocol
        if self.state is not OVER and self.state is not GONE:
            self.state = GONE
            self._reason = reason
        line, self._transport = self._transport, None  # uvloop does not always say that it is lost
        if line is not None:
            line.abort()
        self._wake()
