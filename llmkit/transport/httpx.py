"""What threads and event loops share of httpx, and of httpx2, which has the same names and other classes."""

from __future__ import annotations

import socket
import ssl
import sys
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Generic, TypeVar

import httpx

from llmkit.errors import ConnectionFailed, ProviderError, ProviderTimeout
from llmkit.tracebacks import system_error
from llmkit.transport.base import unreachable
from llmkit.transport.proxies import SOCKS, Proxy, no_proxy_url, refused, unusable
from llmkit.transport.tls import untrusted

_NO_COOKIES = DefaultCookiePolicy(allowed_domains=())
C = TypeVar("C", bound=httpx.AsyncClient | httpx.Client)


class Line(Generic[C]):
    """A client with the socket of its one connection, as far as httpx has told us."""

    __slots__ = ("_copy", "client", "idle_since", "origin", "package", "socket")

    def __init__(self, client: C, origin: str) -> None:
        self.client = client
        self.package = package_of(client)
        self.origin = origin
        self.idle_since = 0.0
        self.socket: socket.socket | None = None
        self._copy: socket.socket | None = None

    def hold(self, found: Any, *, copied: bool) -> None:  # a socket, or a loop's stand-in for one
        """Take note of the connection's socket.

        Args:
            found: the socket.
            copied: whether TLS may take it over, so that only a copy can be shut down from here on.
        """
        self.release()
        if copied or type(found).__module__.startswith("uvloop"):
            # uvloop's stand-in cannot be shut down, and does not know when its number has become another connection's.
            self._copy = found = found.dup()
        self.socket = found

    def release(self) -> None:
        """Let a copy go, lest the connection stays open with it."""
        if self._copy is not None:
            self._copy.close()
            self._copy = self.socket = None


def package_of(client: object) -> ModuleType:
    """Return httpx, or httpx2 where the app's client is of that: neither takes what is the other's."""
    for kind in type(client).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return httpx


def no_cookies() -> CookieJar:
    """Make a jar that takes no cookie, and so sends none back."""
    return CookieJar(policy=_NO_COOKIES)


def proxy_url(proxy: Proxy) -> str:
    """Write a proxy's URL as every httpx takes it.

    Until 0.28 it does not know socks5h, where the proxy looks up the names; with httpx it does so for socks5, too.
    """
    return "socks5" + proxy.url[len(proxy.scheme) :] if proxy.scheme in SOCKS else proxy.url


def proxy_of(proxy: Proxy | None, ssl_context: ssl.SSLContext | None) -> httpx.Proxy | None:
    """Write a proxy for httpx.

    Raises:
        ConfigError: it cannot be used.
    """
    if proxy is None:
        return None
    if proxy.scheme in SOCKS and find_spec("socksio") is None:
        raise unusable(proxy, hint="Install httpx[socks], or add the provider's host to NO_PROXY.")
    tls = ssl_context if proxy.scheme == "https" else None
    try:
        return httpx.Proxy(proxy_url(proxy), ssl_context=tls)
    except (httpx.InvalidURL, ValueError):
        raise no_proxy_url(proxy.variable) from None


def to_error(error: Exception, connect_timeout: float, *, sent: bool) -> ProviderError:
    """Turn an exception of httpx or httpx2 into ours. It says no URL and no header.

    Args:
        error: what was raised.
        connect_timeout: in seconds.
        sent: whether the request had begun to go out, as far as its client has told.
    """
    failure = _unconnected(error, connect_timeout)
    if failure is None and not sent:
        failure = unreachable()
    if failure is not None:
        failure.sent = False
    else:
        failure = ConnectionFailed(f"the connection to the provider broke ({type(error).__name__})")
    failure.__cause__ = system_error(error)
    return failure


def broke_unanswered(error: Exception) -> bool:
    """Whether a connection broke before one byte of an answer came, as far as HTTP/1.1 shows.

    httpcore says it in the same words when a part of a head came. Only h11 knows, which has kept that part to wait for the rest.
    """
    if type(error).__name__ not in ("ReadError", "WriteError", "RemoteProtocolError"):
        return False
    state = _h11_state(error)
    return (
        state is not None
        and state.their_state.__name__ == "SEND_RESPONSE"  # not ERROR, as after what is no HTTP
        and not state.trailing_data[0]
    )


def _h11_state(error: Exception) -> Any:  # an h11.Connection, or None
    """Find the state of the connection that an error comes from."""
    cause = error.__cause__ or error.__context__  # httpcore's own
    trace = None if cause is None else cause.__traceback__
    while trace is not None:
        state = getattr(trace.tb_frame.f_locals.get("self"), "_h11_state", None)
        if state is not None:
            return state
        trace = trace.tb_next
    return None


def _unconnected(error: Exception, connect_timeout: float) -> ProviderError | None:
    """Say why there was no connection, if that is it."""
    name = type(error).__name__
    if name == "ConnectError" and (failure := untrusted(error)) is not None:
        return failure
    if name in ("ConnectTimeout", "PoolTimeout"):
        return ProviderTimeout("connect", connect_timeout)
    if name == "ProxyError":
        return refused()
    return unreachable() if name in ("ConnectError", "UnsupportedProtocol") else None
