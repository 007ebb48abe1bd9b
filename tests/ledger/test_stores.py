"""What every store of rows reads back of what it was given to write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Store
from llmkit.ledger.database import database_url
from llmkit.ledger.selection import Selection
from llmkit.ledger.sql import EngineStore, SQLStore
from llmkit.ledger.sums import Sum
from support.ledger import START, closing, opening
from support.memory_store import MemoryStore
from support.stores import MAINTAINED, params

MODEL = ("anthropic", "claude-sonnet-4-5")


STORES: dict[str, Callable[[pytest.FixtureRequest], Store]] = {
    "memory": lambda request: MemoryStore(),
    **MAINTAINED,
}


@pytest.fixture(params=params(*STORES))
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
    """Calls, attempts and tokens; known costs exactly, unknown ones counted; what was saved, exactly too; together, and in groups."""
    fill(store)
    kept = {"status": "cached", "attempt": 0, "cost": Decimal(0)}
    again = [opening(f"again-{at}", attempt=0, tenant="other") for at in range(3)]
    saved = [Decimal("123456.000000001"), Decimal("0.000000002"), None]
    store.write(
        again,
        [closing(row.call_id, saved=much, **kept) for row, much in zip(again, saved, strict=True)],
    )
    cached = Sum(
        calls=3, attempts=3, input_tokens=300, output_tokens=60, saved=Decimal("123456.000000003")
    )
    both = {"input_tokens": 100, "output_tokens": 20, "attempts": 1}
    dear = Decimal("0.000034001")
    failed = Sum(**both, calls=1, unpriced=1)
    finished = Sum(**both, calls=0, cost=dear)
    started = Sum(calls=1, attempts=1, unpriced=1)
    assert store.sums(("provider", "model", "status")) == {
        (*MODEL, "failed"): failed,
        (*MODEL, "finished"): finished,
        (*MODEL, "started"): started,
        (*MODEL, "cached"): cached,
    }
    assert store.sums(("tenant",)) == {
        (None,): failed + finished,
        ("acme",): started,
        ("other",): cached,
    }
    assert store.sums() == {(): failed + finished + started + cached}
    assert store.sums((), Selection(where={"user": "nobody"})) == {}


def keys(store: Store, *by: str, zone: str = "UTC", **selection: Any) -> list[tuple[Any, ...]]:
    """Return the groups that there are, with how many rows each has."""
    found = store.sums(by, Selection(**selection), zone=ZoneInfo(zone))
    groups = [(*key, one.attempts) for key, one in found.items()]
    return sorted(groups, key=lambda group: [str(word or "") for word in group])


def test_days_and_months_are_those_of_a_time_zone(store: Store) -> None:
    """At the hour that is left out, at the one that comes twice, and where a day begins at a quarter to."""
    times = (
        *("2026-03-28T22:59:59", "2026-03-28T23:00", "2026-03-29T21:59", "2026-03-29T22:00"),
        *("2026-10-25T21:59", "2026-10-25T22:59", "2026-10-25T23:00", "2026-10-31T23:30"),
    )
    moments = [datetime.fromisoformat(f"{time}+00:00") for time in times]
    store.write([opening(f"{at}", started_at=at) for at in moments], [])
    assert keys(store, "day", zone="Europe/Berlin") == [
        ("2026-03-28", 1),
        ("2026-03-29", 2),
        ("2026-03-30", 1),
        ("2026-10-25", 2),
        ("2026-10-26", 1),
        ("2026-11-01", 1),
    ]
    assert keys(store, "month", "user", zone="Europe/Berlin") == [
        ("2026-03", "42", 4),
        ("2026-10", "42", 3),
        ("2026-11", "42", 1),
    ]
    assert keys(store, "day")[0] == ("2026-03-28", 2)
    store.write(
        [
            opening(f"{minute}", started_at=datetime(2026, 5, 1, 18, minute, tzinfo=UTC))
            for minute in (14, 15)
        ],
        [],
    )
    since = datetime(2026, 5, 1, tzinfo=UTC)
    assert keys(store, "month", "day", zone="Asia/Kathmandu", since=since)[:2] == [
        ("2026-05", "2026-05-01", 1),
        ("2026-05", "2026-05-02", 1),
    ]


def test_some_rows_are_chosen(store: Store) -> None:
    """By when their calls began, and by what they say or do not say."""
    later = START + timedelta(hours=1)
    store.write(
        [
            opening("one", tags={"feature": "search"}),
            opening("two", user_key="7", tenant="acme", started_at=later),
            opening("three", user_key=None, model="other", alias="fast", started_at=later),
        ],
        [closing("one"), closing("three", status="failed")],
    )
    chosen: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["three", "two", "one"]),
        ({"since": later}, ["three", "two"]),
        ({"until": later}, ["one"]),
        ({"since": START, "until": START + timedelta(microseconds=1)}, ["one"]),
        ({"since": START + timedelta(microseconds=1), "until": later}, []),
        ({"where": {"user": "7"}}, ["two"]),
        ({"where": {"user": None}}, ["three"]),
        ({"where": {"tenant": "acme", "user": "42"}}, []),
        ({"where": {"status": "finished"}}, ["one"]),
        ({"where": {"alias": "fast", "provider": "anthropic", "model": "other"}}, ["three"]),
        ({"where": {"model": "anthropic:other"}}, ["three"]),
        ({"where": {"model": "openai:other"}}, []),
        ({"where": {"tag:feature": "search"}}, ["one"]),
        ({"where": {"tag:feature": None}, "since": START}, ["three", "two"]),
    ]
    for selection, names in chosen:
        rows = store.recent(9, Selection(**selection))
        assert [row["call_id"] for row in rows] == names, selection
        count = sum(one.attempts for one in store.sums((), Selection(**selection)).values())
        assert count == len(names)


@pytest.mark.parametrize(
    "name",
    ["plain", "a.b", "1", "it's", 'say "hi"', "back\\slash", "50%", "%s", "größe", "$", "[0]"],
)
def test_tags_of_any_name(store: Store, name: str) -> None:
    """They are told apart by their names as they are."""
    store.write(
        [opening("one", tags={name: "x?"}), opening("two", tags={f"{name}!": "y"})],
        [],
    )
    assert keys(store, f"tag:{name}", where={"status": "started"}) == [(None, 1), ("x?", 1)]
    rows = store.recent(9, Selection(where={f"tag:{name}": "x?"}))
    assert [row["call_id"] for row in rows] == ["one"]


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
        store.sums()
    engine.dispose()
