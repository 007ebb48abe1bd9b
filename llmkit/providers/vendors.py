"""What is known of the vendors and their models, as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeVar

T = TypeVar("T")

WireName = Literal["anthropic", "gemini", "ollama", "openai", "openai-responses"]
"""The wire formats, by the name that `providers.<name>.wire` takes."""

Ability = Literal["json_schema", "json_schema_and_tools"]
"""What not all models of a wire can: `json_schema` is an answer that keeps to a schema, the other one also where the model may call tools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """Where a server differs from others with the same wire: what it calls a field, whether it takes one, and how much it embeds at once.

    Attributes:
        embed_at_once: how many texts one request has at most.
        embed_tokens: how many tokens these may have together; None if nobody can tell.
    """

    max_tokens: str = "max_tokens"
    seed: str = "seed"
    stream_options: bool = True
    embed_at_once: int = 2048
    embed_tokens: int | None = None


USUAL = Quirks()

# learn.microsoft.com/azure/ai-foundry/openai/reference, and /azure/azure-government/compare-azure-government-global-azure.
AZURE = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".openai.azure.us",
)
"""Where Azure speaks OpenAI's formats, as endings of hosts; anywhere else an `api_version` tells that it is Azure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A vendor, as the name of a provider.

    Attributes:
        wire: the wire format that it speaks.
        base_url: its address.
        key_variable: the environment variable that holds its key; None where no key is needed.
        url_variable: the vendor's own variable for another address, if it has one.
        hosts: where its quirks hold, whatever the provider is called there; a dot in front stands for every name with this ending.
        quirks: what is different there.
        models: how the names of its models begin, as a regular expression; None if nobody can tell.
        other_wires: which of its models speak another wire format, by how their names begin.
        unable: what some of its models cannot, by how their names begin. Whatever is not here is able.
        price_id: what genai-prices calls it, if not by its name here.
        usual_words: fields of its answers with a word that means the usual price there, and another one elsewhere.
        region_factors: regions that cost more, with what all prices of tokens are multiplied by.
    """

    wire: WireName
    base_url: str
    key_variable: str | None
    url_variable: str | None = None
    hosts: tuple[str, ...] = ()
    quirks: Quirks = USUAL
    models: str | None = None
    other_wires: tuple[tuple[str, WireName], ...] = ()
    unable: tuple[tuple[str, frozenset[Ability]], ...] = ()
    price_id: str | None = None
    usual_words: tuple[tuple[str, str], ...] = ()
    region_factors: tuple[tuple[str, Decimal], ...] = ()

    def is_at(self, host: str) -> bool:
        """Whether a host is one of this vendor's whose quirks are known."""
        return any(
            host.endswith(name) if name.startswith(".") else host == name for name in self.hosts
        )


_NO_SCHEMA: frozenset[Ability] = frozenset({"json_schema", "json_schema_and_tools"})
_NOT_BOTH: frozenset[Ability] = frozenset({"json_schema_and_tools"})

VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "anthropic": Vendor(
            wire="anthropic",
            base_url="https://api.anthropic.com",
            key_variable="ANTHROPIC_API_KEY",
            url_variable="ANTHROPIC_BASE_URL",
            models="claude",
            # platform.claude.com/docs/en/build-with-claude/structured-outputs
            unable=((r"claude-([23]|instant|(sonnet|opus)-4-(0|2))", _NO_SCHEMA),),
            # platform.claude.com/docs/en/build-with-claude/data-residency
            region_factors=(("us", Decimal("1.1")),),
        ),
        "deepseek": Vendor(
            wire="openai",
            base_url="https://api.deepseek.com/v1",
            key_variable="DEEPSEEK_API_KEY",
            models="deepseek",
            unable=(("deepseek", _NO_SCHEMA),),  # api-docs.deepseek.com/guides/json_mode
        ),
        "gemini": Vendor(
            wire="gemini",
            base_url="https://generativelanguage.googleapis.com/v1beta",
            key_variable="GEMINI_API_KEY",
            models="gemini|gemma",
            # ai.google.dev/gemini-api/docs/structured-output: tools beside a schema, with the third generation.
            unable=(("gemma", _NO_SCHEMA), (r"gemini-(1|2)[.-]", _NOT_BOTH)),
            price_id="google",
        ),
        "groq": Vendor(
            wire="openai",
            base_url="https://api.groq.com/openai/v1",
            key_variable="GROQ_API_KEY",
            usual_words=(("service_tier", "flex"),),  # costs what its on_demand does
        ),
        "mistral": Vendor(
            wire="openai",
            base_url="https://api.mistral.ai/v1",
            key_variable="MISTRAL_API_KEY",
            hosts=("api.mistral.ai",),
            # It answers 422 extra_forbidden to stream_options, and sends usage without being asked (anon-kode issue 53).
            # "Too many inputs in request" above 512 (edgequake-llm pull 74), "Too many tokens in batch. Max is 16384" (semantic-router issue 297).
            quirks=Quirks(
                seed="random_seed", stream_options=False, embed_at_once=512, embed_tokens=16_384
            ),
            models="(mi|mini|magi)stral|codestral|pixtral",
        ),
        # Its other API is OpenAI's, with `"wire": "openai"`: at this address, too.
        "ollama": Vendor(wire="ollama", base_url="http://127.0.0.1:11434/v1", key_variable=None),
        "openai": Vendor(
            wire="openai",
            base_url="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
            url_variable="OPENAI_BASE_URL",
            hosts=("api.openai.com", ".api.openai.com", *AZURE),
            # Its reasoning models refuse max_tokens; many compatible servers know nothing else.
            quirks=Quirks(max_tokens="max_completion_tokens"),
            models=r"(chat)?gpt|o\d",
            # developers.openai.com/api/docs/models: those that are offered by the Responses API alone.
            other_wires=(
                (
                    r"(o\d|gpt-[\d.]+)(-mini)?-(pro|codex|deep-research)|codex-|computer-use-",
                    "openai-responses",
                ),
            ),
            # developers.openai.com/api/docs/guides/structured-outputs
            unable=((r"gpt-3\.5|gpt-4(?![.\w])|gpt-4o-2024-05-13", _NO_SCHEMA),),
        ),
        "openrouter": Vendor(
            wire="openai",
            base_url="https://openrouter.ai/api/v1",
            key_variable="OPENROUTER_API_KEY",
        ),
        "together": Vendor(
            wire="openai",
            base_url="https://api.together.xyz/v1",
            key_variable="TOGETHER_API_KEY",
        ),
        "xai": Vendor(
            wire="openai",
            base_url="https://api.x.ai/v1",
            key_variable="XAI_API_KEY",
            models="grok",
            price_id="x-ai",
        ),
    }
)
"""The vendors that need no settings but a key, by their names."""


# Where vendors without quirks above embed fewer texts at once.
_AT_ONCE: Mapping[str, int] = MappingProxyType(
    {
        # docs.cohere.com/reference/embed
        "api.cohere.ai": 96,
        "api.cohere.com": 96,
        # help.aliyun.com/zh/model-studio/text-embedding-synchronous-api
        "dashscope.aliyuncs.com": 10,
        "dashscope-intl.aliyuncs.com": 10,
        # ai.google.dev/gemini-api/docs/openai, which stands before the vendor's own API.
        "generativelanguage.googleapis.com": 100,
    }
)


def quirks_at(host: str) -> Quirks:
    """Return what is different at a host."""
    usual = Quirks(embed_at_once=_AT_ONCE[host]) if host in _AT_ONCE else USUAL
    return next((vendor.quirks for vendor in VENDORS.values() if vendor.is_at(host)), usual)


def vendor_of(model: str) -> str | None:
    """Name the vendor of a well-known model, by how its name begins."""
    return _first(model, ((vendor.models, name) for name, vendor in VENDORS.items()))


def key_place(provider: str) -> str:
    """Name where the key of a provider is set: in the settings, and in the environment where it has a variable there."""
    known = VENDORS.get(provider)
    variable = known.key_variable if known is not None else None
    setting = f"providers.{provider}.api_key"
    return f"{setting} or the environment variable {variable}" if variable else setting


def wire_of(vendor: Vendor, model: str) -> WireName:
    """Return the wire format that a vendor speaks for a model."""
    return _first(model, vendor.other_wires) or vendor.wire


def is_able(provider: str, model: str, ability: Ability, *, wire_vendor: str | None = None) -> bool:
    """Whether a model can do something, as far as is known: of whom nothing is known is able.

    Args:
        provider: its name in the settings. Where it is no vendor's, `wire_vendor` is asked, whose wire format it speaks: Vertex AI and Azure have
            the models of others.
        model: the model's name, as the provider knows it.
        ability: what it is asked for.
        wire_vendor: a vendor's name, or None.
    """
    vendor = VENDORS.get(provider) or VENDORS.get(wire_vendor or "")
    unable = _first(model, vendor.unable) if vendor is not None else None
    return unable is None or ability not in unable


def _first(model: str, by_beginning: Iterable[tuple[str | None, T]]) -> T | None:
    name = model.lower().removeprefix("models/")  # as Google's list has it
    found = (value for begins, value in by_beginning if begins and re.match(begins, name))
    return next(found, None)
