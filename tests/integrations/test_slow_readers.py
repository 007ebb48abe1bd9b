"""Fifty browsers that read a kilobyte a second beside fifty fast ones."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from support.firehose import WORD, Firehose
from support.hosts import gunicorn_host, uvicorn_host
from support.kits import ASYNC_TRANSPORTS
from support.rows import database, rows

EACH = 50
FAST_WORDS = 100  # two hundred kilobytes
SLOW_WORDS = 50_000  # a hundred
TEXT = re.compile(rb'"text": ?"([^"]*)"')
# What the kernel may hold of one stream on its four ends, in bytes: the largest buffers it gives by itself.
BUFFERED = 20_000_000
# What the server may hold of all: of each slow stream some reads, in all the forms that a read goes through.
GROWTH = EACH * 2_400_000


async def ask(url: str, prompt: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a question; the answer is read through a buffer of two kilobytes."""
    host = urlsplit(url)
    body = json.dumps({"messages": [{"role": "user", "content": prompt}]}).encode()
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # as small as the system makes it
    line.setblocking(False)  # noqa: FBT003  # its only form
    await asyncio.get_running_loop().sock_connect(line, (host.hostname, host.port))
    reader, writer = await asyncio.open_connection(sock=line, limit=1024)
    writer.write(
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (host.path.encode(), len(body), body)
    )
    return reader, writer


async def read_fast(url: str, number: int) -> int:
    """Read a whole answer; return how much text it had, if it had its end."""
    reader, writer = await ask(url, f"fast-{number} {FAST_WORDS}")
    answer = b""
    try:
        while data := await reader.read(65536):
            answer += data
    finally:
        writer.transport.abort()
    assert b"data: [DONE]" in answer
    return sum(map(len, TEXT.findall(answer)))


async def read_slowly(url: str, number: int) -> None:
    """Read a kilobyte a second, until cancelled."""
    reader, writer = await ask(url, f"slow-{number} {SLOW_WORDS}")
    try:
        while await reader.read(102):
            await asyncio.sleep(0.1)
        raise AssertionError("an endless answer ended")
    finally:
        writer.transport.abort()


async def browse(host: str, path: str, firehose: Firehose) -> Browsed:
    """Let the slow ones begin, and the fast ones beside them; leave when the fast ones are done.

    What was sent is looked at before they leave: of what comes until the server has seen that, nobody reads anything.
    """
    url = host + path
    before = await memory(host)
    slow = [asyncio.create_task(read_slowly(url, number)) for number in range(EACH)]
    fast = await asyncio.gather(*(read_fast(url, number) for number in range(EACH)))
    after = await memory(host)
    sent = dict(firehose.sent)
    for task in slow:
        task.cancel()
    ended = await asyncio.gather(*slow, return_exceptions=True)
    assert {type(end) for end in ended} == {asyncio.CancelledError}
    grown = None if before is None or after is None else after - before
    return Browsed(fast, grown, sent)


@dataclass(frozen=True, slots=True)
class Browsed:
    """What came of it: what the fast ones read, by how much the server's memory has grown, and how many words each stream was sent."""

    fast: list[int]
    grown: int | None
    sent: dict[str, int]


async def memory(host: str) -> int | None:
    """Ask the server how much memory it has, in bytes; None where nobody says."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{host}/left", timeout=60)
    found: int | None = answer.json()["memory"]
    return found


def config_for(firehose: Firehose, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"anthropic": {"base_url": firehose.base_url, "api_key": "test-key"}},
        "models": {"default": "anthropic:claude-sonnet-4-5"},
        "ledger": {"database": database(folder)},
        "relay": {"heartbeat": 0.5},
        **more,
    }


def check(browsed: Browsed, folder: Path) -> None:
    """See that nothing was lost, that nobody read ahead for the slow ones, and that the server has not grown."""
    assert set(browsed.fast) == {FAST_WORDS * len(WORD)}
    slow = [words for name, words in browsed.sent.items() if name.startswith("slow")]
    assert len(slow) == EACH
    assert max(slow) * len(WORD) < BUFFERED
    found = Counter(row["status"] for row in rows(folder))
    assert found == {"finished": EACH, "cancelled": EACH}
    assert browsed.grown is None or browsed.grown < GROWTH


@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
def test_uvicorn(tmp_path: Path, transport: str) -> None:
    """The fast ones lose nothing, the server's memory is bounded, and the slow ones' models are not read ahead."""
    with Firehose() as firehose:
        config = config_for(firehose, tmp_path, transport=transport)
        with uvicorn_host(config, send_buffer=16384) as (url, _):
            browsed = asyncio.run(browse(url, "/llm/stream", firehose))
    check(browsed, tmp_path)


def test_gunicorn_with_threads(tmp_path: Path) -> None:
    """The same in threads, of which each stream has one, and another that reads for it."""
    with Firehose() as firehose:
        config = config_for(firehose, tmp_path)
        with gunicorn_host("gthread", config, threads=2 * EACH + 1, send_buffer=16384) as url:
            browsed = asyncio.run(browse(url, "/stream", firehose))
    check(browsed, tmp_path)
