"""Anthropic Messages: how a call is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmkit.errors import ConfigError, InvalidRequest
from llmkit.messages import Message
from llmkit.providers.anthropic import Anthropic
from llmkit.providers.openai import OpenAI
from llmkit.providers.over_http import USER_AGENT
from support.decoding import call

URL = "https://api.anthropic.com/v1/messages"


def test_streaming_request() -> None:
    """A streamed call is a POST with the key, the version and what the vendor requires."""
    request = Anthropic(api_key="test-key").build_request(call(), "claude-x")
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers == {
        "accept": "text/event-stream",
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "x-api-key": "test-key",
    }
    assert json.loads(request.content) == {
        "model": "claude-x",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
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
        extra={"top_k": 3, "top_p": 0.25},
    )
    request = Anthropic(api_key="test-key").build_request(asked, "claude-x")
    assert request.headers["accept"] == "application/json"
    assert json.loads(request.content) == {
        "model": "claude-x",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "system": "Be brief.",
        "temperature": 0.0,
        "top_p": 0.25,
        "stop_sequences": ["X"],
        "top_k": 3,
    }


def test_parts_are_blocks() -> None:
    """A message of several parts goes out as content blocks."""
    asked = replace(call(), messages=(Message.user("hi"), Message.assistant("a", "b")))
    body = json.loads(Anthropic(api_key="k").build_request(asked, "m").content)
    assert body["messages"][1] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }


@pytest.mark.parametrize(
    "base_url",
    ["https://api.anthropic.com/", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/"],
)
def test_base_url_may_end_as_people_write_it(base_url: str) -> None:
    """A slash or the version at the end of the base URL changes nothing."""
    assert Anthropic(api_key="k", base_url=base_url).build_request(call(), "m").url == URL


def test_headers_of_the_app_win() -> None:
    """Headers from the settings are added to ours, or replace them; no key is no header."""
    provider = Anthropic(api_key=None, headers={"Anthropic-Version": "x", "anthropic-beta": "y"})
    headers = provider.build_request(call(), "m").headers
    assert headers["anthropic-version"] == "x"
    assert headers["anthropic-beta"] == "y"
    assert "x-api-key" not in headers


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"extra": {"stream": False}},
        {"extra": {"metadata": object()}},
        {"system": "half \ud83d"},
    ],
)
def test_what_cannot_be_said_is_refused(fields: dict[str, object]) -> None:
    """A call that this wire has no way to say raises before anything is sent."""
    with pytest.raises(InvalidRequest):
        Anthropic(api_key="test-key").build_request(call(**fields), "m")


@pytest.mark.parametrize("api_key", ["", " \n", "kéy", "a\nb"])
def test_unusable_keys_are_refused(api_key: str) -> None:
    """A key that cannot stand in a header raises at construction and is not shown."""
    with pytest.raises(ConfigError, match="the API key of anthropic is") as raised:
        Anthropic(api_key=api_key)
    assert api_key.strip() == "" or api_key not in str(raised.value)


@pytest.mark.parametrize("provider", [Anthropic, OpenAI])
@pytest.mark.parametrize("headers", [{"x-a": "é"}, {"x-a": "a\nb"}, {"a b": "c"}])
def test_unusable_headers_are_refused(
    provider: type[Anthropic | OpenAI], headers: dict[str, str]
) -> None:
    """A header that cannot be sent raises at construction, by name and without its value."""
    with pytest.raises(ConfigError, match="providers.mine.headers") as raised:
        provider("mine", api_key="test-key", headers=headers)
    assert "é" not in str(raised.value)
    assert "a\nb" not in str(raised.value)


def test_white_space_around_a_key_is_taken_off() -> None:
    """A line end after the key, as files have it, does no harm."""
    request = Anthropic(api_key="test-key\n").build_request(call(), "m")
    assert request.headers["x-api-key"] == "test-key"


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.anthropic.com",
        "ftp://x",
        "http://",
        "http://[",
        "http://a b/v1",
        "http://x/a\0b",
        "http://x:99999",
        "http://x:y",
        "https://user:pass@x",
        "https://x?key=1",
        "https://x/#a",
    ],
)
def test_unusable_base_urls_are_refused(base_url: str) -> None:
    """A base URL that is none raises at construction."""
    with pytest.raises(ConfigError, match="the base URL of anthropic"):
        Anthropic(api_key="k", base_url=base_url)
