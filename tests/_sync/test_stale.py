# Generated from tests/_async/test_stale.py. Do not edit.
"""Kept connections that somebody has forgotten in the meantime: the call goes on at once, over a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmkit import Kit
from llmkit.providers.anthropic import Anthropic
from support import decoding
from support.forgetful import End, Forgetful, forgetful
from support.kits import TRANSPORTS
from support.rows import database, rows
from support.waits import call


def kit_for(provider: Forgetful, waits: list[float], **more: Any) -> Kit:
    """Make a kit that notes each time when it has to wait before the next attempt."""
    options = {key: more.pop(key) for key in {"http_client"} & more.keys()}

    def chance() -> float:  # asked for the jitter of a wait
        waits.append(0.5)
        return 0.5

    config = {
        "providers": {"anthropic": {"base_url": provider.url, "api_key": "test-key"}},
        "models": {"default": "anthropic:claude-sonnet-4-5"},
        "retry": {"wait_initial": 0.001, "wait_max": 0.002},
        "ledger": False,
        **more,
    }
    return Kit(config, chance=chance, **options)


def keep(kit: Kit, provider: Forgetful) -> None:
    """Let connections be kept, as many as belong together: each has served one request."""
    transport = kit.runtime.connections.transport()
    wire = Anthropic(base_url=provider.url, api_key="test-key")
    request = wire.build_request(decoding.call(), "m")
    exchanges = [transport.start(request, connect_timeout=5) for _ in range(provider.together)]
    for exchange in exchanges:
        exchange.open()
    for exchange in exchanges:
        while exchange.read():
            pass
        exchange.close()
    assert provider.accepted == provider.open == provider.together


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kept", [1, 8])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_forgotten_connections(transport: str, kept: int, end: End, tmp_path: Path) -> None:
    """However many there are: one attempt over one of them, one at once over a new one; the others are closed, for they are as old."""
    waits: list[float] = []
    with forgetful(together=kept, end=end) as provider:
        books = {"database": database(tmp_path)}
        kit = kit_for(provider, waits, transport=transport, ledger=books)
        keep(kit, provider)
        assert (kit.client.complete("Say hi")).text == "Hi"
        assert provider.accepted == kept + 1
        call(lambda: provider.wait_for_open(1))
        kit.close()
    failed, finished = rows(tmp_path)
    assert (failed["status"], failed["error_type"]) == ("failed", "connection_failed")
    assert finished["status"] == "finished"
    assert failed["call_id"] == finished["call_id"]
    assert waits == []


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "last_words", [b"H", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-", b"junk\r\n\r\n"]
)
def test_an_answer_that_broke_off_at_its_start(transport: str, last_words: bytes) -> None:
    """Who has sent one byte has not forgotten the connection: it is a failure like any other, and the next attempt waits."""
    waits: list[float] = []
    with forgetful(last_words=last_words, end="close") as provider:
        kit = kit_for(provider, waits, transport=transport)
        keep(kit, provider)
        assert (kit.client.complete("Say hi")).text == "Hi"
        kit.close()
    assert len(waits) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(("last_words", "count"), [(b"", 0), (b"HTTP/1.1 2", 1)])
def test_a_client_of_the_apps_own(library: str, last_words: bytes, count: int) -> None:
    """What it keeps is its own, and the same holds for it."""
    waits: list[float] = []
    with forgetful(last_words=last_words, end="close") as provider:
        with pytest.importorskip(library).Client() as client:
            kit = kit_for(provider, waits, http_client=client)
            keep(kit, provider)
            assert (kit.client.complete("Say hi")).text == "Hi"
            kit.close()
    assert len(waits) == count


def test_errors_of_a_transport_of_the_apps_own() -> None:
    """What no connection says for itself is not taken for a forgotten one."""
    httpx = pytest.importorskip("httpx")
    waits: list[float] = []
    answers = [httpx.ReadError("x"), httpx.RemoteProtocolError("x"), httpx.DecodingError("x")]

    def answer(request: Any) -> Any:
        if answers:
            raise answers.pop()
        return httpx.Response(500, request=request)

    with forgetful() as provider:
        with httpx.Client(transport=httpx.MockTransport(answer)) as client:
            kit = kit_for(provider, waits, http_client=client)
            with pytest.raises(Exception, match="500"):
                kit.client.complete("Say hi")
            kit.close()
    assert len(waits) == 4
