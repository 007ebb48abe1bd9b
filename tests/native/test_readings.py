"""Whatever a server sends, and however it is split: what aiohttp makes of it, or an error of ours."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("aiohttp")

from llmkit.errors import ConnectionFailed
from llmkit.transport.native.connection import Connection
from support.http_answers import ANSWERS, odd_answer, pieces
from support.http_readings import (
    Reading,
    connected,
    feed,
    now,
    read_aiohttp,
    read_native,
    read_now,
    reading_of,
)

# How many odd answers are read; a million by hand.
INPUTS = int(os.environ.get("LLMKIT_TEST_FUZZ", "20000"))
# In Python's development mode aiohttp refuses what it takes otherwise.
AGREES = not sys.flags.dev_mode
NEXT = b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nx-next: yes\r\n\r\nnext"


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Make a loop that never runs."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("eof", [False, True])
def test_every_split(loop: asyncio.AbstractEventLoop, name: str, eof: bool) -> None:
    """An answer is what it is, in two parts at every place, and byte by byte; and what aiohttp reads."""
    answer = ANSWERS[name]
    at_once = read_native(loop, [answer], eof=eof)
    for at in range(1, len(answer)):
        assert read_native(loop, [answer[:at], answer[at:]], eof=eof) == at_once, at
    assert read_native(loop, [bytes([byte]) for byte in answer], eof=eof) == at_once
    if AGREES:
        assert agree(at_once, read_aiohttp(loop, [answer], eof=eof))


def agree(ours: Reading, theirs: Reading) -> bool:
    """Whether ours is the same as theirs, or an error. A connection may serve less often than theirs."""
    if replace(ours, keeps=theirs.keeps) == theirs and ours.keeps <= theirs.keeps:
        return True
    if ours.end == "broken":  # of what came before, nothing that they did not read
        return theirs.body.startswith(ours.body) or not theirs.body
    return False


def test_odd_answers(loop: asyncio.AbstractEventLoop) -> None:
    """The same answer as aiohttp's, or an error; and on a kept connection the next answer is the next answer."""
    chance = random.Random("odd answers")
    kinds: dict[str, int] = {}
    for _ in range(INPUTS):
        answer = odd_answer(chance)
        parts = pieces(chance, answer)
        eof = chance.random() < 0.5
        ours = read_native(loop, parts, eof=eof)
        theirs = read_aiohttp(loop, parts, eof=eof) if AGREES else ours
        if not agree(
            ours, theirs
        ):  # which loses an answer for what stands behind it in the same read
            theirs = read_aiohttp(loop, [bytes([byte]) for byte in answer], eof=eof)
        assert agree(ours, theirs), (parts, eof, ours, theirs)
        kinds[ours.end] = kinds.get(ours.end, 0) + 1
        connection, line = connected(loop)
        connection.ask(b"")
        body = feed(connection, line, parts, eof=False)
        first = reading_of(connection, body)
        if first.keeps and line.is_open:
            connection.ask(b"")
            assert connection.answers.is_silent
            second = feed(connection, line, pieces(chance, NEXT), eof=False)
            assert reading_of(connection, second) == Reading(
                201, {"content-length": "4", "x-next": "yes"}, b"next", "whole", keeps=True
            ), parts
            kinds["kept"] = kinds.get("kept", 0) + 1
        connection.cut()
    assert min(kinds[kind] for kind in ("whole", "broken", "open", "kept")) > INPUTS / 50, kinds


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
ENDLESS = {
    "a line of a head": (OK + b"x-long: ", b"y" * 4096),
    "lines of a head": (OK, b"x-more: y\r\n" * 300),
    "a reason": (b"HTTP/1.1 200 ", b"y" * 4096),
    "answers that say that another follows": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
    "lines before a head": (b"", b"\r\n" * 2048),
    "words behind the size of a chunk": (CHUNKED + b"5;x=", b"y" * 4096),
    "zeros before the size of a chunk": (CHUNKED, b"0" * 4096),
    "lines behind a body": (CHUNKED + b"2\r\nhi\r\n0\r\n", b"x-more: y\r\n" * 300),
    "a line behind a body": (CHUNKED + b"2\r\nhi\r\n0\r\nx-long: ", b"y" * 4096),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """What is no part of a body is refused before it takes memory: no more than two reads of a quarter of a megabyte."""
    begin, more = ENDLESS[name]
    connection, line = connected(loop)
    connection.ask(b"")
    tracemalloc.start()
    connection.data_received(begin)
    sent = 0
    while line.is_open and sent < 2**21:
        connection.data_received(more)
        sent += len(more)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not line.is_open
    assert sent <= 2**17
    assert peak < 2**20
    assert read_now(connection) == (b"hi" if b"hi" in begin else b"")
    with pytest.raises(ConnectionFailed):
        read_whole(connection)


def read_whole(connection: Connection) -> bytes:
    """Read on where nothing has to be waited for."""
    return bytes(now(connection.read()))


def test_who_reads_slowly_is_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    """The network is not read while enough is there that nobody has taken, and the connection serves again when all was taken."""
    connection, line = connected(loop)
    connection.ask(b"")
    connection.data_received(OK + b"content-length: 100000\r\n\r\n" + bytes(10_000))
    assert line.is_reading
    connection.data_received(bytes(10_000))
    assert not line.is_reading
    assert read_whole(connection) == bytes(20_000)
    assert line.is_reading
    connection.data_received(bytes(80_000))
    assert not connection.answers.is_over
    assert read_whole(connection) == bytes(80_000)
    assert connection.answers.is_over
    assert read_whole(connection) == b""
    assert connection.renew()
    assert line.is_reading


def test_what_nobody_asked_for(loop: asyncio.AbstractEventLoop) -> None:
    """A connection that speaks while nobody uses it is closed: what it says could be taken for the next answer."""
    connection, line = connected(loop)
    assert connection.is_open
    connection.data_received(NEXT)
    assert not connection.is_open
    assert not line.is_open


def test_an_answer_before_all_was_asked(loop: asyncio.AbstractEventLoop) -> None:
    """A connection on which a request is still on its way does not serve another."""
    connection, line = connected(loop)
    line.unsent = 1
    connection.ask(b"")
    connection.data_received(NEXT)
    assert read_whole(connection) == b"next"
    assert not connection.renew()
    assert not line.is_open
