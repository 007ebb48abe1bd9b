"""`python -m support.hostile KIND TRANSPORT`: a provider that means harm, and what it did to the process that called it.

Prints a JSON object: how each call ended, the statuses of the rows, the memory in MiB above that after an ordinary call, the places taken and
the sockets open at the end, and what another host that the provider pointed at has received.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmkit import Kit, LLMKitError
from support import answers
from support.raw_provider import raw_provider
from support.rows import database, rows
from support.streams import anthropic_event

MIB = 2**20
# How long a call waits where that is what ends it, in seconds: what is endless and fast comes to another limit long before.
TIME = 4
STREAM = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n"
USAGE = {"input_tokens": 3, "output_tokens": 1}
COUNTS = (10**30, -1, 2**31, "many", 1.5, None, [], {}, True, 2**63)
NASTY = "\x00 \ud83d \\ud83d \ufeff\u2028 \x1b[31m"


def document(text: str = "fine", **usage: Any) -> bytes:
    """Write a whole answer."""
    return json.dumps(answers.document("anthropic", text, usage={**USAGE, **usage})).encode()


def answer(text: str = "fine", **usage: Any) -> bytes:
    """Write a streamed answer."""
    return b"".join(answers.frames("anthropic", text, usage={**USAGE, **usage}))


def sized(head: bytes, body: bytes, *, claimed: int | None = None) -> list[bytes]:
    """Write an answer that says how long it is, truly or not."""
    length = len(body) if claimed is None else claimed
    return [head + b"content-length: %d\r\n\r\n" % length + body]


def endless(head: bytes, piece: bytes) -> Iterable[bytes]:
    """Write a head, and pieces of a body without an end."""
    return itertools.chain([head + b"\r\n"], itertools.repeat(piece))


def slowly(head: bytes, body: bytes) -> Iterable[bytes]:
    """Write a byte at a time."""
    yield head + b"\r\n"
    for byte in itertools.cycle(body):
        time.sleep(0.02)
        yield bytes([byte])


def bomb() -> bytes:
    """Write half a megabyte of gzip that becomes half a gigabyte."""
    member = gzip.compress(bytes(64 * MIB))
    return member * 8


def bombed(head: bytes) -> list[bytes]:
    """Write a body that is one."""
    return sized(head + b"content-encoding: gzip\r\n", bomb())


DELTA = anthropic_event("content_block_delta", delta={"type": "text_delta", "text": "x" * 60_000})
KINDS: dict[str, Callable[[str], list[Iterable[bytes]]]] = {
    "endless pings": lambda other: [
        endless(STREAM, b": ping\n\n" * 1000),
        endless(WHOLE, b" " * 8000),
    ],
    "endless headers": lambda other: [
        itertools.chain([head], itertools.repeat(b"x-more: " + b"a" * 1000 + b"\r\n"))
        for head in (STREAM, WHOLE)
    ],
    "endless body": lambda other: [endless(STREAM, b"x" * 65536), endless(WHOLE, b"x" * 65536)],
    "endless text": lambda other: [
        endless(STREAM, DELTA),
        endless(WHOLE, b'{"type": "message", "content": "' + b"x" * 65536),
    ],
    "gzip bomb": lambda other: [bombed(STREAM), bombed(WHOLE)],
    "300 MB line": lambda other: [
        itertools.chain([STREAM + b"\r\ndata: "], itertools.repeat(b"x" * MIB, 300)),
        itertools.chain([WHOLE + b"\r\n"], itertools.repeat(b"x" * MIB, 300)),
    ],
    "slow drip": lambda other: [slowly(STREAM, b": ping\n\n"), slowly(WHOLE, b" ")],
    "1xx flood": lambda other: [
        itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100) for _ in range(2)
    ],
    "redirect with the key": lambda other: (
        [
            [
                f"HTTP/1.1 307 Elsewhere\r\nlocation: {other}\r\nconnection: close\r\n"
                "content-length: 0\r\n\r\n".encode()
            ]
        ]
        * 2
    ),
    "counts": lambda other: [
        answered
        for count in COUNTS
        for answered in (
            sized(STREAM, answer(input_tokens=count, output_tokens=count)),
            sized(WHOLE, document(input_tokens=count, output_tokens=count)),
        )
    ],
    "NUL and surrogates": lambda other: [
        sized(STREAM, answer(NASTY)),
        sized(WHOLE, document(NASTY)),
    ],
    "length too long": lambda other: [
        sized(STREAM, answer()[:-30], claimed=10**9),
        sized(WHOLE, document(), claimed=10**9),
    ],
    "length too short": lambda other: [
        sized(STREAM, answer(), claimed=200),
        sized(WHOLE, document(), claimed=20),
    ],
}
# What a call may come to, where it is not any error of ours.
RIGHT = {
    "counts": "fine",
    "NUL and surrogates": NASTY.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
}


def memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sockets(port: int) -> int:
    """Count the sockets of this process that lead to a port of this machine."""
    mine = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            mine.add(os.readlink(f"/proc/self/fd/{name}"))
    lines = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)  # 2 is the other end, in hexadecimal; 9 the inode
    return sum(
        f"socket:[{field[9]}]" in mine and field[2].endswith(f":{port:04X}") for field in fields
    )


def make_kit(url: str, transport: str, folder: Path) -> Kit:
    """Make a kit that calls the provider, with one place."""
    return Kit(
        {
            "providers": {"anthropic": {"base_url": url, "api_key": "test-key"}},
            "models": {"default": "anthropic:m"},
            "retry": {"attempts": 1},
            "timeouts": {"connect": 5, "first_content": TIME, "idle": TIME, "total": TIME},
            "concurrency": {"per_process": 1, "queue": 0},
            "transport": "auto" if transport == "sync" else transport,
            "ledger": {"database": database(folder)},
        }
    )


async def acall(kit: Kit, *, streaming: bool) -> str:
    """Call, and return the text."""
    client = kit.async_client
    if not streaming:
        return (await client.complete("Say hi")).text
    async with client.stream("Say hi") as stream:
        async for _ in stream:
            pass
        return stream.response.text


def call(kit: Kit, *, streaming: bool) -> str:
    """Call in this thread, and return the text."""
    if not streaming:
        return kit.client.complete("Say hi").text
    with kit.client.stream("Say hi") as stream:
        for _ in stream:
            pass
        return stream.response.text


async def one(kit: Kit, transport: str, *, streaming: bool) -> str:
    """Make one call; return the text, or the error's word."""
    try:
        if transport == "sync":
            return await asyncio.to_thread(lambda: call(kit, streaming=streaming))
        return await acall(kit, streaming=streaming)
    except LLMKitError as error:
        return f"error: {error.type}"


def write(line: socket.socket, pieces: Iterable[bytes]) -> None:
    """Write all pieces, as fast as they are taken."""
    for piece in pieces:
        line.sendall(piece)


async def main(kind: str, transport: str) -> dict[str, Any]:
    """Make an ordinary call, then a streamed and a whole one to the provider that means harm."""
    received: list[int] = []
    replies: Iterator[Iterable[bytes]] = iter(())

    def reply(line: socket.socket) -> None:
        write(line, next(replies))

    def elsewhere(line: socket.socket) -> None:
        received.append(1)

    with (
        tempfile.TemporaryDirectory() as folder,
        raw_provider(elsewhere) as other,
        raw_provider(reply) as url,
    ):
        port = urlsplit(url).port or 0
        kit = make_kit(url, transport, Path(folder))
        theirs = KINDS[kind](other)
        replies = iter([sized(STREAM, answer()), sized(WHOLE, document()), *theirs])
        usual = [await one(kit, transport, streaming=streaming) for streaming in (True, False)]
        assert usual == ["fine", "fine"], usual
        base = memory()
        outcomes = [await one(kit, transport, streaming=at % 2 == 0) for at in range(len(theirs))]
        running, grown = kit.limit.running, memory() - base
        await kit.aclose()
        until = time.monotonic() + 10
        while sockets(port) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return {
            "outcomes": outcomes,
            "rows": [row["status"] for row in rows(Path(folder))][2:],
            "memory": grown,
            "running": running,
            "sockets": sockets(port),
            "elsewhere": len(received),
        }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
