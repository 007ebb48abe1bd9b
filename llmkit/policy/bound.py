"""The most that a request can use, before it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import msgspec

from llmkit.usage import Billing

# What a provider puts around each message, and around them all; around tools it tells the model how to use them. In tokens, amply.
_MESSAGE = 16
_REQUEST = 64
_TOOLS = 1024


class _Body(msgspec.Struct):
    """What of a body limits the answer, in the words of the wires."""

    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    tools: Any = None
    functions: Any = None
    service_tier: Any = None
    gemini_tier: Any = msgspec.field(name="serviceTier", default=None)
    speed: Any = None
    inference_geo: Any = None
    generation_config: Any = msgspec.field(name="generationConfig", default=None)
    generation_config_too: Any = msgspec.field(name="generation_config", default=None)
    """Gemini's, in both of its spellings."""
    options: Any = None
    """Ollama's."""


# The words inside of those two.
_LIMITS = ("maxOutputTokens", "max_output_tokens", "num_predict")
_ANSWERS = ("candidateCount", "candidate_count")

_decode = msgspec.json.Decoder(_Body).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that a request can use.

    Attributes:
        input_tokens: a token is at least one byte of what is sent.
        output_tokens: None if nothing limits the answer.
        billing: what it asks to be billed by.
    """

    input_tokens: int
    output_tokens: int | None
    billing: Billing

    @property
    def tokens(self) -> int | None:
        """Of prompt and answer together."""
        return None if self.output_tokens is None else self.input_tokens + self.output_tokens


def bound_of(content: bytes, *, messages: int, context_window: int | None) -> Bound:
    """Find the most that a request can use, in whatever words it was said: also in those of `extra`.

    Args:
        content: the body as it is sent.
        messages: how many there are in it.
        context_window: how many tokens the model reads at most, if that is known.
    """
    body = _read(content)
    inner = (body.generation_config, body.generation_config_too, body.options)
    configs = [each for each in inner if isinstance(each, dict)]
    has_tools = bool(body.tools or body.functions)
    put_in = len(content) + messages * _MESSAGE + _REQUEST + (_TOOLS if has_tools else 0)
    if context_window is not None:
        put_in = min(put_in, context_window)
    limits = [
        limit
        for limit in (
            body.max_tokens,
            body.max_completion_tokens,
            body.max_output_tokens,
            *(config.get(word) for config in configs for word in _LIMITS),
        )
        if limit is not None
    ]
    # What is no number of tokens, such as -1, is no limit either: some servers take it for that.
    limited = bool(limits) and all(_is_count(limit) for limit in limits)
    put_out = max(limits) if limited else context_window
    if put_out is not None:
        several = (config.get(word) for config in configs for word in _ANSWERS)
        put_out *= max(map(_answers, (body.n, body.best_of, *several)))
    return Bound(
        input_tokens=put_in,
        output_tokens=put_out,
        billing=Billing(
            service_tier=_word(body.service_tier) or _word(body.gemini_tier),
            speed=_word(body.speed),
            region=_word(body.inference_geo),
        ),
    )


def _read(content: bytes) -> _Body:
    """Read what limits an answer; nothing does in a body that is no JSON object."""
    try:
        return _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _answers(value: object) -> int:
    """Return how many answers are asked for. Some servers take a text for a number."""
    try:
        number = float(value) if isinstance(value, str | int | float) else 1.0
    except (ValueError, OverflowError):
        return 1
    return max(1, ceil(number)) if isfinite(number) else 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None
