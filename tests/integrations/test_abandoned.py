"""Two thousand streams that are left at random points leave nothing: no socket, no task, no thread, no open row."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmkit import Kit, StreamClosed
from llmkit.testing import Behaviour, Emulator
from support import abandoning
from support.abandoning import WAYS
from support.kits import ASYNC_TRANSPORTS, make_kit, settings
from support.left_over import no_more_sockets, sockets, threads
from support.processes import environ
from support.rows import database, rows

STREAMS = 2000
AT_ONCE = 40
# Thirty tokens in some forty milliseconds: time enough to be left anywhere.
ANSWER = Behaviour(tokens=30, delay=0.001, ttft=0.005, head_delay=0.002)
TASK_WAYS = ("cancelled", *WAYS)


def check(ended: Mapping[str, str], folder: Path, streams: int = STREAMS) -> None:
    """Compare what each stream's reader saw with its row: by user, the status."""
    found = {row["user_key"]: row["status"] for row in rows(folder)}
    assert Counter(found.values()).keys() == {"finished", "cancelled"}
    # A reader that left before the row was there has none: nothing was sent.
    assert {user: found.get(user, "cancelled") for user in ended} == ended
    assert len(ended) >= streams // 2


async def read(kit: Kit, way: str, user: str, chance: random.Random, ended: dict[str, str]) -> None:
    """Read one stream for a while and leave it; note what its row must say."""
    manager = kit.async_client.stream("Say hi", user=user)
    if way == "aborted":
        asyncio.get_running_loop().call_later(chance.uniform(0, 0.06), manager.abort)
    words = chance.randrange(30) if way in ("left", "dropped") else 1000
    stream = None
    try:
        stream = await manager.open()
        while words and await stream.read() is not None:
            words -= 1
    except StreamClosed:
        assert way == "aborted"
    finally:
        if stream is not None and way != "dropped":
            await stream.aclose()
        complete = stream is not None and stream.response.stop_reason is not None
        ended[user] = "finished" if complete else "cancelled"


@pytest.mark.anyio
@pytest.mark.parametrize("transport", ASYNC_TRANSPORTS)
async def test_tasks(tmp_path: Path, transport: str) -> None:
    """Left, cancelled, aborted, dropped, read to the end; many at once in one event loop."""
    chance = random.Random(7)
    ended: dict[str, str] = {}
    loop = asyncio.get_running_loop()
    with Emulator(behaviour=ANSWER) as emulator, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that one was dropped
        others, tasks, before = threads(), asyncio.all_tasks(), sockets()
        kit = make_kit(emulator, transport=transport, ledger={"database": database(tmp_path)})
        streams = STREAMS // len(ASYNC_TRANSPORTS)
        users = iter(range(streams))

        async def reader() -> None:
            for number in users:
                way, user = TASK_WAYS[number % len(TASK_WAYS)], str(number)
                task = asyncio.create_task(read(kit, way, user, chance, ended))
                if way == "cancelled":
                    loop.call_later(chance.uniform(0, 0.06), task.cancel)
                await asyncio.wait([task])
                ended.setdefault(user, "cancelled")  # before it began
                assert task.cancelled() or task.result() is None

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(reader())
        assert kit.limit.running == 0
        assert not kit.runtime.open_attempts
        await kit.aclose()
        await asyncio.to_thread(emulator.wait_for_connections, 0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks
        await asyncio.to_thread(no_more_sockets, before)
        assert threads() == others
    check(ended, tmp_path, streams)


def test_threads(tmp_path: Path) -> None:
    """Left, aborted from another thread, dropped, read to the end; many at once."""
    chance = random.Random(7)
    ended: dict[str, str] = {}
    with Emulator(behaviour=ANSWER) as emulator, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that one was dropped
        others, before = threads(), sockets()
        kit = make_kit(emulator, ledger={"database": database(tmp_path)})

        def reader(number: int) -> None:
            abandoning.read(kit, WAYS[number % len(WAYS)], str(number), chance, ended)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(reader, range(STREAMS)))
        assert kit.limit.running == 0
        assert not kit.runtime.open_attempts
        kit.close()
        emulator.wait_for_connections(0)
        no_more_sockets(before)
        assert threads() == others
    check(ended, tmp_path)


def test_greenlets(tmp_path: Path) -> None:
    """Left, killed, aborted, dropped, read to the end; many at once in one gevent hub."""
    pytest.importorskip("gevent")
    with Emulator(behaviour=ANSWER) as emulator:
        config = settings(emulator, ledger={"database": database(tmp_path)})
        result = subprocess.run(
            [sys.executable, "-m", "support.greenlets", json.dumps(config), str(STREAMS)],
            env=environ(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        emulator.wait_for_connections(0)
    said = json.loads(result.stdout)
    assert said["left"] == {"running": 0, "attempts": 0, "sockets": 0, "threads": []}
    check(said["ended"], tmp_path)
