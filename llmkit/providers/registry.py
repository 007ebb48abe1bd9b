"""The wire formats. Each is loaded when a provider of its own is made."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from llmkit.providers.base import Provider
from llmkit.providers.vendors import WireName


class Wire(Protocol):
    """Makes a provider that speaks one wire format."""

    def __call__(
        self,
        name: str,
        *,
        api_key: str | None,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        api_version: str | None = None,
        token: Callable[[], str] | None = None,
        embed_at_once: int | None = None,
    ) -> Provider:
        """Make it."""


WIRES: Mapping[WireName, str] = MappingProxyType(
    {
        "anthropic": "llmkit.providers.anthropic:Anthropic",
        "gemini": "llmkit.providers.gemini:Gemini",
        "ollama": "llmkit.providers.ollama:Ollama",
        "openai": "llmkit.providers.openai:OpenAI",
        "openai-responses": "llmkit.providers.responses:OpenAIResponses",
    }
)
"""Where each wire format is: its module and its class."""


def wire(name: WireName) -> Wire:
    """Load a wire format."""
    found: Wire = pkgutil.resolve_name(WIRES[name])
    return found
