"""Which provider, address and key a model name leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmkit import Client, Config, ConfigError, Kit
from llmkit.call import build_call
from llmkit.errors import AuthenticationFailed
from llmkit.policy.routes import Routes

VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with a key of each vendor and no other address."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-env")


def request(provider: Mapping[str, object] | None, name: str = "openai") -> tuple[str, str | None]:
    """Return where a call would go, and with what key."""
    config = Config.of({"providers": {} if provider is None else {name: provider}})
    (route,) = Routes(config).of(f"{name}:m")
    call = build_call(
        "hi", {}, call_id="c", default_model="m", default_max_tokens=9, streaming=True
    )
    sent = route.provider.build_request(call, "m")
    return sent.url, sent.headers.get("authorization")


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        (None, "Bearer sk-from-env"),
        ({"base_url": "https://api.openai.com/v1/"}, "Bearer sk-from-env"),
        ({"base_url": "https://proxy.example/v1"}, None),
        ({"base_url": "https://proxy.example/v1", "api_key": "sk-given"}, "Bearer sk-given"),
        ({"api_key": "sk-given"}, "Bearer sk-given"),
        ({"api_key": None}, None),
    ],
)
def test_a_key_from_the_environment_goes_to_its_vendor_only(
    provider: dict[str, object] | None, key: str | None
) -> None:
    """At any other address the key is the one that is given, or none."""
    assert request(provider)[1] == key


def test_the_vendors_own_variable_names_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's BASE_URL variable moves its home, and the key with it; the settings still win."""
    monkeypatch.setenv("OPENAI_BASE_URL", "https://eu.api.example/v1")
    assert request(None) == ("https://eu.api.example/v1/chat/completions", "Bearer sk-from-env")
    there = {"base_url": "https://proxy.example/v1"}
    assert request(there) == ("https://proxy.example/v1/chat/completions", None)


def test_a_missing_key_is_named_with_its_variable() -> None:
    """Without a key nothing is sent, and the error says which variable to set."""
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        Routes(Config()).of("anthropic:m")


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_401_without_a_key_says_that_none_was_sent(wire: str) -> None:
    """Who wonders why the key of the environment was not used is told."""
    base_url = "http://127.0.0.1:1/v1"
    config = Config.of({"providers": {wire: {"base_url": base_url}}})
    (route,) = Routes(config).of(f"{wire}:m")
    error = route.provider.error("m", 401, {}, b"")
    assert isinstance(error, AuthenticationFailed)
    assert "No API key was sent" in str(error)
    assert f"providers.{wire}.api_key" in str(error)


@pytest.mark.parametrize(
    ("wire", "path", "said"),
    [
        ("openai", "", True),
        ("openai", "/", True),
        ("openai", "/v1", False),
        ("openai", "/api/paas/v4", False),
        ("anthropic", "", False),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
def test_a_base_url_without_its_path(wire: str, path: str, said: bool, status: int) -> None:
    """Where nothing is found at an address that usually ends in /v1 and has no path, the hint says so."""
    base_url = f"http://127.0.0.1:1{path}"
    config = Config.of({"providers": {"own": {"wire": wire, "base_url": base_url}}})
    (route,) = Routes(config).of("own:m")
    error = route.provider.error("m", status, {}, b"")
    assert ("usually ends in /v1" in str(error)) == said


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("default", "neither an alias nor a provider:model id"),
        ("nobody:m", "unknown provider 'nobody'"),
        ("ollama:", "neither an alias"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(model: str, said: str) -> None:
    """The error says what there is."""
    with pytest.raises(ConfigError) as caught:
        Routes(Config()).of(model)
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("models", "model", "meant"),
    [
        ({}, "default", '{"models": {"default": "anthropic:claude-sonnet-4-5"}}'),
        ({}, "claude-sonnet-4-5", "Did you mean 'anthropic:claude-sonnet-4-5'?"),
        ({"fast": "ollama:m"}, "fats", "Did you mean 'fast'?"),
        ({"fast": "ollama:m"}, "default", "The aliases in models are: fast."),
        ({}, "antropic:m", "Did you mean anthropic?"),
        ({}, "claude:m", "Did you mean anthropic?"),
    ],
)
def test_what_may_have_been_meant(models: dict[str, Any], model: str, meant: str) -> None:
    """The hint names what is like it, or how to name one."""
    with pytest.raises(ConfigError) as caught:
        Routes(Config.of({"models": models})).of(model)
    assert meant in str(caught.value)


def test_only_the_first_colon_splits() -> None:
    """Names of models may hold colons."""
    (route,) = Routes(Config()).of("ollama:llama3:8b")
    assert (route.provider.name, route.model) == ("ollama", "llama3:8b")


@pytest.mark.parametrize("options", [{}, {"api_key": "test-key"}])
def test_a_misspelt_provider_of_a_client(options: dict[str, str]) -> None:
    """A client says what was meant, as the settings of an app do."""
    with pytest.raises(ConfigError, match=r"Did you mean anthropic\?") as caught:
        Client("anthropi:claude", **options)
    assert "provider" in caught.value.message


def test_settings_of_a_provider_that_nobody_knows() -> None:
    """A misspelt provider in the settings is an error at once, and not a key that is missed later."""
    given = {"providers": {"antropic": {"api_key": "test-key"}}}
    with pytest.raises(
        ConfigError, match=r"providers\.antropic\.wire is not set\. Did you mean anthropic\?"
    ):
        Routes(Config.of(given))


def test_a_kit_of_one_model_and_of_no_unknown_option() -> None:
    """A wrong model or option is said where the kit is made."""
    kit = Kit.for_model("openai:gpt-5-mini")
    assert kit.config.ledger is False
    (route,) = kit.runtime.routes.of("default")
    assert route.model == "gpt-5-mini"
    with pytest.raises(ConfigError, match="no model is given"):
        Kit.for_model(None)
    with pytest.raises(ConfigError, match="did you mean 'openai:gpt-5-mini'"):
        Kit.for_model("gpt-5-mini")
    with pytest.raises(TypeError, match=r"^Kit\(\) got an unexpected keyword argument 'ledgr'$"):
        Kit({}, ledgr=None)  # type: ignore[call-arg]


def test_a_model_that_is_named_as_elsewhere_is_told_how_to_be_named() -> None:
    """In a call as in the settings."""
    kit = Kit({"models": {"default": "openai:gpt-5-mini"}, "ledger": False})
    for name, meant in {"groq/llama-3": "groq:llama-3", "o3": "openai:o3"}.items():
        with pytest.raises(ConfigError, match=f"Did you mean '{meant}'"):
            kit.client.complete("hi", model=name)


@pytest.mark.parametrize(
    ("model", "provider", "path"),
    [
        ("gpt-5-mini", {}, "chat/completions"),
        ("o3", {}, "chat/completions"),
        ("gpt-5-chat-latest", {}, "chat/completions"),
        ("my-codex-model", {}, "chat/completions"),
        *(
            (model, {}, "responses")
            for model in (
                *("o1-pro", "o3-pro-2025-06-10", "gpt-5-pro", "gpt-5.2-pro"),
                *("gpt-5.1-codex-max", "gpt-5-codex", "codex-mini-latest"),
                *("o3-deep-research", "o4-mini-deep-research", "computer-use-preview"),
            )
        ),
        ("o3-pro", {"wire": "openai"}, "chat/completions"),
        ("o3-pro", {"base_url": "https://proxy.example/v1"}, "chat/completions"),
        ("gpt-5-mini", {"wire": "openai-responses"}, "responses"),
    ],
)
def test_a_model_that_speaks_another_wire(model: str, provider: dict[str, str], path: str) -> None:
    """At its vendor's own address, unless the settings name a wire; both go under the name of the one provider."""
    config = Config.of({"providers": {"openai": {"api_key": "k", **provider}}})
    routes = Routes(config)
    (route,) = routes.of(f"openai:{model}")
    (other,) = routes.of("openai:gpt-4.1")
    call = build_call(
        "hi", {}, call_id="c", default_model="m", default_max_tokens=9, streaming=True
    )
    assert route.provider.build_request(call, model).url.endswith(f"/v1/{path}")
    assert route.provider.name == other.provider.name == "openai"
    assert routes.of(f"openai:{model}")[0].provider is route.provider
