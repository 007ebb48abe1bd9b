"""The documents of OpenAI chat completions and compatible servers: chunks, completions, usage.

Source: developers.openai.com/api/docs/api-reference/chat. Where a server is named that differs,
that is where the difference was seen.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import Count
from llmkit.providers.lenient import Needs
from llmkit.usage import Usage


class PromptDetails(msgspec.Struct, gc=False):
    """Parts of the prompt."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """A part of the output."""

    reasoning_tokens: Count | None = None


class Report(msgspec.Struct, gc=False):
    """What a chunk or a completion says of tokens."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count | None = None
    """DeepSeek's name for cached_tokens."""

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


class Part(msgspec.Struct, gc=False):
    """A piece of a content that is a list, as Mistral's reasoning models send it."""

    needs: ClassVar[Needs] = {"text": ("text",)}
    says: ClassVar = ("text",)

    type: str = ""
    text: str | None = None
    thinking: list[Part] | None = None


class Said(msgspec.Struct, gc=False):
    """The delta of a chunk, or the message of a completion."""

    needs: ClassVar[Needs] = {"*": ("content",)}
    says: ClassVar = ("content", "refusal", "reasoning_content", "reasoning")

    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    """DeepSeek, vLLM, xAI."""
    reasoning: str | None = None
    """OpenRouter, Groq, Ollama."""


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


class Completion(msgspec.Struct, gc=False):
    """A whole answer."""

    needs: ClassVar[Needs] = {"*": ("choices",)}

    choices: list[WholeChoice] | None = None
    usage: Report | None = None
    error: Any = None
    id: str | None = None
    model: str | None = None
