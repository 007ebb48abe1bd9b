"""What providers list of their models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from llmkit.providers.counts import Count
from llmkit.providers.decoding import BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that a provider offers.

    Attributes:
        model: its name, as calls name it.
        context_window: how many tokens it reads at most, where the provider says so.
    """

    model: str
    context_window: int | None = None


class _Model(msgspec.Struct, rename="camel"):
    id: str | None = None
    name: str | None = None
    input_token_limit: Count | None = None


class _Listing(msgspec.Struct):
    data: list[_Model] | None = None
    models: list[_Model] | None = None


def read_listing(body: bytes) -> list[Offer] | None:
    """Read a list of models in the forms that are in use; None if it is none.

    `{"data": [{"id"}]}` (OpenAI, Anthropic), `{"models": [{"name": "models/...", "inputTokenLimit"}]}` (Gemini), `{"models": [{"name"}]}` (Ollama).
    """
    try:
        found: Any = msgspec.json.decode(body, type=_Listing)
    except BROKEN:
        return None
    models = found.data if found.data is not None else found.models
    if models is None:
        return None
    return [
        Offer(model=name.removeprefix("models/"), context_window=each.input_token_limit)
        for each in models
        if (name := each.id or each.name)
    ]
