"""The connections that are kept, and an exchange over one of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from llmkit.errors import ConnectionFailed, ProviderError
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import free
from llmkit.transport.base import KEEP_IDLE, NOT_SUPPORTED, not_usable, unconnected
from llmkit.transport.http1.requests import Address, address_of, request_bytes
from llmkit.transport.proxies import Proxies, Proxy, origin_of, unusable

try:
    from llmkit.transport.http1.answers import Headers
    from llmkit.transport.native.connection import Connection
    from llmkit.transport.native.dialling import Dialler, LookUp
except ImportError as error:
    raise not_usable(error, "httptools", "native") from None


class NativeTransport:
    """Keeps the connections of one event loop, for so many seconds those that nobody uses. The one that was used last serves next."""

    def __init__(self, *, keep_idle: float = KEEP_IDLE, look_up: LookUp | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialler = Dialler(self._loop, look_up)
        self._proxies = Proxies()
        self._keep_idle = keep_idle
        self._idle: defaultdict[str, list[Connection]] = defaultdict(list)
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> NativeExchange:
        """Start an exchange; nothing is sent yet. See `llmkit.transport.base`."""
        origin = origin_of(request.url)
        proxy = self._proxies.of(origin)
        if proxy is not None and not self._dialler.can_reach(origin, proxy):
            raise unusable(proxy, hint=NOT_SUPPORTED)
        return NativeExchange(self, request, proxy, connect_timeout, fresh=fresh)

    def take(self, address: Address, *, fresh: bool) -> Connection | None:
        """Return a connection that is kept; None where a new one has to be made. If it has to be fresh, those that are kept are closed."""
        idle = self._idle.get(address.origin)
        while idle:
            connection = idle.pop()
            if fresh:
                connection.cut()
            elif connection.is_open:
                return connection
        return None

    async def connect(self, address: Address, proxy: Proxy | None, seconds: float) -> Connection:
        """Make a new connection, in so much time."""
        async with asyncio.timeout(seconds):
            return await self._dialler.connect(address, proxy)
        raise TimeoutError  # which is raised above

    def give_back(self, origin: str, connection: Connection) -> None:
        """Keep a connection whose last answer is over, if it can serve again."""
        if self._closed:
            connection.cut()
        elif connection.renew():
            connection.idle_since = self._loop.time()
            self._idle[origin].append(connection)
            if self._sweeper is None:
                self._sweeper = self._loop.call_later(self._keep_idle, self._sweep)

    def _sweep(self) -> None:
        """Close what nobody has used for long: its provider may have forgotten it."""
        oldest = self._loop.time() - self._keep_idle
        kept: defaultdict[str, list[Connection]] = defaultdict(list)
        for origin, connections in self._idle.items():
            for connection in connections:
                if connection.idle_since <= oldest:
                    connection.cut()
                elif connection.is_open:
                    kept[origin].append(connection)
        self._idle = kept
        since = [connections[0].idle_since for connections in kept.values()]
        self._sweeper = self._loop.call_later(min(since) - oldest, self._sweep) if since else None

    async def aclose(self) -> None:
        """Close all connections that nobody uses; those in use are closed when they are given back."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.cut()
        self._idle.clear()
        self._dialler.close()
        await asyncio.sleep(0)  # the loop closes a socket in its next round


class NativeExchange:
    """One request and its answer."""

    __slots__ = (
        *("_connect_timeout", "_connection", "_fresh", "_origin", "_pool", "_proxy", "_request"),
        *("headers", "read", "sent", "status"),
    )

    def __init__(
        self,
        pool: NativeTransport,
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
        self._connection: Connection | None = None
        self._origin = ""
        # The connection's own, without a call between for every token.
        self.read: Callable[[], Awaitable[bytes]] = _closed
        self.sent = False
        self.status = 0
        self.headers: Mapping[str, str] = Headers()

    async def open(self) -> None:
        """Send the request and read the head of the answer."""
        request, self._request = self._request, None
        assert request is not None  # noqa: S101  # an exchange is opened once
        try:
            address = address_of(request.url)
            message = request_bytes(request, address, None if address.is_tls else self._proxy)
            kept = self._pool.take(address, fresh=self._fresh)
            seconds = self._connect_timeout
            connection = kept or await self._pool.connect(address, self._proxy, seconds)
        except Exception as error:  # noqa: BLE001  # that of a codec, too, for an address that cannot be
            failure = self.to_error(error)
            free(error, but=failure.__cause__)
        else:
            self._connection, self._origin = connection, address.origin
            self.sent = True
            connection.ask(message)
            try:
                await connection.head()
            except ConnectionFailed as error:
                error.stale = kept is not None and connection.answers.is_silent
                raise
            self.status = connection.answers.status
            self.headers = connection.answers.headers
            self.read = connection.read
            return
        raise failure  # out here, so that it does not carry along what it came from

    @property
    def is_over(self) -> bool:
        """Whether the body is over, and was read."""
        return self._connection is not None and self._connection.answers.is_over

    def to_error(self, error: Exception) -> ProviderError:
        """Say why there is no connection; `read` raises none but ours."""
        return unconnected(error, self._connect_timeout)

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._connection is not None:
            self._connection.cut()

    def try_release(self) -> bool:
        """Give the connection back if the body is over."""
        if not self.is_over:
            return False
        self._let_go()
        return True

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else cut it."""
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self.read = _closed
        if connection is not None:
            self._pool.give_back(self._origin, connection)


def _closed() -> Awaitable[bytes]:
    """Read from a connection that was given back, or was never there."""
    raise ConnectionFailed("the connection is closed")
