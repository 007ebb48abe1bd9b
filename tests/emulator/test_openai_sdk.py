"""OpenAI's own SDK reads the emulator without complaint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from llmkit.testing.emulator.answer import TEXT

openai = pytest.importorskip("openai", minversion="1.80")

ASK: dict[str, Any] = {
    "model": "gpt-5-mini",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
}
USAGE = {"stream_options": {"include_usage": True}}


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
    with openai.OpenAI(api_key="sk-any", base_url=running.openai_base_url, max_retries=0) as made:
        yield made


@pytest.fixture
def client(emulator: Emulator, sdk: Any) -> Any:
    """Give the client once the emulator is as new."""
    return sdk


def test_whole(client: Any) -> None:
    """A whole completion has its text, finish reason and usage."""
    completion = client.chat.completions.create(**ASK)
    (choice,) = completion.choices
    assert choice.message.content == TEXT.rstrip()
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    assert choice.finish_reason == "stop"
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (13, 40)
    assert completion.usage.total_tokens == 53
    assert completion._request_id.startswith("req_emulator")


def test_streamed(client: Any) -> None:
    """A stream has the same text, chunk by chunk, then the finish reason, then the usage."""
    chunks = list(client.chat.completions.create(**ASK, **USAGE, stream=True))
    text = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert len(text) == 40
    assert "".join(text) == TEXT.rstrip()
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 40
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_helper(client: Any) -> None:
    """The SDK's accumulating helper gathers the stream to the completion."""
    with client.chat.completions.stream(**ASK, **USAGE) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == TEXT.rstrip()
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 53


def test_stream_without_usage(client: Any) -> None:
    """Usage that was not asked for does not come."""
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_limits(client: Any) -> None:
    """A token limit shows in the finish reason."""
    completion = client.chat.completions.create(**ASK, max_completion_tokens=2)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 2


def test_reasoning(emulator: Emulator, client: Any) -> None:
    """Reasoning comes in the field that compatible servers use, and is counted."""
    emulator.behaviour = Behaviour(thinking="hm", text="Yes.", delay=0)
    completion = client.chat.completions.create(**ASK)
    assert completion.choices[0].message.reasoning_content == "hm"
    assert completion.usage.completion_tokens_details.reasoning_tokens == 1
    chunks = list(client.chat.completions.create(**ASK, stream=True))
    assert chunks[1].choices[0].delta.reasoning_content == "hm"


def test_a_byte_at_a_time(emulator: Emulator, client: Any) -> None:
    """The SDK reads the stream a byte a write, with CRLF line ends, under gzip."""
    emulator.script(
        Behaviour(text="a b", delay=0, newline="\r\n", chunk_size=1),
        Behaviour(text="a b", delay=0, encoding="gzip"),
    )
    for _ in range(2):
        chunks = list(client.chat.completions.create(**ASK, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "a b"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "BadRequestError", None),
        (401, "AuthenticationError", "invalid_api_key"),
        (403, "PermissionDeniedError", None),
        (404, "NotFoundError", None),
        (429, "RateLimitError", "rate_limit_exceeded"),
        (500, "InternalServerError", None),
        (503, "InternalServerError", None),
    ],
)
def test_errors(emulator: Emulator, client: Any, status: int, error: str, code: str | None) -> None:
    """Each error status becomes the SDK's error for it, with code and request id."""
    emulator.script(Behaviour(status=status, retry_after=7))
    with pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(**ASK)
    assert type(raised.value).__name__ == error
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.request_id.startswith("req_emulator")
    assert raised.value.response.headers["retry-after"] == "7"


def test_error_inside_a_stream(emulator: Emulator, client: Any) -> None:
    """An error chunk ends the stream with an error, after the text before it."""
    emulator.script(Behaviour(text="a b c", delay=0, error_frame_at=2, message="Sorry"))
    pieces = []
    with pytest.raises(openai.APIError, match="Sorry"):
        for chunk in client.chat.completions.create(**ASK, stream=True):
            pieces.append(chunk.choices[0].delta.content)
    assert pieces == ["", "a", " b"]


def test_cut(emulator: Emulator, client: Any) -> None:
    """A cut connection is an error."""
    emulator.script(Behaviour(delay=0, cut_at=2000))
    with pytest.raises(openai.APIConnectionError):
        list(client.chat.completions.create(**ASK, stream=True))


def test_retries_until_it_is_sound(emulator: Emulator, client: Any) -> None:
    """The SDK's own retry takes the faults in turn and then the answer."""
    emulator.script(
        Behaviour(status=500, headers={"retry-after-ms": "1"}),
        Behaviour(status=429, headers={"retry-after-ms": "1"}),
    )
    completion = client.with_options(max_retries=2).chat.completions.create(**ASK)
    assert completion.choices[0].finish_reason == "stop"
    assert [request.status for request in emulator.requests] == [500, 429, 200]


def test_models(client: Any) -> None:
    """The list of models is read."""
    assert "gpt-5-mini" in [model.id for model in client.models.list()]


@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """The asynchronous client reads whole, streamed and failed answers."""
    async with openai.AsyncOpenAI(
        api_key="sk-any", base_url=emulator.openai_base_url, max_retries=0
    ) as client:
        completion = await client.chat.completions.create(**ASK)
        assert completion.usage.completion_tokens == 40
        stream = await client.chat.completions.create(**ASK, **USAGE, stream=True)
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.total_tokens == 53
        emulator.script(Behaviour(status=429))
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(**ASK)
