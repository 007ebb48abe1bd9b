"""Budgets in Redis, over those in the ledger's database: what is kept there, how long, and what fills it."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmkit.budget.base import Place
from llmkit.budget.settler import Charge, Settler
from llmkit.errors import BudgetUnavailable
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import UNUSED, Units
from llmkit.policy.budgets.decide import Shortage

redis = pytest.importorskip("redis")

from llmkit.budget.redis import RedisBudgets  # noqa: E402
from llmkit.redis.room import RedisRoom  # noqa: E402
from support.redis_books import BOTH, EVER, MINUTE, MONTH, Away, Books, both, used  # noqa: E402
from support.redis_server import any_redis_url  # noqa: E402

WHENEVER = datetime(2026, 5, 17, tzinfo=UTC)


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
    books.budgets._steps.source = Away(books.kept._store)
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


def test_a_hold_that_could_not_be_kept_is_asked_for_anew(books: Books) -> None:
    """With the same id: there may be no room any more."""
    books.budgets._steps.source = Away(books.kept._store)
    with pytest.raises(BudgetUnavailable, match="away"):
        books.budgets.hold("a", books.parted(*BOTH))
    books.budgets._steps.source = books.kept
    for name in "bcd":
        books.budgets.hold(name, books.parted(*BOTH))
    assert books.budgets.hold("a", books.parted(*BOTH)) is not None


def test_what_is_kept_is_not_kept_for_ever(books: Books) -> None:
    """Accounts go after their windows, holds after a day; a minute's after an hour."""
    assert books.begin("a", MONTH, MINUTE)
    for claim in (MONTH, MINUTE):
        for key in books.keys(claim):
            assert 0 < books.redis.ttl(key) < 40 * 24 * 3600
    ends = MONTH.window(books.budgets.date).ends
    assert ends is not None
    left = (ends - books.budgets.date).total_seconds()
    assert books.redis.ttl(books.keys(MONTH)[0]) > left + 24 * 3600  # what ends late is charged
    prefix = books.keys(MONTH)[0].partition("account:")[0]
    assert 24 * 3600 < books.redis.ttl(f"{prefix}hold:a") < 26 * 3600
    books.charge("a", used(1))
    assert 0 < books.redis.ttl(f"{prefix}hold:a") <= 240
    assert 0 < books.redis.ttl(f"{books.keys(MONTH)[0]}:done") <= 240


def test_what_is_held_after_it_was_given_back_is_not_held(books: Books) -> None:
    """Over another connection, which was cut when whoever asked was cancelled, and which Redis reads later."""
    books.budgets.charge(Charge("a", UNUSED, partition=books.part, may_come=True))
    books.charge("a", UNUSED)
    asked = books.parted(*BOTH)
    books.budgets.grant("a", asked)
    assert books.budgets.balances(asked) == [Balance(), Balance()]
    assert books.begin("b")
    books.budgets.charge(Charge("b", UNUSED, partition=books.part, may_come=True))
    assert books.budgets.balances(asked) == [Balance(), Balance()]
    prefix = books.keys(EVER)[0].partition("account:")[0]
    assert 0 < books.redis.ttl(f"{prefix}hold:a") <= 240


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


@pytest.mark.parametrize("cleaned", [False, True])
def test_a_minute_is_this_second_and_the_sixty_before(books: Books, cleaned: bool) -> None:
    """In Redis as elsewhere; also where what no longer counts was forgotten just now."""
    (minute, _), now = books.keys(MINUTE), int(books.budgets.date.timestamp())
    last = now + 600
    books.redis.hset(minute, mapping={f"{each}:ur": 1 for each in range(now - 600, last + 1)})
    if cleaned:
        books.redis.hset(minute, "clean", 0)
    assert not books.begin("a", MINUTE)
    asked = books.parted(MINUTE)
    words = books.budgets.words
    _, second, _, found = books.budgets.ask(words.balances(asked, [MINUTE.window(WHENEVER)]))
    ((_, _, requests, *_), by_second) = found[0]
    assert min(int(each[0]) for each in by_second) == int(second) - 60
    assert int(requests) == last - int(second) + 61


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


@pytest.mark.parametrize("wrong", ["type", "text"])
def test_what_cannot_be_done_does_not_stop_the_rest(
    books: Books, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that somebody has made of another type, or filled with something else, is one call's fault, not that of Redis."""
    prefix = books.keys(EVER)[0].partition("account:")[0]
    if wrong == "type":
        books.redis.set(f"{prefix}hold:bad", "x")
    else:
        assert books.begin("bad", MONTH)
        books.redis.lset(f"{prefix}hold:bad", 2, "h -5 x")
    settler = Settler(books.budgets)
    assert books.begin("a")
    settler.settle_soon(Charge("bad", used(1), partition=books.part))
    settler.settle_soon(Charge("a", used(7), partition=books.part))
    settler.close(30)
    assert books.budgets.balances(books.parted(EVER))[0].used.usd == 7
    assert "could not be charged" in caplog.text


@pytest.mark.usefixtures("waits_long")
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
