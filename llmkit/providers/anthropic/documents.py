"""The documents of Anthropic Messages: events, messages, usage.

Sources: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from llmkit.providers.counts import LARGEST, Count, TokenReport
from llmkit.providers.lenient import Needs
from llmkit.usage import Billing, Usage

# What the provider does for an answer without a price of its own: its tokens are billed as all others.
_FREE = ("web_fetch_requests", "tool_search_requests")
_STEPS = ("message", "compaction")


class CacheCreation(msgspec.Struct, gc=False):
    """What was written to the cache, by how long it lives."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """A part of the output."""

    thinking_tokens: Count | None = None


class Iteration(msgspec.Struct, gc=False):
    """One of the steps that the provider took for an answer."""

    type: str = ""
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class Report(TokenReport, gc=False):
    """What an event or a message says of tokens, and of what else is billed."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    iterations: list[Iteration] | None = None
    """With compaction: all steps, while the counts beside it are without those that compacted
    (platform.claude.com/docs/en/build-with-claude/compaction)."""
    server_tool_use: Any = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None

    def update(self, later: Report) -> None:
        """Take over what a later report says: its counts are totals, and it may leave some out.

        A total does not shrink to nothing: some proxies say 0 where they mean that they have told it before.
        """
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None and (value or getattr(self, name) is None):
                setattr(self, name, value)

    def to_billing(self) -> Billing:
        """Return what the cost hangs on beside the tokens."""
        tier, speed, region = self.service_tier, self.speed, self.inference_geo
        if not self.server_tool_use and not self.iterations:
            return Billing(service_tier=tier, speed=speed, region=region)
        tools = self.server_tool_use if isinstance(self.server_tool_use, dict) else {}
        searches = tools.get("web_search_requests") or 0
        counted = isinstance(searches, int) and 0 <= searches <= LARGEST
        others = (
            bool(count)
            for name, count in tools.items()
            if name not in ("web_search_requests", *_FREE)
        )
        steps = (step.type not in _STEPS for step in self.iterations or ())
        return Billing(
            service_tier=tier,
            speed=speed,
            region=region,
            web_searches=searches if counted else 0,
            unpriced=not counted or any(others) or any(steps),
        )

    def to_usage(self) -> Usage:
        """Add up the prompt: `input_tokens` here is without what the cache gave or took."""
        steps = self.iterations or ()
        if any(step.type == "compaction" for step in steps):
            return _added(steps).to_usage()
        split, details = self.cache_creation or CacheCreation(), self.output_tokens_details
        write_5m, write_1h = split.ephemeral_5m_input_tokens, split.ephemeral_1h_input_tokens
        write, read = self.cache_creation_input_tokens, self.cache_read_input_tokens
        if write is None and (write_5m is not None or write_1h is not None):
            write = (write_5m or 0) + (write_1h or 0)
        elif write != (write_5m or 0) + (write_1h or 0):
            # A later report raised the total and did not split it.
            write_5m = write_1h = None
        prompt = self.input_tokens
        return Usage(
            input_tokens=None if prompt is None else prompt + (read or 0) + (write or 0),
            output_tokens=self.output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=write,
            cache_write_5m_tokens=write_5m,
            cache_write_1h_tokens=write_1h,
            reasoning_tokens=details.thinking_tokens if details is not None else None,
        )


def _added(steps: Sequence[Iteration]) -> Report:
    """Add up the counts of all steps; one that a step leaves out is none of its own, but for the prompt and the output."""

    def total(name: str) -> int | None:
        counts = [getattr(step, name) for step in steps]
        if None in counts and name in ("input_tokens", "output_tokens"):
            return None
        return sum(count or 0 for count in counts)

    splits = [step.cache_creation or CacheCreation() for step in steps]
    return Report(
        input_tokens=total("input_tokens"),
        output_tokens=total("output_tokens"),
        cache_read_input_tokens=total("cache_read_input_tokens"),
        cache_creation_input_tokens=total("cache_creation_input_tokens"),
        cache_creation=CacheCreation(
            sum(split.ephemeral_5m_input_tokens or 0 for split in splits),
            sum(split.ephemeral_1h_input_tokens or 0 for split in splits),
        ),
    )


class Block(msgspec.Struct, gc=False):
    """A content block, or a delta of one, or the delta of the message."""

    needs: ClassVar[Needs] = {
        "text": ("text",),
        "text_delta": ("text",),
        "thinking": ("thinking",),
        "thinking_delta": ("thinking",),
        "signature_delta": ("signature",),
        "redacted_thinking": ("data",),
        "tool_use": ("id", "name"),
        "input_json_delta": ("partial_json",),
    }
    says: ClassVar = ("text", "thinking", "partial_json")

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Delta(msgspec.Struct, gc=False):
    """What is read of the delta of a text or of thinking, which nearly all events are."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None


class DeltaEvent(msgspec.Struct, gc=False):
    """An event with such a delta."""

    delta: Delta | None = None


class Message(msgspec.Struct, gc=False):
    """A whole answer."""

    needs: ClassVar[Needs] = {"*": ("content",)}

    type: str = ""
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: Report | None = None


class Head(msgspec.Struct, gc=False):
    """The message in message_start: its content is empty and its stop reason is null."""

    id: str | None = None
    model: str | None = None
    usage: Report | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """All stream events in one: decoding a union of them would cost more for every token."""

    needs: ClassVar[Needs] = {
        "content_block_start": ("content_block",),
        "content_block_delta": ("delta",),
        "message_start": ("message",),
    }

    type: str = ""
    index: int | None = None
    delta: Block | None = None
    content_block: Block | None = None
    message: Head | None = None
    usage: Report | None = None
