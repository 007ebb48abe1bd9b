"""The transport over aiohttp: async only, and the one that holds ten thousand open streams."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextvars import ContextVar
from typing import Any

from llmkit._proxies import SOCKS, Proxies, Proxy, no_proxy_url, origin_of, unusable
from llmkit._tls import tls_context, untrusted
from llmkit.errors import (
    ConnectionFailed,
    MissingExtra,
    ProviderError,
    ProviderTimeout,
)
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import system_error

try:
    import aiohttp
    from yarl import URL
except ImportError:
    raise MissingExtra("aiohttp", "aiohttp") from None


# aiohttp holds twice as many bytes, and gives them out at once: for a slow browser all of it is held several times over. Below this mark
# it looks for more after every chunk that is taken out, and an answer comes in hundreds of small ones.
BUFFER = 16 * 1024


# Whether the request of this task goes over a connection that was made for it.
_is_new: ContextVar[bool] = ContextVar("is_new", default=False)


class _Connector(aiohttp.TCPConnector):
    """Tells whether it has made a connection, which aiohttp says only to tracers, at a price for every request."""

    async def _create_connection(self, *args: Any, **kwargs: Any) -> Any:
        _is_new.set(True)
        return await super()._create_connection(*args, **kwargs)


class AiohttpTransport:
    """Keeps one aiohttp session for one event loop.

    aiohttp's defaults are set aside where they would hurt: it would follow redirects and carry the key to another host, stop
    at 100 connections in silence, end a stream after five minutes and keep cookies. It would look up ~/.netrc at every request,
    too, to learn of a proxy: here the environment is asked once for each address.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0, limit_per_host=0, keepalive_timeout=60, ssl=tls_context()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=BUFFER,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent",),
        )
        self._proxies = Proxies()

    def start(self, request: HTTPRequest, *, connect_timeout: float) -> AiohttpExchange:
        """Start an exchange; nothing is sent yet. `connect_timeout` is in seconds."""
        proxy = self._proxies.of(origin_of(request.url))
        url = None if proxy is None else _url_of(proxy)
        return AiohttpExchange(self._session, request, connect_timeout, url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


class AiohttpExchange:
    """One request and its answer."""

    __slots__ = (
        "_answer",
        "_connect_timeout",
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
    ) -> None:
        self._session = session
        self._request: HTTPRequest | None = request
        self._connect_timeout = connect_timeout
        self._proxy = proxy
        self._answer: aiohttp.ClientResponse | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def open(self) -> None:
        """Send the request and read the head of the answer."""
        request, self._request = self._request, None
        assert request is not None  # noqa: S101  # an exchange is opened once
        _is_new.set(False)
        try:
            answer = await self._session.request(
                request.method,
                request.url,
                headers={**request.headers, "accept-encoding": "identity"},
                data=request.content,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            )
        except (aiohttp.ClientError, OSError) as error:
            failure = self.to_error(error)
            if isinstance(failure, ConnectionFailed) and failure.sent:
                failure.stale = not _is_new.get()
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

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception of aiohttp means."""
        failure = _to_error(error, self._connect_timeout)
        failure.__cause__ = system_error(error)
        return failure

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._answer is not None:
            self._answer.close()

    def let_go(self) -> bool:
        """Give the connection back if the body is over."""
        if self._answer is None or not self._answer.content.at_eof():
            return False
        self._answer.release()
        return True

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else cut it."""
        if self._answer is not None and not self.let_go():
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


def _to_error(error: Exception, connect_timeout: float) -> ProviderError:
    failure = _unconnected(error, connect_timeout)
    if failure is not None:
        failure.sent = False
        return failure
    return ConnectionFailed(f"the connection to the provider broke ({type(error).__name__})")


def _unconnected(error: Exception, connect_timeout: float) -> ProviderError | None:
    """Say why there was no connection, if that is it."""
    if isinstance(error, aiohttp.ServerTimeoutError):  # reading has no timeout here
        return ProviderTimeout("connect", connect_timeout)
    if (failure := untrusted(error)) is not None:
        return failure
    no_tunnel = aiohttp.ClientHttpProxyError  # the proxy's answer to CONNECT
    if isinstance(error, aiohttp.ClientConnectorError | no_tunnel | aiohttp.InvalidURL):
        return ConnectionFailed(
            "could not connect to the provider",
            hint="Check the provider's base_url, and that this machine can reach it.",
        )
    return None
