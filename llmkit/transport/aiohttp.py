"""The transport over aiohttp: async only, and the one that holds ten thousand open streams."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from llmkit.errors import (
    ConnectionFailed,
    MissingExtra,
    ProviderError,
    ProviderTimeout,
)
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import free, system_error
from llmkit.transport.base import BUFFER, KEEP_IDLE, unreachable
from llmkit.transport.proxies import (
    SOCKS,
    Proxies,
    Proxy,
    no_proxy_url,
    origin_of,
    refused,
    unusable,
)
from llmkit.transport.tls import tls_context, untrusted

try:
    import aiohttp
    from yarl import URL
except ImportError:
    raise MissingExtra("aiohttp", "aiohttp") from None


@dataclass(slots=True)
class _Progress:
    """How far a request has come.

    Attributes:
        fresh: whether it has to go over a new connection.
        is_new: whether it goes over a connection that was made for it.
        sent: whether it may have begun to go out: the connection stands, with the tunnel through a proxy and TLS.
        unanswered: whether its connection broke before one byte of the answer came.
    """

    fresh: bool
    is_new: bool = False
    sent: bool = False
    unanswered: bool = False


# That of the request that this task makes. aiohttp tells of it only to tracers, at a price for every request.
_progress: ContextVar[_Progress] = ContextVar("progress")


class _Connector(aiohttp.TCPConnector):
    """Tells whether it has made a connection and when it stands, and makes one where it has to."""

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        progress = _progress.get()
        connection = await super().connect(*args, **kwargs)
        while progress.fresh and not progress.is_new:
            connection.close()  # one of those that were kept was dead, and this one is as old
            connection = await super().connect(*args, **kwargs)
        progress.sent = True
        return connection

    async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
        _progress.get().is_new = True
        return await super()._create_connection(*args, **kwargs)


class _Answer(aiohttp.ClientResponse):
    """Tells whether a part of its head had come when the connection broke: the parser is asked, which the connection then forgets."""

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        parser = getattr(connection.protocol, "_parser", None)
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            _progress.get().unanswered = parser is None or _is_unused(parser)
            raise


def _is_unused(parser: Any) -> bool:  # of aiohttp, in C or in Python
    """Whether a parser has taken in nothing: only then does it read a head as it is, and not as the rest of another one."""
    try:
        ((message, _),), _, _ = parser.feed_data(b"HTTP/1.1 204 unused\r\n\r\n")
    except Exception:  # noqa: BLE001  # of whatever kind
        return False
    return (message.code, message.reason, len(message.headers)) == (204, "unused", 0)


class AiohttpTransport:
    """Keeps one aiohttp session for one event loop.

    aiohttp's defaults are set aside where they would hurt: it would follow redirects and carry the key to another host, stop
    at 100 connections in silence, end a stream after five minutes and keep cookies. It would look up ~/.netrc at every request,
    too, to learn of a proxy: here the environment is asked once for each address.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0, limit_per_host=0, keepalive_timeout=KEEP_IDLE, ssl=tls_context()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # It holds twice as many bytes, and gives them out at once: for a slow browser all of it is held several times over. Below this
            # mark it looks for more after every chunk that is taken out, and an answer comes in hundreds of small ones.
            read_bufsize=BUFFER,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent",),
            response_class=_Answer,
        )
        self._proxies = Proxies()

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> AiohttpExchange:
        """Start an exchange; nothing is sent yet. See `llmkit.transport.base`."""
        proxy = self._proxies.of(origin_of(request.url))
        url = None if proxy is None else _url_of(proxy)
        return AiohttpExchange(self._session, request, connect_timeout, url, fresh=fresh)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class AiohttpExchange:
    """One request and its answer."""

    __slots__ = (
        "_answer",
        "_connect_timeout",
        "_progress",
        "_proxy",
        "_request",
        "_session",
        "headers",
        "status",
    )

    def __init__(
        self,
        session: aiohttp.ClientSession,
        request: HTTPRequest,
        connect_timeout: float,
        proxy: URL | None,
        *,
        fresh: bool,
    ) -> None:
        self._session = session
        self._request: HTTPRequest | None = request
        self._connect_timeout = connect_timeout
        self._proxy = proxy
        self._progress = _Progress(fresh)
        self._answer: aiohttp.ClientResponse | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}

    @property
    def sent(self) -> bool:
        """Whether the request may have begun to go out."""
        return self._progress.sent

    async def open(self) -> None:
        """Send the request and read the head of the answer."""
        request, self._request = self._request, None
        assert request is not None  # noqa: S101  # an exchange is opened once
        _progress.set(self._progress)
        try:
            answer = await self._session.request(
                request.method,
                request.url,
                headers={**request.headers, "accept-encoding": "identity"},
                data=request.content,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
            )
        except Exception as error:  # noqa: BLE001  # that of a codec, too, for an address that cannot be
            failure = self.to_error(error)
            if isinstance(failure, ConnectionFailed) and failure.sent:
                failure.stale = self._progress.unanswered and not self._progress.is_new
            free(error, but=failure.__cause__)
        else:
            self._answer = answer
            self.status = answer.status
            self.headers = answer.headers
            return
        raise failure  # out here, so that it does not carry along what it came from

    def read(self) -> Awaitable[bytes]:
        """Return what has come, once something has; nothing at the end of the body."""
        assert self._answer is not None  # noqa: S101  # set by open()
        return self._answer.content.readany()

    @property
    def is_over(self) -> bool:
        """Whether the body is over, and was read."""
        return self._answer is not None and self._answer.content.at_eof()

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception of aiohttp means."""
        failure: ProviderError
        if self._progress.sent:
            failure = ConnectionFailed(
                f"the connection to the provider broke ({type(error).__name__})"
            )
        else:
            failure = _unconnected(error, self._connect_timeout)
            failure.sent = False
        failure.__cause__ = system_error(error)
        return failure

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._answer is not None:
            self._answer.close()

    def try_release(self) -> bool:
        """Give the connection back if the body is over."""
        if self._answer is None or not self.is_over:
            return False
        self._answer.release()
        return True

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else cut it."""
        if self._answer is not None and not self.try_release():
            self._answer.close()


def _url_of(proxy: Proxy) -> URL:
    if proxy.scheme in SOCKS:
        raise unusable(
            proxy,
            hint='aiohttp does not support SOCKS: set "transport": "httpx" and install httpx[socks], or add the provider\'s host to NO_PROXY.',
        )
    try:
        return URL(proxy.url)
    except ValueError:
        raise no_proxy_url(proxy.variable) from None


def _unconnected(error: Exception, connect_timeout: float) -> ProviderError:
    """Say why there was no connection."""
    if isinstance(error, aiohttp.ServerTimeoutError):  # reading has no timeout here
        return ProviderTimeout("connect", connect_timeout)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused()
    return untrusted(error) or unreachable()
