"""`llmkit models`: what each provider offers, and what a mistyped model may have been."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click")

from click.testing import CliRunner, Result

from llmkit import FunctionProvider, Kit, RequestRejected
from llmkit.cli import main
from llmkit.commands.models import MODELS
from llmkit.policy.offers import closest, in_table
from llmkit.providers.listing import read_listing
from llmkit.testing import Behaviour, Emulator
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
    """One after another; one that has no list, no key or cannot be reached is shown with what has a price, and why."""
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
        with pytest.raises(ValueError, match="nobody is not configured"):
            shown(Kit(config), provider="nobody")
    heads = [line for line in said.splitlines() if not line.startswith(" ") and line]
    assert [head.partition(":")[0] for head in heads] == [
        "own",
        "anthropic",
        "openai",
        "mine",
        "groq",
    ]
    assert heads[0] == "own: 0 models of which prices are known"
    assert "could not connect to the provider" in heads[2]
    assert "there is no API key for groq" in heads[4]
    assert "gpt-5-mini" in said
    assert only.splitlines() == ["mine: 1 model as it lists them", "  qwen3:4b  $0 / $0"]


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
    assert "no provider is configured" in nobody.output


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


def test_the_closest() -> None:
    """Three at most, none for a name that is in the table, or like nothing in it, and none of a provider that nobody knows."""
    assert 1 <= len(closest("openai", "gpt-4o-minni")) <= 3
    assert closest("openai", "gpt-4o-mini") == []
    assert closest("openai", "zzzzzzzz") == []
    assert closest("mine", "gpt-4o-minni") == []
    assert in_table("gemini")


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
