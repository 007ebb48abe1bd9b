"""A Redis that does not serve: calls are made as if nothing were kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmkit import Kit
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows
from support.waits import async_call, wait_for

if TYPE_CHECKING:
    from support.redis_server import RedisServer

redis = pytest.importorskip("redis", minversion="6")

HELD = Behaviour(tokens=40, delay=0, hold_at=3)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Start a Redis of the test's own."""
    from support.redis_server import RedisServer, any_redis

    with closing(RedisServer(any_redis())) as server:
        yield server


@contextmanager
def emptied(server: RedisServer) -> Iterator[None]:
    """Let all be gone, scripts too."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.script_flush()
    yield


# Whether what was kept before is given again, and what is kept meanwhile.
FOUND = {"full": [True, False, False], "read only": [True, False, False]}
FOUND["emptied"] = [False, False, True]


def outage_of(name: str) -> Callable[[RedisServer], AbstractContextManager[None]]:
    """Return one by its name."""
    from support.redis_outages import OUTAGES

    return {**OUTAGES, "emptied": emptied}[name]


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["killed", "frozen", "full", "read only", "locked", "emptied"])
async def test_calls_go_on(
    tmp_path: Path,
    server: RedisServer,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each has its answer and its row; it is said once; and when Redis serves again answers are kept again."""
    monkeypatch.setattr("llmkit.redis.room._REST", 0.01)
    # On a busy machine a Redis that serves may take longer than calls wait for it.
    monkeypatch.setattr("llmkit.redis.asking.PATIENCE", 2.0)
    for each in ("CONNECT", "ANSWER"):
        monkeypatch.setattr(f"llmkit.redis.address.{each}", 1.0)
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        kit = make_kit(
            emulator,
            ledger={"database": database(tmp_path)},
            cache={"scope": "all"},
            redis=server.url,
        )

        async def ask(number: int) -> bool:
            reply = await kit.async_client.complete(f"Say {number}", temperature=0)
            assert len(reply.text.split()) == 5
            return reply.cached

        assert [await ask(number) for number in (0, 1, 0)] == [False, False, True]
        caplog.clear()
        caplog.set_level(logging.WARNING)
        with outage_of(name)(server):
            found = [await ask(number) for number in (1, 2, 2)]
        assert found == FOUND.get(name, [False, False, False])
        said = [record.message for record in caplog.records if record.name == "llmkit.cache"]
        expected = [] if name == "emptied" else ["calls are made as if nothing were kept"]
        assert [text.partition(":")[0] for text in said] == expected
        # It may need a moment to be asked again.
        number = 3
        while not await ask(number):
            if await ask(number):
                break
            number += 1
            assert number < 200
        await kit.aclose()
    assert {row["status"] for row in rows(tmp_path)} == {"finished", "cached"}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["killed", "frozen", "full", "read only", "locked"])
async def test_calls_that_are_shared_go_on(tmp_path: Path, server: RedisServer, name: str) -> None:
    """In the midst of it: who makes it does not notice, and who listens in another process makes its own."""
    with Emulator(behaviour=HELD) as emulator:
        kits: list[Kit] = []
        for each in "ab":
            (tmp_path / each).mkdir()
            ledger = {"database": database(tmp_path / each)}
            kits.append(make_kit(emulator, ledger=ledger, cache={"scope": "all"}, redis=server.url))
        streams = [
            await kit.async_client.stream("Say it", temperature=0).open() for kit in (*kits, *kits)
        ]
        requests = len(emulator.requests)
        with outage_of(name)(server):
            await async_call(partial(wait_for, lambda: len(emulator.requests), 2))
            emulator.release(None)
            for stream in streams:
                async with stream:
                    while await stream.read() is not None:
                        pass
                assert len(stream.response.text.split()) == 40
        for kit in kits:
            assert len(kit.runtime.flights) == 0
            await kit.aclose()
    assert requests <= 2
    for each in "ab":
        assert {row["status"] for row in rows(tmp_path / each)} == {"finished", "shared"}
