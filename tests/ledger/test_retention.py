"""Old rows go, a few at a time, and nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Maintained, NoLedgerYet
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.retention import Ask, Pruned, find_old, prune, prune_rows
from llmkit.ledger.sql import EngineStore
from llmkit.ledger.upkeep import Upkeep
from support.ledger import START, closing, opening

MOMENT = START + timedelta(hours=1)
JUST_BEFORE = MOMENT - timedelta(microseconds=1)
CONTENT = {"messages": [{"role": "user", "content": "Hi"}]}
# Written in another order than they began in; three began at once, and two at the moment or later.
BEGAN = {
    "later": MOMENT + timedelta(days=1),
    "third": START + timedelta(minutes=30),
    "first": START,
    "same-1": START + timedelta(minutes=40),
    "at-it": MOMENT,
    "same-2": START + timedelta(minutes=40),
    "last": JUST_BEFORE,
    "same-3": START + timedelta(minutes=40),
    "second": START.replace(microsecond=0) + timedelta(minutes=1),
}
OLD = ["first", "second", "third", "same-1", "same-2", "same-3", "last"]


def fill(store: Maintained, **more: Any) -> None:
    """Write seven old rows and two that are not."""
    store.write(
        [opening(name, started_at=at) for name, at in BEGAN.items()],
        [closing(name, **more) for name in BEGAN],
    )


def left(store: Maintained) -> set[str]:
    """Return the calls that have a row."""
    return {row["call_id"] for row in store.recent(99)}


def kept(store: Maintained) -> set[str]:
    """Return the calls whose row has content."""
    return {row["call_id"] for row in store.recent(99) if row["content"] is not None}


class Time:
    """A clock on which each batch takes longer than the one before."""

    def __init__(self) -> None:
        self.now = 0.0
        self.batches = 0
        self.pauses: list[float] = []
        self.asked = 0

    def clock(self) -> float:
        """Say what time it is: a batch is between two questions."""
        self.asked += 1
        if self.asked % 2 == 0:
            self.batches += 1
            self.now += self.batches
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
def test_the_rows_before_a_moment_go(maintained: Maintained, batch: int) -> None:
    """Those alone, however many go at a time; the count beforehand is the same, and afterwards there is nothing left to do."""
    fill(maintained)
    assert maintained.count_old(MOMENT, content_only=False) == 7
    assert prune(maintained, MOMENT, batch=batch, sleep=lambda seconds: None) == 7
    assert left(maintained) == {"at-it", "later"}
    assert maintained.count_old(MOMENT, content_only=False) == 0
    assert prune(maintained, MOMENT, batch=batch, sleep=lambda seconds: None) == 0


def test_the_oldest_go_first(maintained: Maintained) -> None:
    """Two at a time, in the order in which their calls began; of those that began at once any."""
    fill(maintained)
    found, gone = Pruned(2, 0, None), []
    while found.found == 2:
        before = left(maintained)
        found = maintained.prune(MOMENT, content_only=False, limit=2, after=found.after)
        gone.append(before - left(maintained))
    same = {"same-1", "same-2", "same-3"}
    assert [names - same for names in gone] == [{"first", "second"}, {"third"}, set(), {"last"}]
    assert [len(names) for names in gone] == [2, 2, 2, 1]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 8])
def test_the_content_goes_and_the_rows_stay(maintained: Maintained, batch: int) -> None:
    """All else in them is as it was; a row that has no content is not counted."""
    fill(maintained, content=CONTENT)
    maintained.write([opening("bare")], [closing("bare")])
    before = maintained.recent(99)
    assert maintained.count_old(MOMENT, content_only=True) == 7
    assert (
        prune(maintained, MOMENT, content_only=True, batch=batch, sleep=lambda seconds: None) == 7
    )
    assert kept(maintained) == {"at-it", "later"}
    assert maintained.recent(99) == [
        {**row, "content": row["content"] if row["started_at"] >= MOMENT else None}
        for row in before
    ]
    assert maintained.count_old(MOMENT, content_only=True) == 0
    assert prune(maintained, MOMENT, content_only=True, sleep=lambda seconds: None) == 0
    assert maintained.count_old(MOMENT, content_only=False) == 8


def test_open_rows_stay(maintained: Maintained) -> None:
    """A call goes on there, or its process has died: then it is lost first."""
    maintained.write([opening("open")], [])
    assert maintained.count_old(MOMENT, content_only=False) == 0
    assert prune(maintained, MOMENT) == 0
    assert left(maintained) == {"open"}
    maintained.write([], [closing("open", status="lost")])
    assert prune(maintained, MOMENT) == 1


def test_an_end_that_comes_too_late_harms_nothing(maintained: Maintained) -> None:
    """The row stays deleted, and the others of its group are written."""
    maintained.write([opening("open")], [closing("open", status="lost")])
    prune(maintained, MOMENT)
    maintained.write(
        [opening("new", started_at=MOMENT)], [closing("open"), closing("new", status="failed")]
    )
    assert [(row["call_id"], row["status"]) for row in maintained.recent(9)] == [("new", "failed")]


def test_others_get_as_much_time_as_a_batch_takes(maintained: Maintained) -> None:
    """After each batch but the last."""
    fill(maintained)
    time = Time()
    prune(maintained, MOMENT, batch=2, clock=time.clock, sleep=time.sleep)
    assert time.pauses == [1, 2, 3]


def test_nothing_waits_where_there_is_nothing(maintained: Maintained) -> None:
    """Nor after a single batch that is not full."""
    maintained.write([opening(started_at=MOMENT)], [])
    time = Time()
    assert prune(maintained, MOMENT, clock=time.clock, sleep=time.sleep) == 0
    assert time.pauses == []


REFUSES = {
    "sqlite": [
        (
            "CREATE TRIGGER refuses BEFORE DELETE ON llmkit_usage WHEN OLD.call_id = 'same-2' "
            "BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
        ),
        (
            "CREATE TRIGGER refuses BEFORE DELETE ON llmkit_usage FOR EACH ROW "
            "WHEN (OLD.call_id = 'same-2') EXECUTE FUNCTION refuse()"
        ),
    ],
}
ALLOWS = {
    "sqlite": ["DROP TRIGGER refuses"],
    "postgresql": ["DROP TRIGGER refuses ON llmkit_usage", "DROP FUNCTION refuse"],
}


def run(ask: Ask, dialect: Dialect, statements: Mapping[str, list[str]]) -> None:
    """Run statements, by the kind of database."""
    for statement in statements[dialect.vendor]:
        ask(Query(statement, ()))


def test_a_store_that_fails_keeps_what_was_pruned(maintained: Upkeep) -> None:
    """Of the batch that fails nothing goes; the next run does the rest."""
    store = cast("Maintained", maintained)
    fill(store)
    maintained.ask(run, REFUSES)
    with pytest.raises(LedgerUnavailable):
        prune(store, MOMENT, batch=3, sleep=lambda seconds: None)
    assert left(store) == {*OLD[3:], "at-it", "later"}
    maintained.ask(run, ALLOWS)
    assert prune(store, MOMENT, batch=3) == 4
    assert left(store) == {"at-it", "later"}


def test_a_host_without_a_table(tmp_path: Path) -> None:
    """What looks after rows makes none over an engine of the host's, and says why; it brings an earlier one up to date."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    store = EngineStore(engine, worker=lambda: "test")
    with pytest.raises(NoLedgerYet, match="has no table llmkit_usage"):
        prune(store, MOMENT)
    with pytest.raises(NoLedgerYet, match="has no table llmkit_usage"):
        store.closed(since=None, after=0, limit=1)
    assert sa.inspect(engine).get_table_names() == []
    store.write([opening()], [closing()])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE llmkit_usage DROP COLUMN billing")
    later = EngineStore(engine, worker=lambda: "test")
    assert len(later.closed(since=None, after=0, limit=1)) == 1
    assert prune(later, MOMENT) == 1
    engine.dispose()


def test_two_who_prune_at_once_count_each_row_once(maintained: Maintained) -> None:
    """Whoever comes second to a row has not pruned it."""
    assert isinstance(maintained, Upkeep)
    fill(maintained, content=CONTENT)
    for content_only in (True, False):
        found = maintained.ask(find_old, MOMENT, content_only=content_only, limit=99, after=None)
        counts = [
            maintained.ask(prune_rows, found.ids, content_only=content_only) for _ in range(2)
        ]
        assert counts == [len(OLD), 0]
