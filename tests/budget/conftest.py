"""The stores that budgets are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmkit.testing import Behaviour, Emulator
from support.budgets import STORES, Budgets, params

if TYPE_CHECKING:
    from support.redis_books import Books
    from support.redis_server import RedisServer


@pytest.fixture(params=params("memory", "sqlite", "engine", "django"))
def budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store whose clock a test can set."""
    return STORES[request.param](request)


@pytest.fixture(params=params(*STORES))
def any_budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store, also one whose clock is a server's."""
    return STORES[request.param](request)


@pytest.fixture
def waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls wait for Redis as long as a loaded machine takes."""
    from support.redis_server import wait_long

    wait_long(monkeypatch)


@pytest.fixture(params=["whole", "parted"])
def books(request: pytest.FixtureRequest, tmp_path: Path, waits_long: None) -> Iterator[Books]:
    """Return budgets in Redis and in a database, empty; whether each tenant's are in a part of a cluster or not."""
    from support.redis_books import redis_books

    with redis_books(tmp_path, is_parted=request.param == "parted") as books:
        yield books


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Start a Redis of the test's own."""
    from support.redis_server import RedisServer, any_redis

    with closing(RedisServer(any_redis())) as server:
        yield server


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
        yield emulator
