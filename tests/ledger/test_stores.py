"""What every store of rows reads back of what it was given to write."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Store
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import EngineStore, SQLStore
from llmkit.ledger.sums import Sum
from support.ledger import START, closing, opening
from support.memory_store import MemoryStore

MODEL = ("anthropic", "claude-sonnet-4-5")


def own(request: pytest.FixtureRequest, database: str) -> Store:
    """Keep rows over a connection of llmkit's."""
    store = SQLStore(database_url(request.getfixturevalue(database)), worker="test")
    request.addfinalizer(store.close)
    return store


def on_engine(request: pytest.FixtureRequest) -> Store:
    """Keep rows over an engine of the host's, in memory."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    request.addfinalizer(engine.dispose)
    return EngineStore(engine, worker=lambda: "test")


def django(_: pytest.FixtureRequest) -> Store:
    """Keep rows in Django's model."""
    pytest.importorskip("django")
    from llmkit_django.store import DjangoStore

    return DjangoStore(lambda: "test", own=False)


STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "memory": lambda request: MemoryStore(),
    "sqlite": lambda request: own(request, "sqlite"),
    "postgres": lambda request: own(request, "postgres"),
    "engine": on_engine,
    "django": django,
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.django_db] * (name == "django")) for name in STORES
    ]
)
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty store of each kind."""
    return STORES[request.param](request)


def fill(store: Store) -> None:
    """Write two calls: one of two attempts, one that goes on."""
    store.write(
        [opening("one"), opening("one", attempt=2), opening("two", tenant="acme")],
        [
            closing("one", status="failed", cost=None),
            closing("one", attempt=2, cost=Decimal("0.000034001")),
        ],
    )


def test_the_latest_come_first(store: Store) -> None:
    """By column name, times in UTC."""
    fill(store)
    rows = store.recent(2)
    assert [(row["call_id"], row["attempt"]) for row in rows] == [("two", 1), ("one", 2)]
    assert (rows[0]["tenant"], rows[0]["started_at"]) == ("acme", START)
    assert store.recent(0) == []


def test_they_add_up(store: Store) -> None:
    """Known costs exactly, unknown ones counted, by provider, model and status."""
    fill(store)
    sums = store.totals()
    assert (sums.calls, sums.rows, sums.cost, sums.unknown) == (2, 3, Decimal("0.000034001"), 2)
    assert sums.groups == {
        (*MODEL, "failed"): Sum(rows=1, cost=Decimal(0), unknown=1),
        (*MODEL, "finished"): Sum(rows=1, cost=Decimal("0.000034001"), unknown=0),
        (*MODEL, "started"): Sum(rows=1, cost=Decimal(0), unknown=1),
    }


def test_content_is_kept(store: Store) -> None:
    """As it was given."""
    content = {"messages": [{"role": "user", "content": "Grüße \U0001f642"}], "answer": None}
    store.write([opening("one"), opening("two")], [closing("one", content=content)])
    assert [row["content"] for row in store.recent(2)] == [None, content]


def test_nothing_is_created_by_reading(tmp_path: Path) -> None:
    """Before the first row there is no ledger to read, and there is none afterwards."""
    file = tmp_path / "ledger.db"
    store = SQLStore(database_url(f"sqlite:///{file}"), worker="test")
    with pytest.raises(
        LedgerUnavailable, match=r"there is no database .*The first call creates it"
    ):
        store.recent(1)
    assert not file.exists()


def test_reading_a_host_without_a_table_says_so() -> None:
    """The first call creates it."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    store = EngineStore(engine, worker=lambda: "test")
    with pytest.raises(LedgerUnavailable, match="has no table llmkit_usage"):
        store.totals()
    engine.dispose()
