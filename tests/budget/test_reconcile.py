"""Whatever budgets in Redis forget or miss, they are what the ledger says in the end."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from llmkit.budget.base import Place
from llmkit.budget.budgets import _note_unwritten
from llmkit.budget.reconcile import Difference, reconcile
from llmkit.errors import BudgetUnavailable
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import SQLStore
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import UNUSED, Units

redis = pytest.importorskip("redis")

from support.redis_books import BOTH, EVER, MINUTE, MONTH, Away, Books, both, used  # noqa: E402

SEEDS = int(os.environ.get("LLMKIT_TEST_SEEDS", "20"))


@pytest.mark.parametrize("lost", ["account", "holds", "hold", "dirty"])
def test_redis_that_has_lost_a_part(books: Books, lost: str) -> None:
    """As one does that has to make room: it is right again after the next comparison, whatever it was."""
    assert books.begin("a")
    assert books.begin("b")
    account, holds = books.keys(EVER)
    prefix = account.partition("account:")[0]
    books.forget(
        {"account": account, "holds": holds, "hold": f"{prefix}hold:a", "dirty": f"{prefix}dirty"}[
            lost
        ]
    )
    books.end("a", used(10))
    assert books.begin("c")
    books.reconcile()
    assert both(books)[0] == both(books)[1]
    for name in "bc":
        books.budgets.settle(name, used(10))
    books.reconcile()
    here, there = both(books)
    assert here == there
    assert here[0] == Balance(used=Units(usd=30, tokens=33, requests=3))


def test_what_a_dead_process_held_is_settled_by_its_row(books: Books) -> None:
    """The sweep has charged it in the database; Redis follows, also if it had let go already."""
    assert books.begin("a")
    assert books.begin("b")
    for name in "ab":
        books.kept.settle(name, used(20))
    books.let_lapse(MONTH)
    assert books.begin("c", MONTH)
    assert books.reconcile() == 2
    here, there = both(books)
    assert here == there
    assert here[0] == Balance(used=Units(usd=40, tokens=42, requests=2))
    # It was alive after all, and says what it has used.
    books.end("a", used(30))
    books.reconcile()
    here, there = both(books)
    assert here == there
    assert here[0].used.usd == 50


def test_what_is_on_its_way_is_no_difference(books: Books) -> None:
    """A row that is written a moment after Redis has granted it, and one that is closed a moment later, change nothing."""
    granted = books.budgets.grant("a", books.parted(*BOTH))
    assert isinstance(granted, datetime)
    assert books.reconcile() == 0
    books.kept.mirror("a", BOTH, granted)
    books.charge("a", used(10))
    assert books.reconcile() == 0
    books.kept.settle("a", used(10))
    assert books.reconcile() == 0
    here, there = both(books)
    assert here == there
    assert not books.pauses


def test_what_differs_at_one_moment_alone_is_left(books: Books) -> None:
    """It is looked at twice, a second apart."""
    assert books.begin("a")
    books.kept.settle("a", used(10))

    def meanwhile(seconds: float) -> None:
        assert seconds > 0
        books.charge("a", used(10))

    assert reconcile(books.budgets, books.kept, meanwhile) == 0
    assert both(books)[0] == both(books)[1]


def test_two_processes_that_compare_at_once_correct_once(books: Books) -> None:
    """As all do after an outage: what is missing is charged once."""
    assert books.begin("a")
    books.end("a", used(40))
    account, _ = books.keys(EVER)
    books.redis.hincrby(account, "uu", -40)

    class Slow(TableBudgets):
        """Another process compares and corrects while this one reads the database for the second time."""

        asked = 0

        def audit(self, *asked: Any) -> Any:
            self.asked += 1
            if self.asked == 3:  # there are two accounts
                assert books.reconcile() == 1
            return super().audit(*asked)

    slow = Slow(books.kept._store)
    assert reconcile(books.budgets, slow, books.pauses.append) == 0
    assert slow.asked == 3
    assert both(books)[0] == both(books)[1]
    books.redis.hincrby(account, "uu", -5)
    assert books.begin("b")
    assert books.reconcile() == 1
    assert both(books)[0] == both(books)[1]


def test_accounts_that_are_compared_are_those_in_which_something_was_held(books: Books) -> None:
    """Since the last time; where something is held still, they are compared the next time, too."""
    account, _ = books.keys(EVER)
    dirty = f"{account.partition('account:')[0]}dirty"
    assert books.begin("a", EVER, MINUTE)
    assert books.redis.zrange(dirty, 0, -1) == [account]  # what slides corrects itself
    books.reconcile()
    assert books.redis.zrange(dirty, 0, -1) == [account]
    books.end("a", used(1))
    books.reconcile()
    assert not books.redis.exists(dirty)


def test_what_is_held_meanwhile_is_compared_the_next_time(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load there is always something: one comparison ends all the same, and nothing is forgotten."""
    prefix = books.keys(EVER)[0].partition("account:")[0]
    compared: list[Place] = []

    def compare(_: Any, __: Any, place: Place) -> Difference:
        compared.append(place)
        name = f"m{len(compared)}"
        more = dataclasses.replace(EVER, key=f"user:ever={name}")
        assert books.begin(name, more)
        return Difference()

    for number in range(250):
        assert books.begin(f"n{number}", dataclasses.replace(EVER, key=f"user:ever={number}"))
    monkeypatch.setattr("llmkit.budget.reconcile._compare", compare)
    assert books.reconcile() == 0
    assert len(compared) == 250
    assert books.redis.zcard(f"{prefix}dirty") == 250


def test_nothing_is_taken_back_while_rows_wait_elsewhere(books: Books) -> None:
    """What a host whose database is away has charged is not in the database yet; when it is, or a day later, it may be."""
    assert books.begin("a")
    books.end("a", used(10))
    account, _ = books.keys(EVER)
    granted = books.budgets.grant("b", books.parted(EVER))
    assert isinstance(granted, datetime)
    books.charge("b", used(40))
    books.redis.delete(f"{account}:done")  # as after some minutes
    assert _note_unwritten(books.budgets, "host", waits=True)
    assert books.reconcile() == 0
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 50
    assert _note_unwritten(books.budgets, "host", waits=False)
    assert books.reconcile() == 1
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 10


def test_a_database_that_knows_nothing_of_a_budget(books: Books, tmp_path: Path) -> None:
    """It is another one than the app's: what was used is not forgotten."""
    assert books.begin("a")
    books.end("a", used(40))
    with closing(SQLStore(database_url(f"sqlite:///{tmp_path / 'other.db'}"), worker="x")) as other:
        assert reconcile(books.budgets, TableBudgets(other), books.pauses.append) == 0
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 40
    assert books.reconcile() == 0


def test_parts_that_nobody_uses_are_compared_no_more(books: Books) -> None:
    """When nothing is left to compare there: or the list of tenants would grow for ever, and each comparison with it."""
    if not books.part:
        return
    assert books.begin("a")
    key = f"{{{books.budgets.words._namespace}:budget}}:parts"
    old = int(books.budgets.date.timestamp()) - 10_000
    books.redis.zadd(key, {books.part: old})
    books.reconcile()
    assert books.budgets.parts() == [books.part]  # something is held there
    books.end("a", used(1))
    books.reconcile()
    assert books.budgets.parts() == []
    assert books.begin("b")
    books.end("b", used(1))
    books.redis.zadd(key, {books.part: old + 9_000})
    books.reconcile()
    assert books.budgets.parts() == [books.part]  # somebody has used it a while ago, and may again


def test_accounts_are_compared_the_next_time_where_it_fails(books: Books) -> None:
    """None is forgotten."""
    assert books.begin("a")
    books.end("a", used(1))
    with pytest.raises(BudgetUnavailable):
        reconcile(books.budgets, Away(books.kept._store), books.pauses.append)
    account, _ = books.keys(EVER)
    books.redis.hincrby(account, "uu", 5)
    assert books.reconcile() == 1
    assert both(books)[0] == both(books)[1]


class Life:
    """Calls, and everything that Redis can miss, in any order."""

    def __init__(self, books: Books, chance: random.Random) -> None:
        self._books = books
        self._chance = chance
        self._names = iter(f"n{number}" for number in itertools.count())
        self._running: list[str] = []
        self.roomy = [dataclasses.replace(each, limits={"usd": 10**9}) for each in BOTH]

    def begin(self) -> None:
        """Begin a call, which is charged to both budgets or to one."""
        name = next(self._names)
        assert self._books.begin(name, *self._chance.choice([self.roomy, self.roomy[:1]]))
        self._running.append(name)

    def begin_and_die(self) -> None:
        """Begin a call, whose process is killed before its row is written."""
        self._books.budgets.grant(next(self._names), self._books.parted(*self.roomy))

    def end(self) -> None:
        """End a call."""
        if self._running:
            name = self._running.pop(self._chance.randrange(len(self._running)))
            amount = used(self._chance.randrange(50))
            final = self._chance.random() < 0.8
            self._books.charge(name, amount, final=final)
            self._books.kept.settle(name, amount)

    def die(self) -> None:
        """Kill the process of a call; the sweep settles it."""
        if self._running:
            self._books.kept.settle(self._running.pop(), used(self._chance.randrange(50)))

    def empty(self) -> None:
        """Empty Redis."""
        self._books.redis.flushall()

    def lose(self) -> None:
        """Let Redis lose one of its keys."""
        prefix = self._books.keys(EVER)[0].partition("account:")[0]
        found = self._books.redis.scan_iter()
        names = [name for name in found if name.startswith(prefix) and not name.endswith("}:parts")]
        if names:
            self._books.forget(self._chance.choice(sorted(names)))

    def lapse(self) -> None:
        """Let go of all that is held in an account."""
        self._books.let_lapse(self._chance.choice(BOTH))

    def reconcile(self) -> None:
        """Correct Redis."""
        self._books.reconcile()

    def end_all(self) -> None:
        """End all calls, and let go of what nobody will end."""
        while self._running:
            self.end()
        for claim in BOTH:
            self._books.let_lapse(claim)
        self._books.begin("last", *self.roomy)
        self._books.charge("last", UNUSED)
        self._books.kept.settle("last", UNUSED)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_redis_is_what_the_ledger_says(books: Books, seed: int) -> None:
    """In the end, and nothing is held."""
    chance = random.Random(seed)
    life = Life(books, chance)
    usual = [life.begin, life.end] * 3
    for _ in range(40):
        chance.choice(
            [
                *usual,
                life.begin_and_die,
                life.die,
                life.empty,
                life.lose,
                life.lapse,
                life.reconcile,
            ]
        )()
    life.end_all()
    books.reconcile()
    here, there = both(books)
    assert here == there
    assert [each.held for each in here] == [Units(), Units()]
