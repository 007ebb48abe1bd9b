"""What two clients make of the same bytes: our own connection, and aiohttp's parser of answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpResponseParser

from llmkit.errors import ConnectionFailed
from llmkit.transport.http1.answers import State
from llmkit.transport.native.connection import Connection


@dataclass(frozen=True)
class Reading:
    """What a client has understood.

    Attributes:
        status: the status; None if the head is not there.
        headers: each name with its first value.
        body: what has come of the body.
        end: whether the answer is "whole", "broken", or "open" still.
        keeps: whether the connection serves again.
    """

    status: int | None
    headers: dict[str, str]
    body: bytes
    end: str
    keeps: bool


_QUIET = socket.socketpair()


class Line(asyncio.Transport):
    """A transport without a network: what is written to it, and whether it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent = 0
        self.is_open = True
        self.is_reading = True

    def write(self, data: Any) -> None:
        """Take note of it."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Return how much still has to go out."""
        return self.unsent

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return not self.is_open

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a socket on which nothing comes."""
        return _QUIET[0] if name == "socket" else default

    def abort(self) -> None:
        """Close it."""
        self.is_open = False

    def close(self) -> None:
        """Close it."""
        self.is_open = False

    def pause_reading(self) -> None:
        """Stop reading."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """Go on reading."""
        self.is_reading = True


def connected(loop: asyncio.AbstractEventLoop) -> tuple[Connection, Line]:
    """Make a connection over such a transport."""
    connection, line = Connection(loop), Line()
    connection.connection_made(line)
    return connection, line


def now(awaitable: Any) -> Any:
    """Return what is there already, and nothing that has to be waited for."""
    if isinstance(awaitable, asyncio.Future):
        if awaitable.done():
            return awaitable.result()
        awaitable.cancel()  # as a task does that is cancelled
        raise BlockingIOError
    coroutine = awaitable.__await__() if not hasattr(awaitable, "send") else awaitable
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise BlockingIOError


def feed(connection: Connection, line: Line, parts: Iterable[bytes], *, eof: bool) -> bytes:
    """Let bytes come, as long as the connection is open, and read what there is of a body."""
    body = []
    for part in parts:
        if line.is_open:
            connection.data_received(part)
            body.append(read_now(connection))
    if eof and line.is_open:
        connection.eof_received()
        connection.connection_lost(None)
    body.append(read_now(connection))
    return b"".join(body)


def read_now(connection: Connection) -> bytes:
    """Read what has come of a body."""
    if connection.answers.state in (State.IDLE, State.ASKED):
        return b""
    body = b""
    try:
        while data := now(connection.read()):
            body += data
    except (BlockingIOError, ConnectionFailed):
        pass
    return body


def read_native(loop: asyncio.AbstractEventLoop, parts: Iterable[bytes], *, eof: bool) -> Reading:
    """Read an answer with our own connection."""
    connection, line = connected(loop)
    connection.ask(b"GET / HTTP/1.1\r\n\r\n")
    body = feed(connection, line, parts, eof=eof)
    reading = reading_of(connection, body)
    connection.cut()
    return reading


def reading_of(connection: Connection, body: bytes) -> Reading:
    """Say what a connection has understood; it is made ready for the next request if it can serve one."""
    ends = {State.GONE: "broken", State.OVER: "whole"}
    end = ends.get(connection.answers.state, "open")
    keeps = end == "whole" and connection.renew()
    return Reading(
        connection.answers.status or None, dict(connection.answers.headers), body, end, keeps
    )


def read_aiohttp(loop: asyncio.AbstractEventLoop, parts: Iterable[bytes], *, eof: bool) -> Reading:
    """Read an answer with aiohttp's parser, as its client does."""
    protocol = BaseProtocol(loop)
    protocol.connection_made(Line())
    parser = HttpResponseParser(protocol, loop, 2**16, read_until_eof=True, auto_decompress=False)
    found: list[Any] = []
    upgraded, tail, broken = False, b"", False
    try:
        for part in parts:
            messages, upgraded, tail = parser.feed_data(part)
            found += messages
            if upgraded or _is_whole(found):
                break
        if eof and not _is_whole(found):
            parser.feed_eof()
    except Exception:  # of many kinds
        broken = True
    answers = [each for each in found if not 100 <= each[0].code < 200 or each[0].code == 101]
    if not answers:
        return Reading(None, {}, b"", "broken" if broken or eof else "open", keeps=False)
    message, payload = answers[0]
    body = b"".join(getattr(payload, "_buffer", ()))  # reading it would have to be waited for
    broken = broken or payload.exception() is not None
    whole = payload.is_eof() and payload.exception() is None
    headers: dict[str, str] = {}
    for name, value in message.headers.items():
        said = value.encode("utf-8", "surrogateescape")  # which nobody could write down
        headers.setdefault(name.lower(), said.decode("utf-8", "replace"))
    end = "whole" if whole else "broken" if broken or eof else "open"
    keeps = whole and not (eof or message.should_close or broken or upgraded or tail or answers[1:])
    return Reading(message.code, headers, body, end, keeps)


def _is_whole(found: list[Any]) -> bool:
    return any(payload.is_eof() for message, payload in found if message.code >= 200)
