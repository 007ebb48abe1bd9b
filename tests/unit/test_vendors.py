"""What is known of vendors and their models."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from llmkit.policy.known_models import find
from llmkit.providers.registry import WIRES
from llmkit.providers.vendors import (
    USUAL,
    VENDORS,
    Ability,
    WireName,
    is_able,
    quirks_at,
    vendor_of,
)


@pytest.mark.parametrize(
    ("host", "vendor"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "openai"),
        ("mine.cognitiveservices.azure.com", "openai"),
        ("mine.services.ai.azure.com", "openai"),
        ("api.mistral.ai", "mistral"),
        ("api.openai.com.example.org", None),
        ("notapi.openai.com", None),
        ("openai.azure.com", None),
        ("api.groq.com", None),
        ("", None),
    ],
)
def test_quirks_hold_at_the_vendors_own_hosts(host: str, vendor: str | None) -> None:
    """Whatever the provider is called in the settings; elsewhere the usual words are said."""
    assert quirks_at(host) == (USUAL if vendor is None else VENDORS[vendor].quirks)


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("claude-sonnet-4-5", "anthropic"),
        ("GPT-5-mini", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o3", "openai"),
        ("ollama-model", None),
        ("magistral-medium", "mistral"),
        ("codestral-latest", "mistral"),
        ("pixtral-12b", "mistral"),
        ("grok-4", "xai"),
        ("deepseek-chat", "deepseek"),
        ("llama3", None),
    ],
)
def test_a_bare_model_is_of_the_vendor_that_names_it_so(model: str, vendor: str | None) -> None:
    """By how its name begins."""
    assert vendor_of(model) == vendor


@pytest.mark.parametrize(
    ("provider", "model", "able"),
    [
        ("openai", "gpt-5-mini", True),
        ("openai", "gpt-4o", True),
        ("openai", "gpt-4.1", True),
        ("openai", "gpt-4", False),
        ("openai", "gpt-4-turbo", False),
        ("openai", "gpt-3.5-turbo", False),
        ("openai", "gpt-4o-2024-05-13", False),
        ("anthropic", "claude-instant-1.2", False),
        ("anthropic", "claude-sonnet-4-5", True),
        ("anthropic", "claude-sonnet-4-20250514", False),
        ("anthropic", "claude-3-5-haiku-latest", False),
        ("deepseek", "deepseek-chat", False),
        ("openai", "a-model-of-tomorrow", True),
        ("nobody-knows", "gpt-4", True),
    ],
)
def test_what_is_not_known_to_be_unable_is_able(provider: str, model: str, able: bool) -> None:
    """Also a model that comes out tomorrow, and one of a provider that nobody knows."""
    for ability in get_args(Ability):
        assert is_able(provider, model, ability) is able


def test_a_known_model_says_how_much_it_reads() -> None:
    """As far as the price data knows."""
    known = find("anthropic", "claude-sonnet-4-5")
    assert known is not None
    assert known.context_window is not None
    assert known.context_window >= 200_000


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_rows_are_sound(name: str) -> None:
    """Each wire exists, and the patterns can be read."""
    vendor = VENDORS[name]
    assert vendor.wire in WIRES
    for begins in (vendor.models, *(begins for begins, _ in vendor.unable)):
        assert begins is None or re.compile(begins)


def test_each_wire_has_its_place() -> None:
    """The name that the settings take and the class that speaks it."""
    assert set(get_args(WireName)) == set(WIRES)


def test_a_wire_is_loaded_when_a_provider_of_its_own_is_made() -> None:
    """An app that calls Anthropic does not pay for the others."""
    program = (
        "import sys, llmkit\n"
        "client = llmkit.Client('anthropic:claude-sonnet-4-5', api_key='test-key')\n"
        "client.runtime.routes.of('default')\n"
        "print(*(name for name in sys.modules if name.startswith('llmkit.providers.')))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = ran.stdout.split()
    assert "llmkit.providers.anthropic" in loaded
    assert not [name for name in loaded if "openai" in name]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("anthropic", "https://api.anthropic.com"),
        ("deepseek", "https://api.deepseek.com/v1"),
        ("groq", "https://api.groq.com/openai/v1"),
        ("mistral", "https://api.mistral.ai/v1"),
        ("ollama", "http://127.0.0.1:11434/v1"),
        ("openai", "https://api.openai.com/v1"),
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("together", "https://api.together.xyz/v1"),
        ("xai", "https://api.x.ai/v1"),
    ],
)
def test_a_key_goes_to_its_vendor(name: str, address: str) -> None:
    """As the vendor's own documentation has it."""
    assert VENDORS[name].base_url == address
