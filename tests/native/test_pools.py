"""Which connections are kept, for how long, and what becomes of those that are given back late or aborted early."""

from __future__ import annotations

import socket
import threading
from base64 import b64encode
from typing import Any, cast

import pytest

from llmkit import ConnectionFailed, ProviderTimeout
from llmkit.errors import ProviderError
from llmkit.providers.base import HTTPRequest
from llmkit.testing import Emulator
from llmkit.transport.base import unconnected
from llmkit.transport.http1.requests import address_of, credentials, request_bytes
from llmkit.transport.native.pool import NativeTransport
from llmkit.transport.proxies import Proxy
from llmkit.transport.sockets.connection import Connection
from llmkit.transport.sockets.pool import SocketExchange, SocketTransport
from support.requests import models
from support.scripted_server import read_request, scripted
from support.waits import async_call


def answered(transport: SocketTransport, emulator: Emulator) -> SocketExchange:
    """Read an answer to its end, and do not give its connection back."""
    exchange = transport.start(models(emulator.base_url), connect_timeout=30)
    exchange.open()
    while exchange.read():
        pass
    return exchange


async def async_answered(transport: NativeTransport, emulator: Emulator) -> Any:
    """Read an answer to its end, and do not give its connection back."""
    exchange = transport.start(models(emulator.base_url), connect_timeout=30)
    await exchange.open()
    while await exchange.read():
        pass
    return exchange


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_last_one_serves_next(emulator: Emulator) -> None:
    """So that those which are not needed grow old, and are closed."""
    clock = Clock()
    transport = SocketTransport(keep_idle=60, clock=clock)
    for exchange in [answered(transport, emulator) for _ in range(2)]:
        exchange.close()
    clock.now = 30
    for _ in range(2):
        answered(transport, emulator).close()
    clock.now = 61
    transport._sweep()
    emulator.wait_for_connections(1)
    clock.now = 91
    transport._sweep()
    emulator.wait_for_connections(0)
    transport.close()


@pytest.mark.anyio
async def test_the_last_one_serves_next_in_a_loop(emulator: Emulator) -> None:
    """The same for an event loop."""
    transport = NativeTransport()
    exchanges = [await async_answered(transport, emulator) for _ in range(2)]
    kept = [each._connection for each in exchanges]
    for exchange in exchanges:
        await exchange.aclose()
    for _ in range(2):
        exchange = await async_answered(transport, emulator)
        assert exchange._connection is kept[1]
        await exchange.aclose()
    await transport.aclose()
    await async_call(lambda: emulator.wait_for_connections(0))


def test_one_that_is_given_back_too_late(emulator: Emulator) -> None:
    """What is closed keeps nothing."""
    transport = SocketTransport(keep_idle=600)
    exchange = answered(transport, emulator)
    transport.close()
    exchange.close()
    emulator.wait_for_connections(0)


def test_one_after_another_is_swept(emulator: Emulator) -> None:
    """Who is kept later is closed later, without anybody asking."""
    clock = Clock()
    transport = SocketTransport(keep_idle=0.05, clock=clock)
    first, second = answered(transport, emulator), answered(transport, emulator)
    first.close()
    clock.now = 0.04
    second.close()
    clock.now = 0.06
    emulator.wait_for_connections(1)
    clock.now = 1
    emulator.wait_for_connections(0)
    transport.close()


class Closing:
    """A connection by which the collector is known to come, and to close the transport, while it is looked at."""

    def __init__(self, transport: SocketTransport) -> None:
        self._transport = transport

    @property
    def idle_since(self) -> float:
        self._transport.close()
        return 0.0

    def close(self) -> None:
        """Do nothing."""


def test_one_that_the_collector_closes_while_it_is_swept(emulator: Emulator) -> None:
    """The sweep ends, and with it goes on whatever else the timers have to do."""
    transport = SocketTransport(keep_idle=600)
    answered(transport, emulator).close()
    transport._idle["another"].append(cast("Connection", Closing(transport)))
    swept = threading.Thread(target=transport._sweep, daemon=True)
    swept.start()
    swept.join(60)
    assert not swept.is_alive()
    assert transport._sweeper is None
    emulator.wait_for_connections(0)


@pytest.mark.parametrize("kept", [True, False])
def test_one_that_is_aborted_before_it_is_opened(emulator: Emulator, *, kept: bool) -> None:
    """Nothing is asked."""
    transport = SocketTransport()
    if kept:
        answered(transport, emulator).close()
    exchange = transport.start(models(emulator.base_url), connect_timeout=30)
    exchange.abort()
    with pytest.raises(ConnectionFailed):
        exchange.open()
    exchange.close()
    transport.close()
    emulator.wait_for_connections(0)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ["native", "sockets"])
async def test_a_proxy_that_speaks_before_tls(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands behind the head of a tunnel is nobody's: there is no connection."""

    def script(line: socket.socket) -> None:
        read_request(line)
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        line.recv(1)

    with scripted(script) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        request = models("https://model.example")
        native = NativeTransport()
        with pytest.raises(ConnectionFailed, match="could not connect") as caught:
            if transport == "native":
                await native.start(request, connect_timeout=30).open()
            else:
                exchange = SocketTransport().start(request, connect_timeout=30)
                await async_call(exchange.open)
        await native.aclose()
        assert not caught.value.sent


def test_who_we_are_to_a_proxy() -> None:
    """Name and password are written in a URL with escapes, which are none of theirs."""
    proxy = Proxy("http://us%40er:pa%3Ass@proxy.example:3128", "http", "HTTP_PROXY")
    said = b64encode(b"us@er:pa:ss").decode()
    assert credentials(proxy) == f"proxy-authorization: Basic {said}\r\n"


def test_a_request_without_a_body() -> None:
    """One that usually has a body says that it has none."""
    address = address_of("http://model.example/v1")
    asked = request_bytes(HTTPRequest("POST", "http://model.example/v1", {}, b""), address)
    assert b"\r\ncontent-length: 0\r\n" in asked
    listed = request_bytes(HTTPRequest("GET", "http://model.example/v1", {}, b""), address)
    assert b"content-length" not in listed


@pytest.mark.parametrize(
    ("error", "kind"),
    [(TimeoutError(), ProviderTimeout), (TimeoutError(110, "given up"), ConnectionFailed)],
)
def test_whose_time_is_over(error: Exception, kind: type[ProviderError]) -> None:
    """That of the settings, or the system's."""
    failure = unconnected(error, 5)
    assert type(failure) is kind
    assert not failure.sent
