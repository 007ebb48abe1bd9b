"""How a thread makes a connection: addresses are tried, a tunnel through a proxy opened, and TLS begun."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmkit.errors import ConnectionFailed
from llmkit.transport.base import shut_down, unreachable
from llmkit.transport.http1.requests import Address, host_of, tunnel_to
from llmkit.transport.proxies import Proxy, refused
from llmkit.transport.sockets.connection import Connection

if TYPE_CHECKING:
    import ssl


class Dialling:
    """A connection that is being made. It may take so many seconds in all, and `abort` cuts it short, from any thread.

    Neither reaches into the system's look-up of a name.

    Attributes:
        aborted: whether it was.
    """

    __slots__ = ("_changing", "_end", "_now", "_tls", "aborted")

    def __init__(self, tls: ssl.SSLContext, seconds: float) -> None:
        self._tls = tls
        self._end = time.monotonic() + seconds
        self.aborted = False
        self._changing = threading.Lock()
        self._now: socket.socket | None = None

    def connect(self, address: Address, proxy: Proxy | None) -> Connection:
        """Make a connection over which a request can be sent.

        Raises:
            ConnectionFailed: the proxy refuses, or broke off.
            TimeoutError: it took too long.
            OSError: there is no connection, or no trust.
            ValueError: the URL of the proxy is none.
        """
        at = (address.host, address.port) if proxy is None else host_of(urlsplit(proxy.url))
        line = self._dial(*at)
        try:
            if proxy is not None and proxy.scheme == "https":
                line = self._secured(line, at[0])
            elif proxy is not None and address.is_tls:
                self._tunnel(line, address, proxy)
            if address.is_tls:
                line = self._secured(line, address.host)
            line.settimeout(None)
        except BaseException:
            line.close()
            raise
        return Connection(line)

    def abort(self) -> None:
        """Make it fail."""
        with self._changing:
            self.aborted = True
            if self._now is not None:
                shut_down(self._now)

    def _wait_on(self, line: socket.socket) -> None:
        """Take note of the socket that is waited on next, and for how long."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        line.settimeout(left)
        with self._changing:
            self._now = line
            if self.aborted:
                raise ConnectionAbortedError

    def _dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address of a host that answers."""
        failure: OSError | None = None
        for family, kind, protocol, _, where in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            line = None
            try:
                line = socket.socket(family, kind, protocol)
                self._wait_on(line)
                line.connect(where)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            except BaseException as error:
                if line is not None:
                    line.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return line
        raise failure or unreachable()

    def _tunnel(self, line: socket.socket, address: Address, proxy: Proxy) -> None:
        """Ask a proxy for a tunnel to an address."""
        asked = Connection(line)
        self._wait_on(line)
        asked.ask(tunnel_to(address, proxy))
        try:
            asked.head(before=self._wait_on)
        except ConnectionFailed:
            raise unreachable() from None
        if not 200 <= asked.answers.status < 300:
            raise refused()
        if asked.answers.chunks:  # nobody speaks there before TLS
            raise unreachable()

    def _secured(self, line: socket.socket, host: str) -> socket.socket:
        """Begin TLS. Whoever answers there has to have a certificate for the host."""
        name = host.removesuffix(".")  # which ends a name for the resolver only
        secured = self._tls.wrap_socket(line, server_hostname=name, do_handshake_on_connect=False)
        try:
            self._wait_on(secured)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured
