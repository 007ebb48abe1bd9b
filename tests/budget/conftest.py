"""The stores that budgets are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.budgets import STORES, Budgets, params

if TYPE_CHECKING:
    from support.redis_books import Books


@pytest.fixture(params=params("memory", "sqlite", "engine", "django"))
def budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store whose clock a test can set."""
    return STORES[request.param](request)


@pytest.fixture(params=params(*STORES))
def any_budgets(request: pytest.FixtureRequest) -> Budgets:
    """Return each store, also one whose clock is a server's."""
    return STORES[request.param](request)


@pytest.fixture(params=["whole", "parted"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    """Return budgets in Redis and in a database, empty; whether each tenant's are in a part of a cluster or not."""
    from support.redis_books import redis_books

    with redis_books(tmp_path, is_parted=request.param == "parted") as books:
        yield books
