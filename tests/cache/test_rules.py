"""Which answers are kept, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmkit.cache.rules import may_be_kept, ttl_of
from llmkit.config.cache import CacheConfig
from llmkit.outputs.output import Output
from llmkit.parts import TextPart, ToolCall
from llmkit.response import Response
from llmkit.usage import Usage
from support.decoding import call

SOMETIMES, ALWAYS = CacheConfig(ttl=60), CacheConfig(ttl=60, when="always")
WHOLE = Response(
    text="42",
    thinking="",
    stop_reason="end",
    raw_stop_reason="stop",
    usage=Usage(),
    cost=None,
    provider="openai",
    model="m",
    request_id=None,
    call_id="c",
    parts=(TextPart("42"),),
)


@pytest.mark.parametrize(
    ("fields", "ttl"),
    [
        ({}, None),
        ({"temperature": 0}, 60),
        ({"temperature": 0.0}, 60),
        ({"temperature": 0.1}, None),
        ({"temperature": 0, "extra": {"temperature": 1}}, None),
        ({"extra": {"temperature": 0}}, 60),
        ({"extra": {"temperature": False}}, None),
        ({"extra": {"temperature": "0"}}, None),
    ],
)
def test_deterministic_calls(fields: dict[str, Any], ttl: float | None) -> None:
    """Are those of temperature 0, as it is sent."""
    assert ttl_of(call(**fields), SOMETIMES) == ttl
    assert ttl_of(call(**fields), ALWAYS) == 60


def test_what_the_call_says_of_itself() -> None:
    """Counts, whatever the settings say."""
    for config in (SOMETIMES, ALWAYS):
        for temperature in (0, 1):
            asked = call(temperature=temperature)
            assert ttl_of(asked, config, asked=True) == 60
            assert ttl_of(asked, config, asked=False) is None
            assert ttl_of(asked, config, asked=5.0) == 5


@pytest.mark.parametrize(
    "more",
    [
        {"stop_reason": None},
        {"stop_reason": "max_tokens"},
        {"stop_reason": "refusal"},
        {"stop_reason": "content_filter"},
        {"stop_reason": "pause"},
        {"stop_reason": "tool_use"},
        {"stop_reason": "other"},
        {"text": "", "parts": ()},
        {"parts": (TextPart("42"), ToolCall(id="a", name="b", arguments={}))},
    ],
    ids=str,
)
def test_what_is_never_given_again(more: dict[str, Any]) -> None:
    """Half of an answer, none, one that calls tools, and one that the provider has refused."""
    assert may_be_kept(WHOLE, None)
    assert may_be_kept(replace(WHOLE, stop_reason="stop_sequence"), None)
    assert not may_be_kept(replace(WHOLE, **more), None)


def test_an_answer_of_another_type() -> None:
    """Would be as wrong again."""
    assert may_be_kept(WHOLE, Output(int))
    assert not may_be_kept(WHOLE, Output(dict[str, int]))
