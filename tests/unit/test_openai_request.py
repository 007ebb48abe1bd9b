"""OpenAI chat completions and compatible servers: how a call is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmkit.errors import ConfigError, InvalidRequest
from llmkit.messages import Message
from llmkit.providers.openai import OpenAI
from llmkit.providers.over_http import USER_AGENT
from support.decoding import call


def body_of(provider: OpenAI, **fields: object) -> dict[str, object]:
    """Build a request and return its body."""
    body: dict[str, object] = json.loads(provider.build_request(call(**fields), "m").content)
    return body


def test_streaming_request() -> None:
    """A streamed call is a POST with the key as bearer, and asks for usage."""
    request = OpenAI(api_key="test-key").build_request(call(), "gpt-x")
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert request.headers == {
        "accept": "text/event-stream",
        "authorization": "Bearer test-key",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    assert json.loads(request.content) == {
        "model": "gpt-x",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_whole_request_with_every_option() -> None:
    """All that a call can say is said under the vendor's names; extra fields win."""
    asked = call(
        streaming=False,
        system="Be brief.",
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        stop=("X",),
        seed=7,
        extra={"user": "42", "top_p": 0.25},
    )
    messages = (Message.user("a", "b"), Message.assistant("c"), Message.user("d"))
    request = OpenAI(api_key="k").build_request(replace(asked, messages=messages), "gpt-x")
    assert request.headers["accept"] == "application/json"
    assert json.loads(request.content) == {
        "model": "gpt-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "ab"},
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
        ],
        "max_completion_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.25,
        "stop": ["X"],
        "seed": 7,
        "user": "42",
    }


@pytest.mark.parametrize(
    ("base_url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1/", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://api.groq.com/openai/v1", "max_tokens"),
        ("https://evilapi.openai.com.example/v1", "max_tokens"),
    ],
)
def test_name_of_max_tokens(base_url: str, field: str) -> None:
    """OpenAI and Azure want the new name; compatible servers know the old one."""
    body = body_of(OpenAI(api_key="k", base_url=base_url), max_tokens=5)
    assert {key: value for key, value in body.items() if "tokens" in key} == {field: 5}


def test_mistral_is_not_asked_for_usage() -> None:
    """Mistral refuses stream_options, and has a name of its own for the seed."""
    body = body_of(OpenAI(api_key="k", base_url="https://api.mistral.ai/v1"), seed=7)
    assert body["stream"] is True
    assert "stream_options" not in body
    assert "seed" not in body
    assert body["random_seed"] == 7


@pytest.mark.parametrize(
    "base_url", ["http://x/v1", "http://x/v1/", "http://x/v1/chat/completions"]
)
def test_base_url_may_end_as_people_write_it(base_url: str) -> None:
    """A slash or the whole path at the end of the base URL changes nothing."""
    provider = OpenAI(api_key=None, base_url=base_url, headers={"X-Title": "y"})
    request = provider.build_request(call(), "m")
    assert request.url == "http://x/v1/chat/completions"
    assert request.headers["x-title"] == "y"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("fields", [{"extra": {"stream": True}}, {"extra": {"x": object()}}])
def test_what_cannot_be_said_is_refused(fields: dict[str, object]) -> None:
    """A call that this wire has no way to say raises before anything is sent."""
    with pytest.raises(InvalidRequest):
        body_of(OpenAI(api_key="k"), **fields)


def test_unusable_settings_are_refused() -> None:
    """A key or a base URL that cannot be used raises at construction."""
    with pytest.raises(ConfigError, match="the API key of openai is empty"):
        OpenAI(api_key="")
    with pytest.raises(ConfigError, match="the base URL of mine is not"):
        OpenAI("mine", api_key=None, base_url="127.0.0.1:8080")
