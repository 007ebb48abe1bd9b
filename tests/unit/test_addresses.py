"""Azure's and Vertex AI's addresses: where a call goes there, and with what key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit import Config, ConfigError
from llmkit.policy.routes import Routes
from support.decoding import call

AZURE = "https://shop.openai.azure.com"
VERTEX = "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4"


def provider_of(**provider: Any) -> Any:
    """Make the provider of these settings."""
    config = Config.of({"providers": {"mine": {"api_key": "k", **provider}}})
    return Routes(config).provider("mine")


def asked(model: str, **provider: Any) -> Any:
    """Build a request for a model of a provider of these settings."""
    return provider_of(**provider).build_request(
        call(streaming=provider.get("wire") != "x", max_tokens=5), model
    )


@pytest.mark.parametrize(
    ("base_url", "version", "url"),
    [
        (AZURE, None, f"{AZURE}/openai/v1/chat/completions"),
        (f"{AZURE}/", None, f"{AZURE}/openai/v1/chat/completions"),
        (f"{AZURE}/openai", None, f"{AZURE}/openai/v1/chat/completions"),
        (f"{AZURE}/openai/v1", None, f"{AZURE}/openai/v1/chat/completions"),
        (
            f"{AZURE}/openai/v1",
            "preview",
            f"{AZURE}/openai/v1/chat/completions?api-version=preview",
        ),
        (
            AZURE,
            "2024-10-21",
            f"{AZURE}/openai/deployments/my%2Fgpt/chat/completions?api-version=2024-10-21",
        ),
        (
            f"{AZURE}/openai/deployments/other",
            "2024-10-21",
            f"{AZURE}/openai/deployments/other/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://shop.services.ai.azure.com",
            None,
            "https://shop.services.ai.azure.com/openai/v1/chat/completions",
        ),
        (
            "https://shop.openai.azure.us",
            "1",
            "https://shop.openai.azure.us/openai/deployments/my%2Fgpt/chat/completions?api-version=1",
        ),
        (
            "http://127.0.0.1:8080",
            "1",
            "http://127.0.0.1:8080/openai/deployments/my%2Fgpt/chat/completions?api-version=1",
        ),
        (
            "https://gate.example/shop/openai",
            "1",
            "https://gate.example/shop/openai/deployments/my%2Fgpt/chat/completions?api-version=1",
        ),
        (
            "https://gate.example/v1",
            "1",
            "https://gate.example/v1/chat/completions?api-version=1",
        ),
    ],
)
def test_azure(base_url: str, version: str | None, url: str) -> None:
    """By its hosts, or by a version at any host. The deployment stands in the address where there is a version; the key has a header of its own."""
    more = {} if version is None else {"api_version": version}
    request = asked("my/gpt", wire="openai", base_url=base_url, **more)
    assert request.url == url
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers
    body = json.loads(request.content)
    assert body["model"] == "my/gpt"
    assert "max_completion_tokens" in body
    assert "max_tokens" not in body


def test_responses_at_azure() -> None:
    """The deployment is the model of the body."""
    request = asked("d", wire="openai-responses", base_url=AZURE, api_version="2025-04-01-preview")
    assert request.url == f"{AZURE}/openai/responses?api-version=2025-04-01-preview"
    request = asked("d", wire="openai-responses", base_url=AZURE)
    assert request.url == f"{AZURE}/openai/v1/responses"
    assert request.headers["api-key"] == "k"
    gate = "https://gate.example/shop/openai"
    request = asked("d", wire="openai-responses", base_url=gate, api_version="1é")
    assert request.url == f"{gate}/responses?api-version=1%C3%A9"
    assert request.headers["api-key"] == "k"


def test_azures_models_of_other_vendors() -> None:
    """Have an API of their own, which knows the older word alone."""
    address = "https://shop.services.ai.azure.com/models"
    request = asked("m", wire="openai", base_url=address, api_version="2024-05-01-preview")
    assert request.url == f"{address}/chat/completions?api-version=2024-05-01-preview"
    assert "max_tokens" in json.loads(request.content)


@pytest.mark.parametrize(
    ("wire", "base_url", "more"),
    [
        ("openai", AZURE, {"api_version": "2024-10-21"}),
        ("gemini", f"{VERTEX}/publishers/google", {}),
    ],
)
def test_who_has_no_list_of_models(wire: str, base_url: str, more: Any) -> None:
    """Is not asked for one: the address is that of a deployment, or of models of another kind."""
    provider = {"wire": wire, "base_url": base_url, "api_key": "k", **more}
    found: Any = Routes(Config.of({"providers": {"mine": provider}})).provider("mine")
    assert found.build_listing() is None


@pytest.mark.parametrize("wire", ["anthropic", "gemini", "ollama"])
def test_who_has_no_versions(wire: str) -> None:
    """Says so."""
    with pytest.raises(ConfigError, match=r"providers\.mine\.api_version is set.*Azure"):
        asked("m", wire=wire, base_url="https://a.example", api_version="1")


@pytest.mark.parametrize(
    ("base_url", "texts", "tokens"),
    [
        ("https://api.mistral.ai/v1", 512, 16_384),
        ("https://api.cohere.ai/compatibility/v1", 96, None),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", 10, None),
        ("https://generativelanguage.googleapis.com/v1beta/openai", 100, None),
        ("https://api.openai.com/v1", 2048, None),
        (AZURE, 2048, None),
        ("https://a.example/v1", 2048, None),
    ],
)
@pytest.mark.parametrize("wire", ["openai", "openai-responses"])
def test_how_much_is_embedded_at_once(
    wire: str, base_url: str, texts: int, tokens: int | None
) -> None:
    """By the vendor's host, as far as that is known, or by the settings."""
    given: dict[str, Any] = {"wire": wire, "base_url": base_url}
    provider = provider_of(**given)
    assert (provider.most_texts, provider.most_tokens) == (texts, tokens)
    assert provider_of(**given, embed_at_once=7).most_texts == 7


def test_who_has_no_embeddings() -> None:
    """Says so."""
    with pytest.raises(ConfigError, match=r"providers\.mine\.embed_at_once is set"):
        provider_of(wire="anthropic", base_url="https://a.example", embed_at_once=7)


def token() -> str:
    """Return a token."""
    return "t"


def test_gemini_at_vertex() -> None:
    """The address is the project's, and no key is sent but the token, which comes with the call."""
    request = asked(
        "gemini-3-pro",
        wire="gemini",
        base_url=f"{VERTEX}/publishers/google",
        api_key=None,
        token=token,
    )
    path = "publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse"
    assert request.url == f"{VERTEX}/{path}"
    assert not {"x-goog-api-key", "authorization"} & request.headers.keys()


def test_claude_at_vertex() -> None:
    """The model stands in the address, and the version in the body."""
    options = {"wire": "anthropic", "base_url": f"{VERTEX}/publishers/anthropic"}
    request = asked("claude-sonnet-4-5@20250929", **options)
    path = "publishers/anthropic/models/claude-sonnet-4-5%4020250929:streamRawPredict"
    assert request.url == f"{VERTEX}/{path}"
    body = json.loads(request.content)
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in body
    assert body["stream"] is True


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"token": "no path"}, "has to be a function, or its dotted path"),
        ({"token": 7}, "has to be a function, or its dotted path"),
        ({"token": token, "api_key": "k"}, "it has an api_key and a token"),
        ({"api_version": "a b"}, "api_version"),
        ({"token": "llmkit.nothing.token"}, "providers.mine.token cannot be imported"),
        ({"token": lambda one: one}, "has to take no arguments"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, Any], words: str) -> None:
    """Are refused where they are read, or where the provider is made."""
    with pytest.raises(ConfigError) as raised:
        config = Config.of(
            {"providers": {"mine": {"wire": "gemini", "base_url": "https://a.example", **given}}}
        )
        Routes(config).of("mine:m")
    assert words in str(raised.value)
