"""The documents of OpenAI chat completions and compatible servers: chunks, completions, usage.

Source: developers.openai.com/api/docs/api-reference/chat. Where a server is named that differs,
that is where the difference was seen.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import Count, TokenReport
from llmkit.providers.lenient import Needs
from llmkit.usage import EXACT, LARGEST_COST, Usage

_TICKS = Decimal(10**10)  # of a dollar
_ABSURD = LARGEST_COST * _TICKS


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """A part of the output."""

    reasoning_tokens: Count | None = None


class Report(TokenReport, gc=False):
    """What a chunk or a completion says of tokens."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek's name for cached_tokens."""
    cost: Any = None
    """OpenRouter: US dollars. Perplexity: an object with a total_cost in US dollars."""
    is_byok: Any = None
    """OpenRouter: whether the caller's own key was used; cost is then OpenRouter's fee alone."""
    cost_details: Any = None
    cost_in_usd_ticks: Any = None
    """xAI (docs.x.ai/developers/cost-tracking)."""

    def to_usage(self) -> Usage | None:
        """Return the counts, or None if they say nothing."""
        prompt, output = self.prompt_tokens, self.completion_tokens
        if not prompt and not output:
            return None
        details = self.prompt_tokens_details or PromptDetails()
        cached = details.cached_tokens
        if cached is None:
            cached = self.prompt_cache_hit_tokens
        reasoning = (self.completion_tokens_details or CompletionDetails()).reasoning_tokens
        if reasoning and self.total_tokens == (prompt or 0) + (output or 0) + reasoning:
            # xAI counts reasoning beside completion_tokens, not inside; its total shows it
            # (vercel/ai pull 12425).
            output = (output or 0) + reasoning
        return Usage(
            input_tokens=prompt,
            output_tokens=output,
            cache_read_tokens=cached,
            cache_write_tokens=details.cache_write_tokens,
            reasoning_tokens=reasoning,
        )

    def stated_cost(self) -> Decimal | None:
        """Return what the provider says that the answer cost, in US dollars."""
        if self.cost_in_usd_ticks is not None:
            ticks = _amount(self.cost_in_usd_ticks)
            return None if ticks is None else EXACT.divide(ticks, _TICKS)
        if self.is_byok is True:
            details = self.cost_details if isinstance(self.cost_details, dict) else {}
            return _amount(details.get("upstream_inference_cost"))
        cost = self.cost.get("total_cost") if isinstance(self.cost, dict) else self.cost
        return _amount(cost)


def _amount(value: object) -> Decimal | None:
    """Read an amount of money, as a number or a text of JSON."""
    if type(value) not in (int, float, str):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and 0 <= amount < _ABSURD else None


class Part(msgspec.Struct, gc=False):
    """A piece of a content that is a list, as Mistral's reasoning models send it."""

    needs: ClassVar[Needs] = {"text": ("text",)}
    says: ClassVar = ("text",)

    type: str = ""
    text: str | None = None
    thinking: list[Part] | None = None


class Function(msgspec.Struct, gc=False):
    """What a call of a tool calls, and with what: its JSON is a text, or an object (Ollama's own form)."""

    needs: ClassVar[Needs] = {"*": ("name",)}
    says: ClassVar = ("arguments",)

    name: str | None = None
    arguments: Any = None


class CallPiece(msgspec.Struct, gc=False):
    """A piece of a call of a tool; in a completion all of it."""

    needs: ClassVar[Needs] = {"*": ("function",)}

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Said(msgspec.Struct, gc=False):
    """The delta of a chunk, or the message of a completion."""

    needs: ClassVar[Needs] = {"*": ("content",)}
    lists: ClassVar = ("tool_calls",)
    says: ClassVar = ("content", "refusal", "reasoning_content", "reasoning")

    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, vLLM, xAI."""
    reasoning: str | None = None
    """OpenRouter, Groq, Ollama."""
    tool_calls: list[CallPiece] | None = None
    function_call: Function | None = None
    """What `tool_calls` were before there could be several."""


class Choice(msgspec.Struct, gc=False):
    """A choice of a chunk."""

    needs: ClassVar[Needs] = {"*": ("delta",)}

    index: int = 0
    said: Said | None = msgspec.field(name="delta", default=None)
    finish_reason: str | None = None


class WholeChoice(Choice, gc=False):
    """A choice of a completion."""

    needs: ClassVar[Needs] = {"*": ("message",)}

    said: Said | None = msgspec.field(name="message", default=None)


class Chunk(msgspec.Struct, gc=False):
    """What is read of every chunk."""

    needs: ClassVar[Needs] = {"*": ("choices",)}

    choices: list[Choice] | None = None
    usage: Report | None = None
    error: Any = None  # An object, or a text (Ollama).


class NamedChunk(Chunk, gc=False):
    """A chunk with what every chunk repeats; decoded until it is known."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None


class Completion(msgspec.Struct, gc=False):
    """A whole answer."""

    needs: ClassVar[Needs] = {"*": ("choices",)}

    choices: list[WholeChoice] | None = None
    usage: Report | None = None
    error: Any = None
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
