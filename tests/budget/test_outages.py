"""Calls whose budgets cannot be asked: real Redis servers that are killed, frozen, full or read only."""

from __future__ import annotations

import asyncio
import os
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from llmkit import Amount, BudgetExceeded, BudgetUnavailable, Caller, Kit
from llmkit.errors import ConfigError
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.ledger import locked as locked_file
from support.redis_server import RedisCluster, RedisServer, any_redis
from support.rows import rows
from support.waits import wait_for

redis = pytest.importorskip("redis")

from llmkit.redis.asking import Patience, RedisUnavailable, Script  # noqa: E402
from llmkit.redis.room import RedisRoom  # noqa: E402
from support.redis_outages import BUDGETS, OUTAGES, calls_again, client, new_kit, used  # noqa: E402

HELD = Behaviour(tokens=5, delay=0, hold_at=2)


@pytest.fixture
def kit(server: RedisServer, emulator: Emulator, tmp_path: Path) -> Iterator[Kit]:
    """Return a kit whose budgets are in Redis and in a database."""
    with closing(new_kit(server, emulator, tmp_path)) as kit:
        yield kit


@pytest.mark.parametrize("outage", OUTAGES)
def test_calls_are_refused_while_redis_does_not_serve(
    server: RedisServer, emulator: Emulator, kit: Kit, tmp_path: Path, outage: str
) -> None:
    """Nothing is sent, each has a row, and one that runs ends as usual; when it is back, budgets are what the ledger says."""
    kit.client.complete("Say hi", user=7)
    emulator.script(HELD)
    with kit.client.stream("Say hi", user=7) as stream:
        said = next(stream.text())
        with OUTAGES[outage](server):
            for _ in range(3):
                with pytest.raises(
                    BudgetUnavailable, match="the budgets cannot be asked"
                ) as caught:
                    kit.client.complete("Say hi", user=7)
                assert "secret-of-redis" not in str(caught.value)
            emulator.release(None)
            said += "".join(stream.text())
    assert said == "Hello! This answer comes from"
    assert len(emulator.requests) == 2
    calls_again(kit)
    wait_for(lambda: used(kit), 3)
    statuses = [row["status"] for row in rows(tmp_path)]
    assert statuses.count("finished") == 3
    refused = [row for row in rows(tmp_path) if row["status"] == "refused"]
    assert len(refused) >= 3
    assert {row["error_type"] for row in refused} == {"budget_unavailable"}


def test_redis_that_is_not_there_yet(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """The app starts, calls are refused, and are made as soon as it is there."""
    server.kill()
    with closing(new_kit(server, emulator, tmp_path)) as kit:
        with pytest.raises(BudgetUnavailable):
            kit.client.complete("Say hi", user=7)
        server.start()
        calls_again(kit)
        assert used(kit) == 1


class SlowRedis(socketserver.StreamRequestHandler):
    """Says yes to everything; each answer takes a tenth of a second by the clock of whoever asks."""

    asked: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        """Answer each command."""
        while head := self.rfile.readline():
            words = [
                (self.rfile.readline(), self.rfile.readline())[1] for _ in range(int(head[1:]))
            ]
            self.asked.append(words[0].strip())
            self.wfile.write(b"+OK\r\n")


def test_a_connection_whose_every_step_is_slow() -> None:
    """Password, database and question together take no longer than one call may wait."""
    SlowRedis.asked.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), SlowRedis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        url = f"redis://:word@127.0.0.1:{server.server_address[1]}/1?protocol=2"

        def clock() -> float:
            return len(SlowRedis.asked) / 10

        with closing(RedisRoom(url, clock=clock)) as room, pytest.raises(RedisUnavailable):
            room.run(Script("return 1"), [], [], Patience(clock))
        server.shutdown()
    assert SlowRedis.asked[:1] == [b"AUTH"]
    assert b"EVALSHA" not in SlowRedis.asked


@pytest.mark.anyio
async def test_a_busy_event_loop_is_not_a_slow_redis() -> None:
    """It comes back late to an answer that is there: of that time a piece counts, and no more."""
    answered, now = asyncio.Event(), [0.0]

    def clock() -> float:
        now[0] += 5
        if now[0] > 30:
            answered.set()
        return now[0]

    patience = Patience(clock)
    assert await patience.awaited(answered.wait()) is True
    assert now[0] > 30
    assert patience.left > 0


@pytest.mark.usefixtures("waits_long")
def test_a_budget_is_not_free_again_after_redis_was_emptied(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """It is filled from the ledger before anything is granted."""
    budgets = [{"scope": "user", "per": "month", "requests": 2}]
    with closing(new_kit(server, emulator, tmp_path, budgets=budgets)) as kit:
        for _ in range(2):
            kit.client.complete("Say hi", user=7)
        kit.runtime.flush(30)
        with client(server) as asked:
            asked.flushall()
        with pytest.raises(BudgetExceeded):
            kit.client.complete("Say hi", user=7)


@pytest.mark.usefixtures("waits_long")
def test_scripts_that_redis_has_forgotten(server: RedisServer, kit: Kit) -> None:
    """They are sent again, by threads and by event loops."""
    for number in range(3):
        kit.client.complete("Say hi", user=number)
        with client(server) as asked:
            asked.script_flush()
    assert used(kit) == 3


@pytest.mark.usefixtures("waits_long")
def test_a_fork_has_connections_of_its_own(kit: Kit) -> None:
    """An answer to one process never arrives in another."""
    kit.client.complete("Say hi", user=7)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(5):
                kit.client.complete("Say hi", user=7)
            kit.close()
            os._exit(0)
        except BaseException:  # the child must not go on with the tests
            os._exit(1)
    for _ in range(5):
        kit.client.complete("Say hi", user=7)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert used(kit) == 11


@pytest.mark.anyio
@pytest.mark.usefixtures("waits_long")
@pytest.mark.parametrize("colour", ["threads", "event loop"])
async def test_many_calls_at_once(
    server: RedisServer, emulator: Emulator, tmp_path: Path, colour: str
) -> None:
    """More than a client has connections: they wait for one another, and Redis serves."""
    kit = new_kit(
        server, emulator, tmp_path, budgets=[{"scope": "all", "per": "ever", "requests": 50}]
    )
    if colour == "threads":
        with ThreadPoolExecutor(150) as threads:
            run = partial(asyncio.get_running_loop().run_in_executor, threads, kit.client.complete)
            found = await asyncio.gather(
                *(run("Say hi") for _ in range(300)), return_exceptions=True
            )
    else:
        calls = [kit.async_client.complete("Say hi") for _ in range(300)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in found if isinstance(each, BaseException)} == {BudgetExceeded}
    assert len(emulator.requests) == 50
    await asyncio.to_thread(wait_for, lambda: used(kit), 50)
    await kit.aclose()


@pytest.mark.usefixtures("waits_long")
def test_rows_that_wait_in_the_outbox_are_noted(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Until they are written: what they charge is not in the database meanwhile."""
    file = tmp_path / "ledger.db"
    with closing(new_kit(server, emulator, tmp_path)) as kit, client(server) as asked:
        kit.client.complete("Say hi", user=7)
        noted = partial(asked.zcard, "{llmkit:budget}:unwritten")
        with locked_file(str(file)):
            kit.client.complete("Say hi", user=7)
            wait_for(noted, 1)
        wait_for(noted, 0)
        wait_for(lambda: used(kit), 2)


@pytest.mark.usefixtures("waits_long")
def test_threads_share_one_budget(server: RedisServer, emulator: Emulator, tmp_path: Path) -> None:
    """And have connections of their own."""
    budgets = [{"scope": "all", "per": "ever", "requests": 5}]
    made: list[str] = []
    with closing(new_kit(server, emulator, tmp_path, budgets=budgets)) as kit:

        def call() -> None:
            try:
                made.append(kit.client.complete("Say hi").text)
            except BudgetExceeded:
                pass

        threads = [threading.Thread(target=call) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == len(emulator.requests) == 5
        assert used(kit) == 5


@pytest.mark.anyio
@pytest.mark.parametrize("colour", ["threads", "event loop"])
async def test_a_cluster_one_of_whose_nodes_dies(
    emulator: Emulator, tmp_path: Path, colour: str
) -> None:
    """Calls are refused until its replica has taken over; what that did not have yet is in the ledger."""
    with closing(RedisCluster(any_redis(), "{llmkit:budget}:")) as cluster:
        kit = new_kit(cluster, emulator, tmp_path)

        async def is_made() -> bool:
            try:
                if colour == "threads":
                    await asyncio.to_thread(kit.client.complete, "Say hi", user=7)
                else:
                    await kit.async_client.complete("Say hi", user=7)
            except BudgetUnavailable:
                return False
            return True

        async def make_one() -> None:
            while not await is_made():
                await asyncio.sleep(0.05)

        for _ in range(3):
            await make_one()
        cluster.master.kill()
        assert not await is_made()
        await asyncio.wait_for(make_one(), 60)
        await asyncio.to_thread(wait_for, lambda: used(kit), 4)
        await kit.aclose()


def test_a_partition_needs_redis_and_budgets_of_tenants(emulator: Emulator) -> None:
    """It is said what is right."""
    with pytest.raises(ConfigError, match="partition spreads budgets .* redis is not set"):
        make_kit(emulator, partition="tenant")
    with pytest.raises(ConfigError, match="a budget has the scope 'all', which tenants share"):
        make_kit(emulator, budgets=BUDGETS, redis="redis://localhost", partition="tenant")


@pytest.mark.usefixtures("waits_long")
def test_tenants_in_parts_of_their_own(
    server: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Each has its budgets, by calls and by hand, and what is settled is charged to the right one."""
    budgets = [{"scope": "tenant", "per": "ever", "requests": 2}]
    more = {"budgets": budgets, "partition": "tenant"}
    with closing(new_kit(server, emulator, tmp_path, **more)) as kit:
        for tenant in ("acme", "{b}"):
            kit.client.complete("Say hi", user=Caller(tenant=tenant))
            hold = kit.budgets.hold(Caller(tenant=tenant), Amount(requests=1))
            with pytest.raises(BudgetExceeded):
                kit.client.complete("Say hi", user=Caller(tenant=tenant))
            kit.budgets.release(hold.id)
            kit.client.complete("Say hi", user=Caller(tenant=tenant))
        kit.runtime.flush(30)
        found = [kit.budgets.left(Caller(tenant=name))[0].used for name in ("acme", "{b}", "c")]
        assert found == [2, 2, 0]
        with client(server) as asked:
            tags = {key.partition("}:")[0] for key in asked.scan_iter(match="*account*")}
        assert len(tags) == 3
