"""The most that a request can use, in the words of each wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from llmkit import FunctionProvider, Message, ThinkingPart, Tool, ToolCall, ToolResult
from llmkit.outputs.output import Output
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
        ({"generationConfig": {"maxOutputTokens": 7, "candidateCount": "3"}}, 21),
        ({"generationConfig": {"maxOutputTokens": 7, "candidate_count": 3}}, 21),
        ({"generationConfig": {"maxOutputTokens": 7, "max_output_tokens": 70}}, 70),
        (
            {
                "generationConfig": {"maxOutputTokens": 7},
                "generation_config": {"max_output_tokens": 70, "candidateCount": 2},
            },
            140,
        ),
        ({"generationConfig": {"maxOutputTokens": -1}}, 500),
        ({"generationConfig": []}, 500),
        ({"options": {"num_predict": 7}}, 7),
        ({"options": {"num_predict": -1}}, 500),
        ({"options": "odd"}, 500),
        ({"max_output_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 2}, 10),
        ({"max_tokens": 5, "n": "2"}, 10),
        ({"max_tokens": 5, "n": 1, "best_of": 4}, 20),
        ({"max_tokens": 5, "n": "two", "best_of": []}, 5),
        ({"max_tokens": 5, "n": "inf"}, 5),
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


@pytest.mark.parametrize("content", [b"", b"said=x", b"[1]", b"[" * 5000, b'"\xff"'])
def test_what_is_no_json_object(content: bytes) -> None:
    """A provider of one's own may send anything: its bytes count, and nothing limits the answer."""
    found = bound_of(content, messages=1, context_window=None)
    assert found.input_tokens >= len(content)
    assert found.output_tokens is None


LONG = "word " * 1000
SAID = (
    Message.user(LONG),
    Message.assistant(ToolCall(id="c1", name="look", arguments={"text": LONG})),
    Message.user(ToolResult(call_id="c1", content=LONG)),
    Message.assistant(ThinkingPart(text=LONG)),
)


def look(text: str) -> str:
    """Look it up."""
    return text


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        *(({"messages": (message,)}, len(LONG)) for message in SAID),
        ({"system": LONG}, len(LONG)),
        ({"tools": (Tool(look, description=LONG),)}, len(LONG)),
        ({"tools": (Tool(look, schema={"type": "object", "title": LONG}),)}, len(LONG)),
        ({"output": Output(Literal["word " * 1000])}, len(LONG)),
        ({"extra": {"context": LONG}}, len(LONG)),
    ],
)
def test_what_a_function_is_given(fields: dict[str, Any], more: int) -> None:
    """All of it counts."""
    own = FunctionProvider("own", lambda call, model: "Hello")
    content = own.build_request(call(max_tokens=77, **fields), "m").content
    found = bound_of(content, messages=1, context_window=None)
    assert found.input_tokens > more
    assert found.output_tokens == 77


@pytest.mark.parametrize(
    ("extra", "most"),
    [
        ({"texts": [], "messages": [], "system": "", "tools": [], "output": "", "extra": 1}, 77),
        ({"max_tokens": 1}, 77),
        ({"max_tokens": None}, 77),
        ({"max_tokens": 770}, 770),
        ({"max_completion_tokens": 770}, 770),
        ({"max_output_tokens": 7, "n": 3}, 231),
    ],
)
def test_what_extra_says_to_a_function(extra: dict[str, Any], most: int) -> None:
    """It takes the place of nothing, and makes no answer shorter than the function is told."""
    own = FunctionProvider("own", lambda call, model: "Hello")
    asked = call(max_tokens=77, messages=(Message.user(LONG),), extra=extra)
    found = bound_of(own.build_request(asked, "m").content, messages=1, context_window=None)
    assert found.input_tokens > len(LONG)
    assert found.output_tokens == most
