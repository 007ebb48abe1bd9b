"""Tables of an earlier version: they are brought up to this one, with their rows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from llmkit.errors import LedgerUnavailable
from llmkit.ledger import open_ledger, open_store
from llmkit.ledger.database import database_url, new_engine
from llmkit.ledger.schema import metadata, usage
from llmkit.ledger.sql import EngineStore
from support.ledger import closing, opening, read

# What the first version did not have.
EARLIER = (
    "DROP TABLE llmkit_worker",
    "DROP INDEX llmkit_usage_status_worker",
    "ALTER TABLE llmkit_usage DROP COLUMN content",
    "ALTER TABLE llmkit_usage DROP COLUMN saved_usd",
)


def make_earlier(engine: sa.Engine) -> None:
    """Make the tables, with a row, as an earlier version had them."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        for statement in EARLIER:
            connection.exec_driver_sql(statement)
        values = {
            column.name: "x" if isinstance(column.type, sa.String) else True
            for column in usage.columns
            if not column.nullable and column.name not in ("id", "started_at", "tags", "attempt")
        }
        row = {**values, "attempt": 1, "tags": {}, "started_at": opening().started_at}
        connection.execute(sa.insert(usage).values(row))


def shape(engine: sa.Engine) -> dict[str, set[str]]:
    """Return the columns and indexes of each table."""
    inspector = sa.inspect(engine)
    return {
        name: {
            *(column["name"] for column in inspector.get_columns(name)),
            *(str(index["name"]) for index in inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
    }


def test_tables_of_an_earlier_version(database: str) -> None:
    """The first row brings them up to this version; the rows that are there stay."""
    engine = new_engine(database_url(database))
    metadata.create_all(engine)
    today = shape(engine)
    metadata.drop_all(engine)
    make_earlier(engine)
    assert shape(engine) != today
    writer = open_ledger(database, worker="test")
    writer.record(opening(), closing())
    writer.close()
    assert shape(engine) == today
    assert [row["status"] for row in read(database)] == ["x", "finished"]
    engine.dispose()


def test_a_table_that_is_only_read_says_what_brings_it_up_to_date(database: str) -> None:
    """Reading changes nothing."""
    engine = new_engine(database_url(database))
    make_earlier(engine)
    before = shape(engine)
    with pytest.raises(
        LedgerUnavailable, match="is of an earlier version of llmkit.* llmkit sweep"
    ):
        open_store(database).recent(1)
    assert shape(engine) == before
    engine.dispose()


def test_many_who_begin_at_once(database: str) -> None:
    """One of them upgrades; the others find it done."""
    engine = new_engine(database_url(database))
    make_earlier(engine)
    writers = [open_ledger(database, worker=f"w{number}") for number in range(6)]
    failures: list[Exception] = []

    def begin(number: int) -> None:
        try:
            writers[number].begin(opening(f"call-{number}"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert failures == []
    assert len(read(database)) == 7
    engine.dispose()


def test_over_a_connection_of_the_hosts() -> None:
    """Without a lock: the connection may be in the midst of something."""
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    make_earlier(engine)
    store = EngineStore(engine, worker=lambda: "test")
    store.write([opening()], [closing()])
    assert [row["status"] for row in store.recent(9)] == ["finished", "x"]
    assert "llmkit_worker" in shape(engine)
    engine.dispose()


def test_tables_of_djangos_are_djangos_to_migrate(tmp_path: Path) -> None:
    """Nothing is changed in them; the error says what to run."""
    url = f"sqlite:///{tmp_path / 'django.db'}"
    engine = new_engine(database_url(url))
    make_earlier(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE llmkit_usage ADD COLUMN user_id integer")
    before = shape(engine)
    writer = open_ledger(url, worker="test")
    with pytest.raises(LedgerUnavailable, match="Run manage.py migrate"):
        writer.begin(opening())
    writer.close()
    assert shape(engine) == before
    engine.dispose()
