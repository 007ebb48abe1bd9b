"""Rows of processes that have died: they are marked as lost, once, and an end that comes after all corrects them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from llmkit.cli import main
from llmkit.config import LedgerConfig
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Store
from llmkit.ledger.database import database_url
from llmkit.ledger.outbox.drain import drain_abandoned
from llmkit.ledger.outbox.records import encode
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.row import Progress
from llmkit.ledger.schema import workers
from llmkit.ledger.sql import EngineStore, SQLStore, open_with_outbox
from llmkit.usage import Usage
from support.ledger import closing, opening, read
from support.processes import environ
from support.waits import wait_for

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
NewStore = Callable[..., Store]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def age(store: Store, worker: str, seen_at: datetime = LONG_AGO) -> None:
    """Let a process have been silent for an hour."""
    if isinstance(store, SQLStore):
        with store.engine.begin() as connection:
            connection.execute(
                sa.update(workers).where(workers.c.name == worker).values(seen_at=seen_at)
            )
        return
    from llmkit_django.models import Worker

    Worker.objects.filter(name=worker).update(seen_at=seen_at)


@pytest.fixture(params=["sqlite", "postgres", pytest.param("django", marks=pytest.mark.django_db)])
def new_store(request: pytest.FixtureRequest) -> NewStore:
    """Return what makes the store of a process, by its name; all are of one database."""
    if request.param == "django":
        from llmkit_django.store import DjangoStore

        return lambda worker, **options: DjangoStore(lambda: worker, own=True, **options)
    url = database_url(request.getfixturevalue(request.param))

    def make(worker: str, **options: object) -> SQLStore:
        store = SQLStore(url, worker=worker, **options)  # type: ignore[arg-type]
        request.addfinalizer(store.close)
        return store

    return make


def statuses(store: Store) -> dict[str, str]:
    """Return the status of each call."""
    return {row["call_id"]: row["status"] for row in store.recent(100)}


def begin(store: Store, call_id: str) -> None:
    """Write the row of a call that began an hour ago."""
    store.write([opening(call_id, started_at=LONG_AGO)], [])


def test_rows_of_the_dead_are_lost(new_store: NewStore) -> None:
    """With what they hold, at the time when their process was last seen; those of the living stay."""
    dead, alive, sweeper = new_store("dead"), new_store("alive"), new_store("sweeper-process")
    begin(dead, "one")
    dead.write([opening("closed", started_at=LONG_AGO)], [closing("closed")])
    begin(alive, "two")
    assert sweeper.sweep(silent=1800) == 0
    age(dead, "dead")
    assert sweeper.sweep(silent=1800) == 1
    assert statuses(alive) == {"one": "lost", "closed": "finished", "two": "started"}
    (row,) = [row for row in alive.recent(9) if row["call_id"] == "one"]
    assert row["finished_at"] == LONG_AGO
    assert (row["cost_usd"], row["input_source"]) == (None, "unknown")
    assert sweeper.sweep(silent=1800) == 0


def test_rows_in_the_outbox_of_the_dead_are_theirs(new_store: NewStore, tmp_path: Path) -> None:
    """Whoever finds them, though it lives on: they are swept like others of theirs."""
    outbox = Outbox(tmp_path, database="db", worker=lambda: "dead")
    outbox.write([opening("one", started_at=LONG_AGO)], [])
    outbox.close()
    finder = new_store("alive")
    assert drain_abandoned(tmp_path, outbox.prefix, finder) is None
    begin(finder, "two")
    assert {row["call_id"]: row["worker"] for row in finder.recent(9)} == {
        "one": "dead",
        "two": "alive",
    }
    assert finder.sweep(silent=1800) == 1
    assert statuses(finder) == {"one": "lost", "two": "started"}


def test_what_a_lost_row_has_so_far_is_written_down(new_store: NewStore) -> None:
    """Its process was told to end, and goes on for a while, or was only slow."""
    slow, sweeper = new_store("slow"), new_store("other")
    begin(slow, "one")
    assert sweeper.sweep(silent=0) == 1
    usage = Usage(output_tokens=7, output_source="estimated")
    slow.note(
        [
            Progress(
                call_id="one",
                attempt=1,
                usage=usage,
                cost=None,
                price_version=None,
                first_content_at=None,
            )
        ]
    )
    (row,) = slow.recent(1)
    assert (row["status"], row["output_tokens"]) == ("lost", 7)


def test_what_was_seen_in_the_future_counts_for_nothing(new_store: NewStore) -> None:
    """The clock was set back: neither a process that has died since then nor whoever swept last is taken for alive."""
    dead, sweeper = new_store("dead"), new_store("other")
    begin(dead, "one")
    assert sweeper.sweep(silent=1800) == 0
    for name in ("dead", "sweeper"):
        age(dead, name, datetime.now(UTC) + timedelta(hours=1))
    assert sweeper.sweep(silent=1800, every=600) == 1
    assert statuses(dead) == {"one": "lost"}


def test_rows_of_a_hosts_connection_have_a_day(new_store: NewStore) -> None:
    """Nobody says for them that they live: a call of some minutes is not lost."""
    sweeper = new_store("other")
    if isinstance(sweeper, SQLStore):
        host: Store = EngineStore(sweeper.engine, worker=lambda: "app")
    else:
        from llmkit_django.store import DjangoStore

        host = DjangoStore(lambda: "app", own=False)
    begin(host, "one")
    yesterday = datetime.now(UTC) - timedelta(days=1, minutes=1)
    host.write([opening("old", started_at=yesterday)], [])
    assert sweeper.sweep(silent=60) == 1
    assert statuses(sweeper) == {"one": "started", "old": "lost"}
    assert {row["worker"] for row in sweeper.recent(9)} == {"host:app"}


def names(store: Store) -> set[str]:
    """Return the workers that are known."""
    if isinstance(store, SQLStore):
        with store.engine.connect() as connection:
            if not sa.inspect(connection).has_table(workers.name):
                return set()
            return set(connection.execute(sa.select(workers.c.name)).scalars())
    from llmkit_django.models import Worker

    return set(Worker.objects.values_list("name", flat=True))


def test_the_dead_are_forgotten_after_a_day(new_store: NewStore) -> None:
    """Not while a row of theirs is open, nor is the lease of who sweeps."""
    gone, open_, sweeper = new_store("gone"), new_store("open"), new_store("other")
    gone.write([opening("one")], [closing("one")])
    begin(open_, "two")
    assert sweeper.sweep(silent=10**7) == 0
    before = datetime.now(UTC) - timedelta(days=1, minutes=1)
    for name in ("gone", "open", "sweeper"):
        age(gone, name, before)
    assert sweeper.sweep(silent=10**7) == 0
    assert names(sweeper) == {"open", "sweeper"}


def test_whose_row_was_refused_has_not_said_that_it_lives(new_store: NewStore) -> None:
    """That went with the transaction: the next row says it."""
    store = new_store("alive")
    with pytest.raises(LedgerUnavailable):
        store.write([opening("bad", input_tokens=2**70)], [])
    assert names(store) == set()
    begin(store, "good")
    assert names(store) == {"alive"}


def test_an_end_that_comes_after_all_counts(new_store: NewStore) -> None:
    """A process that was only slow corrects its row, once."""
    slow, sweeper = new_store("slow"), new_store("other")
    begin(slow, "one")
    assert sweeper.sweep(silent=0) == 1
    slow.write([], [closing("one")])
    assert statuses(slow) == {"one": "finished"}
    assert sweeper.sweep(silent=0) == 0
    slow.write([], [closing("one", status="failed")])
    assert statuses(slow) == {"one": "finished"}


def test_whoever_says_that_it_lives_keeps_its_rows(new_store: NewStore) -> None:
    """By itself, or with an opening after a long silence; not with every opening."""
    clock = Clock()
    store, sweeper = new_store("me", clock=clock, alive_every=30.0), new_store("other")
    begin(store, "one")
    age(store, "me")
    clock.now = 29.0
    begin(store, "two")
    assert sweeper.sweep(silent=1800) == 2
    store.note([])
    begin(store, "three")
    assert sweeper.sweep(silent=1800) == 0
    age(store, "me")
    clock.now = 60.0
    begin(store, "four")
    assert sweeper.sweep(silent=1800) == 0
    assert statuses(store) == {"one": "lost", "two": "lost", "three": "started", "four": "started"}


def test_what_a_stream_has_so_far(new_store: NewStore) -> None:
    """It is in its row while that is open, and stays in it when its process dies; a closed row is not changed."""
    store, sweeper = new_store("me"), new_store("other")
    store.write(
        [opening(name, started_at=LONG_AGO, input_tokens=7) for name in ("one", "two")],
        [closing("two")],
    )
    so_far = Usage(
        input_tokens=7, output_tokens=40, input_source="estimated", output_source="estimated"
    )
    store.note(
        [
            Progress(
                call_id=name,
                attempt=1,
                usage=so_far,
                cost=Decimal("0.000100000"),
                price_version="genai-prices 1",
                first_content_at=LONG_AGO + timedelta(seconds=1),
            )
            for name in ("one", "two")
        ]
    )
    age(store, "me")
    assert sweeper.sweep(silent=1800) == 1
    lost, done = sorted(store.recent(9), key=lambda row: str(row["call_id"]))
    assert (lost["status"], lost["output_tokens"], lost["output_source"]) == (
        "lost",
        40,
        "estimated",
    )
    assert (lost["cost_usd"], lost["first_content_at"]) == (
        Decimal("0.000100000"),
        LONG_AGO + timedelta(seconds=1),
    )
    assert (done["status"], done["output_tokens"]) == ("finished", closing().usage.output_tokens)


def test_an_opening_says_how_much_is_asked(new_store: NewStore) -> None:
    """Estimated, and marked as such, until the provider says."""
    store = new_store("me")
    store.write([opening("one", input_tokens=7), opening("two")], [])
    two, one = store.recent(2)
    assert (one["input_tokens"], one["input_source"]) == (7, "estimated")
    assert (two["input_tokens"], two["input_source"]) == (None, "unknown")


def test_a_row_of_a_version_that_noted_nothing(new_store: NewStore) -> None:
    """It has to be as old as the silence: its process may have just begun."""
    old, sweeper = new_store("old"), new_store("other")
    old._noted = {"old": time.monotonic()}  # type: ignore[attr-defined]  # as if it had
    if isinstance(old, SQLStore):
        old._connect()
        old._rows._noted_at = time.monotonic()
    begin(old, "hour")
    old.write([opening("now", started_at=datetime.now(UTC))], [])
    assert sweeper.sweep(silent=60) == 1
    assert statuses(old) == {"hour": "lost", "now": "started"}


def test_one_sweeps_for_all(new_store: NewStore) -> None:
    """Whoever comes soon after another one leaves it at that; who is asked to by hand does not."""
    one, two = new_store("one"), new_store("two")
    begin(one, "a")
    assert one.sweep(silent=0, every=600) == 1
    assert two.sweep(silent=0, every=600) is None
    assert two.sweep(silent=0) == 0


def test_many_who_sweep_at_once(database: str) -> None:
    """One of them finds the rows."""
    store = SQLStore(database_url(database), worker="dead")
    for number in range(20):
        begin(store, f"call-{number}")
    store.close()
    found: list[int | None] = []

    def sweep(number: int) -> None:
        mine = SQLStore(database_url(database), worker=f"w{number}")
        found.append(mine.sweep(silent=0, every=600))
        mine.close()

    threads = [threading.Thread(target=sweep, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=str) == [20, *[None] * 5]
    assert {row["status"] for row in read(database)} == {"lost"}


PROCESS = """
import os, sys
from pathlib import Path
from llmkit.ledger.database import database_url
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.store import Outbox
from llmkit.ledger.outbox.records import encode
from llmkit.ledger.schema import workers
from llmkit.ledger.row import Progress
from llmkit.ledger.sql import SQLStore, open_with_outbox
from support.ledger import closing, opening

url = database_url(sys.argv[1])
worker = lambda: f"w{os.getpid()}"
stores = [SQLStore(url, worker=worker, alive_every=0.1) for _ in range(2)]
outbox = Outbox(Path(sys.argv[2]), database="db", worker=worker)
books = OutboxLedger(*stores, outbox, alive_every=0.1, silent=2.0, sweep_every=0.1, scan_every=0.1, retry_every=0.1)
call = str(os.getpid())
books.begin(opening(call))
print("begun", flush=True)
sys.stdin.readline()
books.finish(closing(call))
print("finished", flush=True)
sys.stdin.read()
"""


def process(database: str, folder: Path) -> subprocess.Popen[str]:
    """Start a process with one open row."""
    made = subprocess.Popen(
        [sys.executable, "-c", PROCESS, database, str(folder)],
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "begun\n"
    return made


def test_processes_watch_over_one_another(database: str, tmp_path: Path) -> None:
    """One is killed: its row is lost. One is only stopped for longer than the limit: its row ends as what it was. One lives."""
    lives, killed, stopped = (process(database, tmp_path) for _ in range(3))

    def found(*processes: subprocess.Popen[str]) -> list[str]:
        by_call = {row["call_id"]: row["status"] for row in read(database)}
        return [by_call[str(one.pid)] for one in processes]

    try:
        killed.kill()
        os.kill(stopped.pid, signal.SIGSTOP)
        wait_for(lambda: found(killed, stopped), ["lost", "lost"])
        os.kill(stopped.pid, signal.SIGCONT)
        for one in (stopped, lives):
            assert one.stdin is not None
            assert one.stdout is not None
            one.stdin.write("\n")
            one.stdin.flush()
            assert one.stdout.readline() == "finished\n"
        assert found(lives, killed, stopped) == ["finished", "lost", "finished"]
    finally:
        for one in (lives, killed, stopped):
            one.kill()
            one.communicate()


def test_the_command(database: str, tmp_path: Path) -> None:
    """It says how many rows it found; what a dead process left in the outbox is written first."""
    dead = SQLStore(database_url(database), worker="dead")
    begin(dead, "one")
    begin(dead, "two")
    with dead.engine.begin() as connection:
        connection.execute(sa.update(workers).values(seen_at=LONG_AGO))
    dead.close()
    ledger = open_with_outbox(
        LedgerConfig(database=database, outbox=str(tmp_path)), worker=lambda: "mine"
    )
    left = tmp_path / f"{ledger._outbox.prefix}dead.outbox"
    left.write_bytes(encode(closing("two")))
    found = CliRunner().invoke(main, ["sweep", "--database", database, "--outbox", str(tmp_path)])
    assert (found.exit_code, found.output) == (
        0,
        "1 row of a process that has died is marked as lost.\n",
    )
    assert not left.exists()
    assert {row["call_id"]: row["status"] for row in read(database)} == {
        "one": "lost",
        "two": "finished",
    }
    again = CliRunner().invoke(main, ["sweep", "--database", database, "--silent", "60"])
    assert again.output == "No rows of processes that have died are marked as lost.\n"
    assert (
        CliRunner().invoke(main, ["sweep", "--database", database, "--silent", "5"]).exit_code == 2
    )
    wrong = CliRunner().invoke(main, ["sweep", "--database", "mysql://x"])
    assert (wrong.exit_code, "does not support" in wrong.output) == (1, True)
