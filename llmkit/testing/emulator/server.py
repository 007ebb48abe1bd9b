"""The server: connections in, one `Player` for each request. Lives on one event loop."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable

from llmkit.testing.emulator import http, reply
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.http import Request, RequestError, RequestParser
from llmkit.testing.emulator.player import Player
from llmkit.testing.emulator.received import Entry, RequestLog
from llmkit.testing.emulator.reply import Reply
from llmkit.testing.emulator.wires.anthropic import AnthropicWire
from llmkit.testing.emulator.wires.base import Failure, Stamp, Wire, parse
from llmkit.testing.emulator.wires.embeddings import (
    GeminiEmbeddings,
    OllamaEmbeddings,
    OpenAIEmbeddings,
    VertexEmbeddings,
)
from llmkit.testing.emulator.wires.gemini import GeminiWire
from llmkit.testing.emulator.wires.ollama import OllamaWire
from llmkit.testing.emulator.wires.openai import OpenAIWire
from llmkit.testing.emulator.wires.responses import ResponsesWire
from llmkit.testing.local_names import LocalNames

ANTHROPIC: Wire = AnthropicWire()
GEMINI: Wire = GeminiWire()
OLLAMA: Wire = OllamaWire()
OPENAI: Wire = OpenAIWire()
RESPONSES: Wire = ResponsesWire()
WIRES = (ANTHROPIC, GEMINI, OLLAMA, RESPONSES, OPENAI)
"""In the order in which they are asked whether a request is meant for them."""
EMBEDDINGS: tuple[Wire, ...] = (
    OpenAIEmbeddings(),
    GeminiEmbeddings(),
    VertexEmbeddings(),
    OllamaEmbeddings(),
)
_MISDIRECTED = Failure(
    421, "invalid_request_error", "This server does not accept the name in the Host header."
)
# The first byte of a TLS connection (RFC 8446, 5.1); no HTTP request begins with it.
_TLS_HANDSHAKE = b"\x16"


class Server:
    """What all connections share: the script, the log, the answers under way."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        require_key: bool,
        names: LocalNames,
        log: RequestLog,
        controls: Callable[[Request], tuple[int, bytes] | None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.behaviour = behaviour
        self.script: deque[Behaviour] = deque()
        self.log = log
        self.connections: set[Connection] = set()
        self.numbers = itertools.count()
        self._require_key = require_key
        self._names = names
        self._controls = controls
        self._serials = itertools.count(1)
        self._now = now

    def respond(self, request: Request, connection: int) -> tuple[Reply, Entry | None]:
        """Decide the reply. What is asked of the emulator itself is not noted."""
        stamp = Stamp(next(self._serials), self._now())
        if not self._is_for_us(request):
            return reply.refusal(OPENAI, _MISDIRECTED, stamp), None
        controlled = self._controls(request)
        if controlled is not None:
            status, body = controlled
            return reply.document(body, stamp, status=status), None
        try:
            document = parse(request.body)
        except ValueError:
            document = None
        entry = self.log.add(request, document, connection)
        answer = self._answer(request, stamp)
        entry.status = None if answer.behaviour.hang_up else answer.status
        return answer, entry

    def _is_for_us(self, request: Request) -> bool:
        host = request.headers.get("host")
        # Who opened it to the network has names for it that it cannot know; there is nothing here to steal.
        return host is None or self._names.everywhere or host in self._names

    def release(self, n: int | None, index: int | None) -> None:
        """Let withheld tokens go, in one answer or in all that are under way."""
        for connection in list(self.connections):
            if connection.player is None or connection.entry is None:
                continue
            if index is None or connection.entry.index == index:
                connection.player.release(n)

    def reset(self) -> None:
        """Drop the script and the log, and close the connections that are being answered."""
        self.script.clear()
        for connection in list(self.connections):
            if connection.entry is not None:
                connection.abort()
        self.log.clear()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.abort()

    def _answer(self, request: Request, stamp: Stamp) -> Reply:
        path, method = request.path, request.method
        meant = next(wire for wire in WIRES if wire.is_meant(path, request.headers))
        if method in ("GET", "HEAD") and meant.lists_at(path):
            models = reply.document(meant.models(), stamp)
            return models if method == "GET" else reply.without_body(models)
        wire = next((wire for wire in (*WIRES, *EMBEDDINGS) if wire.answers_at(path)), None)
        if wire is None or method != "POST":
            refused = reply.refusal(wire or meant, _unknown(request, wire or meant), stamp)
            return reply.without_body(refused) if method == "HEAD" else refused
        ask = wire.check(
            request.headers, request.body, require_key=self._require_key, target=request.target
        )
        if isinstance(ask, Failure):
            return reply.refusal(wire, ask, stamp)
        try:
            behaviour = self.script.popleft()
        except IndexError:
            behaviour = self.behaviour
        return reply.answer(wire, ask, behaviour, stamp)


class Connection(asyncio.Protocol):
    """One TCP connection: requests one after the other, each answered before the next is read."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = RequestParser()
        self._transport: asyncio.Transport | None = None
        self._number = next(server.numbers)
        self._closing = False
        self._is_new = True
        self.player: Player | None = None
        self.entry: Entry | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part in the server."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)
        self._server.log.set_connections(len(self._server.connections))

    def data_received(self, data: bytes) -> None:
        """Take in bytes of a request; a client that begins with TLS, as after a mistyped https://, is left at once."""
        if self._is_new and data.startswith(_TLS_HANDSHAKE):
            self._closing = True
            assert self._transport is not None
            self._transport.close()
            return
        self._is_new = False
        self._parser.feed(data)
        if self.player is None and not self._closing:
            self._next_request()

    def eof_received(self) -> bool:
        """Take the client's end for its leaving: no client of these APIs reads on after it."""
        if self.player is not None:
            self.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is being answered."""
        self._server.connections.discard(self)
        if self.player is not None:
            self.player.stop()
            self.player = None
        if self.entry is not None:
            self.entry.ends("client_gone")
            self.entry = None
        self._server.log.set_connections(len(self._server.connections))

    def pause_writing(self) -> None:
        """Wait for a client that does not keep up."""
        if self.player is not None:
            self.player.pause()

    def resume_writing(self) -> None:
        """Go on."""
        if self.player is not None:
            self.player.resume()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next_request(self) -> None:
        assert self._transport is not None
        try:
            request = self._parser.next()
        except RequestError as error:
            self._refuse(error)
            return
        if request is None:
            if self._parser.wants_continue():
                self._transport.write(http.CONTINUE)
            return
        answer, self.entry = self._server.respond(request, self._number)
        self._play(answer, keep_alive=request.keep_alive)

    def _refuse(self, error: RequestError) -> None:
        stamp = Stamp(0, 0.0)
        kind = "request_too_large" if error.status == 413 else "invalid_request_error"
        failure = Failure(error.status, kind, error.message)
        self._play(reply.refusal(ANTHROPIC, failure, stamp), keep_alive=False)

    def _play(self, answer: Reply, *, keep_alive: bool) -> None:
        assert self._transport is not None
        self.player = Player(
            answer,
            self._transport,
            loop=self._loop,
            entry=self.entry,
            keep_alive=keep_alive,
            on_end=self._ended,
        )
        self.player.start()

    def _ended(self) -> None:
        assert self._transport is not None
        assert self.player is not None
        closes = self.player.closes
        self.player = self.entry = None
        if closes:
            self._closing = True
            self._transport.close()
        else:
            self._next_request()


def _unknown(request: Request, wire: Wire) -> Failure:
    if wire.answers_at(request.path):
        return Failure(405, "invalid_request_error", f"Not allowed to {request.method} here.")
    kind = "not_found_error" if wire is ANTHROPIC else "invalid_request_error"
    message = f"Invalid URL ({request.method} {request.path})"
    return Failure(404, kind, message)
