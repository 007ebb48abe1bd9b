"""The documents of Gemini: responses, their candidates and parts, usage.

Sources: ai.google.dev/api/generate-content, and the types of the google-genai SDK.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import Count, TokenReport
from llmkit.providers.lenient import Needs
from llmkit.usage import Usage


class Modality(msgspec.Struct, gc=False, rename="camel"):
    """Tokens of one kind: of text, or of images, sound and so on, which have other prices."""

    modality: str | None = None
    token_count: Count | None = None


class Report(TokenReport, gc=False, rename="camel"):
    """What a response says of tokens. Its counts are totals."""

    prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    total_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    """What the vendor's own tools, such as a search, have put into the prompt. It is not in `promptTokenCount`."""
    candidates_tokens_details: list[Modality] | None = None
    traffic_type: str | None = None
    """Vertex AI: by which of its offers it is billed."""
    service_tier: str | None = None

    def update(self, later: Report) -> None:
        """Take over what a later response says; it may leave some out. It is said with every piece, so there is no loop over its fields."""
        if later.prompt_token_count is not None:
            self.prompt_token_count = later.prompt_token_count
        if later.candidates_token_count is not None:
            self.candidates_token_count = later.candidates_token_count
        if later.total_token_count is not None:
            self.total_token_count = later.total_token_count
        if later.cached_content_token_count is not None:
            self.cached_content_token_count = later.cached_content_token_count
        if later.thoughts_token_count is not None:
            self.thoughts_token_count = later.thoughts_token_count
        if later.tool_use_prompt_token_count is not None:
            self.tool_use_prompt_token_count = later.tool_use_prompt_token_count
        if later.candidates_tokens_details:
            self.candidates_tokens_details = later.candidates_tokens_details
        if later.traffic_type:
            self.traffic_type = later.traffic_type
        if later.service_tier:
            self.service_tier = later.service_tier

    @property
    def is_of_text(self) -> bool:
        """Whether all that was said is text, as far as is known."""
        return all(
            each.modality in (None, "TEXT") or not each.token_count
            for each in self.candidates_tokens_details or ()
        )

    def to_usage(self) -> Usage:
        """Return the counts. What is thought is not among those of the candidates; a count of 0 is left out, and the total shows it."""
        prompt, said, thought = (
            self.prompt_token_count,
            self.candidates_token_count,
            self.thoughts_token_count,
        )
        put_in = self.tool_use_prompt_token_count or 0
        total = self.total_token_count
        if said is None and prompt is not None and total is not None:
            said = max(0, total - prompt - put_in - (thought or 0))
        elif said is None and thought is not None:
            said = 0
        return Usage(
            input_tokens=None if prompt is None else prompt + put_in,
            output_tokens=None if said is None else said + (thought or 0),
            cache_read_tokens=self.cached_content_token_count,
            reasoning_tokens=thought,
        )


class PartialArg(msgspec.Struct, gc=False, rename="camel"):
    """A piece of the arguments of a call: where it stands, as a JSON path, and what stands there."""

    needs: ClassVar[Needs] = {"*": ("jsonPath", "stringValue")}
    says: ClassVar = ("stringValue",)

    json_path: str | None = None
    string_value: str | None = None
    number_value: Any = msgspec.UNSET
    bool_value: Any = msgspec.UNSET
    null_value: Any = msgspec.UNSET
    will_continue: bool | None = None


class FunctionCall(msgspec.Struct, gc=False, rename="camel"):
    """A call of a tool; on Vertex AI it may come in pieces."""

    needs: ClassVar[Needs] = {"*": ("name", "partialArgs")}

    id: str | None = None
    name: str | None = None
    args: Any = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    """A part of an answer."""

    needs: ClassVar[Needs] = {"*": ("text", "thought", "functionCall")}
    says: ClassVar = ("text",)

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(msgspec.Struct, gc=False):
    """The parts of a candidate, as far as they are new."""

    needs: ClassVar[Needs] = {"*": ("parts",)}

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """An answer, of which there may be several."""

    needs: ClassVar[Needs] = {"*": ("content",)}

    index: int = 0
    content: Content | None = None
    finish_reason: Any = None
    grounding_metadata: Any = None


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    """What is said of the prompt, where it is not answered."""

    block_reason: str | None = None


class Document(msgspec.Struct, gc=False, rename="camel"):
    """A response: a whole one, or what is new in one that comes in pieces."""

    needs: ClassVar[Needs] = {"*": ("candidates",)}

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Report | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None
