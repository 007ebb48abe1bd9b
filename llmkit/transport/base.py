"""The one seam to the network: bytes out, bytes in. Behind it stand one of our own, httpx and aiohttp."""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from llmkit.errors import (
    ConfigError,
    ConnectionFailed,
    MissingExtra,
    ProviderError,
    ProviderTimeout,
)
from llmkit.providers.base import HTTPRequest
from llmkit.tracebacks import place_of, system_error
from llmkit.transport.tls import untrusted

log = logging.getLogger("llmkit.transport")

NOT_SUPPORTED = 'Set "transport": "httpx" (for SOCKS install httpx[socks], too), or add the provider\'s host to NO_PROXY.'
"""How to mend a proxy that a transport of our own does not support."""

# What is read ahead of whoever reads, in bytes, before the network has to wait.
BUFFER = 16 * 1024
# How long a connection is kept that nobody uses, in seconds.
KEEP_IDLE = 60.0


class AsyncExchange(Protocol):
    """One request and its answer. Its headers are found in whatever case they are asked for."""

    status: int
    headers: Mapping[str, str]

    @property
    def sent(self) -> bool:
        """Whether the request may have begun to go out; not while its connection, tunnel and TLS are still being made."""

    async def open(self) -> None:
        """Send the request and read the head of the answer.

        Raises:
            ConnectionFailed: no connection, or it broke.
            ProviderTimeout: the connect clock ran out.
        """

    def read(self) -> Awaitable[bytes]:
        """Return what one network read gave; nothing at the end of the body. Not to be called before `open`.

        Raises:
            LLMKitError: it was aborted.
            Exception: the library's own, which `to_error` turns into ours: a coroutine for every token would do nothing else.
        """

    @property
    def is_over(self) -> bool:
        """Whether the body is known to be over, and was read: the next `read` would return nothing."""

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception that `read` raised means."""

    def abort(self) -> None:
        """Cut the connection at once; a read that waits fails. May be called at any time, more than once."""

    def try_release(self) -> bool:
        """Give the connection back, if the body is over and nothing has to be waited for; else do nothing and return False."""

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else cut it. May be called more than once."""


class Exchange(Protocol):
    """The same for threads. `abort` may come from any thread."""

    status: int
    headers: Mapping[str, str]

    @property
    def sent(self) -> bool:
        """Whether the request may have begun to go out."""

    def open(self) -> None:
        """Send the request and read the head of the answer."""

    def read(self) -> bytes:
        """Return what one network read gave; nothing at the end of the body."""

    @property
    def is_over(self) -> bool:
        """Whether the body is known to be over, and was read: the next `read` would return nothing."""

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception that `read` raised means."""

    def abort(self) -> None:
        """Cut the connection at once; a read that waits fails."""

    def try_release(self) -> bool:
        """Give the connection back, if the body is over and nothing has to be waited for; else do nothing and return False."""

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else cut it."""


class AsyncTransport(Protocol):
    """Makes exchanges over connections that it keeps."""

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> AsyncExchange:
        """Start an exchange; nothing is sent yet.

        Args:
            request: what to send.
            connect_timeout: how long connecting may take, in seconds, with the tunnel through a proxy and TLS.
            fresh: whether to make a new connection, and to close those to the same address that nobody uses. An httpx client of the app's
                own keeps its connections itself, and decides itself.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class Transport(Protocol):
    """Makes exchanges over connections that it keeps, for threads."""

    def start(
        self, request: HTTPRequest, *, connect_timeout: float, fresh: bool = False
    ) -> Exchange:
        """Start an exchange; nothing is sent yet. See `AsyncTransport.start`."""

    def close(self) -> None:
        """Close all connections."""


def unreachable() -> ConnectionFailed:
    """Make the error for a request that was never sent, because no connection could be made."""
    return ConnectionFailed(
        "could not connect to the provider",
        hint="Check the provider's base_url, and that this machine can reach it, through its proxy if it has one.",
    )


def not_usable(error: ImportError, package: str, extra: str) -> ConfigError:
    """Make the error for a package that cannot be imported."""
    if isinstance(error, ModuleNotFoundError):
        return MissingExtra(error.name or package, extra)
    return ConfigError(
        f"{package} cannot be used: {error}",
        hint=f"Run: pip install --upgrade --force-reinstall 'llmkit[{extra}]'",
    )


def unconnected(error: Exception, connect_timeout: float) -> ProviderError:
    """Say why there is no connection, by what was raised while it was made."""
    failure: ProviderError
    if isinstance(error, ConnectionFailed):
        failure = error
    elif isinstance(error, TimeoutError) and error.errno is None:  # the system's own has one
        failure = ProviderTimeout("connect", connect_timeout)
    else:
        if not isinstance(error, OSError | ValueError):
            log.error("the transport failed: %s", place_of(error))
        failure = untrusted(error) or unreachable()
        failure.__cause__ = system_error(error)
    failure.sent = False
    return failure


def shut_down(line: Any) -> None:  # a socket, or asyncio's TransportSocket
    """Shut a socket down in both directions, below TLS: its own method would forget the state of TLS under its reader."""
    with suppress(OSError):  # it is closed already
        if isinstance(line, socket.socket):
            socket.socket.shutdown(line, socket.SHUT_RDWR)
        else:
            line.shutdown(socket.SHUT_RDWR)
