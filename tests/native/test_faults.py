"""What goes wrong under the transports of our own: answers that come early or end early, systems that give up, names that are not found."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme

from llmkit import ConnectionFailed
from llmkit.providers.base import HTTPRequest
from llmkit.transport.base import unconnected
from llmkit.transport.http1.answers import Answers
from llmkit.transport.http1.requests import address_of
from llmkit.transport.native.pool import NativeTransport
from llmkit.transport.sockets.connection import Connection
from llmkit.transport.sockets.pool import SocketTransport
from support.http_readings import connected
from support.scripted_server import answer, read_request, scripted

pytestmark = pytest.mark.anyio
CUT = b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 99\r\n\r\nhalf"


def ask(url: str, body: bytes = b"x") -> HTTPRequest:
    return HTTPRequest("POST", url, {}, body)


async def read(transport: Any, request: HTTPRequest) -> tuple[int, bytes]:
    """Ask, and read the answer to its end."""
    exchange = transport.start(request, connect_timeout=30)
    try:
        await exchange.open()
        body = b""
        while data := await exchange.read():
            body += data
        return exchange.status, body
    finally:
        await exchange.aclose()


async def test_an_answer_that_is_cut_as_it_comes() -> None:
    """Its head and what came of its body are there, and then the failure: it was said, and nobody may ask again as if it was not."""
    connection, _ = connected(asyncio.get_running_loop())
    connection.ask(b"first")
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await connection.head()
    assert await connection.read() == b""
    assert connection.renew()
    connection.ask(b"second")
    waiting = asyncio.create_task(connection.head())
    await asyncio.sleep(0)
    connection.data_received(CUT)
    connection.eof_received()
    await waiting
    assert (connection.answers.status, connection.answers.headers["retry-after"]) == (429, "7")
    assert not connection.answers.is_silent
    assert await connection.read() == b"half"
    with pytest.raises(ConnectionFailed, match="has no end"):
        await connection.read()


@pytest.mark.parametrize(("size", "is_refused"), [(60_000, False), (70_000, True)])
def test_a_long_head(size: int, *, is_refused: bool) -> None:
    """Some servers say a great deal; no memory is filled with it."""
    answers = Answers()
    answers.expect()
    for part in (b"HTTP/1.1 200 OK\r\nx: ", b"y" * size, b"\r\n\r\n"):
        answers.feed(part)
    assert (answers.status == 200) is not is_refused
    if is_refused:
        with pytest.raises(ConnectionFailed, match="65536 bytes came that are no body"):
            answers.take()


def test_an_answer_that_is_cut_as_it_comes_to_a_thread() -> None:
    """The head is there, though the end came with it."""

    def script(line: socket.socket) -> None:
        read_request(line)
        line.sendall(CUT)

    with scripted(script) as url:
        transport = SocketTransport()
        exchange = transport.start(ask(url), connect_timeout=30)
        exchange.open()
        assert (exchange.status, exchange.headers["retry-after"]) == (429, "7")
        assert exchange.read() == b"half"
        with pytest.raises(ConnectionFailed, match="has no end"):
            exchange.read()
        exchange.close()
        transport.close()


async def test_an_error_before_all_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS nobody knows how much of a long request still waits: the connection does not serve again."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    done = threading.Event()

    def refuse(line: socket.socket) -> None:
        read_request(line)
        line.sendall(answer(b"no", status=401))
        done.wait(60)

    def serve(line: socket.socket) -> None:
        read_request(line)
        line.sendall(answer(b"yes"))

    with scripted(refuse, serve, tls=tls) as url:
        transport = NativeTransport()
        assert await read(transport, ask(url, b"x" * 8_000_000)) == (401, b"no")
        assert await read(transport, ask(url)) == (200, b"yes")
        done.set()
        await transport.aclose()


async def test_an_end_before_all_is_sent() -> None:
    """It ends the body, though the request is still on its way."""
    done = threading.Event()

    def script(line: socket.socket) -> None:
        read_request(line)
        line.sendall(b"HTTP/1.1 413 X\r\n\r\ntoo long")
        line.shutdown(socket.SHUT_WR)
        done.wait(60)

    with scripted(script) as url:
        transport = NativeTransport()
        assert await read(transport, ask(url, b"x" * 8_000_000)) == (413, b"too long")
        done.set()
        await transport.aclose()


class GivenUp(socket.socket):
    """A socket on which the system gives up, as after many tries to reach the other side."""

    def recv(self, *arguments: Any) -> bytes:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def test_a_connection_that_the_system_gives_up() -> None:
    """It is a connection that broke, not a time limit of ours."""
    here, there = socket.socketpair()
    with there, GivenUp(fileno=here.detach()) as line:
        connection = Connection(line)
        connection.ask(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionFailed, match="TimeoutError") as caught:
            connection.head()
        assert isinstance(caught.value.__cause__, OSError)
        connection.close()


def test_a_silence_that_is_longer_than_connecting_may_take() -> None:
    """That limit is over once the connection is made: the clocks of a call know how long it may be silent."""

    def script(line: socket.socket) -> None:
        read_request(line)
        line.sendall(answer(b"late"))

    with scripted(script) as url:
        transport = SocketTransport()
        exchange = transport.start(ask(url), connect_timeout=30)
        exchange.open()
        assert exchange._connection is not None
        assert exchange._connection._socket.gettimeout() is None
        assert exchange.read() == b"late"
        exchange.close()
        transport.close()


def test_a_first_address_of_a_kind_that_the_system_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried."""

    def script(line: socket.socket) -> None:
        read_request(line)
        line.sendall(answer(b"yes"))

    with scripted(script) as url:
        port = address_of(url).port
        found = [(family, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for family in (99, 2)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        transport = SocketTransport()
        exchange = transport.start(ask(url), connect_timeout=30)
        exchange.open()
        assert exchange.status == 200
        exchange.close()
        transport.close()


class Interrupted(Answers):
    """Answers in which Ctrl-C comes while the head is taken in."""

    def on_headers_complete(self) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_while_an_answer_is_read() -> None:
    """It is no failure of the answer: nobody asks again."""
    answers = Interrupted()
    answers.expect()
    with pytest.raises(KeyboardInterrupt):
        answers.feed(answer(b"hi"))
    assert answers.is_closed


async def test_a_look_up_that_is_not_waited_for_any_more() -> None:
    """What it failed with is nobody's, and no look-up is left when all is closed."""
    loop = asyncio.get_running_loop()
    asked: list[asyncio.Future[Any]] = []

    async def look_up(_host: str, _port: int) -> list[Any]:
        asked.append(loop.create_future())
        found: list[Any] = await asked[-1]
        return found

    transport = NativeTransport(look_up=look_up)

    def start() -> asyncio.Task[tuple[int, bytes]]:
        return asyncio.create_task(read(transport, ask("http://somewhere.invalid/")))

    async def until(number: int) -> None:
        while len(asked) < number:
            await asyncio.sleep(0)

    first = start()
    await until(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    asked[0].set_exception(OSError("nothing of that name"))
    for _ in range(5):  # the failure goes from the future to the task and its callback
        await asyncio.sleep(0)
    second = start()
    await until(2)
    asked[1].cancel()  # as by somebody who cancels every task
    with pytest.raises(asyncio.CancelledError):
        await second
    third = start()
    await until(3)
    third.cancel()
    await asyncio.wait([third])
    await transport.aclose()
    assert asked[2].cancelled()


def test_what_no_network_does(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the transport itself is in the log, since the error for the caller does not quote it."""
    try:
        raise AttributeError("secret")
    except AttributeError as error:
        failure = unconnected(error, 5)
    assert isinstance(failure, ConnectionFailed)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "AttributeError" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://model.example:443/v1", "model.example"),
        ("http://model.example:80/v1", "model.example"),
        ("https://model.example:80/v1", "model.example:80"),
        ("http://[::1]:80/", "[::1]"),
        ("http://[::1]:81/", "[::1]:81"),
    ],
)
def test_the_name_of_the_host(url: str, host: str) -> None:
    """The usual port goes without saying, as browsers and httpx have it."""
    assert address_of(url).authority == host
