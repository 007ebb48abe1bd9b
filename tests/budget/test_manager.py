"""What `BudgetManager` does beyond its stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from llmkit import Amount, BudgetManager, BudgetUnavailable
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


@pytest.mark.parametrize("name", [None, 5, b"a"])
def test_what_is_no_id(name: Any) -> None:
    """It is said what is one."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "requests": 1}])
    with pytest.raises(TypeError, match="a hold is what hold"):
        manager.release(name)
    if name is not None:
        with pytest.raises(TypeError, match="a hold is what hold"):
            manager.hold(7, Amount(), id=name)


@pytest.mark.parametrize(
    "amount", [{"tokens": 10**30}, {"usd": "1e30"}, {"usd": -1}, {"usd": "much"}]
)
@pytest.mark.parametrize("what", [BudgetManager.hold, BudgetManager.settle])
def test_an_amount_that_is_none(what: Callable[..., object], amount: dict[str, int]) -> None:
    """No store is asked."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    with pytest.raises(ValueError, match="has something that is"):
        what(manager, "7", Amount(**amount))


def test_what_is_no_amount() -> None:
    """It is said what is one."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    with pytest.raises(TypeError, match=r"an amount is an llmkit.Amount, .*, not a str"):
        manager.hold(7, "0.10")  # type: ignore[arg-type]


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
