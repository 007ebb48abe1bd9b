"""The transport of our own for threads, on real networks: what is kept, what is cut, and what is left of it."""

from __future__ import annotations

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmkit import ConnectionFailed, ProviderTimeout
from llmkit.providers.base import HTTPRequest
from llmkit.testing import Behaviour, Emulator
from llmkit.transport.sockets.pool import SocketExchange, SocketTransport
from support.cycles import collecting
from support.left_over import no_more_sockets, sockets
from support.requests import models
from support.waits import wait_for


def status_of(transport: SocketTransport, request: HTTPRequest, *, fresh: bool = False) -> int:
    """Ask, read the answer to its end and give the connection back."""
    exchange = transport.start(request, connect_timeout=5, fresh=fresh)
    try:
        read_all(exchange)
        return exchange.status
    finally:
        exchange.close()


def read_all(exchange: SocketExchange) -> None:
    """Open an exchange and read it to its end."""
    exchange.open()
    while exchange.read():
        pass


def test_connections_are_kept(emulator: Emulator) -> None:
    """For all threads; the one that was used last serves next, and a fresh one closes those that are kept."""
    transport = SocketTransport()
    request = models(emulator.base_url)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: status_of(transport, request), range(40))) == {200}
    assert 1 <= emulator.open_connections <= 4
    assert status_of(transport, request, fresh=True) == 200
    emulator.wait_for_connections(1)
    transport.close()
    emulator.wait_for_connections(0)


def test_connections_that_nobody_uses_are_closed(emulator: Emulator) -> None:
    """After their time, without anybody asking; and what is given back late is closed at once."""
    transport = SocketTransport(keep_idle=0.05)
    assert status_of(transport, models(emulator.base_url)) == 200
    emulator.wait_for_connections(0)
    exchange = transport.start(models(emulator.base_url), connect_timeout=5)
    read_all(exchange)
    transport.close()
    exchange.close()
    emulator.wait_for_connections(0)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
def test_one_that_the_server_has_closed_or_spoken_on(said: bytes) -> None:
    """It is not used again: the next request goes over a new one, and nobody hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        answered = [threading.Event(), threading.Event()]
        lines: list[socket.socket] = []

        def answer() -> None:
            for event in answered:
                line, _ = server.accept()
                lines.append(line)
                line.recv(65536)
                line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
                event.set()

        thread = threading.Thread(target=answer)
        thread.start()
        transport = SocketTransport()
        assert status_of(transport, models(url)) == 200
        if said:
            lines[0].sendall(said)
        else:
            lines[0].close()
        kept = transport._idle[url][0]
        wait_for(lambda: kept.is_open, wanted=False)
        assert status_of(transport, models(url)) == 200
        thread.join()
        transport.close()
        for line in lines:
            line.close()


def test_nobody_waits_for_a_connection_for_ever() -> None:
    """One that is not taken is given up by its clock, and by whoever stops the call."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # more than the server's queue has room for
        for line in waiting:
            line.settimeout(0)
            line.connect_ex(address)
        transport = SocketTransport()
        request = models(f"http://127.0.0.1:{address[1]}")
        slow = transport.start(request, connect_timeout=0.2)
        with pytest.raises(ProviderTimeout, match="connect") as caught:
            slow.open()
        assert not caught.value.sent
        stopped = transport.start(request, connect_timeout=60)
        threading.Timer(0.05, stopped.abort).start()
        with pytest.raises(ConnectionFailed) as cut:
            stopped.open()
        assert not cut.value.sent
        for line in waiting:
            line.close()


def test_many_connects_and_cuts(emulator: Emulator) -> None:
    """From other threads, at any point: they leave no socket, and nothing for the collector."""
    emulator.behaviour = Behaviour(tokens=50, delay=0)
    chance = random.Random("cuts")
    before = sockets()
    transport = SocketTransport()
    request = models(emulator.base_url)

    def one(delay: float) -> None:
        exchange = transport.start(request, connect_timeout=5, fresh=delay < 0.0003)
        cut = threading.Timer(delay, exchange.abort)
        cut.start()
        try:
            read_all(exchange)
        except ConnectionFailed as error:
            error.__traceback__ = None  # as the client does for its callers
        finally:
            exchange.close()
            cut.join()

    delays = [chance.random() * 0.003 for _ in range(200)]
    with ThreadPoolExecutor(4) as threads:
        one(1.0)
        with collecting() as found:
            list(threads.map(one, delays))
    transport.close()
    no_more_sockets(before)
    assert [name for name in found if name.startswith("llmkit.transport")] == []
