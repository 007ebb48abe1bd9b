"""Budgets in Redis, over those in the ledger's database: whatever Redis forgets or misses, it is what the ledger says in the end."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmkit.budget.base import Place
from llmkit.budget.budgets import _note_unwritten
from llmkit.budget.reconcile import Difference, reconcile
from llmkit.budget.settler import Charge, Settler
from llmkit.errors import BudgetUnavailable
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import SQLStore
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import UNUSED, Units, Used
from llmkit.policy.budgets.decide import Claim, Shortage
from support.redis_server import any_redis_url, let_lapse

redis = pytest.importorskip("redis")

from llmkit.budget.redis import RedisBudgets  # noqa: E402
from llmkit.redis.room import RedisRoom  # noqa: E402

SEEDS = int(os.environ.get("LLMKIT_TEST_SEEDS", "20"))
EVER = Claim(
    key="all:ever=",
    scope="all",
    per="ever",
    amount=Units(usd=30, tokens=20, requests=1),
    limits={"usd": 100},
)
MONTH = Claim(
    key="user:month=7",
    scope="user",
    per="month",
    amount=Units(usd=30, tokens=20, requests=1),
    limits={"requests": 90},
)
MINUTE = Claim(
    key="user:minute=7",
    scope="user",
    per="minute",
    amount=Units(requests=1),
    limits={"requests": 90},
)
BOTH = [EVER, MONTH]


class Away(TableBudgets):
    """A database that does not serve."""

    def mirror(self, *_: Any) -> None:
        """Fail."""
        raise BudgetUnavailable("away")

    def audit(self, *_: Any) -> Any:
        """Fail."""
        raise BudgetUnavailable("away")


@dataclass
class Books:
    """Budgets in Redis and in a database, and Redis itself."""

    kept: TableBudgets
    budgets: RedisBudgets
    redis: Any
    part: str
    pauses: list[float] = field(default_factory=list)

    def begin(self, name: str, *claims: Claim) -> bool:
        """Hold for a call; its row is written, too."""
        asked = self.parted(*(claims or BOTH))
        granted = self.budgets.grant(name, asked)
        if isinstance(granted, Shortage):
            return False
        self.kept.mirror(name, asked, granted)
        return True

    def parted(self, *claims: Claim) -> list[Claim]:
        """Say which part the accounts are in."""
        return [dataclasses.replace(claim, partition=self.part) for claim in claims]

    def charge(self, name: str, used: Used, *, final: bool = True) -> None:
        """Charge in Redis what a call has used."""
        self.budgets.charge(Charge(name, used, final=final, partition=self.part))

    def end(self, name: str, used: Used) -> None:
        """Charge what a call has used, in both."""
        self.charge(name, used, final=False)
        self.kept.settle(name, used)

    def reconcile(self) -> int:
        """Correct Redis."""
        return reconcile(self.budgets, self.kept, self.pauses.append)

    def forget(self, *names: str) -> None:
        """Let Redis lose keys."""
        self.redis.delete(*names)

    def keys(self, claim: Claim) -> list[str]:
        """Name the keys of an account."""
        start = claim.window(self.budgets.date).start
        return self.budgets.words.account(Place(claim.key, start, self.part))

    def let_lapse(self, claim: Claim) -> None:
        """Let go of what nobody has settled by now, as the next hold after half a minute does."""
        let_lapse(self.redis, *self.keys(claim))


@pytest.fixture(params=["whole", "parted"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    """Return both, empty; whether each tenant's budgets are in a part of a cluster or not."""
    url = any_redis_url()
    room = RedisRoom(url)
    with (
        closing(
            SQLStore(database_url(f"sqlite:///{tmp_path / 'ledger.db'}"), worker="test")
        ) as store,
        closing(redis.Redis.from_url(url, decode_responses=True)) as client,
        closing(room),
    ):
        kept = TableBudgets(store)
        is_parted = request.param == "parted"
        parted = RedisBudgets(room, source=kept, namespace=tmp_path.name, is_parted=is_parted)
        yield Books(kept, parted, client, "acme" if is_parted else "")


def both(books: Books, *claims: Claim) -> tuple[list[Balance], list[Balance]]:
    """Return what Redis has, and what the database has."""
    return books.budgets.balances(books.parted(*(claims or BOTH))), books.kept.balances(
        claims or BOTH
    )


def used(usd: int) -> Used:
    """Return what a call has used."""
    return Used(usd=usd, tokens=usd + 1)


def test_what_is_held_by_hand_is_kept_in_both(books: Books) -> None:
    """And what is settled, and corrected."""
    assert books.budgets.hold("a", books.parted(*BOTH)) is None
    here, there = both(books)
    assert here == there
    assert here[0].held == EVER.amount
    books.budgets.settle("a", used(5))
    books.budgets.settle("a", used(7))
    books.budgets.settle("of nobody", used(7))
    here, there = both(books)
    assert here == there
    assert here[0] == Balance(used=Units(usd=7, tokens=8, requests=1))


def test_what_is_held_by_hand_is_let_go_where_it_cannot_be_kept(books: Books) -> None:
    """A hold that the database does not know would be lost with Redis."""
    books.budgets._source = Away(books.kept._store)
    with pytest.raises(BudgetUnavailable, match="away"):
        books.budgets.hold("a", books.parted(*BOTH))
    assert books.budgets.balances(books.parted(*BOTH)) == [Balance(), Balance()]


def test_redis_that_was_emptied_is_filled(books: Books) -> None:
    """With what was used and what is held, before anything is granted; what was held before is settled as before."""
    assert books.begin("a")
    books.end("a", used(45))
    assert books.begin("b")
    books.redis.flushall()
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 45
    books.redis.flushall()
    assert not books.begin("c")  # 45 used, 30 held, 30 asked
    books.end("b", used(10))
    here, there = both(books)
    assert here == there
    assert here[0] == Balance(used=Units(usd=55, tokens=57, requests=2))


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


def test_a_hold_that_nobody_settles_is_let_go(books: Books) -> None:
    """There is room again; one that comes late is charged all the same."""
    assert books.begin("a")
    assert books.begin("b")
    assert books.begin("c")
    assert not books.begin("d")
    books.let_lapse(EVER)
    assert books.begin("d")
    books.end("a", used(50))
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 50
    books.end("a", used(20))
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 20


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


def test_a_hold_that_could_not_be_kept_is_asked_for_anew(books: Books) -> None:
    """With the same id: there may be no room any more."""
    books.budgets._source = Away(books.kept._store)
    with pytest.raises(BudgetUnavailable, match="away"):
        books.budgets.hold("a", books.parted(*BOTH))
    books.budgets._source = books.kept
    for name in "bcd":
        books.budgets.hold(name, books.parted(*BOTH))
    assert books.budgets.hold("a", books.parted(*BOTH)) is not None


def test_what_is_kept_is_not_kept_for_ever(books: Books) -> None:
    """Accounts go after their windows, holds after a day; a minute's after an hour."""
    assert books.begin("a", MONTH, MINUTE)
    for claim in (MONTH, MINUTE):
        for key in books.keys(claim):
            assert 0 < books.redis.ttl(key) < 40 * 24 * 3600
    prefix = books.keys(MONTH)[0].partition("account:")[0]
    assert 24 * 3600 < books.redis.ttl(f"{prefix}hold:a") < 26 * 3600
    books.charge("a", used(1))
    assert 0 < books.redis.ttl(f"{prefix}hold:a") <= 240
    assert 0 < books.redis.ttl(f"{books.keys(MONTH)[0]}:done") <= 240


def test_what_is_refused_leaves_nothing(books: Books) -> None:
    """Or each user whose call has no room elsewhere would have keys for good."""
    budgets = RedisBudgets(books.budgets._room, namespace=f"{books.budgets.words._namespace}-alone")
    full = dataclasses.replace(EVER, limits={"usd": 1})
    assert isinstance(budgets.grant("a", [MONTH, full]), Shortage)
    assert list(books.redis.scan_iter(match=f"*{budgets.words._namespace}*")) == []


def test_what_no_longer_counts_is_forgotten(books: Books) -> None:
    """Seconds of a minute, and what was charged a while ago."""
    assert books.begin("a", MONTH, MINUTE)
    (minute, _), (month, _) = books.keys(MINUTE), books.keys(MONTH)
    now = int(books.budgets.date.timestamp())
    books.redis.hset(minute, f"{now - 100}:ur", 5)
    books.redis.zadd(f"{month}:done", {"old": now - 1000, "new": now})
    for account in (minute, month):
        books.redis.hset(account, "clean", 0)
    assert books.begin("b", MONTH, MINUTE)
    assert not books.redis.hexists(minute, f"{now - 100}:ur")
    assert books.redis.zrange(f"{month}:done", 0, -1) == ["new"]


def test_redis_clock_picks_the_window(books: Books) -> None:
    """Not that of the app, which may be off by a day."""
    off = RedisBudgets(
        books.budgets._room,
        namespace=books.budgets.words._namespace,
        now=lambda: datetime.now(UTC) - timedelta(days=40),
    )
    today = dataclasses.replace(MONTH, per="day")
    granted = off.grant("a", [today])
    assert isinstance(granted, datetime)
    assert abs(granted - datetime.now(UTC)) < timedelta(hours=1)
    start = today.window(granted).start
    assert books.redis.exists(off.words.account(Place(today.key, start))[0])
    assert off.balances([today])[0].held == today.amount


def test_what_cannot_be_done_does_not_stop_the_rest(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that somebody has made of another type is one call's fault, not that of Redis."""
    prefix = books.keys(EVER)[0].partition("account:")[0]
    books.redis.set(f"{prefix}hold:bad", "x")
    settler = Settler(books.budgets)
    assert books.begin("a")
    settler.settle_soon(Charge("bad", used(1), partition=books.part))
    settler.settle_soon(Charge("a", used(7), partition=books.part))
    settler.close(30)
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 7
    assert "could not be charged" in caplog.text


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


def test_parts_that_redis_has_forgotten(tmp_path: Path) -> None:
    """Each process says now and then which it uses, so that all are compared."""
    now = [1000.0]
    url = any_redis_url()
    with closing(RedisRoom(url)) as room, closing(redis.Redis.from_url(url)) as client:
        budgets = RedisBudgets(room, namespace=tmp_path.name, is_parted=True, clock=lambda: now[0])
        asked = [dataclasses.replace(EVER, partition="acme", limits={"usd": 10**9})]
        budgets.grant("a", asked)
        assert budgets.parts() == ["acme"]
        client.flushall()
        budgets.grant("b", asked)
        assert budgets.parts() == []
        now[0] += 601
        budgets.grant("c", asked)
        assert budgets.parts() == ["acme"]


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
