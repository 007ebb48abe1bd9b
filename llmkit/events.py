"""The events of a stream.

These are msgspec structs and not dataclasses because one is made for every network read: a frozen dataclass takes five
times as long to build, and structs that hold only text need no garbage collection.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llmkit.parts import ToolCall, ToolResult
from llmkit.usage import Usage

StopReason = Literal[
    "end",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "content_filter",
    "pause",
    "other",
]


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the answer's text."""

    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, gc=False):
    """More of the model's thinking, if the provider shows it."""

    text: str


class ThinkingSignature(msgspec.Struct, frozen=True, gc=False):
    """The provider's signature of the thinking before it, which ends there. It wants both back as they are.

    Attributes:
        signature: as it came.
        wire: the wire format of the provider; no other one knows it.
    """

    signature: str
    wire: str | None = None


class RedactedThinking(msgspec.Struct, frozen=True, gc=False):
    """Thinking that the provider has encrypted, and wants back as it is.

    Attributes:
        data: as it came.
        wire: the wire format of the provider; no other one knows it.
    """

    data: str
    wire: str | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False):
    """More of a call of a tool: of the JSON of its arguments. `ToolCall` follows when the answer is complete, and only then may it be run.

    Attributes:
        index: which call of the answer, from 0.
        id, name: of the call.
        arguments: the next piece of its JSON, maybe empty.
    """

    index: int
    id: str
    name: str
    arguments: str


class Vectors(msgspec.Struct, frozen=True, gc=False):
    """The numbers of each text that was to be embedded."""

    vectors: list[list[float]]


class Reset(msgspec.Struct, frozen=True, gc=False):
    """Discard the text so far: the answer starts again."""


class Finish(msgspec.Struct, frozen=True):
    """The answer is complete. Every complete stream ends with this event, and no other stream has one."""

    stop_reason: StopReason
    raw_stop_reason: str | None
    usage: Usage


Event = (
    TextDelta
    | ThinkingDelta
    | ThinkingSignature
    | RedactedThinking
    | ToolCallDelta
    | ToolCall
    | ToolResult
    | Vectors
    | Reset
    | Finish
)
