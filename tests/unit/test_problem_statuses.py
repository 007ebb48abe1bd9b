"""What a browser is told of each failure: the status, and how long to wait."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from llmkit.errors import (
    AnswerCut,
    AnswerRefused,
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    OutOfSteps,
    OutputInvalid,
    Overloaded,
    PromptTooLong,
    ProviderTimeout,
    QueueFull,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
)
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import Unit, Units
from llmkit.policy.budgets.decide import Claim, decide
from llmkit.policy.budgets.windows import Per
from llmkit.relay.problem import Problem, problem_of
from llmkit.response import Response
from llmkit.usage import Usage

ANSWER = Response(
    text="what was said",
    thinking="",
    stop_reason="refusal",
    raw_stop_reason="refusal",
    usage=Usage(),
    cost=None,
    provider=None,
    model=None,
    request_id=None,
    call_id="c",
)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (InvalidRequest("x"), 400, None),
        (PromptTooLong("x"), 400, None),
        (QueueFull("x"), 429, "1"),
        (ConfigError("x"), 503, None),
        (LedgerUnavailable("x"), 503, None),
        (AuthenticationFailed("x"), 502, None),
        (ServerFailed("x"), 502, None),
        (ConnectionFailed("x"), 502, None),
        (StreamTruncated("x"), 502, None),
        (RateLimited("x"), 503, "5"),
        (Overloaded("x"), 503, "5"),
        (QuotaExhausted("x"), 503, "5"),
        (ProviderTimeout("idle", 60), 504, None),
        (AnswerRefused(ANSWER), 502, None),
        (AnswerCut(ANSWER), 502, None),
        (OutOfSteps(3), 502, None),
        (OutputInvalid(ANSWER, "Order", ["total: its validator refuses it"]), 502, None),
        (LLMKitError("x"), 500, None),
    ],
)
def test_each_error_has_its_status(
    error: LLMKitError, status: int, retry_after: str | None
) -> None:
    """A browser can tell by it whether to send something else, to wait, or to give up."""
    answer = problem_of(error).answer
    assert answer.status == status
    assert answer.headers.get("retry-after") == retry_after
    assert set(json.loads(answer.body)["error"]) == {"type", "message", "hint"}
    for secret in (b"what was said", b"total"):
        assert secret not in answer.body


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.1, "2"), (30.0, "30")]
)
def test_a_wait_is_whole_seconds(seconds: float, said: str) -> None:
    """Rounded up, and never 0, which would be an invitation to try again at once."""
    problem = Problem(503, "busy", "x", retry_after=seconds)
    assert problem.answer.headers["retry-after"] == said


def test_a_provider_that_names_its_wait() -> None:
    """The browser is told that one."""
    error = RateLimited("x")
    error.retry_after = 12.5
    assert problem_of(error).answer.headers["retry-after"] == "13"


NOW = datetime(2026, 5, 17, 12, 30, tzinfo=UTC)
OVER, MORE, CALLS = (
    "what may be used in this {} is used up",
    "this may take more than is left for this {}",
    "there were too many calls in this {}",
)


@pytest.mark.parametrize(
    ("per", "unit", "limit", "used", "held", "asked", "status", "message"),
    [
        ("minute", "requests", 3, 2, 1, 1, 429, CALLS),
        ("hour", "tokens", 100, 100, 0, 5, 429, OVER),
        ("hour", "tokens", 100, 50, 0, 70, 429, MORE),
        ("month", "requests", 3, 3, 0, 1, 402, CALLS),
        ("month", "tokens", 100, 50, 0, 70, 402, MORE),
        ("month", "tokens", 100, 100, 50, 5, 402, OVER),
        ("month", "tokens", 100, 30, 50, 70, 429, "other calls have to end first"),
        ("minute", "tokens", 100, 30, 50, 70, 429, "other calls have to end first"),
        ("ever", "tokens", 100, 30, 50, 70, 429, "other calls have to end first"),
        ("ever", "tokens", 100, 50, 0, 70, 402, "what may be used is used up"),
        ("day", "tokens", 100, 0, 50, 170, 402, "this is more than may be used"),
        ("day", "requests", 0, 0, 0, 1, 402, "what may be used is used up"),
    ],
)
def test_a_budget_without_room(
    per: Per,
    unit: Unit,
    limit: int,
    used: int,
    held: int,
    asked: int,
    status: int,
    message: str,
) -> None:
    """What is used up, what is more than is left, and what only other calls hold: for these nobody is told to come back next month."""
    claim = Claim(
        key="k", scope="user", per=per, amount=Units(**{unit: asked}), limits={unit: limit}
    )
    by_second = {int(NOW.timestamp()) - 30: Units(**{unit: used + held})}
    balance = Balance(used=Units(**{unit: used}), held=Units(**{unit: held}), by_second=by_second)
    found = decide([claim], {"k": balance}, NOW)
    assert found is not None
    problem = problem_of(found.error)
    assert (problem.status, problem.message) == (status, message.format(per))
    assert ("retry-after" in problem.answer.headers) == (status == 429)
    if found.only_held:
        assert (problem.resets_at, problem.answer.headers["retry-after"]) == (None, "5")
        assert "in a moment, when calls that are running have ended" in str(found.error)
    elif found.resets is None:
        assert ("max_tokens" in str(found.error)) == (unit == "tokens")
    else:
        assert problem.resets_at == found.resets
