"""An error's body that breaks off, falls silent or never ends: its status is known, and says what happened."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from llmkit import (
    AuthenticationFailed,
    Kit,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    ServerFailed,
    StreamClosed,
)
from llmkit._async.stream import AsyncStreamManager
from support.kits import ASYNC_TRANSPORTS
from support.raw_provider import Answer, raw_provider
from support.rows import database, rows

PART = b'{"type": "error", "error": {"type": "some_err'
ERRORS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    429: RateLimited,
    500: ServerFailed,
}


def head(status: int, framing: str) -> bytes:
    """Write the head of an error whose body is longer than what comes of it."""
    lines = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nretry-after: 7\r\n{framing}\r\n\r\n"
    return lines.encode()


def breaking(status: int, framing: str, end: str) -> Answer:
    """Answer with half of an error, and go."""
    size = b"%x\r\n" % (len(PART) + 9) if "chunked" in framing else b""

    def answer(line: socket.socket) -> None:
        line.sendall(head(status, framing) + size + PART)
        if end == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()

    return answer


def kit_for(address: str, transport: str, folder: Path) -> Kit:
    """Make a kit that calls once."""
    return Kit(
        {
            "providers": {"anthropic": {"base_url": address, "api_key": "test-key"}},
            "models": {"default": "anthropic:claude-sonnet-4-5"},
            "retry": {"attempts": 1},
            "timeouts": {"first_content": 1},
            "transport": transport,
            "ledger": {"database": database(folder)},
        }
    )


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
@pytest.mark.parametrize("framing", ["content-length: 500", "transfer-encoding: chunked"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("status", ERRORS)
async def test_a_break_inside_it(
    tmp_path: Path, status: int, end: str, framing: str, transport: str
) -> None:
    """The status decides the error, as if its body had come whole, with the headers' Retry-After."""
    with raw_provider(breaking(status, framing, end)) as address:
        kit = kit_for(address, transport, tmp_path)
        with pytest.raises(ERRORS[status]) as caught:
            async with kit.async_client.stream("Say hi"):
                pass
        await kit.aclose()
    assert caught.value.status_code == status
    assert caught.value.retry_after == 7
    (row,) = rows(tmp_path)
    assert (row["status"], row["http_status"]) == ("failed", status)
    assert row["error_type"] == ERRORS[status].type


def flooding(line: socket.socket) -> None:
    """Answer with an error that never ends."""
    line.sendall(head(500, "connection: close"))
    while True:
        line.sendall(b"x" * 10_000)


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_one_that_never_ends(tmp_path: Path, transport: str) -> None:
    """It is read so far and no farther."""
    with raw_provider(flooding) as address:
        kit = kit_for(address, transport, tmp_path)
        with pytest.raises(ServerFailed):
            await kit.async_client.complete("Say hi")
        await kit.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_one_that_falls_silent(tmp_path: Path, transport: str) -> None:
    """The clock that runs is the error, and not the half of a body."""

    def answer(line: socket.socket) -> None:
        line.sendall(head(500, "content-length: 500") + PART)
        line.recv(1)  # until whoever asked has left

    with raw_provider(answer) as address:
        kit = kit_for(address, transport, tmp_path)
        with pytest.raises(ProviderTimeout) as caught:
            async with kit.async_client.stream("Say hi"):
                pass
        await kit.aclose()
    assert caught.value.clock == "first_content"
    (row,) = rows(tmp_path)
    assert (row["status"], row["error_code"]) == ("failed", "first_content")
    assert (row["http_status"], row["input_source"]) == (500, "unknown")


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_one_that_nobody_waits_for(tmp_path: Path, transport: str) -> None:
    """Who stops the call in the midst of it is told so, and the row says cancelled."""
    called: list[AsyncStreamManager] = []

    def answer(line: socket.socket) -> None:
        line.sendall(head(500, "content-length: 500") + PART)
        called[0].abort()
        line.recv(1)  # until whoever asked has left

    with raw_provider(answer) as address:
        kit = kit_for(address, transport, tmp_path)
        called.append(kit.async_client.stream("Say hi"))
        with pytest.raises(StreamClosed):
            async with called[0]:
                pass
        await kit.aclose()
    assert [row["status"] for row in rows(tmp_path)] == ["cancelled"]
