"""The vendors' SDKs as oracles for embeddings: given the same bytes, our client reads the same numbers."""

from __future__ import annotations

from typing import Any

import pytest

from llmkit.testing import Behaviour, Emulator
from support.google import async_google
from support.kits import make_kit

for sdk in ("google.genai", "ollama", "openai"):
    pytest.importorskip(sdk)

TEXTS = ["Köln", "two words", "a\u2028b"]
MODELS = {
    "openai": "text-embedding-3-small",
    "gemini": "gemini-embedding-001",
    "ollama": "all-minilm",
}


async def by_openai(emulator: Emulator) -> Any:
    """Read them with OpenAI's."""
    import openai

    async with openai.AsyncOpenAI(api_key="k", base_url=emulator.openai_base_url) as sdk:
        found = await sdk.embeddings.create(
            model=MODELS["openai"], input=TEXTS, dimensions=5, encoding_format="float"
        )
    return [each.embedding for each in found.data], found.usage.prompt_tokens


async def by_gemini(emulator: Emulator) -> Any:
    """Read them with Google's, which does not say how many tokens there were."""
    async with async_google(emulator.base_url) as sdk:
        found = await sdk.models.embed_content(
            model=MODELS["gemini"], contents=TEXTS, config={"output_dimensionality": 5}
        )
    return [each.values for each in found.embeddings], None


async def by_ollama(emulator: Emulator) -> Any:
    """Read them with Ollama's."""
    from ollama import AsyncClient

    async with AsyncClient(host=emulator.base_url) as sdk:
        found = await sdk.embed(model=MODELS["ollama"], input=TEXTS, dimensions=5)
    return [list(each) for each in found.embeddings], found.prompt_eval_count


READERS: Any = {"openai": by_openai, "gemini": by_gemini, "ollama": by_ollama}


@pytest.mark.anyio
@pytest.mark.parametrize("sent", [{}, {"chunk_size": 7}, {"encoding": "gzip"}])
@pytest.mark.parametrize("wire", READERS)
async def test_we_read_what_the_sdk_reads(wire: str, sent: dict[str, Any]) -> None:
    """The numbers in the order of the texts, and the tokens; the request of the SDK is one that the emulator takes, and so is ours."""
    with Emulator(behaviour=Behaviour(delay=0, **sent)) as emulator:
        vectors, tokens = await READERS[wire](emulator)
        kit = make_kit(emulator, wire=wire, models={"embeddings": f"{wire}:{MODELS[wire]}"})
        ours = await kit.async_client.embed(TEXTS, dimensions=5)
        await kit.aclose()
    assert ours.vectors == vectors
    reported = ours.usage.input_source == "reported"
    assert (ours.usage.input_tokens if reported else None) == tokens


@pytest.mark.anyio
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1]])
@pytest.mark.parametrize("model", ["text-embedding-005", "gemini-embedding-001"])
async def test_vertex_ai_as_the_sdk_asks_it(model: str, texts: list[str]) -> None:
    """The same requests, which differ from model to model, and the same numbers."""
    address = "/v1/projects/p/locations/eu/publishers/google"
    with Emulator(behaviour=Behaviour(delay=0)) as emulator:
        config = {"output_dimensionality": 5, "task_type": "RETRIEVAL_QUERY", "title": "t"}
        async with async_google(emulator.base_url, vertex=True) as sdk:
            found = await sdk.models.embed_content(model=model, contents=texts, config=config)
        vertex = {"wire": "gemini", "base_url": emulator.base_url + address, "token": lambda: "t"}
        kit = make_kit(
            emulator, providers={"vertex": vertex}, models={"embeddings": f"vertex:{model}"}
        )
        extra = {"taskType": "RETRIEVAL_QUERY", "title": "t"}
        ours = await kit.async_client.embed(texts, dimensions=5, extra=extra)
        plain = await kit.async_client.embed(texts)
        await kit.aclose()
        theirs, own, _ = emulator.requests
    assert ours.vectors == [each.values for each in found.embeddings]
    assert len(plain.vectors) == len(texts)
    assert own.path == theirs.path.replace("/v1beta1/", "/v1/")
    assert own.body == theirs.body
    assert ours.usage.input_source == "reported"
    statistics = [each.statistics for each in found.embeddings]
    if all(statistics):
        assert ours.usage.input_tokens == sum(each.token_count for each in statistics)
