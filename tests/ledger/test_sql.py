"""The ledger in real databases: what is written, and that it survives what happens to them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.database import database_url
from llmkit.ledger.row import RowRejected
from llmkit.ledger.schema import usage as table
from llmkit.ledger.sql import SQLStore
from llmkit.ledger.writer import LedgerWriter
from llmkit.usage import Usage
from support.ledger import START, closing, connected, opening, read, statuses


def test_every_column_comes_back(writer: LedgerWriter, database: str) -> None:
    """What begin and finish are given is what the row holds."""
    full = Usage(
        input_tokens=900,
        output_tokens=80,
        cache_read_tokens=300,
        cache_write_tokens=200,
        cache_write_5m_tokens=150,
        cache_write_1h_tokens=50,
        reasoning_tokens=30,
        input_source="reported",
        output_source="estimated",
    )
    writer.begin(
        opening(run_id="run-1", tenant="acme", conversation="chat-7", tags={"team": "søk"})
    )
    writer.finish(closing(usage=full, error_type="timeout", error_code="slow"))
    (row,) = read(database)
    assert row.pop("id") == 1
    assert row == {
        "call_id": "call-1",
        "attempt": 1,
        "run_id": "run-1",
        "user_key": "42",
        "tenant": "acme",
        "tags": {"team": "søk"},
        "alias": "default",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "model_reported": "claude-sonnet-4-5-20250929",
        "conversation": "chat-7",
        "prompt_name": None,
        "prompt_version": None,
        "request_id": "req_1",
        "streamed": True,
        "status": "finished",
        "stop_reason": "end",
        "raw_stop_reason": "end_turn",
        "error_type": "timeout",
        "error_code": "slow",
        "http_status": 200,
        "input_tokens": 900,
        "output_tokens": 80,
        "cache_read_tokens": 300,
        "cache_write_tokens": 200,
        "cache_write_5m_tokens": 150,
        "cache_write_1h_tokens": 50,
        "reasoning_tokens": 30,
        "input_source": "reported",
        "output_source": "estimated",
        "cost_usd": Decimal("0.000600000"),
        "price_version": "genai-prices 0.2.3",
        "started_at": START,
        "saved_usd": None,
        "first_content_at": START + timedelta(seconds=0.5),
        "finished_at": START + timedelta(seconds=2),
        "worker": "test",
        "content": None,
        "billing": None,
    }


def test_a_row_that_began_knows_only_that(writer: LedgerWriter, database: str) -> None:
    """A started row has no end, no counts and no cost: unknown is NULL, never 0."""
    writer.begin(opening())
    (row,) = read(database)
    assert row["status"] == "started"
    assert row["input_source"] == row["output_source"] == "unknown"
    for name in ("input_tokens", "output_tokens", "cost_usd", "first_content_at", "finished_at"):
        assert row[name] is None


@pytest.mark.parametrize(
    "cost",
    ["0.000000001", "0.1", "123456789.123456789", "999999999.999999999", "0", "1E-9", "1E+3"],
)
def test_money_is_exact(writer: LedgerWriter, database: str, cost: str) -> None:
    """A cost comes back to the last of its nine places."""
    writer.record(opening(), closing(cost=Decimal(cost)))
    (row,) = read(database)
    assert row["cost_usd"] == Decimal(cost)
    assert format(row["cost_usd"], "f") == f"{Decimal(cost):.9f}"


def test_a_moment_of_another_zone_is_the_same_moment(writer: LedgerWriter, database: str) -> None:
    """Times of any zone are kept, and come back in UTC; a time without a zone is refused."""
    there = datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    writer.begin(opening(started_at=there))
    (row,) = read(database)
    assert row["started_at"] == there
    assert row["started_at"].utcoffset() == timedelta(0)
    with pytest.raises(RowRejected):
        writer.begin(opening("naive", started_at=datetime(2026, 1, 1)))


def test_a_row_is_closed_once(writer: LedgerWriter, database: str) -> None:
    """The first closing stays, except that of a row given up as lost, which a late one corrects."""
    writer.begin(opening())
    writer.finish(closing(status="lost", cost=None))
    writer.finish(closing(status="cancelled"))
    writer.finish(closing(status="finished"))
    assert statuses(database) == {"call-1": "cancelled"}


def test_a_row_is_begun_once(writer: LedgerWriter, database: str) -> None:
    """Beginning the same attempt again changes nothing; another attempt is another row."""
    writer.begin(opening(alias="first"))
    writer.begin(opening(alias="second"))
    writer.begin(opening(attempt=2))
    writer.finish(closing(attempt=2))
    rows = [(row["attempt"], row["alias"], row["status"]) for row in read(database)]
    assert rows == [(1, "first", "started"), (2, "default", "finished")]


def test_odd_strings_are_written(writer: LedgerWriter, database: str) -> None:
    """NUL, lone surrogates and overlong strings neither fail the write nor make two users one."""
    writer.record(
        opening(user_key="a\0b\ud800c", model="模型" * 200, tags={"k\0": "\udfffv" + "x" * 500}),
        closing(request_id="\0", model_reported="m" * 400),
    )
    for call_id, end in (("long-1", "1"), ("long-2", "2")):
        writer.begin(opening(call_id, user_key="u" * 300 + end))
    first, *long = read(database)
    assert first["user_key"] == "a\ufffdb?c"
    assert first["request_id"] == "\ufffd"
    assert len(first["model"]) == len(first["model_reported"]) == 255
    ((name, value),) = first["tags"].items()
    assert (name, value[:3], len(value)) == ("k\ufffd", "?vx", 255)
    assert long[0]["user_key"] != long[1]["user_key"]


@pytest.mark.anyio
async def test_a_value_that_does_not_fit_fails_alone(writer: LedgerWriter, database: str) -> None:
    """Rows of the same group are written beside one that the database or its driver refuses."""
    bad: list[Any] = [
        opening("bad-1", attempt=2**70),
        opening("bad-2", user_key=object()),
        opening("bad-3", started_at="today"),
    ]
    results = await asyncio.gather(
        *(writer.abegin(opening(f"good-{number}")) for number in range(5)),
        *(writer.abegin(row) for row in bad),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None)] * 5 + [RowRejected] * 3
    assert sorted(statuses(database)) == [f"good-{number}" for number in range(5)]


@pytest.mark.anyio
async def test_waiting_rows_share_a_transaction(database: str) -> None:
    """Forty calls that wait for a commit share the next one."""
    store = SQLStore(database_url(database), worker="test")
    commits = []
    go_on = threading.Event()

    def on_commit(connection: object) -> None:
        commits.append(connection)
        go_on.wait()

    event.listen(store.engine, "commit", on_commit)
    writer = LedgerWriter(store)

    async def all_at_once(rows: Iterable[Coroutine[Any, Any, None]]) -> None:
        go_on.clear()
        tasks = [asyncio.create_task(row) for row in rows]
        await asyncio.sleep(0)  # each has handed its row in, and waits
        go_on.set()
        await asyncio.gather(*tasks)

    go_on.set()
    await writer.abegin(opening("first"))
    del commits[:]
    await all_at_once(writer.abegin(opening(f"call-{i}")) for i in range(40))
    await all_at_once(writer.afinish(closing(f"call-{i}")) for i in range(40))
    writer.close()
    assert len(commits) <= 4
    assert list(statuses(database).values()).count("finished") == 40


def test_threads_race_on_a_real_database(writer: LedgerWriter, database: str) -> None:
    """Each of many threads finds its own rows closed."""
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for attempt in range(5):
            writer.begin(opening(f"call-{number}", attempt=attempt))
            writer.finish(closing(f"call-{number}", attempt=attempt))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = read(database)
    assert len(rows) == 40
    assert {row["status"] for row in rows} == {"finished"}


def test_all_may_find_the_table_missing(database: str) -> None:
    """Writers that start together on an empty database create its table and indexes once."""
    stores = [SQLStore(database_url(database), worker=f"worker-{i}") for i in range(4)]
    barrier = threading.Barrier(len(stores))
    errors: list[Exception] = []

    def work(store: SQLStore) -> None:
        barrier.wait()
        try:
            for left in reversed(range(20)):
                try:
                    store.write([opening(str(store._worker))], [])  # any name will do
                    break
                except (
                    LedgerUnavailable
                ):  # a lock was held for too long, on a busy machine: a writer tries again, too
                    if not left:
                        raise
        except LedgerUnavailable as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {row["worker"] for row in read(database)} == {f"worker-{i}" for i in range(4)}
    with connected(database) as connection:
        indexes = sa.inspect(connection).get_indexes(table.name)
    names = {index["name"] for index in indexes}
    assert {"llmkit_usage_user_key_started_at", "llmkit_usage_status_worker"} <= names


def test_a_table_that_was_dropped_is_made_again(writer: LedgerWriter, database: str) -> None:
    """A database that was emptied under a running writer serves again with the next row."""
    writer.begin(opening())
    with connected(database) as connection:
        table.drop(connection)
        connection.commit()
    writer.begin(opening("call-2"))
    assert statuses(database) == {"call-2": "started"}


def test_a_name_with_quotes_is_a_name(database: str) -> None:
    """The worker's name is data, whatever is in it, and is asked for only when a connection is made."""
    asked = []
    store = SQLStore(database_url(database), worker=lambda: asked.append(1) or "o'neil %s :x ?")  # type: ignore[func-returns-value]
    assert asked == []
    store.write([opening()], [closing()])
    store.write([opening("call-2")], [])
    store.close()
    assert [row["worker"] for row in read(database)] == ["o'neil %s :x ?"] * 2
    assert len(asked) == 1


def test_postgres_ends_the_connection(postgres: str) -> None:
    """A connection that the server ended is replaced, and no row is lost or doubled."""
    from support.postgres import execute  # needs psycopg

    writer = LedgerWriter(SQLStore(database_url(postgres), worker="test"))
    writer.begin(opening())
    execute(
        postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    writer.finish(closing())
    writer.close()
    assert statuses(postgres) == {"call-1": "finished"}


def test_a_sqlite_file_locked_by_another(sqlite: str) -> None:
    """A lock held for longer than a second is an error that says so; afterwards all is well."""
    writer = LedgerWriter(SQLStore(database_url(sqlite), worker="test"))
    writer.begin(opening())
    other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match=r"OperationalError: database is locked"):
        writer.begin(opening("call-2"))
    other.execute("ROLLBACK")
    other.close()
    writer.finish(closing())
    writer.close()
    assert statuses(sqlite) == {"call-1": "finished"}


def test_a_postgres_table_locked_by_another(postgres: str) -> None:
    """A host that holds the table does not hang the ledger."""
    writer = LedgerWriter(SQLStore(database_url(postgres), worker="test"))
    writer.begin(opening())
    with connected(postgres) as other:
        other.execute(sa.text("LOCK TABLE llmkit_usage"))
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            writer.begin(opening("call-2"))
    writer.finish(closing())
    writer.close()
    assert statuses(postgres) == {"call-1": "finished"}


def test_sqlite_is_in_wal_mode(sqlite: str, tmp_path: Path) -> None:
    """Readers do not hold up the writer: the file is in WAL mode while it is used."""
    writer = LedgerWriter(SQLStore(database_url(sqlite), worker="test"))
    writer.begin(opening())
    assert (tmp_path / "ledger.db-wal").exists()
    assert statuses(sqlite) == {"call-1": "started"}
    writer.close()


def test_usage_of_unknown_tokens_is_null(writer: LedgerWriter, database: str) -> None:
    """A closing without counts leaves them NULL and says that they are unknown."""
    writer.record(opening(), replace(closing(), usage=Usage(), cost=None, price_version=None))
    (row,) = read(database)
    assert (row["input_tokens"], row["cost_usd"], row["input_source"]) == (None, None, "unknown")


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": Usage(input_tokens=10**30)},
        {"usage": Usage(output_tokens=2**63)},
        {"usage": Usage(output_tokens="7" * 99)},  # type: ignore[arg-type]
        {"cost": Decimal("NaN")},
        {"cost": Decimal(10) ** 40},
        {"http_status": 10**30},
        {"model_reported": object()},
        {"first_content_at": "today"},
    ],
)
def test_no_row_stays_open_for_a_value_that_does_not_fit(
    writer: LedgerWriter, database: str, odd: dict[str, Any]
) -> None:
    """It is closed without its figures."""
    writer.begin(opening())
    writer.finish(closing(**odd))
    (row,) = read(database)
    assert (row["status"], row["finished_at"]) == ("finished", closing().finished_at)
    writer.record(opening("two"), closing("two"))
    assert statuses(database) == {"call-1": "finished", "two": "finished"}
