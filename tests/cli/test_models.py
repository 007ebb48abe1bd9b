"""`llmkit models`: what each provider offers, and what a mistyped model may have been."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

pytest.importorskip("click")

from click.testing import CliRunner, Result

from llmkit import (
    AuthenticationFailed,
    ConfigError,
    FunctionProvider,
    Kit,
    ProtocolError,
    RequestRejected,
)
from llmkit.cli import main
from llmkit.commands.models import MODELS
from llmkit.policy.offers import closest, in_table, with_closest
from llmkit.policy.plan import Route
from llmkit.providers.listing import read_listing
from llmkit.testing import Behaviour, Emulator, Fault, FaultProxy
from support.kits import ALL_WIRES, make_kit, settings

EVERYTHING = {"provider": None, "contains": None}


def shown(kit: Kit, **given: Any) -> str:
    """Run the command."""
    said: str = MODELS.run(kit.catalogue, {**EVERYTHING, **given})
    kit.close()
    return said


@pytest.mark.parametrize("wire", ALL_WIRES)
def test_what_a_provider_lists(wire: str) -> None:
    """In the form of each wire, with the price where it is known."""
    expected = {
        "anthropic": "claude-haiku-4-5",
        "gemini": "gemini-3-flash",
        "ollama": "smollm2:135m",
    }
    with Emulator() as emulator:
        said = shown(make_kit(emulator, wire=wire))
    assert said.startswith(f"{wire}: 2 models as it lists them\n")
    [line] = [line for line in said.splitlines() if expected.get(wire, "gpt-4.1-mini") in line]
    if wire == "anthropic":
        assert line.split() == ["claude-haiku-4-5", "$1", "/", "$5", "200,000", "tokens"]
    elif wire == "gemini":
        assert "1,048,576 tokens" in line


def test_several_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another; one that has no list, no key or cannot be reached is shown with what has a price or is in the settings, and why."""
    with Emulator() as emulator:
        config = settings(emulator)
        config["providers"] |= {
            "openai": {"base_url": "http://127.0.0.1:9", "api_key": "k"},
            "mine": {"base_url": emulator.base_url, "wire": "ollama", "price": 0},
            "groq": {},
        }
        monkeypatch.delenv("GROQ_API_KEY", raising=False)
        own = FunctionProvider("own", lambda call, model: "x")
        said = shown(Kit(config, providers=[own]))
        only = shown(Kit(config), provider="mine", contains="QWEN")
    sections = {section.partition(":")[0]: section for section in said.split("\n\n")}
    assert list(sections) == ["own", "anthropic", "openai", "mine", "groq"]
    assert sections["own"].splitlines() == [
        "own: 0 models that the settings name",
        "  No list of its own: it has none that llmkit could ask for.",
    ]
    head, why, *models = sections["openai"].splitlines()
    assert head.endswith("models of which prices are known")
    assert "could not connect to the provider. Check the provider's base_url" in why
    assert any("gpt-5-mini" in line for line in models)
    assert "there is no API key for groq. Set the environment variable GROQ_API_KEY" in said
    assert only.splitlines() == ["mine: 1 model as it lists them", "  qwen3:4b  $0 / $0"]


VERTEX = "http://own.test/v1/projects/p/locations/l/publishers/"
AZURE = "https://own.openai.azure.com"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            {"wire": "gemini", "base_url": VERTEX + "google"},
            "it has none that llmkit could ask for.",
        ),
        (
            {"wire": "anthropic", "base_url": VERTEX + "anthropic"},
            "it has none that llmkit could ask for.",
        ),
        (
            {"wire": "openai", "base_url": AZURE, "api_version": "2024-10-21"},
            "it has none that llmkit could ask for.",
        ),
        (
            {"wire": "openai", "base_url": "http://own.test/page"},
            "azure sent something else than a list of its models. Check the base URL and the wire",
        ),
        (
            {"wire": "openai", "base_url": "http://own.test/closed"},
            "azure answered 401. Check the API key",
        ),
    ],
)
def test_models_of_the_settings(given: dict[str, Any], why: str) -> None:
    """Of a provider of the app's own without a list only those are shown: another one of its name may be in the table, where models are named otherwise."""
    with respx.mock(assert_all_called=False) as web:
        web.get("http://own.test/page/models").respond(html="<html>Log in</html>")
        web.get("http://own.test/closed/models").respond(401)
        kit = Kit(
            {
                "providers": {"azure": given | {"api_key": "k"}},
                "models": {"default": ["azure:chat", "ollama:other"], "again": "azure:chat"},
                "prices": {"azure:cheap": 0},
                "ledger": False,
                "transport": "httpx",
            }
        )
        head, reason, *models = shown(kit, provider="azure").splitlines()
    assert head == "azure: 2 models that the settings name"
    assert reason.startswith(f"  No list of its own: {why}")
    assert models == ["  chat   price not known", "  cheap  $0 / $0"]
    assert in_table("azure") == []


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("close", "the connection to the provider broke ("),
        ("silence", "expired after 0.2 s. No more time is given to a list of models: try again"),
    ],
)
def test_a_list_that_breaks_off(end: Any, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is none, and neither is one that does not end; the settings' timeouts are for calls, so it is not advised to raise them."""
    monkeypatch.setattr("llmkit._sync.listing._PATIENCE", 0.2)
    fault = Fault(cut_at=250, end=end)
    with Emulator() as emulator, FaultProxy(emulator.base_url, fault=fault) as proxy:
        said = shown(make_kit(emulator, through=proxy))
    head, reason, *_ = said.splitlines()
    assert head.endswith("of which prices are known")
    assert why in reason


@pytest.mark.parametrize(
    ("wanted", "has_settings", "advice"),
    [
        ("vertx", True, "Did you mean vertex? Configured: anthropic, vertex."),
        ("openai", True, 'Add "openai": {} to providers in the settings, and set OPENAI_API_KEY.'),
        ("ollama", True, 'Add "ollama": {} to providers in the settings.'),
        ("opnai", True, "Did you mean openai? Configured: anthropic, vertex. Add"),
        ("nope", True, '"nope": {"wire": "openai", "base_url": "https://..."} to providers'),
        ("gemini", False, "Set GEMINI_API_KEY, or name the app's settings with --settings."),
        ("ollama", False, "Name the settings of an app that has ollama with --settings."),
        ("nope", False, "Name the settings of an app that has nope with --settings."),
    ],
)
def test_a_provider_that_is_not_there(wanted: str, has_settings: bool, advice: str) -> None:
    """Is told which one may be meant and how to have it, in words that fit the command line: Flask's has no --settings, and Django's is another one."""
    own = {"wire": "gemini", "base_url": "http://127.0.0.1:9", "api_key": "k"}
    kit = Kit({"providers": {"anthropic": {}, "vertex": own}, "ledger": False})
    catalogue = replace(kit.catalogue, has_settings=has_settings)
    with pytest.raises(ConfigError, match=f"{wanted} is not configured") as raised:
        MODELS.run(catalogue, {**EVERYTHING, "provider": wanted})
    assert advice in str(raised.value)
    assert ("--settings" in str(raised.value)) is not has_settings


def test_no_provider_at_all() -> None:
    """Is told how to have one."""
    with pytest.raises(ConfigError) as raised:
        shown(Kit({"ledger": False}))
    assert 'Add "anthropic": {} to providers in the settings, and set ANTHROPIC_API_KEY.' in str(
        raised.value
    )


@respx.mock
def test_a_list_without_end() -> None:
    """Is not read to it, and is none; what is asked for it has no body, and says so."""
    pieces = iter([b'{"data": ['] + [b" " * 1_000_000] * 20 + [b"]}"])
    route = respx.get("https://api.openai.com/v1/models")
    route.mock(return_value=httpx.Response(200, content=pieces))
    config: Any = {"providers": {"openai": {"api_key": "k"}}, "transport": "httpx"}
    kit = Kit({**config, "ledger": False})
    with pytest.raises(ProtocolError):
        kit.catalogue.listed("openai")
    kit.close()
    assert len(list(pieces)) > 10
    assert "content-type" not in route.calls.last.request.headers


@respx.mock
def test_a_list_that_is_refused() -> None:
    """Is an error, also where its body looks like a list; a token goes with it as with a call."""
    route = respx.get("https://api.openai.com/v1/models").respond(401, json={"data": []})
    config: Any = {"providers": {"openai": {"token": lambda: "t"}}, "transport": "httpx"}
    kit = Kit({**config, "ledger": False})
    with pytest.raises(AuthenticationFailed):
        kit.catalogue.listed("openai")
    kit.close()
    assert route.calls.last.request.headers["authorization"] == "Bearer t"


def run(*arguments: str, **environment: str | None) -> Result:
    """Run the command line."""
    names = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GROQ_API_KEY")
    env: Any = {**dict.fromkeys(names), **environment}
    return CliRunner().invoke(main, ["models", *arguments], env=env)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an app's settings, or of the vendors of whom the environment has a key; it opens no database."""
    with Emulator() as emulator:
        monkeypatch.chdir(tmp_path)
        config = settings(emulator, ledger={"database": "postgresql://nobody@127.0.0.1:9/none"})
        (tmp_path / "shop_settings.py").write_text(
            f"LLMKIT = {json.dumps(config)}".replace("false", "False")
        )
        done = run("--settings", "shop_settings.LLMKIT")
        assert done.exit_code == 0, done.output
        assert "claude-sonnet-4-5" in done.output
        moved = run(ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=emulator.base_url)
        assert moved.output == done.output
    nobody = run()
    assert nobody.exit_code == 1
    assert "no provider is configured. Set ANTHROPIC_API_KEY, or name" in nobody.output
    other = run("--provider", "openai", ANTHROPIC_API_KEY="k")
    assert other.exit_code == 1
    assert "Set OPENAI_API_KEY, or name the app's settings with --settings." in other.output


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
def test_a_mistyped_model(wire: str) -> None:
    """Is asked for all the same: the vendor's 404 then names those that are most like it."""
    name = {"anthropic": "claude-sonet-4-5", "openai": "gpt-5-mni"}[wire]
    meant = {"anthropic": "claude-sonnet-4-5", "openai": "gpt-5-mini"}[wire]
    with Emulator(behaviour=Behaviour(status=404)) as emulator:
        kit = make_kit(emulator, wire=wire, models={"default": f"{wire}:{name}"})
        with pytest.raises(RequestRejected) as raised:
            kit.client.complete("Hi")
        kit.close()
        assert len(emulator.requests) == 1
    assert f"Did you mean {meant}" in str(raised.value)
    assert "Check the model name" in str(raised.value)


@pytest.mark.parametrize("name", ["ollama", "mine"])
def test_a_mistyped_model_of_no_table(name: str) -> None:
    """Is pointed to where the provider's own list is shown; no other request is made for it."""
    with Emulator(behaviour=Behaviour(status=404)) as emulator:
        provider = {"wire": "ollama", "base_url": emulator.base_url}
        kit = Kit({"providers": {name: provider}, "ledger": False})
        with pytest.raises(RequestRejected) as raised:
            kit.client.complete("Hi", model=f"{name}:qwen3:4")
        kit.close()
        assert len(emulator.requests) == 1
    assert f"`llmkit models --provider {name}` shows those that it has." in str(raised.value)
    assert "Did you mean" not in str(raised.value)


def test_the_closest() -> None:
    """Three at most, none for a name that is in the table, or like nothing in it, and none of a provider that nobody knows."""
    assert len(closest("openai", "gpt-4o-minni")) == 3
    assert closest("openai", "gpt-4o-mini") == []
    assert closest("openai", "gpt-4o-mini-2024-07-18") == []
    assert closest("openai", "zzzzzzzz") == []
    assert closest("mine", "gpt-4o-minni") == []
    assert closest("azure", "gpt-4o-minni") == []
    assert any(each.context_window for each in in_table("gemini"))


def test_what_was_meant() -> None:
    """Is said in words, before what else there is to do about it."""
    provider = FunctionProvider("openai", lambda call, model: "x")
    for hint, end in ((None, "?"), ("See to it.", "? See to it.")):
        error = RequestRejected("x", provider="openai", hint=hint)
        with_closest(error, Route(provider, "gpt-4o-minni"))
        one, another, last = closest("openai", "gpt-4o-minni")
        assert error.hint == f"Did you mean {one}, {another} or {last}{end}"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"data": 7}', b'{"error": {}}'])
def test_what_is_no_list(body: bytes) -> None:
    """Is none, so that the table is shown."""
    assert read_listing(body) is None


def test_forms_of_lists() -> None:
    """Those of the vendors; what has no name is left out, and an odd limit is none."""

    def read(listing: Any) -> list[tuple[str, int | None]]:
        found = read_listing(json.dumps(listing).encode())
        assert found is not None
        return [(each.model, each.context_window) for each in found]

    assert read({"data": [{"id": "a"}, {}, {"id": 7}]}) == [("a", None)]
    assert read({"models": [{"name": "models/a", "inputTokenLimit": 7}, {"name": "b"}]}) == [
        ("a", 7),
        ("b", None),
    ]
    assert read({"data": [{"id": "claude", "max_input_tokens": 200_000}]}) == [("claude", 200_000)]
    assert read({"data": [{"id": "a/b", "context_length": 8192}]}) == [("a/b", 8192)]
    assert read([{"id": "a/b", "context_length": 8192}, {"id": "c"}]) == [
        ("a/b", 8192),
        ("c", None),
    ]
    for odd in ("8192", None, -1, 0, True, 2**40, 1.5):
        assert read([{"id": "a", "context_length": odd}]) == [("a", None)]
