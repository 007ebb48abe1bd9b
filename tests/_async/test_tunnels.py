"""Before a request can go out: an address that cannot be, a proxy that makes no tunnel, TLS that does not come about, and how long it may take."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from llmkit import ConnectionFailed, Kit, ProviderTimeout
from llmkit.call import Call
from llmkit.providers.base import HTTPRequest
from llmkit.providers.openai import OpenAI
from support.environment import forget_network
from support.kits import ASYNC_TRANSPORTS
from support.raw_provider import Answer, raw_provider
from support.rows import database, rows

TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without a proxy."""
    forget_network(monkeypatch)


def kit_for(base_url: str, tmp_path: Path, transport: str, **timeouts: float) -> Kit:
    """Make a kit that tries once, and writes it down."""
    return Kit(
        {
            "providers": {"far": {"wire": "openai", "base_url": base_url, "api_key": "test-key"}},
            "models": {"default": "far:m"},
            "retry": {"attempts": 1},
            "transport": transport,
            "timeouts": timeouts,
            "ledger": {"database": database(tmp_path)},
        }
    )


def assert_cost_nothing(tmp_path: Path) -> None:
    """See that the one row says that nothing was sent, and so that nothing was spent."""
    (row,) = rows(tmp_path)
    assert row["status"] == "failed"
    assert Decimal(row["cost_usd"]) == 0
    assert row["input_source"] == "unknown"


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "the proxy"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "the proxy"),
        (b"", "could not connect"),
        (b"HTTP/1.1 200", "could not connect"),
        (b"junk\r\n\r\n", "could not connect"),
        (TUNNEL, "could not connect"),
        (TUNNEL + b"no TLS", "could not connect"),
    ],
)
async def test_a_proxy_that_makes_no_tunnel(
    transport: str, answer: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider never saw the request, whatever the proxy did: the error says so, and the row costs 0."""
    with raw_provider(answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//me:secret@"))
        kit = kit_for("https://model.invalid/v1", tmp_path, transport)
        with pytest.raises(ConnectionFailed, match=message) as caught:
            await kit.async_client.complete("Say hi")
        await kit.aclose()
    assert not caught.value.sent
    assert not caught.value.stale
    assert "secret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert_cost_nothing(tmp_path)


class Elsewhere(OpenAI):
    """A provider of the app's own, which does not check its address."""

    def __init__(self, url: str) -> None:
        super().__init__("far", api_key="test-key", base_url="https://model.invalid/v1")
        self._at = url

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Say the call to that address."""
        return replace(super().build_request(call, model), url=self._at)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/v1",
        "http://.x/v1",
        f"http://{'a' * 70}.example/v1",
        "http://xn--a.invalid/v1",
        "http://\u2603\u2603..invalid/v1",
        "http://[::1/v1",
        "http://x:99999/v1",
        "http://",
        "ftp://model.invalid/v1",
        "nowhere",
    ],
)
async def test_an_address_that_cannot_be(transport: str, url: str, tmp_path: Path) -> None:
    """Whatever the HTTP library, a codec or the resolver says of it, the error is ours, and nothing was sent."""
    config = {
        "models": {"default": "far:m"},
        "retry": {"attempts": 1},
        "transport": transport,
        "ledger": {"database": database(tmp_path)},
    }
    kit = Kit(config, providers=[Elsewhere(url)])
    with pytest.raises(ConnectionFailed) as caught:
        await kit.async_client.complete("Say hi")
    assert kit.limit.running == 0
    assert not kit.runtime.open_attempts
    await kit.aclose()
    assert not caught.value.sent
    assert_cost_nothing(tmp_path)


def fall_silent(line: socket.socket) -> None:
    """Say nothing until they leave."""
    while line.recv(65536):
        pass


def fall_silent_in_the_tunnel(line: socket.socket) -> None:
    """Say nothing once the tunnel stands."""
    line.sendall(TUNNEL)
    fall_silent(line)


def say_it_slowly(line: socket.socket) -> None:
    """Say a byte now and then, and never come to an end."""
    line.sendall(b"HTTP/1.1 200 ")
    while True:
        line.sendall(b"a")
        threading.Event().wait(0.02)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize("answer", [fall_silent, fall_silent_in_the_tunnel, say_it_slowly])
@pytest.mark.parametrize("clock", ["connect", "first_content", "total"])
async def test_a_proxy_that_takes_too_long(
    transport: str,
    answer: Answer,
    clock: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Making the tunnel is a part of connecting, and of every other time limit; nothing was sent when it runs out."""
    with raw_provider(answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        kit = kit_for("https://model.invalid/v1", tmp_path, transport, **{clock: 0.3})
        with pytest.raises(ProviderTimeout) as caught:
            await kit.async_client.stream("Say hi").open()
        await kit.aclose()
    assert caught.value.clock == clock
    assert not caught.value.sent
    assert_cost_nothing(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize("clock", ["connect", "first_content", "total"])
async def test_tls_that_takes_too_long(transport: str, clock: str, tmp_path: Path) -> None:
    """A provider that takes the connection and says nothing in TLS: it is the same without a proxy."""
    with raw_provider(fall_silent) as url:
        kit = kit_for(url.replace("http:", "https:"), tmp_path, transport, **{clock: 0.3})
        with pytest.raises(ProviderTimeout) as caught:
            await kit.async_client.stream("Say hi").open()
        await kit.aclose()
    assert caught.value.clock == clock
    assert not caught.value.sent
    assert_cost_nothing(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_a_request_that_is_on_its_way_may_cost(transport: str, tmp_path: Path) -> None:
    """Once the connection stands, a time limit says nothing of what the provider did: the cost is unknown."""
    with raw_provider(fall_silent) as url:
        # As long as a busy machine takes to load the HTTP library, and to connect.
        kit = kit_for(url, tmp_path, transport, first_content=5)
        with pytest.raises(ProviderTimeout) as caught:
            await kit.async_client.stream("Say hi").open()
        await kit.aclose()
    assert caught.value.sent
    (row,) = rows(tmp_path)
    assert row["cost_usd"] is None
