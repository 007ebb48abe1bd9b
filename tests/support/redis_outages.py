"""A Redis that does not serve budgets, in each way that it can, and whether calls are made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import redis

from llmkit import BudgetUnavailable, Kit
from llmkit.testing import Emulator
from support.kits import make_kit
from support.redis_server import RedisCluster, RedisServer
from support.waits import wait_for

BUDGETS = [
    {"scope": "all", "per": "ever", "tokens": 100_000, "requests": 50},
    {"scope": "user", "per": "minute", "requests": 40},
]


def new_kit(
    server: RedisServer | RedisCluster, emulator: Emulator, folder: Path, **more: Any
) -> Kit:
    """Make one."""
    ledger = {"database": f"sqlite:///{folder / 'ledger.db'}"}
    return make_kit(emulator, **{"ledger": ledger, "budgets": BUDGETS, "redis": server.url, **more})


def client(server: RedisServer) -> AbstractContextManager[Any]:
    """Talk to a server."""
    return closing(redis.Redis.from_url(server.url, decode_responses=True))


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """Kill it, and start another one, which is empty."""
    server.kill()
    yield
    server.start()


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """Let it have no memory left."""
    with client(server) as asked:
        asked.config_set("maxmemory", "1")
        yield
        asked.config_set("maxmemory", "0")


@contextmanager
def read_only(server: RedisServer) -> Iterator[None]:
    """Make it a replica, as one is after a failover."""
    with client(server) as asked:
        asked.replicaof("127.0.0.1", "1")
        yield
        asked.replicaof("no", "one")


@contextmanager
def locked(server: RedisServer) -> Iterator[None]:
    """Let it ask for a password that the settings do not have."""
    with client(server) as asked:
        asked.config_set("requirepass", "secret-of-redis")
        asked.client_kill_filter(skipme=True)
        yield
        asked.config_set("requirepass", "")


OUTAGES: dict[str, Callable[[RedisServer], AbstractContextManager[None]]] = {
    "killed": killed,
    "frozen": RedisServer.frozen,
    "full": full,
    "read only": read_only,
    "locked": locked,
}


def calls_again(kit: Kit) -> None:
    """Wait until calls are made again."""

    def is_made() -> bool:
        try:
            kit.client.complete("Say hi", user=7)
        except BudgetUnavailable:
            return False
        return True

    wait_for(is_made, wanted=True)


def used(kit: Kit) -> int | None:
    """Say how many calls Redis has counted; None if the ledger's database has others."""
    kit.runtime.flush(30)
    assert kit.ledger is not None
    assert kit.ledger.budgets is not None
    assert kit.runtime.budgets is not None
    claims = kit.budgets._all(None)
    here = kit.runtime.budgets.store.balances(claims[:1])
    there = kit.ledger.budgets.balances(claims[:1])
    return here[0].used.requests if here == there and not here[0].held.requests else None
