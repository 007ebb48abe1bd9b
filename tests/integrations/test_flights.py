"""Shared calls and what ends under them: an event loop, a process; and where nothing is shared."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from llmkit import AsyncStream, Kit, QueueFull, StreamClosed
from llmkit.concurrency.host_threads import in_any_thread
from llmkit.testing import Behaviour, Emulator
from support.forks import needs_fork
from support.kits import make_kit, settings
from support.left_over import threads
from support.rows import database, rows
from support.waits import wait_for

HELD = Behaviour(tokens=20, delay=0, hold_at=3)


def kit_of(emulator: Emulator, folder: Path, **more: Any) -> Kit:
    """Make a kit with a cache."""
    ledger = {"database": database(folder)}
    return make_kit(emulator, **{"ledger": ledger, "cache": {"scope": "all"}, **more})


@pytest.mark.parametrize("how", ["the kit is closed", "the loop ends"])
def test_a_loop_ends(tmp_path: Path, how: str) -> None:
    """With a call that several follow: its provider is told to stop, each has its row, and who still reads is told."""
    streams: list[AsyncStream] = []

    async def work(kit: Kit) -> None:
        for _ in range(3):
            streams.append(await kit.async_client.stream("Say it", temperature=0).open())
        if how == "the kit is closed":
            await kit.aclose()
            for stream in streams:
                with pytest.raises(StreamClosed):
                    while await stream.read() is not None:
                        pass

    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        asyncio.run(work(kit))
        emulator.wait_until_gone(0)
        assert len(kit.runtime.flights) == 0
        if how == "the loop ends":
            for stream in streams:
                stream.abandon()
            kit.close()
        assert len(emulator.requests) == 1
    paid, *shared = rows(tmp_path)
    assert (paid["attempt"], paid["status"]) == (1, "cancelled")
    assert threads() == []
    if how == "the kit is closed":
        assert [(row["attempt"], row["status"]) for row in shared] == [(0, "cancelled")] * 2


def test_a_loop_ends_before_anything_was_said(tmp_path: Path) -> None:
    """While all wait for the first word, or for a place: nothing is waited for."""
    held = Behaviour(tokens=20, head_delay=60)
    with Emulator(behaviour=held) as emulator:
        kit = kit_of(emulator, tmp_path, concurrency={"per_process": 1})

        async def work() -> None:
            asked = [
                asyncio.create_task(kit.async_client.complete(f"Say {at}", temperature=0))
                for at in (1, 1, 2, 2)
            ]
            await asyncio.to_thread(emulator.wait_for_requests, 1)
            assert len(kit.runtime.flights) == 2
            for each in asked:
                each.cancel()
            await asyncio.wait(asked)
            assert len(kit.runtime.flights) == 0
            again = asyncio.create_task(kit.async_client.complete("Say 3", temperature=0))
            await asyncio.to_thread(emulator.wait_for_requests, 2)
            await kit.aclose()
            await asyncio.wait([again])
            assert isinstance(again.exception(), StreamClosed)

        asyncio.run(work())
    assert {row["status"] for row in rows(tmp_path)} == {"cancelled"}


def test_another_loop_ends(tmp_path: Path) -> None:
    """The calls of this one go on."""
    begun, ended = threading.Event(), threading.Event()

    async def stay(kit: Kit) -> str:
        async with kit.async_client.stream("Say it", temperature=0) as stream:
            assert await stream.read()
            begun.set()
            await asyncio.to_thread(ended.wait, 60)
            while await stream.read() is not None:
                pass
        return stream.response.text

    async def leave(kit: Kit) -> None:
        stream = await kit.async_client.stream("Say it", temperature=0).open()
        assert await stream.read()
        await kit.aclose()
        await stream.aclose()

    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(asyncio.run(stay(kit))))
        thread.start()
        assert begun.wait(60)
        asyncio.run(leave(kit))
        emulator.release(None)
        ended.set()
        thread.join()
        kit.close()
    assert [len(text.split()) for text in found] == [20]


def test_who_leaves_before_there_is_a_row(tmp_path: Path) -> None:
    """A call has one row, whoever it is made for in the end; and one if it is made for nobody."""

    async def work(kit: Kit, *, is_refused: bool) -> None:
        kit.limit.enter("anthropic", lambda: None)  # the one place is another's
        asked = [
            asyncio.create_task(kit.async_client.complete("Say it", temperature=0))
            for _ in range(2)
        ]
        while len(kit.runtime.flights) == 0 or kit.limit.waiting == 0:
            await asyncio.sleep(0.001)
        asked[0].cancel()
        await asyncio.wait([asked[0]])
        if not is_refused:
            kit.limit.leave("anthropic")
        await asyncio.wait([asked[1]])
        assert isinstance(asked[1].exception(), QueueFull if is_refused else type(None))
        if is_refused:
            kit.limit.leave("anthropic")
        await kit.aclose()

    for is_refused in (False, True):
        folder = tmp_path / str(is_refused)
        folder.mkdir()
        with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
            limits = {"per_process": 1, "queue_timeout": 0.5}
            kit = kit_of(emulator, folder, concurrency=limits)
            asyncio.run(work(kit, is_refused=is_refused))
        found = rows(folder)
        assert len({row["call_id"] for row in found}) == len(found) == 2
        expected = ["refused", "refused"] if is_refused else ["finished", "shared"]
        assert sorted(row["status"] for row in found) == expected


@needs_fork
def test_a_fork_has_none(tmp_path: Path) -> None:
    """The child asks for itself: the call under way is its parent's."""
    with Emulator(behaviour=HELD) as emulator:
        kit = kit_of(emulator, tmp_path)
        stream = kit.client.stream("Say it", temperature=0).open()
        emulator.script(Behaviour(tokens=2, delay=0))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                reply = kit.client.complete("Say it", temperature=0)
                stream.close()
                code = 0 if not reply.shared and len(reply.text.split()) == 2 else 2
                kit.runtime.flush(30)
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        emulator.release(None)
        while stream.read() is not None:
            pass
        assert len(stream.response.text.split()) == 20
        kit.close()
        assert len(emulator.requests) == 2


class Redis:
    """Two processes that share calls, as two kits."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        from support.redis_server import any_redis_url

        self.kits: list[Kit] = []
        for name in "ab":
            (folder / name).mkdir()
            more = {"redis": any_redis_url(), "namespace": folder.name}
            self.kits.append(kit_of(emulator, folder / name, **more))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody take a busy machine for a Redis that is away."""
    pytest.importorskip("redis", minversion="6")
    from support.redis_server import wait_long

    wait_long(monkeypatch)


def test_a_loop_that_stands_still(tmp_path: Path, patient: None) -> None:
    """Is not waited for: another process makes its call, and it has its own answer when it goes on."""
    with Emulator(behaviour=HELD) as emulator:
        one, other = Redis(emulator, tmp_path).kits
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(one.async_client.stream("Say it", temperature=0).open())
        found: list[str] = []

        def ask() -> None:
            with other.client.stream("Say it", temperature=0) as answer:
                while answer.read() is not None:
                    pass
            found.append(answer.response.text)

        thread = threading.Thread(target=ask)
        thread.start()
        emulator.wait_for_requests(2, timeout=60)
        emulator.release(None)
        thread.join()

        async def go_on() -> None:
            while await stream.read() is not None:
                pass
            await one.aclose()

        loop.run_until_complete(go_on())
        loop.close()
        other.close()
    assert found == [stream.response.text]
    assert [row["status"] for row in rows(tmp_path / "a")] == ["finished"]


@pytest.mark.parametrize("how", ["the kit is closed", "the loop ends"])
def test_a_loop_ends_that_follows_another_process(tmp_path: Path, patient: None, how: str) -> None:
    """Its calls end with it, and each has a row; the other process goes on."""
    with Emulator(behaviour=HELD) as emulator:
        one, other = Redis(emulator, tmp_path).kits
        first = one.client.stream("Say it", temperature=0).open()
        streams: list[AsyncStream] = []

        async def work() -> None:
            stream = await other.async_client.stream("Say it", temperature=0).open()
            streams.append(stream)
            waits = asyncio.create_task(other.async_client.complete("Say", temperature=0))
            await asyncio.to_thread(emulator.wait_for_requests, 2)
            if how == "the kit is closed":
                await other.aclose()
                with pytest.raises(StreamClosed):
                    while await stream.read() is not None:
                        pass
                await asyncio.wait([waits])
                assert isinstance(waits.exception(), StreamClosed)

        asyncio.run(work())
        wait_for(lambda: len(other.runtime.flights), 0)
        for stream in streams:
            stream.abandon()
        other.close()
        emulator.release(None)
        while first.read() is not None:
            pass
        assert len(first.response.text.split()) == 20
        one.close()
        assert len(emulator.requests) == 2
    assert sorted(row["status"] for row in rows(tmp_path / "b")) == ["cancelled", "cancelled"]


def test_who_is_cancelled_while_it_looks(tmp_path: Path, patient: None) -> None:
    """Has no part in the call any more: the next one has not to wait until that lapses."""
    from support.redis_server import any_redis_url

    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        one, other = Redis(emulator, tmp_path).kits

        async def work() -> None:
            await one.async_client.complete("another", temperature=0)  # which has connected
            task = asyncio.create_task(one.async_client.complete("Say it", temperature=0))
            while len(one.runtime.flights) == 0:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await one.aclose()

        asyncio.run(work())
        import redis

        with redis.Redis.from_url(any_redis_url()) as client:
            pattern = f"*{tmp_path.name}:cache:*:call"
            wait_for(lambda: list(client.scan_iter(match=pattern, count=1000)), [])
        other.close()


def test_over_a_connection_of_the_apps_nothing_is_shared(tmp_path: Path) -> None:
    """Its rows are written in the thread that has the connection."""
    from llmkit.ledger.host import HostLedger
    from support.memory_store import MemoryStore

    with Emulator(behaviour=Behaviour(tokens=5, delay=0, hold_at=2)) as emulator:
        store = MemoryStore()
        config = settings(
            emulator, cache={"scope": "all"}, ledger={"connection": "host", "database": None}
        )
        kit = Kit(config, ledger=HostLedger(store, from_async=in_any_thread))
        streams = [kit.client.stream("Say it", temperature=0).open() for _ in range(2)]
        emulator.wait_for_requests(2)
        emulator.release(None)
        for stream in streams:
            while stream.read() is not None:
                pass
        assert not any(stream.response.shared for stream in streams)
        assert kit.client.complete("Say it", temperature=0).cached
        kit.close()


def test_a_user_of_redis_that_may_not(tmp_path: Path, patient: None) -> None:
    """Use the keys of the cache: budgets, which it may use, are held all the same."""
    from contextlib import closing

    import redis

    from support.redis_server import RedisServer, any_redis

    with (
        closing(RedisServer(any_redis())) as server,
        Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator,
    ):
        rules = ("on", ">word", "+@all", "~*budget*", "~*hold*")
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "app", *rules)
        url = server.url.replace("unix://", "unix://app:word@")
        budgets = [{"scope": "all", "per": "day", "requests": 100}]
        kit = kit_of(emulator, tmp_path, redis=url, budgets=budgets)
        for _ in range(3):
            assert not kit.client.complete("Say it", temperature=0).cached
        kit.runtime.flush(60)
        assert kit.budgets.left(None)[0].used == 3
        kit.close()
