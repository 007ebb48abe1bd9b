# Generated from llmkit/transport/_async/httpx.py. Do not edit.
"""The transport over httpx: the default of threads, and of async where aiohttp is not installed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

from llmkit.concurrency.threads import call_later, owner, run_soon
from llmkit.concurrency.threads import Owner
from llmkit.errors import ConnectionFailed, ProviderError, ProviderTimeout
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import free
from llmkit.transport.base import KEEP_IDLE, shut_down
from llmkit.transport.httpx import (
    Line,
    broke_unanswered,
    no_cookies,
    proxy_of,
    to_error,
)
from llmkit.transport.proxies import Proxies, origin_of
from llmkit.transport.tls import tls_context

if TYPE_CHECKING:
    import asyncio

    from llmkit.concurrency.threads import Timer

_Line: TypeAlias = Line[httpx.Client]


class HttpxTransport:
    """Keeps one httpx client for each connection, and hands out the one that was used last.

    httpx walks its whole pool at the start and the end of every request, and does not say over which kept connection a
    request goes. With one connection a client both stop to matter: taking one is O(1), and the socket is known, so that a
    request can be cut while it waits for its answer.

    Args:
        client: an httpx or httpx2 client to use instead; it stays the caller's to close.
        keep_idle: how long a connection is kept that nobody uses, in seconds.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        client: httpx.Client | None = None,
        *,
        keep_idle: float = KEEP_IDLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._injected = client
        self._keep_idle = keep_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[str, list[_Line]] = defaultdict(list)
        self._ssl_context = tls_context() if client is None else None
        self._proxies = Proxies()
        self._closed = False
        self._trimmer: Timer | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> HttpxExchange:
        """Start an exchange; nothing is sent yet. See `llmkit.transport.base`."""
        return HttpxExchange(self, self._take(request.url, fresh), request, connect_timeout)

    def _take(self, url: str, fresh: bool) -> _Line:  # noqa: FBT001  # as `start` was told
        if self._injected is not None:
            return _Line(self._injected, "")
        origin = origin_of(url)
        if fresh:
            self._forget(origin)
        with self._lock:
            if self._idle[origin]:
                return self._idle[origin].pop()
        client = httpx.Client(
            cookies=no_cookies(),
            verify=self._ssl_context or True,
            trust_env=False,
            proxy=proxy_of(self._proxies.of(origin), self._ssl_context),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )
        return _Line(client, origin)

    def _forget(self, origin: str) -> None:
        """Close what nobody uses of the connections to an address: one of them was dead, and the others are older."""
        with self._lock:
            lines = self._idle.pop(origin, [])
        if lines:
            run_soon(owner(), partial(_close_lines, lines), self._tasks)

    def give_back(self, line: _Line) -> None:
        """Keep a line whose last answer was read to its end."""
        if self._injected is not None:
            return
        line.idle_since = self._clock()
        with self._lock:
            closed = self._closed
            if not closed:
                self._idle[line.origin].append(line)
                if self._trimmer is None:
                    trim = partial(self._trim, owner())
                    self._trimmer = call_later(self._keep_idle, trim)
        if closed:
            line.client.close()

    def _trim(self, owner: Owner) -> None:
        """Close what nobody has used for long: its provider may have closed it, which nobody looks at."""
        oldest = self._clock() - self._keep_idle
        stale: list[_Line] = []
        with self._lock:
            for origin, lines in self._idle.items():
                stale += [line for line in lines if line.idle_since <= oldest]
                self._idle[origin] = [line for line in lines if line.idle_since > oldest]
            kept = [line.idle_since for lines in self._idle.values() for line in lines]
            self._trimmer = None
            if kept and not self._closed:
                trim = partial(self._trim, owner)
                self._trimmer = call_later(min(kept) - oldest, trim)
        if stale:
            run_soon(owner, partial(_close_lines, stale), self._tasks)

    def drop(self, line: _Line) -> None:
        """Close a line that cannot be used again."""
        if self._injected is None:
            line.client.close()

    def close(self) -> None:
        """Close all connections that nobody uses; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            lines = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
            trimmer, self._trimmer = self._trimmer, None
        if trimmer is not None:
            trimmer.cancel()
        _close_lines(lines)


def _close_lines(lines: list[_Line]) -> None:
    for line in lines:
        line.client.close()


def _content_of(answer: httpx.Response) -> Iterator[bytes]:
    """Give the body of an answer that was read, and decoded, before."""
    yield answer.content


class HttpxExchange:
    """One request over one line."""

    def __init__(
        self,
        transport: HttpxTransport,
        line: _Line,
        request: HTTPRequest,
        connect_timeout: float,
    ) -> None:
        self._transport = transport
        self._line = line
        self._request = request
        self._connect_timeout = connect_timeout
        self._answer: httpx.Response | None = None
        self._body: Iterator[bytes] | None = None
        self._at_end = False
        self._aborted = False
        self._is_new = False
        self._is_late = False
        self._connect_clock: Timer | None = None
        self._unfinished: Any = None  # a NetworkStream of httpcore or httpcore2
        self._closed = False
        self._closing = threading.Lock()
        self.sent = False
        self.status = 0
        self.headers: Mapping[str, str] = {}

    def open(self) -> None:
        """Send the request and read the head of the answer."""
        client = self._line.client
        self.sent = not self._line.origin  # a transport of the app's own may not say when
        failure = None
        try:
            answer = client.send(self._message(), stream=True, follow_redirects=False)
        except Exception as error:  # noqa: BLE001  # httpx and httpx2 share names, not classes
            failure = self.to_error(error)
            self.sent = failure.sent
            if isinstance(failure, ConnectionFailed) and failure.sent:
                failure.stale = not self._is_new and broke_unanswered(error)
            free(error, but=failure.__cause__)
        finally:
            self._connected()
        if failure is not None:
            raise failure  # out here, so that it does not carry along what it came from
        self._answer = answer
        if answer.http_version == "HTTP/2":
            self._line.socket = None  # others share it
        else:
            self._note_socket(answer.extensions.get("network_stream"))
        self.status = answer.status_code
        self.headers = answer.headers
        self._body = answer.iter_raw()
        if answer.is_stream_consumed:  # by a mock's Response, or by a hook of the app's client
            self.headers = answer.headers.copy()
            self.headers.pop("content-encoding", None)
            self._body = _content_of(answer)

    def _message(self) -> httpx.Request:
        client = self._line.client
        message = client.build_request(
            self._request.method,
            self._request.url,
            headers={**self._request.headers, "accept-encoding": "identity"},
            content=self._request.content,
            timeout=self._line.package.Timeout(None, connect=self._connect_timeout),
            extensions={"trace": self._trace},
        )
        if "cookie" not in self._request.headers:
            # A client of the app's own may keep what a provider has set for another user's call.
            message.headers.pop("cookie", None)
        return message

    def read(self) -> bytes:
        """Return one chunk of the body; nothing at its end."""
        if self._at_end:
            return b""
        body = self._body
        if body is None:
            raise ConnectionFailed("the connection is closed")
        for chunk in body:
            if chunk and not self._aborted:
                return chunk
            if self._aborted:
                break
        if self._aborted:
            raise ConnectionFailed("the connection was cut")
        self._at_end = True
        return b""

    @property
    def is_over(self) -> bool:
        """Whether the body is over, and was read."""
        return self._at_end

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception of httpx means."""
        if self._is_late:
            failure = ProviderTimeout("connect", self._connect_timeout)
            failure.sent = self.sent
            return failure
        return to_error(error, self._connect_timeout, sent=self.sent)

    def abort(self) -> None:
        """Cut the connection at once."""
        with self._closing:
            if self._closed:
                return  # the connection may serve another by now
            self._aborted = True
            if self._line.socket is not None:
                shut_down(self._line.socket)

    def try_release(self) -> bool:
        """Never: closing an answer of httpx may have to wait."""
        return False

    def close(self) -> None:
        """Give the line back or close it."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        answer, self._answer, self._body = self._answer, None, None
        unfinished, self._unfinished = self._unfinished, None
        kept = False
        try:
            if unfinished is not None:
                # httpcore loses it when it is cancelled before TLS stands.
                unfinished.close()
            if answer is not None:
                answer.close()
                # An answer of httpx and its stream hold each other, and both hold our trace: nothing is to wait for the collector.
                answer.request.extensions = {}
                answer.stream = self._line.package.ByteStream(b"")
            kept = self._at_end and not self._aborted
        finally:
            self._line.release()
            if kept:
                self._transport.give_back(self._line)
            else:
                self._transport.drop(self._line)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        event = event.partition(".")[2]  # of a connection, of one through a proxy, of HTTP/1.1 or 2
        if event in ("connect_tcp.started", "connect_unix_socket.started"):
            self._is_new, self.sent = True, False
            self._connected()
            # httpx gives as long to each step, and for ever to the answer of a proxy.
            self._connect_clock = call_later(self._connect_timeout, self._cut_late)
        elif event == "connect_tcp.complete":
            self._unfinished = info.get("return_value")
            self._note_socket(self._unfinished, copied=True)
        elif event == "start_tls.complete":
            self._note_socket(info.get("return_value"))
        elif event == "send_request_headers.started" and info["request"].method != b"CONNECT":
            self._connected()
            self._unfinished = None
            self.sent = True

    def _cut_late(self) -> None:
        """Cut a connection that takes too long to be made."""
        self._is_late = True
        self.abort()

    def _connected(self) -> None:
        """Stop the clock of connecting."""
        clock, self._connect_clock = self._connect_clock, None
        if clock is not None:
            clock.cancel()

    def _note_socket(self, stream: Any, *, copied: bool = False) -> None:
        if stream is None:
            return
        found = stream.get_extra_info("socket")
        if found is not None:
            self._line.hold(found, copied=copied)
        if self._aborted:
            self.abort()
