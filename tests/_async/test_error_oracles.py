"""The vendors' SDKs as oracles for failures that come inside an answer of status 200: where they raise we raise, after the same text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llmkit import ProviderError, TextDelta
from llmkit.testing import Behaviour, Emulator
from support import gemini_streams as gemini
from support import ollama_streams as ollama
from support import responses_streams as responses
from support.kits import make_kit
from support.streams import ANTHROPIC_OVERLOADED_STREAM, OPENAI_ERROR_STREAM

anthropic = pytest.importorskip("anthropic")
errors = pytest.importorskip("google.genai.errors")
local = pytest.importorskip("ollama")
openai = pytest.importorskip("openai")
RAISED = (anthropic.AnthropicError, errors.APIError, local.ResponseError, openai.OpenAIError)

SSE, LINES, JSON = "text/event-stream", "application/x-ndjson", "application/json"
FAILED = {"code": "server_error", "message": "x"}
STREAMED: dict[str, tuple[str, str, bytes]] = {
    "anthropic": ("anthropic", SSE, ANTHROPIC_OVERLOADED_STREAM),
    "gemini": ("gemini", SSE, gemini.ERROR_STREAM),
    "gemini, no event": ("gemini", SSE, gemini.BARE_ERROR_STREAM),
    "ollama": ("ollama", LINES, ollama.ERROR_STREAM),
    "openai": ("openai", SSE, OPENAI_ERROR_STREAM),
    "openai-responses, error": ("openai-responses", SSE, responses.ERROR_STREAM),
    "openai-responses, failed": ("openai-responses", SSE, responses.FAILED_STREAM),
}
# What the SDKs return as an answer, with nothing in it, or with a status that nobody looks at.
WHOLE: dict[str, tuple[str, bytes]] = {
    "gemini": ("gemini", json.dumps({"error": gemini.ERROR}).encode()),
    "ollama": ("ollama", b'{"error":"model runner has unexpectedly stopped"}'),
    "openai": ("openai", b'{"error":{"message":"Upstream failed","code":502}}'),
    "openai-responses": (
        "openai-responses",
        json.dumps(responses.response("failed", error=FAILED)).encode(),
    ),
}


async def texts(emulator: Emulator, wire: str) -> AsyncIterator[str]:
    """Stream the text of an answer with the vendor's SDK; raises what it raises."""
    asked: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    if wire == "gemini":
        from support.google import async_google

        async with async_google(emulator.base_url) as google:
            found = await google.models.generate_content_stream(model="m", contents="Hi")
            async for each in found:
                yield each.text or ""
    elif wire == "ollama":
        async with local.AsyncClient(host=emulator.base_url) as small:
            async for line in await small.chat(**asked, stream=True):
                yield line.message.content or ""
    elif wire == "anthropic":
        key = {"api_key": "any", "base_url": emulator.base_url, "max_retries": 0}
        async with (
            anthropic.AsyncAnthropic(**key) as claude,
            claude.messages.stream(**asked, max_tokens=9) as stream,
        ):
            async for text in stream.text_stream:
                yield text
    else:
        key = {"api_key": "any", "base_url": emulator.openai_base_url, "max_retries": 0}
        async with openai.AsyncOpenAI(**key) as gpt:
            if wire == "openai":
                async for chunk in await gpt.chat.completions.create(**asked, stream=True):
                    yield chunk.choices[0].delta.content or ""
                return
            async for event in await gpt.responses.create(model="m", input="Hi", stream=True):
                if event.type == "response.output_text.delta":
                    yield event.delta
                if event.type in ("error", "response.failed"):  # for whoever reads them
                    raise openai.OpenAIError(event.type)


@pytest.mark.anyio
@pytest.mark.parametrize("more", [{}, {"chunk_size": 1}, {"encoding": "gzip"}], ids=str)
@pytest.mark.parametrize("name", STREAMED)
async def test_a_failure_in_a_stream(name: str, more: dict[str, Any]) -> None:
    """It is raised after the text that came before it."""
    wire, kind, body = STREAMED[name]
    theirs, ours = [], []
    with Emulator(behaviour=Behaviour(body=body, content_type=kind, **more)) as emulator:
        with pytest.raises(RAISED):
            async for text in texts(emulator, wire):
                theirs.append(text)
        kit = make_kit(emulator, wire=wire, retry={"attempts": 1})
        with pytest.raises(ProviderError):
            async with kit.async_client.stream("Hi") as stream:
                async for event in stream:
                    ours += [event.text] if isinstance(event, TextDelta) else []
        await kit.aclose()
    assert "".join(ours) == "".join(theirs) != ""


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_a_failure_instead_of_an_answer(name: str) -> None:
    """It is a failure of ours, whatever the SDK makes of it."""
    wire, body = WHOLE[name]
    with Emulator(behaviour=Behaviour(body=body, content_type=JSON)) as emulator:
        kit = make_kit(emulator, wire=wire, retry={"attempts": 1})
        with pytest.raises(ProviderError):
            await kit.async_client.complete("Hi")
        await kit.aclose()
