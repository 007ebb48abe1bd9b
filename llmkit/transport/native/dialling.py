"""How a connection is made: names are looked up, addresses tried, tunnels through proxies opened, and TLS begun."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from llmkit.errors import ConnectionFailed
from llmkit.transport.base import unreachable
from llmkit.transport.http1.requests import Address, host_of, tunnel_to
from llmkit.transport.native.connection import Connection
from llmkit.transport.proxies import SOCKS, Proxy, refused
from llmkit.transport.tls import tls_context

LookUp: TypeAlias = Callable[[str, int], Coroutine[Any, Any, list[AddrInfoType]]]

# How long an address is waited for before the next one is tried beside it, in seconds (RFC 8305, 5).
EYEBALLS_DELAY = 0.25
# How long the addresses of a name are good for, in seconds.
KEEP_NAMES = 10.0


class Dialler:
    """Makes connections in one event loop. `look_up` finds the addresses of a host and a port; the system does without it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, look_up: LookUp | None = None) -> None:
        self._loop = loop
        self._find = look_up or self._system
        self._tls = tls_context()
        self._names: dict[tuple[str, int], tuple[float, asyncio.Task[list[AddrInfoType]]]] = {}

    def can_reach(self, origin: str, proxy: Proxy) -> bool:
        """Whether a proxy can be used for an address: not SOCKS, and TLS inside TLS only on asyncio's own loop."""
        if proxy.scheme in SOCKS:
            return False
        inside = proxy.scheme == "https" and origin.startswith("https:")
        return not inside or isinstance(self._loop, asyncio.BaseEventLoop)

    async def connect(self, address: Address, proxy: Proxy | None) -> Connection:
        """Make a connection over which a request can be sent.

        Raises:
            ConnectionFailed: the proxy refuses, or broke off.
            OSError: there is no connection, or no trust.
            ValueError: the URL of the proxy is none.
        """
        if proxy is None:
            connection = await self._dial(address.host, address.port)
        else:
            host, port = host_of(urlsplit(proxy.url))
            connection = await self._dial(host, port)
            if proxy.scheme == "https":
                connection = await self._secured(connection, host)
            if address.is_tls:
                await self._tunnel(connection, address, proxy)
        return await self._secured(connection, address.host) if address.is_tls else connection

    async def _dial(self, host: str, port: int) -> Connection:
        infos = await self._look_up(host, port)
        line = await start_connection(
            infos, happy_eyeballs_delay=EYEBALLS_DELAY, interleave=1, loop=self._loop
        )
        connection = Connection(self._loop)
        try:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            await self._loop.create_connection(lambda: connection, sock=line)
        except BaseException:
            connection.cut()
            line.close()
            raise
        return connection

    async def _tunnel(self, connection: Connection, address: Address, proxy: Proxy) -> None:
        """Ask a proxy for a tunnel to an address."""
        connection.ask(tunnel_to(address, proxy))
        try:
            await connection.head()
            if not 200 <= connection.answers.status < 300:
                raise refused()
        except BaseException as error:
            connection.cut()
            if isinstance(error, ConnectionFailed) and connection.answers.status == 0:
                raise unreachable() from None
            raise

    async def _secured(self, connection: Connection, host: str) -> Connection:
        """Begin TLS over a connection. Whoever answers there has to have a certificate for the host."""
        outer, inner = connection.detach(), Connection(self._loop)
        if outer is None:
            raise unreachable()
        # To connect with TLS at once would leave a cycle of uvloop's where it is cancelled.
        name = host.removesuffix(".")  # which ends a name for the resolver only
        try:
            line = await self._loop.start_tls(outer, inner, self._tls, server_hostname=name)
        except BaseException:
            inner.cut()
            raise
        assert line is not None  # noqa: S101  # it is not, for a connection that stands
        inner.connection_made(line)
        return inner

    async def _look_up(self, host: str, port: int) -> list[AddrInfoType]:
        """Return the addresses of a name: looked up once for all who ask for it at one time, and kept for a little while."""
        try:
            family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        except ValueError:
            pass
        else:
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
        now = self._loop.time()
        until, found = self._names.get((host, port), (0.0, None))
        if found is None or until < now:
            for name in [name for name, (end, _) in self._names.items() if end < now]:
                del self._names[name]
            # It outlives the call that asks first, and knows nothing of it.
            found = self._loop.create_task(self._find(host, port), context=Context())
            found.add_done_callback(partial(self._keep, (host, port)))
            self._names[host, port] = now + KEEP_NAMES, found
        return await asyncio.shield(found)

    def _keep(self, name: tuple[str, int], found: asyncio.Task[list[AddrInfoType]]) -> None:
        """Keep what was found; a failure only as long as it is waited for."""
        failed = found.cancelled() or found.exception() is not None
        if failed and self._names.get(name, (0.0, None))[1] is found:  # and not a later one
            del self._names[name]

    def close(self) -> None:
        """Look no more up."""
        for _, found in list(self._names.values()):
            found.cancel()

    async def _system(self, host: str, port: int) -> list[AddrInfoType]:
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        return list(found)
