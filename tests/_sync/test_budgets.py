# Generated from tests/_async/test_budgets.py. Do not edit.
"""Calls and the budgets that they are charged to."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit import (
    BudgetExceeded,
    Caller,
    ConfigError,
    ConnectionFailed,
    InvalidRequest,
    ProviderError,
)
from llmkit.policy.estimate import estimate_tokens
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.rows import database, rows

HELLO = Behaviour(text="Hello there, dear reader.", delay=0)
FAILS = Behaviour(status=500)
# What a call with these two options may use is about the price of 150 tokens of input and 20 of output.
SMALL: dict[str, Any] = {"max_tokens": 20}
PRICE = {"anthropic:claude-sonnet-4-5": {"input": "1", "output": "1"}}


def kept(tmp_path: Path, *budgets: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return settings with budgets, and prices of a dollar for a million tokens."""
    return {
        "ledger": {"database": database(tmp_path)},
        "budgets": list(budgets),
        "prices": PRICE,
        **more,
    }


@pytest.fixture(params=["ledger", "redis"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the settings of where budgets are decided."""
    if request.param == "ledger":
        return {}
    pytest.importorskip("redis")
    from support.redis_server import any_redis_url, wait_long

    wait_long(monkeypatch)
    return {"redis": any_redis_url(), "namespace": f"test-{os.urandom(8).hex()}"}


def test_a_call_is_held_then_settled(tmp_path: Path, store: dict[str, Any]) -> None:
    """While it runs the most that it can cost is held, and after it what it has cost is used; the books say the same."""
    month = {"scope": "user", "per": "month", "usd": "1", "tokens": 10_000, "requests": 5}
    gated = Behaviour(tokens=4, delay=0, hold_at=2)
    with Emulator(behaviour=gated) as emulator:
        kit = make_kit(emulator, **kept(tmp_path, month, **store))
        with kit.client.stream("Say hi", user=7, **SMALL) as stream:
            stream.read()
            usd, tokens, requests = kit.budgets.left(7)
            assert (requests.limit, requests.used, requests.held, requests.left) == (5, 0, 1, 4)
            assert tokens.held == 1_000_000 * usd.held
            assert 100 < tokens.held < 400
            emulator.release(None)
            for _ in stream:
                pass
        kit.runtime.flush(30)
        usd, tokens, requests = kit.budgets.left(7)
        others = kit.budgets.left(8)
        kit.close()
    (row,) = rows(tmp_path)
    assert (usd.used, usd.held) == (Decimal(str(row["cost_usd"])), 0)
    assert (tokens.used, tokens.held) == (row["input_tokens"] + row["output_tokens"], 0)
    assert (requests.used, requests.held) == (1, 0)
    assert [(each.used, each.held) for each in others] == [(0, 0)] * 3


def test_a_call_without_room_is_not_made(tmp_path: Path, store: dict[str, Any]) -> None:
    """It is refused before anything is sent, and has a row that says so; other users go on."""
    budget = {"scope": "user", "per": "month", "requests": 1}
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(emulator, **kept(tmp_path, budget, **store), concurrency={"per_process": 1})
        kit.client.complete("Say hi", user=7)
        with pytest.raises(BudgetExceeded) as caught:
            kit.client.complete("Say hi", user=7)
        kit.client.complete("Say hi", user=Caller(user="7", tenant="acme"))
        assert len(emulator.requests) == 2
        assert kit.limit.running == 0
        kit.close()
    error = caught.value
    assert (error.scope, error.per, error.unit) == ("user", "month", "requests")
    assert (error.limit, error.used + error.held, error.asked) == (1, 1, 1)
    assert "1 request asked" in str(error)
    assert error.resets is not None
    assert error.retry_after is not None
    found = [(row["status"], row["error_type"], row["attempt"]) for row in rows(tmp_path)]
    assert found == [
        ("finished", None, 1),
        ("refused", "budget_exceeded", 1),
        ("finished", None, 1),
    ]


def test_a_retry_is_the_same_call(tmp_path: Path, store: dict[str, Any]) -> None:
    """Of requests it holds none; of tokens each attempt holds its own, after the one before is settled. An error's status is not billed."""
    budgets = (
        {"scope": "user", "per": "ever", "requests": 1},
        {"scope": "all", "per": "ever", "tokens": 400},
    )
    with Emulator(behaviour=HELLO) as emulator:
        emulator.script(FAILS, FAILS, HELLO)
        kit = make_kit(emulator, **kept(tmp_path, *budgets, **store))
        kit.client.complete("Say hi", user=7, **SMALL)
        kit.runtime.flush(30)
        requests, tokens = kit.budgets.left(7)
        assert (requests.used, requests.held) == (1, 0)
        kit.close()
    found = rows(tmp_path)
    assert [row["status"] for row in found] == ["failed", "failed", "finished"]
    assert (tokens.used, tokens.held) == (found[2]["input_tokens"] + found[2]["output_tokens"], 0)


def test_what_failed_is_raised_when_a_budget_ends_the_retries(
    tmp_path: Path, store: dict[str, Any]
) -> None:
    """The provider's failure says more; it names the refusal, too."""
    with Emulator(behaviour=Behaviour(hang_up=True)) as emulator:
        spend = {"scope": "all", "per": "ever", "tokens": 300}
        kit = make_kit(emulator, **kept(tmp_path, spend, **store))
        with pytest.raises(ProviderError, match="It was not tried again: the budget of all calls"):
            kit.client.complete("Say hi", **SMALL)
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == ["failed", "refused"]


def test_another_model_is_tried_where_one_has_no_room(
    tmp_path: Path, store: dict[str, Any]
) -> None:
    """A budget of one provider or model leaves the others of the alias."""
    budget = {"scope": "model", "per": "ever", "requests": 1, "models": ["anthropic:a"]}
    with Emulator(behaviour=HELLO) as emulator:
        models = {"default": ["anthropic:a", "anthropic:claude-sonnet-4-5"]}
        kit = make_kit(emulator, **kept(tmp_path, budget, **store), models=models)
        replies = [kit.client.complete("Say hi") for _ in range(2)]
        kit.close()
    assert [reply.text for reply in replies] == [HELLO.text] * 2
    found = [(row["model"], row["status"], row["attempt"]) for row in rows(tmp_path)]
    assert found == [
        ("a", "finished", 1),
        ("a", "refused", 1),
        ("claude-sonnet-4-5", "finished", 2),
    ]


def test_each_budget_counts_a_call_once(tmp_path: Path, store: dict[str, Any]) -> None:
    """That of all calls by its first attempt, that of a model by the first attempt that goes there: nothing passes it by failover."""
    budgets = (
        {"scope": "all", "per": "ever", "requests": 9},
        {"scope": "model", "per": "ever", "requests": 1, "models": ["anthropic:claude-sonnet-4-5"]},
        {"scope": "model", "per": "ever", "requests": 0, "models": ["anthropic:banned"]},
    )
    with Emulator(behaviour=HELLO) as emulator:
        models = {"default": ["anthropic:a", "anthropic:banned", "anthropic:claude-sonnet-4-5"]}
        kit = make_kit(emulator, **kept(tmp_path, *budgets, **store), models=models)
        emulator.script(FAILS, HELLO, FAILS, HELLO)
        for _ in range(2):
            kit.client.complete("Say hi", **SMALL)
        kit.runtime.flush(30)
        calls = next(left for left in kit.budgets.left(None) if left.scope == "all")
        kit.close()
    assert calls.used == 2
    found = [row["model"] for row in rows(tmp_path) if row["status"] != "refused"]
    assert found == ["a", "claude-sonnet-4-5", "a", "a"]


def test_extra_does_not_pass_the_bound(tmp_path: Path) -> None:
    """What is held is what the request says in the end, in whatever words."""
    budget = {"scope": "all", "per": "ever", "tokens": 2000}
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(emulator, wire="openai", **kept(tmp_path, budget))
        extras: list[dict[str, Any]] = [
            {"max_completion_tokens": 5000},
            {"max_completion_tokens": -5},
            {"max_tokens": -(10**7)},
            {"max_tokens": True},
            {"n": 200},
            {"n": 199.5},
        ]
        for extra in extras:
            with pytest.raises(BudgetExceeded):
                kit.client.complete("Say hi", max_tokens=20, extra=extra)
        with pytest.raises(BudgetExceeded):
            kit.client.complete("Say hi " * 300, max_tokens=20)
        assert emulator.requests == []
        kit.close()


def test_an_estimate_is_held_where_the_budget_says_so(tmp_path: Path) -> None:
    """A quarter of the longest answer, and the prompt by its length; where a budget on the same account holds the bound, that."""
    likely = estimate_tokens("Say hi") + 1000 // 4
    estimate = {"scope": "user", "per": "ever", "tokens": likely, "hold": "estimate"}
    bound = {**estimate, "tokens": 2 * likely, "hold": "bound"}
    with Emulator(behaviour=HELLO) as emulator:
        for budgets in ([bound], [bound, estimate], [estimate, bound]):
            kit = make_kit(emulator, **kept(tmp_path, *budgets))
            with pytest.raises(BudgetExceeded) as caught:
                kit.client.complete("Say hi", max_tokens=1000)
            assert caught.value.asked > 1000
            kit.close()
        assert emulator.requests == []
        dollars = {**estimate, "scope": "all", "usd": Decimal(likely) / 10**6}
        kit = make_kit(emulator, **kept(tmp_path, estimate, dollars))
        kit.client.complete("Say hi", user=7, max_tokens=1000)
        with pytest.raises(BudgetExceeded) as caught:
            kit.client.complete("Say hi", user=7, max_tokens=1000)
        assert caught.value.asked == likely
        kit.close()


def test_what_nothing_limits_is_refused(tmp_path: Path) -> None:
    """And a dollar budget for a model without a price, with the line that sets it."""
    budget = {"scope": "all", "per": "ever", "usd": 5}
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(
            emulator,
            wire="openai",
            **kept(tmp_path, budget, prices={"openai:mine": {"input": 1, "output": 1}}),
            models={"default": "openai:mine", "unpriced": "openai:unheard-of"},
        )
        extra = {"max_tokens": None, "max_completion_tokens": None}
        with pytest.raises(InvalidRequest, match="nothing limits this answer"):
            kit.client.complete("Say hi", extra=extra)
        with pytest.raises(ConfigError, match='"prices": {"openai:unheard-of": {"input"'):
            kit.client.complete("Say hi", model="unpriced")
        assert emulator.requests == []
        kit.close()
    assert [row["status"] for row in rows(tmp_path)] == ["refused", "refused"]


def test_a_limit_may_be_a_function(tmp_path: Path) -> None:
    """Asked for each call, with its caller, and not in an event loop; None is no limit, an exception refuses, and so does no number."""

    def plan(caller: Caller) -> object:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return {"free": 1, "paid": None, "odd": "lots"}[caller.groups[0]]

    budget = {"scope": "user", "per": "month", "requests": plan}
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(emulator, **kept(tmp_path, budget))
        free, paid = Caller(user="1", groups=("free",)), Caller(user="2", groups=("paid",))
        for _ in range(3):
            kit.client.complete("Say hi", user=paid)
        kit.client.complete("Say hi", user=free)
        with pytest.raises(BudgetExceeded):
            kit.client.complete("Say hi", user=free)
        with pytest.raises(ConfigError, match=r"budgets\.0\.requests could not be asked: its func"):
            kit.client.complete("Say hi", user="3")
        with pytest.raises(ConfigError, match="returned a str that is no limit: it has to be a wh"):
            kit.client.complete("Say hi", user=Caller(user="4", groups=("odd",)))
        kit.close()


def test_what_was_not_sent_costs_the_request_alone(
    tmp_path: Path, store: dict[str, Any]
) -> None:
    """A provider that cannot be reached is not paid."""
    budget = {"scope": "all", "per": "ever", "usd": 5, "requests": 9}
    nobody = {"anthropic": {"base_url": "http://127.0.0.1:9", "api_key": "k"}}
    with Emulator(behaviour=HELLO) as emulator:
        kit = make_kit(
            emulator, **kept(tmp_path, budget, **store), providers=nobody, retry={"attempts": 1}
        )
        with pytest.raises(ConnectionFailed):
            kit.client.complete("Say hi")
        kit.runtime.flush(30)
        usd, requests = kit.budgets.left(None)
        assert (usd.used, usd.held, requests.used, requests.held) == (0, 0, 1, 0)
        kit.close()
