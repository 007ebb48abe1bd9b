"""Azure's settings, tried on the emulator: the same requests as those of OpenAI's own SDK for Azure."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit import AuthenticationFailed, Kit, RequestRejected
from llmkit.testing import Behaviour, Emulator

VERSION = "2024-10-21"


def kit_of(emulator: Emulator, **provider: Any) -> Kit:
    """Make a kit with a provider that is Azure by its version."""
    azure = {"wire": "openai", "base_url": emulator.base_url, "api_key": "k"}
    return Kit(
        {
            "providers": {"azure": {**azure, "api_version": VERSION, **provider}},
            "models": {"default": "azure:my deployment", "embeddings": "azure:vectors"},
            "ledger": False,
        }
    )


@pytest.mark.anyio
async def test_we_ask_as_the_sdk_does() -> None:
    """At the same paths, with the key in the same header, and get the same answers."""
    openai = pytest.importorskip("openai")
    with Emulator(behaviour=Behaviour(delay=0, tokens=3)) as emulator:
        async with openai.AsyncAzureOpenAI(
            azure_endpoint=emulator.base_url, api_version=VERSION, api_key="k"
        ) as sdk:
            answer = await sdk.chat.completions.create(
                model="my deployment", messages=[{"role": "user", "content": "Hi"}]
            )
            vectors = await sdk.embeddings.create(
                model="vectors", input=["a"], encoding_format="float"
            )
            said = await sdk.responses.create(model="my deployment", input="Hi")
        kit = kit_of(emulator)
        reply = await kit.async_client.complete("Hi")
        found = await kit.async_client.embed(["a"])
        await kit.aclose()
        kit = kit_of(emulator, wire="openai-responses")
        other = await kit.async_client.complete("Hi")
        await kit.aclose()
        theirs, ours = emulator.requests[:3], emulator.requests[3:]
    assert [request.path for request in ours] == [request.path for request in theirs]
    assert ours[0].path == "/openai/deployments/my%20deployment/chat/completions"
    for request in (*theirs, *ours):
        assert "api-key" in request.headers
        assert "authorization" not in request.headers
    assert "max_completion_tokens" in ours[0].body
    assert reply.text == answer.choices[0].message.content
    assert found.vectors == [vectors.data[0].embedding]
    assert other.text == said.output_text


@pytest.mark.anyio
async def test_a_token_stands_where_tokens_do() -> None:
    """Not in the key's header."""
    with Emulator(behaviour=Behaviour(delay=0, tokens=3)) as emulator:
        kit = kit_of(emulator, api_key=None, token=lambda: "t")
        async with kit.async_client.stream("Hi") as stream:
            async for _ in stream:
                pass
        await kit.aclose()
        [request] = emulator.requests
    assert stream.response.text == "Hello! This answer"
    assert "authorization" in request.headers
    assert "api-key" not in request.headers


@pytest.mark.anyio
async def test_what_azure_refuses() -> None:
    """Its older paths want a version, and no key is no key."""
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        address = f"{emulator.base_url}/openai/deployments/d"
        kit = kit_of(emulator, base_url=address, api_version=None)
        with pytest.raises(RequestRejected, match="answered 404"):
            await kit.async_client.complete("Hi")
        await kit.aclose()
        kit = kit_of(emulator, api_key=None)
        with pytest.raises(AuthenticationFailed, match="answered 401"):
            await kit.async_client.complete("Hi")
        await kit.aclose()
