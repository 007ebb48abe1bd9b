"""The transport of our own on real networks: names, proxies, TLS, and what is left when it is cut."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from llmkit import ConfigError, ConnectionFailed, ProviderTimeout
from llmkit.providers.base import HTTPRequest
from llmkit.testing import Emulator, FaultProxy
from llmkit.transport._async.automatic import AsyncAutomaticTransport
from llmkit.transport.base import AsyncExchange
from llmkit.transport.http1.requests import address_of
from llmkit.transport.native.pool import NativeTransport
from support.cycles import collecting
from support.left_over import sockets
from support.requests import models
from support.waits import async_call, wait_for

# How many connections are cut while they are made, and after; ten thousand by hand.
CUTS = int(os.environ.get("LLMKIT_TEST_CUTS", "400"))

pytestmark = pytest.mark.anyio


@pytest.fixture
async def transport() -> AsyncIterator[NativeTransport]:
    """Make a transport for the running loop."""
    made = NativeTransport()
    yield made
    await made.aclose()


async def status_of(transport: Any, request: HTTPRequest, **options: Any) -> int:
    """Ask, read the answer to its end and give the connection back."""
    exchange = transport.start(request, **{"connect_timeout": 5, **options})
    try:
        await exchange.open()
        while await exchange.read():
            pass
        return int(exchange.status)
    finally:
        await exchange.aclose()


async def test_connections_are_kept(emulator: Emulator, transport: NativeTransport) -> None:
    """The one that was used last serves next; a fresh one closes those that are kept."""
    for _ in range(3):
        assert await status_of(transport, models(emulator.base_url)) == 200
    assert emulator.open_connections == 1
    await asyncio.gather(*(status_of(transport, models(emulator.base_url)) for _ in range(5)))
    assert await status_of(transport, models(emulator.base_url), fresh=True) == 200
    await async_call(lambda: emulator.wait_for_connections(1))


async def test_connections_that_nobody_uses_are_closed(emulator: Emulator) -> None:
    """After their time, without anybody asking."""
    transport = NativeTransport(keep_idle=0.05)
    await asyncio.gather(*(status_of(transport, models(emulator.base_url)) for _ in range(5)))
    await async_call(lambda: emulator.wait_for_connections(0))
    assert await status_of(transport, models(emulator.base_url)) == 200
    await transport.aclose()
    await async_call(lambda: emulator.wait_for_connections(0))


async def test_one_that_is_given_back_too_late(emulator: Emulator) -> None:
    """What is closed keeps nothing."""
    transport = NativeTransport()
    exchange = transport.start(models(emulator.base_url), connect_timeout=5)
    await exchange.open()
    while await exchange.read():
        pass
    await transport.aclose()
    await exchange.aclose()
    await async_call(lambda: emulator.wait_for_connections(0))


TCP = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""


async def test_a_name_with_several_addresses(emulator: Emulator) -> None:
    """Where one does not answer the next one does; a name is looked up once for all who ask for it."""
    asked: list[str] = []

    async def two(host: str, port: int) -> list[Any]:
        asked.append(host)
        await asyncio.sleep(0.01)
        # Both are this machine's, and nobody listens on the first.
        return [(socket.AF_INET, *TCP, (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    transport = NativeTransport(look_up=two)
    here = emulator.base_url.removeprefix("http://")
    request = models(emulator.base_url.replace("127.0.0.1", "model.invalid"), host=here)
    assert set(await asyncio.gather(*(status_of(transport, request) for _ in range(5)))) == {200}
    assert await status_of(transport, request, fresh=True) == 200
    assert asked == ["model.invalid"]
    await transport.aclose()


async def test_a_name_that_nobody_knows_is_asked_again() -> None:
    """That a name was not found is no knowledge that is kept."""
    asked: list[str] = []

    async def none(host: str, _: int) -> list[Any]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    transport = NativeTransport(look_up=none)
    for _ in range(2):
        with pytest.raises(ConnectionFailed, match="could not connect") as caught:
            await status_of(transport, models("http://model.invalid"))
        assert isinstance(caught.value.__cause__, socket.gaierror)
        assert not caught.value.sent
    assert len(asked) == 2
    await transport.aclose()


async def test_nobody_waits_for_a_name_for_ever() -> None:
    """The clock of connecting runs while a name is looked up; who asks next waits for the same answer."""
    asked: list[str] = []
    over = asyncio.Event()

    async def silent(host: str, _: int) -> list[Any]:
        asked.append(host)
        await over.wait()
        return []

    transport = NativeTransport(look_up=silent)
    for _ in range(2):
        with pytest.raises(ProviderTimeout, match="connect") as caught:
            await status_of(transport, models("http://model.invalid"), connect_timeout=0.02)
        assert not caught.value.sent
    assert asked == ["model.invalid"]
    over.set()
    await transport.aclose()


async def test_a_header_with_a_line_break(emulator: Emulator, transport: NativeTransport) -> None:
    """It is not sent, whoever wrote it, nor shown."""
    for value in ("a\r\nx-other: b", "a\nb", "a\rb"):
        with pytest.raises(ConnectionFailed) as caught:
            await status_of(transport, models(emulator.base_url, **{"x-extra": value}))
        assert "x-other" not in str(caught.value)
    assert emulator.requests == []


async def test_what_a_request_says(transport: NativeTransport) -> None:
    """How long it is, and how its answer may be written, is said by us alone; its address is escaped, and its host named once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = asyncio.get_running_loop().run_in_executor(None, hear, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        odd = {"content-length": "9", "transfer-encoding": "chunked", "accept-encoding": "br"}
        request = HTTPRequest("POST", f"{url}/a b/ü?c=d e#f", {"x-a": "ü", **odd}, b"hi")
        assert await status_of(transport, request) == 200
        head, _, body = (await said).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /a%20b/%C3%BC?c=d%20e HTTP/1.1"
    assert sorted(lines) == [
        "accept-encoding: identity",
        "content-length: 2",
        f"host: {url.removeprefix('http://')}",
        "x-a: ü",
    ]
    assert body == b"hi"


def hear(server: socket.socket) -> bytes:
    """Answer one request, and return it."""
    line, _ = server.accept()
    with line:
        said = b""
        while not said.endswith(b"\r\n\r\nhi"):
            said += line.recv(65536)
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    return said


async def test_an_answer_before_all_is_asked(transport: NativeTransport) -> None:
    """It is read while the request is still on its way, and its connection serves no other."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        lines: list[socket.socket] = []

        def refuse() -> None:
            line, _ = server.accept()
            lines.append(line)
            line.recv(1000)
            line.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")

        refused = asyncio.get_running_loop().run_in_executor(None, refuse)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        request = HTTPRequest("POST", url, {}, bytes(32 * 2**20))
        assert await status_of(transport, request) == 413
        await refused
        assert transport.take(address_of(url), fresh=False) is None
        lines[0].close()


async def ended(transport: NativeTransport, request: HTTPRequest, chance: random.Random) -> None:
    """Cut one exchange at some point: while it connects, before its head, in its body, or never."""
    exchange = transport.start(request, connect_timeout=5, fresh=chance.random() < 0.3)
    task = asyncio.create_task(read_all(exchange))
    for _ in range(chance.choice((0, 1, 2, 3, 5, 8, 20))):
        await asyncio.sleep(0)
    match chance.randrange(3):
        case 0:
            task.cancel()
        case 1:
            exchange.abort()
        case _:
            pass
    await asyncio.wait([task])
    assert task.cancelled() or isinstance(task.exception(), ConnectionFailed | None)
    await exchange.aclose()


async def read_all(exchange: AsyncExchange) -> None:
    """Open an exchange and read it to its end."""
    await exchange.open()
    while await exchange.read():
        pass


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_many_connects_and_cuts(
    scheme: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They leave no socket, no task and nothing for the collector."""
    with secured(emulator, tmp_path, monkeypatch) as proxy:
        url = emulator.base_url if scheme == "http" else proxy.url
        chance = random.Random(scheme)
        before, tasks = sockets(), asyncio.all_tasks()
        transport = NativeTransport()
        request = models(url)
        await ended(transport, request, chance)
        with collecting() as found:
            for _ in range(CUTS // 8):
                await asyncio.gather(*(ended(transport, request, chance) for _ in range(8)))
        await transport.aclose()
        await async_call(lambda: wait_for(lambda: sockets() <= before, wanted=True))
        assert asyncio.all_tasks() == tasks
    # What earlier tests have left may be found, too.
    ours = ("llmkit.transport.native", "llmkit.transport.http1", "httptools")
    assert [name for name in found if name.startswith(ours)] == []


@contextmanager
def secured(
    emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultProxy]:
    """Put TLS before the emulator, with a certificate that is trusted."""
    company = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    company.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    path = folder / "ca.pem"
    company.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with FaultProxy(emulator.base_url, tls=context) as running:
        yield running


async def test_sessions_of_tls_are_renewed(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tickets come after the handshake, with the first answer or before it: the connection serves on, and so do the next ones."""
    with secured(emulator, tmp_path, monkeypatch) as proxy:
        transport = NativeTransport()
        for fresh in (False, False, True, False):
            assert await status_of(transport, models(proxy.url), fresh=fresh) == 200
        assert proxy.accepted == 2
        await transport.aclose()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the transport has said."""
    return [each.getMessage() for each in caplog.records if each.name == "llmkit.transport"]


async def test_a_proxy_that_is_not_supported(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an error that says what to set, or goes over what is used instead, which is said once for those who look."""
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    alone = NativeTransport()
    with pytest.raises(ConfigError, match="HTTP_PROXY names a socks5 proxy"):
        alone.start(models("http://model.invalid"), connect_timeout=5)
    assert await status_of(alone, models(emulator.base_url)) == 200
    await alone.aclose()
    automatic = AsyncAutomaticTransport(NativeTransport())
    with caplog.at_level(logging.DEBUG, "llmkit.transport"):
        assert await status_of(automatic, models(emulator.base_url)) == 200
        assert said(caplog) == []
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"httpx\[socks\]"):
                automatic.start(models("http://model.invalid"), connect_timeout=5)
    assert said(caplog) == [
        "HTTP_PROXY names a socks5 proxy, which cannot be used here; httpx is used for what needs it"
    ]
    await automatic.aclose()
