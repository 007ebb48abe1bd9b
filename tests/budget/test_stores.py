"""Each store of budgets, against an oracle that remembers everything."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from llmkit.budget.memory import MemoryBudgets
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import NOTHING, UNITS, Unit, Units, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import Per, window_at
from support.budgets import STORES, Budgets, Clock

ONE = Units(requests=1)
UNUSED = Used(usd=0, tokens=0, requests=0)
USED = Used(usd=0, tokens=0, requests=1)
# Each is ten thousand operations in memory, three hundred elsewhere.
SEEDS = int(os.environ.get("LLMKIT_TEST_SEEDS", "5"))
COUNT = 1000


def claim(
    limits: dict[Unit, int], *, key: str = "user", per: Per = "day", amount: Units = ONE
) -> Claim:
    """Make a claim on an account."""
    return Claim(key=key, scope="user", per=per, amount=amount, limits=limits)


def test_twenty_a_minute_are_never_more(budgets: Budgets) -> None:
    """In any sixty seconds, wherever they begin; and when told to come again, there is room."""
    clock, store, chance = budgets.clock, budgets.store, random.Random(7)
    asks = claim({"requests": 20}, per="minute")
    granted: list[datetime] = []
    refused = 0
    for number in range(COUNT):
        clock.now += timedelta(seconds=chance.expovariate(1.0))
        shortage = store.hold(f"{number}", [asks])
        if shortage is None:
            granted.append(clock.now)
            continue
        refused += 1
        assert (shortage.unit, shortage.limit) == ("requests", 20)
        assert shortage.used + shortage.held == 20
        assert shortage.resets is not None
        assert timedelta() < shortage.resets - clock.now <= timedelta(seconds=61)
        if chance.random() < 0.2:
            clock.now = shortage.resets
            assert store.hold(f"again-{number}", [asks]) is None
            granted.append(clock.now)
    assert refused > COUNT // 10
    for first, later in zip(granted, granted[20:], strict=False):
        assert later - first > timedelta(seconds=60)


def test_what_is_held_is_settled_where_it_was_held(budgets: Budgets) -> None:
    """However late: the next window does not pay for it. A late correction is charged there, too."""
    clock, store = budgets.clock, budgets.store
    asks = claim({"tokens": 100}, amount=Units(tokens=80))
    assert store.hold("one", [asks]) is None
    shortage = store.hold("two", [asks])
    assert shortage is not None
    assert (shortage.used, shortage.held, shortage.resets) == (
        0,
        80,
        clock.now + timedelta(seconds=5),  # only what is held is in the way
    )
    before = clock.now
    clock.now += timedelta(minutes=12 * 60 - 25)
    assert store.hold("three", [asks]) is None
    store.settle("one", Used(tokens=120))
    assert [balance.held.tokens for balance in store.balances([asks])] == [80]
    clock.now = before
    (then,) = store.balances([asks])
    assert (then.used.tokens, then.held.tokens) == (120, 0)
    store.settle("one", Used(tokens=90))
    store.settle("one", Used(tokens=90))
    (then,) = store.balances([asks])
    assert then.used.tokens == 90


def test_all_or_none(any_budgets: Budgets) -> None:
    """One account without room keeps all others as they were."""
    store = any_budgets.store
    wide, narrow = claim({"requests": 9}, key="all"), claim({"requests": 1}, key="user")
    assert store.hold("one", [wide, narrow]) is None
    assert store.hold("one", [wide, narrow]) is None
    shortage = store.hold("two", [wide, narrow])
    assert shortage is not None
    assert shortage.claim.key == "user"
    assert [balance.held for balance in store.balances([wide, narrow])] == [ONE, ONE]
    store.settle("one", UNUSED)
    store.settle("unknown", USED)
    assert [balance.held for balance in store.balances([wide, narrow])] == [NOTHING, NOTHING]
    assert store.hold("two", [wide, narrow]) is None


def test_what_is_settled_is_not_given_back(any_budgets: Budgets) -> None:
    """Letting go of a hold in the end, settled or not, is safe."""
    store = any_budgets.store
    asks = claim({"tokens": 100}, amount=Units(tokens=80))
    assert store.hold("one", [asks]) is None
    store.settle("one", Used(tokens=60))
    store.settle("one", UNUSED, again=False)
    assert [(each.used.tokens, each.held.tokens) for each in store.balances([asks])] == [(60, 0)]
    store.settle("one", Used(tokens=50))
    assert store.balances([asks])[0].used.tokens == 50
    assert store.hold("two", [replace(asks, amount=Units(tokens=30))]) is None
    store.settle("two", UNUSED, again=False)
    assert [(each.used.tokens, each.held.tokens) for each in store.balances([asks])] == [(50, 0)]


def test_a_full_account_has_no_room_for_what_is_free(any_budgets: Budgets) -> None:
    """Nor has one whose limit is nothing, and none that asks for more than the limit is told to come again."""
    store = any_budgets.store
    full = claim({"usd": 10}, amount=Units(usd=10))
    assert store.hold("one", [full]) is None
    assert store.hold("two", [replace(full, amount=NOTHING)]) is not None
    for limits, amount in (({"usd": 0}, NOTHING), ({"usd": 5}, Units(usd=6))):
        shortage = store.hold("three", [claim(limits, key="other", amount=amount)])  # type: ignore[arg-type]
        assert shortage is not None
        assert shortage.resets is None


def test_a_hold_that_nobody_settles_lapses() -> None:
    """After its time, and no sooner; what is settled late is charged all the same, for a day."""
    clock = Clock()
    store = MemoryBudgets(now=clock, lapse=60)
    asks = claim({"requests": 1}, per="ever")
    assert store.hold("one", [asks]) is None
    clock.now += timedelta(seconds=60)
    assert store.hold("two", [asks]) is not None
    clock.now += timedelta(seconds=1)
    assert store.hold("two", [asks]) is None
    store.settle("one", UNUSED, again=False)
    store.settle("one", USED)
    store.settle("two", UNUSED)
    assert store.balances([asks]) == [Balance(used=ONE)]
    clock.now += timedelta(hours=24)
    store.settle("one", UNUSED)
    assert store.balances([asks]) == [Balance(used=ONE)]


def test_windows_that_are_over_are_forgotten() -> None:
    """Each user's of each day, or the memory of a process would grow for ever."""
    clock = Clock()
    store = MemoryBudgets(now=clock)
    for day in range(10):
        for user in range(500):
            name = f"{day}-{user}"
            assert store.hold(name, [claim({"requests": 1}, key=name)]) is None
            store.settle(name, USED)
        clock.now += timedelta(days=1)
    assert len(store._accounts) <= 2000


@dataclass
class _Held:
    claims: list[Claim]
    at: datetime
    charged: Units | None = None


PERS: tuple[Per, ...] = ("minute", "hour", "day", "month", "ever")
KEYS = [f"{per}:{number}" for per in PERS for number in range(3)]


def counting(entries: list[_Held], per: Per, now: datetime) -> list[_Held]:
    """Return the holds of an account that count in it now. They stand in the order of time: from the last one back, until one does not."""
    found = []
    for held in reversed(entries):
        if per == "minute":
            counts = int(held.at.timestamp()) > int(now.timestamp()) - 61
        else:
            counts = window_at(per, held.at, UTC) == window_at(per, now, UTC)
        if not counts:
            break
        found.append(held)
    return found


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_operations(seed: int, budgets: Budgets) -> None:
    """Used and held are what is charged and what is open, at each step; no account grants above its limit."""
    clock, store, chance = budgets.clock, budgets.store, random.Random(seed)
    model: dict[str, _Held] = {}
    accounts: dict[str, list[_Held]] = {key: [] for key in KEYS}
    for number in range(10_000 if isinstance(store, MemoryBudgets) else 300):
        clock.now += timedelta(seconds=chance.choice((0, 0.3, 1, 20, 700)) * chance.random())
        if chance.random() < 0.6 or not model:
            amount = Units(
                usd=chance.randrange(5), tokens=chance.randrange(5), requests=chance.randrange(2)
            )
            claims = [
                claim(
                    {unit: chance.randrange(60) for unit in UNITS if chance.random() < 0.7},
                    key=key,
                    per=key.partition(":")[0],  # type: ignore[arg-type]
                    amount=amount,
                )
                for key in chance.sample(KEYS, chance.randrange(1, 4))
            ]
            if store.hold(f"{number}", claims) is None:
                model[f"{number}"] = _Held(claims, clock.now)
                for each in claims:
                    accounts[each.key].append(model[f"{number}"])
                for each, balance in zip(claims, store.balances(claims), strict=True):
                    for unit, limit in each.limits.items():
                        if unit == "requests" and not each.amount.requests:
                            continue
                        assert balance.used.get(unit) + balance.held.get(unit) <= limit
        else:
            name = chance.choice(list(model))
            used = Used(usd=chance.randrange(9), tokens=chance.choice((None, 0, 5)), requests=1)
            store.settle(name, used)
            model[name].charged = used.or_held(model[name].claims[0].amount)
        asks = claim({}, key=(key := chance.choice(KEYS)), per=key.partition(":")[0])  # type: ignore[arg-type]
        (balance,) = store.balances([asks])
        charged = held = NOTHING
        for entry in counting(accounts[key], asks.per, clock.now):
            if entry.charged is None:
                held += entry.claims[0].amount
            else:
                charged += entry.charged
        assert (balance.used, balance.held) == (charged, held)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "engine", "postgres", "redis-6.2", "redis"])
def test_threads_share_one(kind: str, request: pytest.FixtureRequest) -> None:
    """Together they get as much as there is, and no more."""
    store = STORES[kind](request).store
    granted: list[int] = []

    def work(thread: int) -> None:
        for number in range(30):
            name = f"{thread}-{number}"
            if store.hold(name, [claim({"requests": 50})]) is None:
                granted.append(1)
                store.settle(name, USED)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 50
