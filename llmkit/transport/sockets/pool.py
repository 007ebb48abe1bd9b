"""The connections that threads share, and an exchange over one of them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

from llmkit.concurrency.timers import Timer, timers
from llmkit.errors import ConnectionFailed, ProviderError
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import free
from llmkit.transport.base import KEEP_IDLE, NOT_SUPPORTED, not_usable, unconnected
from llmkit.transport.http1.requests import address_of, request_bytes
from llmkit.transport.proxies import SOCKS, Proxies, Proxy, origin_of, unusable
from llmkit.transport.tls import tls_context

try:
    from llmkit.transport.http1.answers import Headers
    from llmkit.transport.sockets.connection import Connection
    from llmkit.transport.sockets.dialling import Dialling
except ImportError as error:
    raise not_usable(error, "httptools", "native") from None


class SocketTransport:
    """Keeps connections for all threads, for so many seconds those that nobody uses. The one that was used last serves next."""

    def __init__(
        self, *, keep_idle: float = KEEP_IDLE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep_idle = keep_idle
        self._clock = clock
        self.tls = tls_context()
        self._proxies = Proxies()
        # The collector may close this in a thread that holds it.
        self._lock = threading.RLock()
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)
        self._sweeper: Timer | None = None
        self._closed = False

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> SocketExchange:
        """Start an exchange; nothing is sent yet. See `llmkit.transport.base`."""
        origin = origin_of(request.url)
        proxy = self._proxies.of(origin)
        if proxy is not None and (
            proxy.scheme in SOCKS or (proxy.scheme == "https" and origin.startswith("https:"))
        ):
            raise unusable(proxy, hint=NOT_SUPPORTED)
        return SocketExchange(self, request, proxy, connect_timeout, fresh=fresh)

    def take(self, origin: str, *, fresh: bool) -> Connection | None:
        """Return a connection that is kept; None where a new one has to be made. If it has to be fresh, those that are kept are closed."""
        while True:
            with self._lock:
                connection = self._idle[origin].pop() if self._idle[origin] else None
            if connection is None or (not fresh and connection.is_open):
                return connection
            connection.close()

    def give_back(self, origin: str, connection: Connection) -> None:
        """Keep a connection whose last answer is over, if it can serve again."""
        connection.idle_since = self._clock()
        with self._lock:
            kept = not self._closed and connection.renew()
            if kept:
                self._idle[origin].append(connection)
                if self._sweeper is None:
                    self._sweeper = timers.call_later(self._keep_idle, self._sweep)
        if not kept:
            connection.close()

    def _sweep(self) -> None:
        """Close what nobody has used for long: its provider may have forgotten it."""
        oldest = self._clock() - self._keep_idle
        old = []
        with self._lock:
            since = []
            for kept in list(self._idle.values()):
                while kept and kept[0].idle_since <= oldest:
                    old.append(kept.pop(0))
                since += [each.idle_since for each in kept[:1]]
            again = since and not self._closed
            self._sweeper = timers.call_later(min(since) - oldest, self._sweep) if again else None
        for connection in old:
            connection.close()

    def close(self) -> None:
        """Close all connections that nobody uses; those in use are closed when they are given back."""
        with self._lock:
            self._closed = True
            found = [each for kept in self._idle.values() for each in kept]
            self._idle.clear()
            sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
        for connection in found:
            connection.close()


class SocketExchange:
    """One request and its answer."""

    __slots__ = (
        *("_closing", "_connect_timeout", "_dialling", "_fresh", "_connection", "_origin", "_pool"),
        *("_proxy", "_request", "headers", "sent", "status"),
    )

    def __init__(
        self,
        pool: SocketTransport,
        request: HTTPRequest,
        proxy: Proxy | None,
        connect_timeout: float,
        *,
        fresh: bool,
    ) -> None:
        self._pool = pool
        self._request: HTTPRequest | None = request
        self._proxy = proxy
        self._connect_timeout = connect_timeout
        self._fresh = fresh
        self._dialling: Dialling | None = Dialling(pool.tls, connect_timeout)
        self._connection: Connection | None = None
        self._origin = ""
        self._closing = threading.Lock()
        self.sent = False
        self.status = 0
        self.headers: Mapping[str, str] = Headers()

    def open(self) -> None:
        """Send the request and read the head of the answer."""
        (request, dialling), self._request = (self._request, self._dialling), None
        assert request is not None and dialling is not None  # noqa: S101, PT018  # an exchange is opened once
        try:
            address = address_of(request.url)
            message = request_bytes(request, address, None if address.is_tls else self._proxy)
            kept = self._pool.take(address.origin, fresh=self._fresh)
            connection = kept or dialling.connect(address, self._proxy)
        except Exception as error:  # noqa: BLE001  # that of a codec, too, for an address that cannot be
            failure = self.to_error(error)
            free(error, but=failure.__cause__)
        else:
            self._origin = address.origin
            with self._closing:
                self._connection, self._dialling = connection, None
                if dialling.aborted:
                    connection.abort()
            self.sent = True
            connection.ask(message)
            try:
                connection.head()
            except ConnectionFailed as error:
                error.stale = kept is not None and connection.answers.is_silent
                raise
            self.status = connection.answers.status
            self.headers = connection.answers.headers
            return
        raise failure  # out here, so that it does not carry along what it came from

    def read(self) -> bytes:
        """Return what has come, once something has; nothing at the end of the body."""
        connection = self._connection
        if connection is None:
            raise ConnectionFailed("the connection is closed")
        return connection.read()

    @property
    def is_over(self) -> bool:
        """Whether the body is over, and was read."""
        return self._connection is not None and self._connection.answers.is_over

    def to_error(self, error: Exception) -> ProviderError:
        """Say why there is no connection; `read` raises none but ours."""
        return unconnected(error, self._connect_timeout)

    def abort(self) -> None:
        """Cut the connection at once, also one that is being made."""
        with self._closing:
            if self._connection is not None:
                self._connection.abort()
            elif self._dialling is not None:
                self._dialling.abort()

    def try_release(self) -> bool:
        """Give the connection back if the body is over."""
        if not self.is_over:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else cut it."""
        with self._closing:
            connection, self._connection = self._connection, None  # it may soon serve another
        if connection is not None:
            self._pool.give_back(self._origin, connection)
