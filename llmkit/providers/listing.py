"""What providers list of their models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from llmkit.kinds import is_whole
from llmkit.providers.counts import LARGEST
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


class _Model(msgspec.Struct):
    """A model in any form; a field may have any value, for one that is odd must not hide all others."""

    id: Any = None
    name: Any = None
    input_token_limit: Any = msgspec.field(default=None, name="inputTokenLimit")
    max_input_tokens: Any = None
    context_length: Any = None

    @property
    def shown(self) -> str:
        """Its name, as calls name it; empty if it has none."""
        named = next((each for each in (self.id, self.name) if each and isinstance(each, str)), "")
        return named.removeprefix("models/")

    @property
    def context_window(self) -> int | None:
        limits = (self.input_token_limit, self.max_input_tokens, self.context_length)
        return next((each for each in limits if is_whole(each) and 0 < each <= LARGEST), None)


class _Listing(msgspec.Struct):
    data: list[_Model] | None = None
    models: list[_Model] | None = None


def read_listing(body: bytes) -> list[Offer] | None:
    """Read a list of models in the forms that are in use; None if it is none.

    `{"data": [{"id"}]}` (OpenAI; Anthropic with `max_input_tokens`, OpenRouter with `context_length`), `[{"id", "context_length"}]` (Together),
    `{"models": [{"name": "models/...", "inputTokenLimit"}]}` (Gemini), `{"models": [{"name"}]}` (Ollama).
    """
    try:
        found = msgspec.json.decode(body, type=_Listing | list[_Model])
    except BROKEN:
        return None
    if isinstance(found, list):
        models = found or None  # nothing at all may be anything
    else:
        models = found.data if found.data is not None else found.models
    if models is None:
        return None
    return [
        Offer(model=each.shown, context_window=each.context_window) for each in models if each.shown
    ]
