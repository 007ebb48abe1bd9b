"""Which wires there are, and which providers are known by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from llmkit.providers.anthropic import Anthropic
from llmkit.providers.base import Provider
from llmkit.providers.openai import OpenAI


class Wire(Protocol):
    """Makes a provider that speaks one wire format."""

    def __call__(
        self,
        name: str,
        *,
        api_key: str | None,
        base_url: str,
        headers: Mapping[str, str] | None = None,
    ) -> Provider:
        """Make it."""


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """How a provider is spoken to.

    `key_variable` is the environment variable that holds its key; None where no key is needed. `url_variable` is the vendor's
    own variable for another address.
    """

    wire: str
    base_url: str
    key_variable: str | None
    url_variable: str | None = None


WIRES: Mapping[str, Wire] = MappingProxyType({"anthropic": Anthropic, "openai": OpenAI})
"""The wire formats, by the name that `providers.<name>.wire` takes."""

KNOWN: Mapping[str, KnownProvider] = MappingProxyType(
    {
        "anthropic": KnownProvider(
            "anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"
        ),
        "deepseek": KnownProvider("openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
        "groq": KnownProvider("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        "mistral": KnownProvider("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        "ollama": KnownProvider("openai", "http://127.0.0.1:11434/v1", None),
        "openai": KnownProvider(
            "openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"
        ),
        "openrouter": KnownProvider("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        "together": KnownProvider("openai", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        "xai": KnownProvider("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    }
)
"""Providers that need no settings but a key."""
