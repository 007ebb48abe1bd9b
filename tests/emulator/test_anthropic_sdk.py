"""Anthropic's own SDK reads the emulator without complaint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator.answer import TEXT

anthropic = pytest.importorskip("anthropic", minversion="0.60")

ASK: dict[str, Any] = {
    "model": "claude-emulated",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hello"}],
}


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """Run an emulator that takes no time."""
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    """Start afresh for each test."""
    running.reset()
    return running


@pytest.fixture(scope="module")
def sdk(running: Emulator) -> Iterator[Any]:
    """Make the SDK's client, once, as it takes its time; it does not retry."""
    with anthropic.Anthropic(api_key="sk-any", base_url=running.base_url, max_retries=0) as made:
        yield made


@pytest.fixture
def client(emulator: Emulator, sdk: Any) -> Any:
    """Give the client once the emulator is as new."""
    return sdk


def test_whole(client: Any) -> None:
    """A whole message has its text, stop reason and usage."""
    message = client.messages.create(**ASK)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == TEXT.rstrip()
    assert (message.role, message.model) == ("assistant", "claude-emulated")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (6, 40)
    assert message._request_id.startswith("req_emulator")


def test_streamed(client: Any) -> None:
    """A stream has the same text, token by token, and gathers to the same message."""
    with client.messages.stream(**ASK) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) == 40
    assert "".join(pieces) == message.content[0].text == TEXT.rstrip()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (6, 40)


def test_raw_events(client: Any) -> None:
    """Each event is one of the SDK's own types."""
    events = list(client.messages.create(**ASK | {"max_tokens": 2}, stream=True))
    assert [type(event).__name__ for event in events] == [
        "RawMessageStartEvent",
        "RawContentBlockStartEvent",
        "RawContentBlockDeltaEvent",
        "RawContentBlockDeltaEvent",
        "RawContentBlockStopEvent",
        "RawMessageDeltaEvent",
        "RawMessageStopEvent",
    ]
    assert events[-2].delta.stop_reason == "max_tokens"


def test_thinking(emulator: Emulator, client: Any) -> None:
    """A thinking block is read with its signature, streamed and whole."""
    emulator.behaviour = Behaviour(thinking="let me see", text="Yes.", delay=0)
    with client.messages.stream(**ASK) as stream:
        streamed = stream.get_final_message()
    for message in (streamed, client.messages.create(**ASK)):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[0].thinking == "let me see"
        assert message.content[0].signature
        assert message.content[1].text == "Yes."
        assert message.usage.output_tokens == 4


def test_stop_sequence(emulator: Emulator, client: Any) -> None:
    """A stop sequence is named."""
    emulator.behaviour = Behaviour(text="one two three", delay=0)
    with client.messages.stream(**ASK, stop_sequences=["three"]) as stream:
        message = stream.get_final_message()
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "three")
    assert message.content[0].text == "one two "


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends(emulator: Emulator, client: Any, newline: Any) -> None:
    """The SDK reads the stream with any line end, a byte at a time."""
    emulator.script(Behaviour(text="a b", delay=0, newline=newline, chunk_size=1))
    with client.messages.stream(**ASK) as stream:
        assert list(stream.text_stream) == ["a", " b"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "OverloadedError"),
    ],
)
def test_errors(emulator: Emulator, client: Any, status: int, error: str) -> None:
    """Each error status becomes the SDK's error for it, with the request's id."""
    emulator.script(Behaviour(status=status, retry_after=7))
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**ASK)
    assert type(raised.value).__name__ == error
    assert raised.value.status_code == status
    assert raised.value.request_id.startswith("req_emulator")
    assert raised.value.response.headers["retry-after"] == "7"


def test_error_event(emulator: Emulator, client: Any) -> None:
    """An error event ends the stream with an error, after the text before it."""
    emulator.script(Behaviour(text="a b c", delay=0, error_frame_at=2))
    pieces = []
    with pytest.raises(anthropic.APIStatusError) as raised, client.messages.stream(**ASK) as stream:
        pieces += stream.text_stream
    assert pieces == ["a", " b"]
    assert raised.value.body["error"]["type"] == "overloaded_error"


def test_retries_until_it_is_sound(emulator: Emulator, client: Any) -> None:
    """The SDK's own retry takes the faults in turn and then the answer."""
    emulator.script(
        Behaviour(status=529, headers={"retry-after-ms": "1"}),
        Behaviour(status=429, headers={"retry-after-ms": "1"}),
    )
    message = client.with_options(max_retries=2).messages.create(**ASK)
    assert message.stop_reason == "end_turn"
    assert [request.status for request in emulator.requests] == [529, 429, 200]


def test_no_key(emulator: Emulator) -> None:
    """Without a key the SDK gets its authentication error."""
    with (
        anthropic.Anthropic(
            api_key="sk-any",
            base_url=emulator.base_url,
            max_retries=0,
            default_headers={"x-api-key": anthropic.Omit(), "authorization": anthropic.Omit()},
        ) as client,
        pytest.raises(anthropic.AuthenticationError),
    ):
        client.messages.create(**ASK)


def test_models(client: Any) -> None:
    """The list of models is read."""
    assert "claude-sonnet-4-5" in [model.id for model in client.models.list()]


@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """The asynchronous client reads whole, streamed and failed answers."""
    async with anthropic.AsyncAnthropic(
        api_key="sk-any", base_url=emulator.base_url, max_retries=0
    ) as client:
        assert (await client.messages.create(**ASK)).usage.output_tokens == 40
        async with client.messages.stream(**ASK) as stream:
            assert "".join([text async for text in stream.text_stream]) == TEXT.rstrip()
            assert (await stream.get_final_message()).stop_reason == "end_turn"
        emulator.script(Behaviour(status=429))
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**ASK)
