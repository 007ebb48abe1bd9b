"""What a browser is told of each failure: the status, and how long to wait."""

from __future__ import annotations

import json

import pytest

from llmkit.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    InvalidRequest,
    LedgerUnavailable,
    LLMKitError,
    Overloaded,
    PromptTooLong,
    ProviderTimeout,
    QueueFull,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    StreamTruncated,
)
from llmkit.relay.problem import Problem, problem_of


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
