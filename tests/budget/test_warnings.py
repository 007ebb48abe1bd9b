"""Somebody is told when a budget is nearly used: once in its period, over all processes."""

from __future__ import annotations

import dataclasses
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import Amount, BudgetManager, BudgetWarning, Caller, Kit
from llmkit.budget.base import Place
from llmkit.errors import ConfigError
from llmkit.policy.budgets.accounts import Crossing, Mark
from llmkit.policy.budgets.amounts import Units, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.testing import Behaviour, Emulator
from support.budgets import STORES, Budgets
from support.kits import make_kit
from support.rows import database
from support.waits import wait_for

MONTH = Claim(
    key="all:month=",
    scope="all",
    per="month",
    amount=Units(usd=10, tokens=10, requests=1),
    limits={"usd": 100, "tokens": 1000},
    marks=(Mark("usd", 80, 100), Mark("tokens", 800, 1000)),
)
MINUTE = Claim(
    key="all:minute=",
    scope="all",
    per="minute",
    amount=Units(requests=1),
    limits={"requests": 10},
    marks=(Mark("requests", 2, 10),),
)
HELLO = Behaviour(tokens=3, delay=0)


def use(budgets: Budgets, name: str, claim: Claim, used: Used) -> None:
    """Use something."""
    assert budgets.store.hold(name, [claim]) is None
    budgets.store.settle(name, used)


def test_each_mark_is_told_once(any_budgets: Budgets) -> None:
    """When what is used reaches it, not what is held; each unit by itself."""
    told: list[Crossing] = []
    any_budgets.store.bell.listen(told.extend)
    use(any_budgets, "a", MONTH, Used(usd=79, tokens=10, requests=1))
    assert any_budgets.store.hold("b", [MONTH]) is None  # 89 are used or held
    assert told == []
    any_budgets.store.settle("b", Used(usd=1, tokens=700, requests=1))
    assert [(each.key, each.mark, each.used) for each in told] == [
        ("all:month=", MONTH.marks[0], 80)
    ]
    use(any_budgets, "c", MONTH, Used(usd=5, tokens=200, requests=1))
    use(
        any_budgets,
        "d",
        dataclasses.replace(MONTH, limits={}),
        Used(usd=50, tokens=2000, requests=1),
    )
    assert [(each.mark.unit, each.used) for each in told] == [("usd", 80), ("tokens", 910)]


def test_a_minute_that_slides_is_told_of_once(any_budgets: Budgets) -> None:
    """However much is used in it."""
    told: list[Crossing] = []
    any_budgets.store.bell.listen(told.extend)
    for name in "abc":
        use(any_budgets, name, MINUTE, Used(requests=1))
    assert [each.used for each in told] == [2]


def test_another_minute_is_told_of_again(budgets: Budgets) -> None:
    """When the one of the last time is over, and no sooner."""
    told: list[Crossing] = []
    budgets.store.bell.listen(told.extend)
    for number, seconds in enumerate((0, 60, 1, 60, 1)):
        budgets.clock.now += timedelta(seconds=seconds)
        use(budgets, f"{number}", MINUTE, Used(requests=2))
    assert [each.used for each in told] == [2, 4, 4]


@pytest.mark.parametrize("kind", ["redis-6.2", "redis"])
def test_another_minute_is_told_of_again_in_redis(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """By its own clock, which nobody can set: what it has noted is a minute older instead."""
    budgets = STORES[kind](request)
    from redis import Redis

    from llmkit.budget.redis import RedisBudgets
    from support.redis_server import redis_url

    assert isinstance(budgets.store, RedisBudgets)
    told: list[Crossing] = []
    budgets.store.bell.listen(told.extend)
    account, _ = budgets.store.words.account(Place(MINUTE.key, 0))
    version = "6.2" if kind == "redis-6.2" else "current"
    with closing(Redis.from_url(redis_url(version))) as client:
        for number in range(3):
            use(budgets, f"{number}", MINUTE, Used(requests=2))
            assert len(told) == number + 1
            noted = int(client.hget(account, "told"))
            client.hset(account, "told", noted - 61)


def test_the_next_period_has_its_own(budgets: Budgets) -> None:
    """A month, and a minute."""
    told: list[Crossing] = []
    budgets.store.bell.listen(told.extend)
    for month in range(2):
        use(budgets, f"a{month}", MONTH, Used(usd=90, tokens=0, requests=1))
        use(budgets, f"b{month}", MINUTE, Used(requests=2))
        use(budgets, f"c{month}", MINUTE, Used(requests=2))
        budgets.clock.now += timedelta(days=31)
    assert [each.key for each in told] == ["all:month=", "all:minute="] * 2
    assert told[0].start != told[2].start


def test_what_nobody_hears_is_told_later(budgets: Budgets) -> None:
    """A command that sweeps up has no hook: the next process tells."""
    use(budgets, "a", MONTH, Used(usd=90, tokens=0, requests=1))
    told: list[Crossing] = []
    budgets.store.bell.listen(told.extend)
    use(budgets, "b", MONTH, Used(usd=1, tokens=0, requests=1))
    assert [each.used for each in told] == [91]


@pytest.fixture(params=["ledger", "redis", "redis alone"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return the settings of where budgets are decided."""
    ledger = {"ledger": {"database": database(tmp_path)}}
    if request.param == "ledger":
        return ledger
    pytest.importorskip("redis")
    from support.redis_server import any_redis_url, wait_long

    wait_long(monkeypatch)
    redis = {"redis": any_redis_url(), "namespace": f"test-{os.urandom(8).hex()}"}
    return redis if request.param == "redis alone" else {**redis, **ledger}


def test_a_hook_is_called_once_over_all_processes(place: dict[str, Any]) -> None:
    """With all that a mail needs."""
    told: list[BudgetWarning] = []
    budget = {"scope": "user", "per": "ever", "requests": 5, "warn_at": 0.6}
    with Emulator(behaviour=HELLO) as emulator:
        more = {"budgets": [budget], "on_budget_warning": told.append, **place}
        with (
            closing(make_kit(emulator, **more)) as one,
            closing(make_kit(emulator, **more)) as other,
        ):
            for kit in (one, other, one, other, one):
                kit.client.complete("Say hi", user=Caller(user=7, tenant="a/b"))
                kit.runtime.flush(30)
            other.client.complete("Say hi", user=8)
    (warning,) = told
    assert (warning.scope, warning.per, warning.unit, warning.models) == (
        "user",
        "ever",
        "requests",
        (),
    )
    assert (warning.used, warning.limit, warning.name, warning.tenant) == (3, 5, "7", "a/b")
    assert warning.resets is None


def test_a_warning_says_when_its_period_ends() -> None:
    """In the time zone of the settings."""
    told: list[BudgetWarning] = []
    budget = {"scope": "user", "per": "day", "requests": 5, "warn_at": 0.6}
    manager = BudgetManager(
        [budget],
        time_zone="Europe/Berlin",
        now=lambda: datetime(2026, 5, 17, 12, 30, tzinfo=UTC),
        on_budget_warning=told.append,
    )
    manager.settle(manager.hold(7, Amount(requests=3)), Amount(requests=3))
    wait_for(lambda: [each.resets for each in told], [datetime(2026, 5, 17, 22, tzinfo=UTC)])


def test_dollars_are_dollars(tmp_path: Path) -> None:
    """And of a tag its value is said, of a model its id."""
    told: list[BudgetWarning] = []
    budgets = [
        {"scope": "tag:feature=x", "per": "ever", "usd": 1, "warn_at": 0.00001},
        {"scope": "model", "per": "ever", "tokens": 9999, "warn_at": 0.0005, "models": ["default"]},
    ]
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(
            emulator,
            budgets=budgets,
            ledger={"database": database(tmp_path)},
            on_budget_warning=told.append,
        )
        with closing(kit):
            kit.client.complete("Say hi", tags={"feature=x": "chat/1"}, max_tokens=50)
    dollars, tokens = sorted(told, key=lambda each: each.unit, reverse=True)
    assert (dollars.name, dollars.limit, dollars.resets) == ("chat/1", Decimal(1), None)
    assert isinstance(dollars.used, Decimal)
    assert dollars.used > Decimal("0.00001")
    assert (tokens.scope, tokens.name, tokens.models) == (
        "model",
        "anthropic:claude-sonnet-4-5",
        ("default",),
    )


def test_a_hook_that_fails_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not what it said, which may quote anything; and the next one is told all the same."""
    told: list[BudgetWarning] = []

    def hook(warning: BudgetWarning) -> None:
        told.append(warning)
        raise ValueError("the password is hunter2")

    budget = {"scope": "user", "per": "ever", "requests": 10, "warn_at": 0.1}
    with Emulator(behaviour=HELLO) as emulator:
        ledger = {"database": database(tmp_path)}
        kit = make_kit(emulator, budgets=[budget], ledger=ledger, on_budget_warning=hook)
        with closing(kit):
            for user in (7, 8):
                kit.client.complete("Say hi", user=user)
    assert [warning.name for warning in told] == ["7", "8"]
    assert "on_budget_warning failed: ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_manager_by_itself_tells_too() -> None:
    """In its memory."""
    told: list[BudgetWarning] = []
    budget = {"scope": "tenant", "per": "month", "usd": 10, "warn_at": 0.8}
    manager = BudgetManager([budget], on_budget_warning=told.append)
    manager.settle(manager.hold(Caller(tenant="acme"), Amount(usd=9)), Amount(usd="8.50"))
    wait_for(lambda: len(told), 1)
    assert (told[0].name, told[0].used, told[0].limit) == ("acme", Decimal("8.50"), Decimal(10))


def test_a_hook_without_a_budget_that_calls_it(tmp_path: Path) -> None:
    """It stops no app: the budgets of one place may warn, those of another not."""
    budget = {"scope": "user", "per": "ever", "requests": 10}
    for budgets in ([], [budget]):
        settings = {"budgets": budgets, "ledger": {"database": database(tmp_path)}}
        with closing(Kit({**settings, "on_budget_warning": print})) as kit:
            assert kit.config.on_budget_warning is print


@pytest.mark.parametrize(
    "part", [0, -0.1, 1.5, "much", True, Decimal("NaN"), Decimal("sNaN"), float("nan"), 10**400]
)
def test_a_part_that_is_none(part: Any) -> None:
    """It is said what is right."""
    with pytest.raises(ConfigError, match=r"budgets\.0.*warn_at"):
        Kit({"budgets": [{"scope": "user", "per": "month", "usd": 1, "warn_at": part}]})
