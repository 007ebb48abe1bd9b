"""What a server says and does: to nobody, to two readers at once, and who it hears that it is asked by."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from llmkit import Kit, StreamClosed, TextDelta
from llmkit.providers.over_http import USER_AGENT
from llmkit.testing import Behaviour, Emulator
from support.environment import forget_network
from support.kits import ASYNC_TRANSPORTS, make_kit
from support.scripted_server import answer, completion, read_request, scripted, settings_of
from support.waits import async_call, async_together

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a proxy and without a CA of somebody's own."""
    forget_network(monkeypatch)


SAID = (completion("of another"), answer(b"late", status=408), b"")


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize(
    ("transport", "said"),
    [
        (transport, said)
        for transport in ASYNC_TRANSPORTS
        for said in SAID
        # aiohttp's pool looks at nothing but the end: whether it takes this for the answer hangs on when its loop has read it.
        if transport != "aiohttp" or not said
    ],
)
async def test_what_is_said_to_nobody(transport: str, said: bytes, *, looks: bool) -> None:
    """It is no answer to what is asked next, whether or not anybody has looked since it came: that goes over another connection."""
    ready, said_it = threading.Event(), threading.Event()

    def first(line: socket.socket) -> None:
        read_request(line)
        line.sendall(completion("one"))
        ready.wait(60)
        line.sendall(said)
        if not said:
            line.shutdown(socket.SHUT_WR)
        said_it.set()
        line.recv(1)  # till it is closed

    def second(line: socket.socket) -> None:
        read_request(line)
        line.sendall(completion("two"))

    with scripted(first, second) as url:
        kit = Kit(settings_of(url, transport))
        answered = await kit.async_client.complete("Say one")
        assert answered.text == "one"
        ready.set()
        if looks:
            assert await async_call(lambda: said_it.wait(60))
        else:
            assert said_it.wait(60)  # an event loop does not look meanwhile
        answered = await kit.async_client.complete("Say two")
        assert answered.text == "two"
        await kit.aclose()


@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_two_that_read_one_stream(transport: str) -> None:
    """The second is told: each would miss what the other gets."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=3)) as emulator:
        kit = make_kit(emulator, transport=transport)
        async with kit.async_client.stream("Say hi") as stream:
            await stream.read()
            found = []

            async def read() -> None:
                try:
                    while (events := await stream.read()) is not None:
                        found.extend(events)
                finally:
                    emulator.release(None)

            told = [each for each in await async_together([read, read]) if each is not None]
            (error,) = told
            assert type(error) is RuntimeError
            assert stream.response.stop_reason == "end"
            assert any(isinstance(event, TextDelta) for event in found)
        await kit.aclose()


@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_one_that_closes_what_another_reads(transport: str) -> None:
    """The reader learns of it, and what it waited for reaches no later call."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=3)) as emulator:
        kit = make_kit(emulator, transport=transport)
        stream = await kit.async_client.stream("Say hi").open()
        await stream.read()

        async def read() -> None:
            while await stream.read() is not None:
                pass

        async def leave() -> None:
            stream.abort()

        (error,) = [each for each in await async_together([read, leave]) if each is not None]
        assert isinstance(error, StreamClosed)
        emulator.release(None)
        emulator.behaviour = Behaviour(tokens=5, delay=0)
        assert (await kit.async_client.complete("Say hi")).stop_reason == "end"
        await kit.aclose()


@pytest.mark.parametrize("headers", [{}, {"User-Agent": "my-app/1"}])
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_who_asks(transport: str, headers: dict[str, str]) -> None:
    """A server learns that it is llmkit, or what the settings say, once: some refuse who does not say it."""
    heads = []

    def script(line: socket.socket) -> None:
        heads.append(read_request(line))
        line.sendall(completion("hi"))

    with scripted(script) as url:
        settings = settings_of(url, transport)
        settings["providers"]["local"]["headers"] = headers
        kit = Kit(settings)
        await kit.async_client.complete("Say hi")
        await kit.aclose()
    lines = heads[0].lower().split(b"\r\n")
    (said,) = [line for line in lines if line.startswith(b"user-agent:")]
    assert said == (b"user-agent: my-app/1" if headers else f"user-agent: {USER_AGENT}".encode())


# httpx in threads takes it for an answer that is cut.
@pytest.mark.parametrize("transport", [each for each in ASYNC_TRANSPORTS if each != "httpx"])
async def test_one_that_leaves_without_a_word(
    transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many servers end TLS by closing the connection. A body that has no other end is over with it."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusted = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))

    def script(line: socket.socket) -> None:
        read_request(line)
        _, _, body = completion("hi").partition(b"\r\n\r\n")
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        os.close(line.detach())

    with scripted(script, tls=tls) as url:
        kit = Kit(settings_of(url, transport))
        assert (await kit.async_client.complete("Say hi")).text == "hi"
        await kit.aclose()
