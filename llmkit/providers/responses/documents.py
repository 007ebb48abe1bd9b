"""The documents of OpenAI's Responses API: responses, their items, and the events of a stream.

Source: developers.openai.com/api/docs/api-reference/responses.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import Count, TokenReport
from llmkit.providers.lenient import Needs
from llmkit.usage import Usage


class InputDetails(msgspec.Struct, gc=False):
    """Parts of the prompt."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """A part of the output."""

    reasoning_tokens: Count | None = None


class Report(TokenReport, gc=False):
    """What a response says of tokens. What was cached is in the prompt, and what was thought in the output."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def to_usage(self) -> Usage | None:
        """Return the counts, or None if they say nothing."""
        if not self.input_tokens and not self.output_tokens:
            return None
        prompt = self.input_tokens_details or InputDetails()
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=prompt.cached_tokens,
            cache_write_tokens=prompt.cache_write_tokens,
            reasoning_tokens=(self.output_tokens_details or OutputDetails()).reasoning_tokens,
        )


class Piece(msgspec.Struct, gc=False):
    """A piece of a message or of reasoning, whole."""

    needs: ClassVar[Needs] = {
        "output_text": ("text",),
        "refusal": ("refusal",),
        "summary_text": ("text",),
        "reasoning_text": ("text",),
    }
    says: ClassVar = ("text", "refusal")

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(msgspec.Struct, gc=False):
    """An item of an answer: a message, reasoning, a call of a tool, or something that the vendor has done itself."""

    needs: ClassVar[Needs] = {
        "function_call": ("call_id", "name", "arguments"),
        "message": ("content",),
    }
    says: ClassVar = ("arguments",)

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    content: list[Piece] | None = None
    summary: list[Piece] | None = None
    encrypted_content: str | None = None


class Incomplete(msgspec.Struct, gc=False):
    """Why an answer is not complete."""

    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """A whole answer, or what an event says of one."""

    needs: ClassVar[Needs] = {"*": ("output", "status")}

    id: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    output: list[Item] | None = None
    usage: Report | None = None
    incomplete_details: Incomplete | None = None
    error: Any = None


class StreamEvent(msgspec.Struct, gc=False):
    """All stream events in one."""

    needs: ClassVar[Needs] = {
        "response.completed": ("response",),
        "response.function_call_arguments.delta": ("delta",),
        "response.incomplete": ("response",),
        "response.output_item.added": ("item",),
        "response.output_item.done": ("item",),
        "response.output_text.delta": ("delta",),
        "response.refusal.delta": ("delta",),
    }
    says: ClassVar = ("delta",)

    type: str = ""
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    delta: str | None = None
    item: Item | None = None
    response: Response | None = None


class DeltaEvent(msgspec.Struct, gc=False):
    """What is read of the delta of a text, which nearly all events are."""

    type: str = ""
    delta: str | None = None
    output_index: int | None = None
