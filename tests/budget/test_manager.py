"""What `BudgetManager` does beyond its stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest

from llmkit import (
    Amount,
    BudgetExceeded,
    BudgetManager,
    BudgetUnavailable,
    BudgetWarning,
    Caller,
    ConfigError,
)
from llmkit.budget.memory import MemoryBudgets
from llmkit.policy.budgets.amounts import Used
from llmkit.policy.budgets.decide import Claim, Shortage
from support.budgets import STORES, params
from support.redis_server import RedisServer
from support.waits import wait_for


@pytest.mark.anyio
@pytest.mark.parametrize("kind", params("sqlite", "redis-6.2", "redis", "redis, parted"))
async def test_a_hold_that_is_cancelled_is_given_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Wherever it was by then: nobody knows its id."""
    store = STORES[kind](request).store
    manager = BudgetManager(
        [{"scope": "tenant", "per": "ever", "requests": 100}],
        store=store,
        by_tenant="parted" in kind,
    )
    await manager.arelease(await manager.ahold(7, Amount()))
    named = await manager.ahold(7, Amount(), id="job")
    for turns in (0, 1, 2, 5):
        again = asyncio.create_task(manager.ahold(7, Amount(), id="job"))
        task = asyncio.create_task(manager.ahold(7, Amount()))
        for _ in range(turns):
            await asyncio.sleep(0)
        again.cancel()
        task.cancel()
        await asyncio.wait([task, again])
        if not task.cancelled():
            await manager.arelease(task.result())

    def held() -> int:
        (left,) = manager.left(7)
        assert isinstance(left.held, int)
        return left.held

    await asyncio.to_thread(manager._later.flush, 30)
    await asyncio.to_thread(
        wait_for, held, 1
    )  # that with a name is another one's, or asked for again
    await manager.arelease(named)
    assert await asyncio.to_thread(held) == 0


def _done(work: Any) -> None:
    """Run what is async."""
    if asyncio.iscoroutine(work):
        asyncio.run(work)


class Late(MemoryBudgets):
    """A store that is asked by a thread, which holds what was asked after whoever has asked it was cancelled, and gave it back."""

    asked: Sequence[Claim] = ()

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Be cancelled."""
        self.asked = claims
        raise asyncio.CancelledError

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Settle it, then hold it."""
        super().settle(hold_id, used, again=again)
        self.hold(hold_id, self.asked)


@pytest.mark.anyio
async def test_a_hold_that_comes_after_it_was_given_back_is_given_back_again() -> None:
    """Whoever was cancelled does not know how far it is."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "requests": 9}], store=Late())
    with pytest.raises(asyncio.CancelledError):
        await manager.ahold(7, Amount())
    await asyncio.to_thread(manager._later.flush, 30)
    assert [left.held for left in manager.left(7)] == [0]


STRICT = {"scope": "user", "per": "ever", "requests": 2, "warn_at": 1}
LOOSE = {"scope": "user", "per": "ever", "requests": 5, "tokens": 90, "warn_at": 0.2}


@pytest.mark.parametrize("budgets", [[STRICT, LOOSE], [LOOSE, STRICT]])
def test_the_strictest_of_two_budgets_on_one_account_counts(budgets: list[dict[str, Any]]) -> None:
    """In whatever order the settings have them, of each unit; whoever is to be told first is told."""
    told: list[BudgetWarning] = []
    manager = BudgetManager(budgets, on_budget_warning=told.append)
    assert {left.unit: left.limit for left in manager.left(7)} == {"requests": 2, "tokens": 90}
    manager.settle(manager.hold(7, Amount()), Amount())
    manager.hold(7, Amount())
    with pytest.raises(BudgetExceeded) as caught:
        manager.hold(7, Amount())
    assert caught.value.limit == 2
    wait_for(lambda: [(each.used, each.limit) for each in told], [(1, 5)])


def test_long_ids_that_begin_alike_have_budgets_of_their_own() -> None:
    """The name of an account is cut, but no two users share one."""
    manager = BudgetManager([{"scope": "user", "per": "ever", "requests": 1}])
    for user in ("x" * 190, "x" * 199 + "1", "x" * 199 + "2", Caller(user="x", tenant="x" * 199)):
        manager.hold(user, Amount())
        with pytest.raises(BudgetExceeded):
            manager.hold(user, Amount())


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\ud800", "x" * 129])
def test_an_id_that_is_none(name: str) -> None:
    """A store would not take it, or take it for another one."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "requests": 1}])
    with pytest.raises(ValueError, match="the id of a hold has to be of"):
        manager.hold(7, Amount(), id=name)
    for method in (manager.settle, manager.asettle):
        with pytest.raises(ValueError, match="the id of a hold has to be of"):
            _done(method(name, Amount()))
    assert manager.hold(7, Amount(), id="ключ:7 / x").id == "ключ:7 / x"


@pytest.mark.parametrize(
    "amount", [{"tokens": 10**30}, {"usd": "1e30"}, {"usd": -1}, {"usd": "much"}]
)
@pytest.mark.parametrize("what", [BudgetManager.hold, BudgetManager.settle])
def test_an_amount_that_is_none(what: Callable[..., object], amount: dict[str, int]) -> None:
    """No store is asked."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    with pytest.raises(ValueError, match="has something that is"):
        what(manager, "7", Amount(**amount))


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (
            {"usd": 0.10},
            'usd has to be exact: a Decimal, an int or a text such as "0.10", not a float',
        ),
        ({"usd": True}, "usd has to be exact: .*, not a bool"),
        ({"usd": None}, "usd has to be exact: .*, not None"),
        ({"tokens": "5"}, "tokens has to be a whole number, not a str"),
        ({"tokens": 1.5}, "tokens has to be a whole number, not a float"),
        ({"tokens": True}, "tokens has to be a whole number, not a bool"),
        ({"requests": None}, "requests has to be a whole number, not None"),
        ({"usd": "much"}, "has something that is no number"),
    ],
)
def test_an_amount_of_another_kind(amount: dict[str, Any], said: str) -> None:
    """It is refused where it is written."""
    with pytest.raises(ValueError, match=said):
        Amount(**amount)


@pytest.mark.anyio
async def test_what_is_no_amount() -> None:
    """It is said what is one, wherever one is taken."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    said = "an amount is an llmkit.Amount, .*, not a float"
    number: Any = 0.4
    for what in (manager.hold, manager.settle):
        with pytest.raises(TypeError, match=said):
            what("7", number)
    for what_async in (manager.ahold, manager.asettle):
        with pytest.raises(TypeError, match=said):
            await what_async("7", number)


def test_what_is_no_hold() -> None:
    """It is said what is one, and what its id has to be."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    nothing: Any = None
    for what in (manager.release, lambda hold: manager.settle(hold, Amount())):
        with pytest.raises(
            TypeError, match="has to be what hold.. has returned, or its id, not None"
        ):
            what(nothing)
    with pytest.raises(TypeError, match="the id of a hold has to be a str, not an int"):
        manager.hold(7, Amount(), id=5)  # type: ignore[arg-type]


BUDGET = {"scope": "all", "per": "ever", "usd": 1}


@pytest.mark.parametrize(
    ("budgets", "options", "error", "said"),
    [
        (BUDGET, {}, TypeError, "takes a list of budgets .*, not a dict"),
        (None, {}, TypeError, "takes a list of budgets .*, not None"),
        ("all", {}, TypeError, "takes a list of budgets .*, not a str"),
        (["all"], {}, TypeError, r"budgets\[0\] has to be an llmkit.Budget or a dict, not a str"),
        (
            [BUDGET],
            {"store": "redis://x"},
            TypeError,
            "store has to be .*, not a str. For .* Redis",
        ),
        ([BUDGET], {"store": 5}, TypeError, "store has to be a store of budgets, not an int"),
        ([BUDGET], {"time_zone": "Mars"}, ConfigError, "^time_zone: 'Mars' is no time zone"),
        ([BUDGET], {"time_zone": 5}, ConfigError, "^time_zone: a time zone has to be a text"),
        ([{**BUDGET, "usd": "shop.none"}], {}, ConfigError, "^budgets.0.usd cannot be imported"),
    ],
)
def test_a_manager_of_what_is_none(
    budgets: Any, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    """It is refused where it is made, by the name of what is wrong."""
    with pytest.raises(error, match=said):
        BudgetManager(budgets, **options)


@pytest.mark.parametrize("is_parted", [False, True])
def test_a_hold_whose_answer_never_came_is_given_back(
    server: RedisServer, *, is_parted: bool
) -> None:
    """Redis may have held it all the same, and nobody knows its id."""
    from llmkit.budget.redis import RedisBudgets
    from llmkit.redis.room import RedisRoom

    with closing(RedisRoom(server.url)) as room:
        manager = BudgetManager(
            [{"scope": "tenant", "per": "ever", "requests": 100}],
            store=RedisBudgets(room, is_parted=is_parted),
            by_tenant=is_parted,
        )
        manager.release(manager.hold(7, Amount()))
        with server.frozen(), pytest.raises(BudgetUnavailable):
            manager.hold(7, Amount())
        manager._later.flush(60)
        assert manager._later.count == 0
        wait_for(lambda: manager.left(7)[0].held, 0)
