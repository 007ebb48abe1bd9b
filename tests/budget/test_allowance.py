"""What calls may use while their budgets cannot be asked."""

from __future__ import annotations

import pytest

from llmkit.budget.allowance import Allowance
from llmkit.policy.budgets.amounts import Unit, Units
from llmkit.policy.budgets.decide import Claim


class Clock:
    """A time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def claim(amount: Units, *limited: Unit) -> Claim:
    """Make what a call asks of one budget."""
    return Claim(key="k", scope="all", per="day", amount=amount, limits=dict.fromkeys(limited, 9))


ONE = claim(Units(usd=5, requests=1), "usd")


def test_it_is_used_up_then_renewed() -> None:
    """When the store has answered, and nothing has failed for a while: a store may be away in part."""
    clock = Clock()
    allowance = Allowance({"requests": 2}, clock=clock)
    assert [allowance.take([ONE]) for _ in range(3)] == [True, True, False]
    for _ in range(3):  # what is not away answers in between
        allowance.renew()
        assert not allowance.take([ONE])
        clock.now += 9
    clock.now += 1
    assert not allowance.take([ONE])
    clock.now += 10
    assert not allowance.take([ONE])
    clock.now += 10
    allowance.renew()
    assert allowance.take([ONE])


def test_each_unit_counts_once() -> None:
    """However many budgets count the call, it is one; the largest of what they hold is taken."""
    allowance = Allowance({"usd": 10, "requests": 9}, clock=Clock())
    small = claim(Units(usd=2, requests=1), "usd")
    assert [allowance.take([ONE, small]) for _ in range(3)] == [True, True, False]
    assert not allowance.take([small])


def test_a_call_whose_cost_nobody_bounds_is_refused() -> None:
    """Where dollars are allowed, it might cost any number of them."""
    allowance = Allowance({"usd": 10}, clock=Clock())
    assert not allowance.take([claim(Units(requests=1), "requests")])
    assert allowance.take([claim(Units(requests=1), "requests"), ONE])


def test_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """That calls are made without being asked for, and that there is no more."""
    allowance = Allowance({"requests": 2}, clock=Clock())
    for _ in range(5):
        allowance.take([ONE])
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "calls are made within the allowance" in caplog.messages[0]
    assert "it is refused" in caplog.messages[1]
