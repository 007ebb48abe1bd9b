"""What `BudgetManager` does beyond its stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from llmkit import Amount, BudgetManager
from support.budgets import STORES, params
from support.waits import wait_for


@pytest.mark.anyio
@pytest.mark.parametrize("kind", params("sqlite", "redis-6.2", "redis"))
async def test_a_hold_that_is_cancelled_is_given_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Wherever it was by then: nobody knows its id."""
    store = STORES[kind](request).store
    manager = BudgetManager([{"scope": "all", "per": "ever", "requests": 100}], store=store)
    await manager.arelease(await manager.ahold(7, Amount()))
    for turns in (0, 1, 2, 5):
        task = asyncio.create_task(manager.ahold(7, Amount()))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await manager.arelease(task.result())

    def held() -> int:
        (left,) = manager.left(7)
        assert isinstance(left.held, int)
        return left.held

    await asyncio.to_thread(manager._later.flush, 30)
    await asyncio.to_thread(wait_for, held, 0)


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\ud800", "x" * 129])
def test_an_id_that_is_none(name: str) -> None:
    """A store would not take it, or take it for another one."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "requests": 1}])
    with pytest.raises(ValueError, match="the id of a hold has to be of"):
        manager.hold(7, Amount(), id=name)
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


def test_what_is_no_amount() -> None:
    """It is said what is one."""
    manager = BudgetManager([{"scope": "all", "per": "ever", "usd": 1}])
    with pytest.raises(TypeError, match=r"an amount is an llmkit.Amount, .*, not a str"):
        manager.hold(7, "0.10")  # type: ignore[arg-type]
