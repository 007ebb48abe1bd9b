"""The most that a request can use, in the words of each wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from llmkit.policy.bound import bound_of
from llmkit.policy.pricing import Prices
from llmkit.usage import Billing, Usage
from support.decoding import PROVIDERS, call


def bound(body: dict[str, Any], window: int | None = None) -> int | None:
    """Return the longest answer that a body allows."""
    content = json.dumps(body).encode()
    return bound_of(content, messages=1, context_window=window).output_tokens


@pytest.mark.parametrize("wire", sorted(PROVIDERS))
def test_what_every_wire_says(wire: str) -> None:
    """The limit of the call is found in its request; without one the context window is all that there is."""
    provider = PROVIDERS[wire]
    limited = provider.build_request(call(max_tokens=77), "m").content
    found = bound_of(limited, messages=1, context_window=1000)
    assert found.output_tokens == 77
    assert found.input_tokens <= len(limited) + 200
    other = provider.build_request(call(), "m").content
    least = bound_of(other, messages=1, context_window=None).output_tokens
    assert least == (4096 if wire == "anthropic" else None)  # which has to be said there


@pytest.mark.parametrize(
    ("body", "most"),
    [
        ({"generationConfig": {"maxOutputTokens": 7}}, 7),
        ({"generationConfig": {"maxOutputTokens": 7, "candidateCount": 3}}, 21),
        ({"generationConfig": {"maxOutputTokens": -1}}, 500),
        ({"generationConfig": []}, 500),
        ({"options": {"num_predict": 7}}, 7),
        ({"options": {"num_predict": -1}}, 500),
        ({"options": "odd"}, 500),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 2}, 10),
        ({"max_tokens": -1}, 500),
        ({"max_tokens": True}, 500),
        ({}, 500),
    ],
)
def test_in_whatever_words(body: dict[str, Any], most: int) -> None:
    """What is no number of tokens is no limit."""
    assert bound(body, window=500) == most


@pytest.mark.parametrize("word", ["priority", "PRIORITY"])
def test_a_tier_of_geminis_is_in_the_bound(word: str) -> None:
    """Its option has a name of its own, and the answer costs no more than its tier does."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    body = PROVIDERS["gemini"].build_request(call(extra={"serviceTier": word}), "m").content
    asked = bound_of(body, messages=1, context_window=None).billing
    model, used = "gemini-3.8-flash-tts", Usage(input_tokens=9000, output_tokens=9000)
    most = Prices().most(
        "gemini", model, input_tokens=9000, output_tokens=9000, billing=asked, at=at
    )
    cost = Prices().cost("gemini", model, used, billing=Billing(service_tier=word), at=at).cost
    assert most is not None
    assert cost is not None
    assert cost <= most
    assert cost > (Prices().cost("gemini", model, used, at=at).cost or 0)
