"""The vendors' own SDKs as oracles: given the same bytes, our client reads the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from llmkit import LLMKitError
from llmkit.testing import Behaviour, Emulator
from support.kits import make_kit
from support.streams import (
    ANTHROPIC_MESSAGE,
    ANTHROPIC_OVERLOADED_STREAM,
    ANTHROPIC_STREAM,
    ANTHROPIC_THINKING_STREAM,
    OPENAI_COMPLETION,
    OPENAI_DONE,
    OPENAI_ERROR_STREAM,
    OPENAI_REASONING_STREAM,
    OPENAI_SPARSE_STREAM,
    OPENAI_STREAM,
    openai_chunk,
    openai_delta,
)

openai = pytest.importorskip("openai", minversion="1.80")
anthropic = pytest.importorskip("anthropic", minversion="0.60")
httpx2 = pytest.importorskip("httpx2")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client makes of an answer, with the tokens that were reported; `ended` is False if it raised."""

    text: str
    thinking: str = ""
    stop_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    ended: bool = True


def stored(body: bytes, **more: Any) -> Behaviour:
    return Behaviour(body=body, content_type="text/event-stream", **more)


def whole(body: bytes) -> Behaviour:
    return Behaviour(body=body, content_type="application/json")


SAME: dict[str, tuple[str, Behaviour]] = {
    "openai stream": ("openai", stored(OPENAI_STREAM)),
    "openai stream with reasoning": ("openai", stored(OPENAI_REASONING_STREAM)),
    "openai stream of a small server": ("openai", stored(OPENAI_SPARSE_STREAM)),
    "openai error inside a stream": ("openai", stored(OPENAI_ERROR_STREAM)),
    "openai emulated": ("openai", Behaviour(tokens=9, delay=0)),
    "openai emulated, thinking": ("openai", Behaviour(tokens=9, thinking="Hm, well.", delay=0)),
    "openai emulated, cut short": ("openai", Behaviour(tokens=9, delay=0, cut_at=900)),
    "openai usage in every chunk": ("openai", Behaviour(tokens=9, delay=0, usage_in="every")),
    "anthropic stream": ("anthropic", stored(ANTHROPIC_STREAM)),
    "anthropic stream with thinking": ("anthropic", stored(ANTHROPIC_THINKING_STREAM)),
    "anthropic error inside a stream": ("anthropic", stored(ANTHROPIC_OVERLOADED_STREAM)),
    "anthropic emulated": ("anthropic", Behaviour(tokens=9, delay=0, pings=0.001)),
    "anthropic emulated, thinking": ("anthropic", Behaviour(thinking="Hm, well.", delay=0)),
    "anthropic emulated, cut short": ("anthropic", Behaviour(tokens=9, delay=0, cut_at=1200)),
}

# Where we differ on purpose: the answer, what we read, and why.
CUT = OPENAI_STREAM[: OPENAI_STREAM.index(b'"finish_reason":"stop"')].rpartition(b"data:")[0]
ANTHROPIC_CUT = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b"event: message_stop")]
REFUSAL = openai_chunk(openai_delta(refusal="I will not.")) + openai_chunk(openai_delta("stop"))
DIFFERENT: dict[str, tuple[str, Behaviour, dict[str, Any], str]] = {
    "openai, ended without a finish reason": (
        "openai",
        stored(CUT),
        {"ended": False},
        "an answer without its end is truncated; the SDK ends in silence",
    ),
    "anthropic, ended without message_stop": (
        "anthropic",
        stored(ANTHROPIC_CUT),
        {"ended": False, "stop_reason": None},
        "an answer without its end is truncated; the SDK ends in silence",
    ),
    "openai, a refusal": (
        "openai",
        stored(REFUSAL + OPENAI_DONE),
        {"text": "I will not."},
        "a refusal is the text that a reader gets; the SDK keeps it in a field of its own",
    ),
}


async def by_sdk(emulator: Emulator, wire: str) -> Reading:
    """Read a stream with the vendor's SDK."""
    return await (_by_openai if wire == "openai" else _by_anthropic)(emulator)


async def _by_openai(emulator: Emulator) -> Reading:
    said, thought, reason, usage, ended = "", "", None, None, True
    async with openai.AsyncOpenAI(
        api_key="sk-any", base_url=emulator.openai_base_url, max_retries=0
    ) as sdk:
        try:
            stream = await sdk.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "Hi"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    said += choice.delta.content or ""
                    thought += getattr(choice.delta, "reasoning_content", None) or ""
                    reason = choice.finish_reason or reason
        except openai.OpenAIError:
            ended = False
    counts = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
    return Reading(said, thought, reason, *counts, ended)


async def _by_anthropic(emulator: Emulator) -> Reading:
    said, thought, ended, message = "", "", True, None
    async with anthropic.AsyncAnthropic(
        api_key="sk-any", base_url=emulator.base_url, max_retries=0
    ) as sdk:
        try:
            async with sdk.messages.stream(
                model="m", max_tokens=999, messages=[{"role": "user", "content": "Hi"}]
            ) as stream:
                async for event in stream:
                    said += event.text if event.type == "text" else ""
                    thought += event.thinking if event.type == "thinking" else ""
                    message = stream.current_message_snapshot
        except (anthropic.AnthropicError, httpx2.HTTPError):  # the SDK lets its transport's through
            ended = False
    if message is None:
        return Reading(said, thought, None, None, None, ended)
    usage = message.usage
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    counts = (usage.input_tokens + read + written, usage.output_tokens)
    return Reading(said, thought, message.stop_reason, *counts, ended)


async def by_us(emulator: Emulator, wire: str) -> Reading:
    """Read a stream with our client."""
    kit = make_kit(emulator, wire=wire, retry={"attempts": 1})
    ended, reply = True, None
    try:
        async with kit.async_client.stream("Hi") as stream:
            async for _ in stream:
                reply = stream.response
            reply = stream.response
    except LLMKitError:
        ended = False
    await kit.aclose()
    if reply is None:
        return Reading("", ended=ended)
    usage = reply.usage
    said_in = usage.input_tokens if usage.input_source == "reported" else None
    said_out = usage.output_tokens if usage.output_source == "reported" else None
    return Reading(reply.text, reply.thinking, reply.raw_stop_reason, said_in, said_out, ended)


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", ["as they come", "a byte a write"])
@pytest.mark.parametrize("name", sorted(SAME))
async def test_we_read_what_the_sdk_reads(name: str, pieces: str) -> None:
    """Text, thinking, stop reason and usage are the same, whole and a byte a write."""
    wire, behaviour = SAME[name]
    behaviour = replace(behaviour, chunk_size=None if pieces == "as they come" else 1)
    with Emulator(behaviour=behaviour) as emulator:
        theirs, ours = await by_sdk(emulator, wire), await by_us(emulator, wire)
    if theirs.ended:
        assert ours == theirs
    else:
        assert (ours.text, ours.thinking, ours.ended) == (theirs.text, theirs.thinking, False)


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(DIFFERENT))
async def test_where_we_differ_on_purpose(name: str) -> None:
    """The table says what we read and why; without a difference it would have no place there."""
    wire, behaviour, changes, why = DIFFERENT[name]
    with Emulator(behaviour=behaviour) as emulator:
        theirs, ours = await by_sdk(emulator, wire), await by_us(emulator, wire)
    assert theirs.ended
    assert ours != theirs, why
    assert ours == replace(theirs, **changes), why


@pytest.mark.anyio
async def test_whole_answers_are_read_alike() -> None:
    """An answer that is not streamed, too."""
    with Emulator(behaviour=whole(OPENAI_COMPLETION)) as emulator:
        async with openai.AsyncOpenAI(api_key="k", base_url=emulator.openai_base_url) as sdk:
            theirs = await sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}]
            )
        kit = make_kit(emulator, wire="openai")
        ours = await kit.async_client.complete("Hi")
        await kit.aclose()
    assert ours.text == theirs.choices[0].message.content
    assert ours.raw_stop_reason == theirs.choices[0].finish_reason
    assert ours.usage.input_tokens == theirs.usage.prompt_tokens
    assert ours.usage.output_tokens == theirs.usage.completion_tokens
    assert ours.usage.cache_read_tokens == theirs.usage.prompt_tokens_details.cached_tokens
    assert ours.model == theirs.model
    with Emulator(behaviour=whole(ANTHROPIC_MESSAGE)) as emulator:
        async with anthropic.AsyncAnthropic(api_key="k", base_url=emulator.base_url) as sdk:
            message = await sdk.messages.create(
                model="m", max_tokens=999, messages=[{"role": "user", "content": "Hi"}]
            )
        kit = make_kit(emulator, wire="anthropic")
        ours = await kit.async_client.complete("Hi")
        await kit.aclose()
    blocks = [block.text for block in message.content if block.type == "text"]
    assert ours.text == "".join(blocks)
    assert ours.raw_stop_reason == message.stop_reason
    assert ours.usage.output_tokens == message.usage.output_tokens
    assert ours.model == message.model
