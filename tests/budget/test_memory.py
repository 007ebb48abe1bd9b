"""Budgets in memory, against an oracle that remembers everything."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from llmkit.budget.memory import MemoryBudgets
from llmkit.policy.budgets.amounts import NOTHING, UNITS, Amount, Unit
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import Per, window_at

ONE = Amount(requests=1)
# Each is two thousand operations.
SEEDS = int(os.environ.get("LLMKIT_TEST_SEEDS", "5"))


class Clock:
    """A date that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def claim(
    limits: dict[Unit, int], *, key: str = "user", per: Per = "day", amount: Amount = ONE
) -> Claim:
    """Make a claim on an account."""
    return Claim(key=key, per=per, zone=UTC, amount=amount, limits=limits)


def test_twenty_a_minute_are_never_more() -> None:
    """In any sixty seconds, wherever they begin; and when told to come again, there is room."""
    clock, chance = Clock(), random.Random(7)
    budgets = MemoryBudgets(now=clock)
    asks = claim({"requests": 20}, per="minute")
    granted: list[datetime] = []
    refused = 0
    for number in range(5000):
        clock.now += timedelta(seconds=chance.expovariate(1.0))
        shortage = budgets.hold(f"{number}", [asks])
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
            assert budgets.hold(f"again-{number}", [asks]) is None
            granted.append(clock.now)
    assert refused > 500
    for first, later in zip(granted, granted[20:], strict=False):
        assert later - first > timedelta(seconds=60)


def test_what_is_held_is_settled_where_it_was_held() -> None:
    """However late: the next window does not pay for it. A late correction is charged there, too."""
    clock = Clock()
    budgets = MemoryBudgets(now=clock, lapse=86400)
    asks = claim({"tokens": 100}, amount=Amount(tokens=80))
    assert budgets.hold("one", [asks]) is None
    shortage = budgets.hold("two", [asks])
    assert shortage is not None
    assert (shortage.used, shortage.held, shortage.resets) == (
        0,
        80,
        datetime(2026, 5, 18, tzinfo=UTC),
    )
    before = clock.now
    clock.now += timedelta(minutes=12 * 60 - 25)
    assert budgets.hold("three", [asks]) is None
    budgets.settle("one", Amount(tokens=120))
    assert [balance.held.tokens for balance in budgets.balances([asks])] == [80]
    clock.now = before
    (then,) = budgets.balances([asks])
    assert (then.used.tokens, then.held.tokens) == (120, 0)
    budgets.settle("one", Amount(tokens=90))
    budgets.settle("one", Amount(tokens=90))
    (then,) = budgets.balances([asks])
    assert then.used.tokens == 90


def test_all_or_none() -> None:
    """One account without room keeps all others as they were; several budgets may count in one account."""
    budgets = MemoryBudgets()
    wide, narrow = claim({"requests": 9}, key="all"), claim({"requests": 1}, key="user")
    same = replace(wide, limits={"tokens": 5})
    assert budgets.hold("one", [wide, same, narrow]) is None
    assert budgets.hold("one", [wide, same, narrow]) is None
    shortage = budgets.hold("two", [wide, same, narrow])
    assert shortage is not None
    assert shortage.claim.key == "user"
    assert [balance.held for balance in budgets.balances([wide, narrow])] == [ONE, ONE]
    budgets.settle("one", NOTHING)
    budgets.settle("unknown", ONE)
    assert [balance.held for balance in budgets.balances([wide, narrow])] == [NOTHING, NOTHING]
    assert budgets.hold("two", [wide, same, narrow]) is None


def test_a_full_account_has_no_room_for_what_is_free() -> None:
    """Nor has one whose limit is nothing, and none that asks for more than the limit is told to come again."""
    budgets = MemoryBudgets()
    full = claim({"usd": 10}, amount=Amount(usd=10))
    assert budgets.hold("one", [full]) is None
    assert budgets.hold("two", [replace(full, amount=NOTHING)]) is not None
    for limits, amount in (({"usd": 0}, NOTHING), ({"usd": 5}, Amount(usd=6))):
        shortage = budgets.hold("three", [claim(limits, key="other", amount=amount)])  # type: ignore[arg-type]
        assert shortage is not None
        assert shortage.resets is None


def test_a_hold_that_nobody_settles_lapses() -> None:
    """After its time, and no sooner; what is settled late then changes nothing."""
    clock = Clock()
    budgets = MemoryBudgets(now=clock, lapse=60)
    asks = claim({"requests": 1})
    assert budgets.hold("one", [asks]) is None
    clock.now += timedelta(seconds=60)
    assert budgets.hold("two", [asks]) is not None
    clock.now += timedelta(seconds=1)
    assert budgets.hold("two", [asks]) is None
    budgets.settle("one", ONE)
    assert budgets.balances([asks])[0].used == NOTHING


@dataclass
class _Held:
    claims: list[Claim]
    at: datetime
    charged: Amount | None = None


PERS: tuple[Per, ...] = ("minute", "hour", "day", "month", "ever")
KEYS = [f"{per}:{number}" for per in PERS for number in range(3)]


def counts(claim: Claim, held: _Held, now: datetime) -> bool:
    """Say whether a hold counts in an account now."""
    if claim.key not in {each.key for each in held.claims}:
        return False
    if claim.per == "minute":
        return int(held.at.timestamp()) > int(now.timestamp()) - 61
    return window_at(claim.per, held.at, UTC) == window_at(claim.per, now, UTC)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_operations(seed: int) -> None:
    """Used and held are what is charged and what is open, at each step; no account grants above its limit."""
    clock, chance = Clock(), random.Random(seed)
    budgets = MemoryBudgets(now=clock, lapse=10**9)
    model: dict[str, _Held] = {}
    for number in range(2000):
        clock.now += timedelta(seconds=chance.choice((0, 0.3, 1, 20, 700)) * chance.random())
        if chance.random() < 0.6 or not model:
            amount = Amount(
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
            if budgets.hold(f"{number}", claims) is None:
                model[f"{number}"] = _Held(claims, clock.now)
                for each, balance in zip(claims, budgets.balances(claims), strict=True):
                    for unit, limit in each.limits.items():
                        assert balance.used.get(unit) + balance.held.get(unit) <= limit
        else:
            name = chance.choice(list(model))
            model[name].charged = Amount(
                usd=chance.randrange(9), tokens=chance.randrange(9), requests=1
            )
            budgets.settle(name, model[name].charged)  # type: ignore[arg-type]
        asks = claim({}, key=(key := chance.choice(KEYS)), per=key.partition(":")[0])  # type: ignore[arg-type]
        (balance,) = budgets.balances([asks])
        used = held = NOTHING
        for each in model.values():
            if counts(asks, each, clock.now):
                if each.charged is None:
                    held += each.claims[0].amount
                else:
                    used += each.charged
        assert (balance.used, balance.held) == (used, held)


def test_threads_share_one() -> None:
    """Together they get as much as there is, and no more."""
    budgets = MemoryBudgets()
    granted: list[int] = []

    def work(thread: int) -> None:
        for number in range(200):
            name = f"{thread}-{number}"
            if budgets.hold(name, [claim({"requests": 500})]) is None:
                granted.append(1)
                budgets.settle(name, ONE)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 500
