"""What messages and answers are made of, in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text inside a message."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPart:
    """What a model thought before it went on. Some providers sign it, and want it back as it was.

    Attributes:
        text: as far as the provider shows it.
        signature: the provider's; None if there is none.
        redacted: thinking that the provider has encrypted, in place of text.
        wire: the wire format of the provider that has signed or encrypted it, such as "anthropic". It is not sent to others, which would
            refuse it. With None it is sent to whichever provider is asked.
    """

    text: str = ""
    signature: str | None = field(default=None, repr=False)
    redacted: str | None = field(default=None, repr=False)
    wire: str | None = None

    def is_of(self, wire: str) -> bool:
        """Whether a provider of this wire format may have signed or encrypted it."""
        return self.wire is None or self.wire == wire


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool that a model asks for.

    Attributes:
        id: by which its result names it.
        name: of the tool.
        arguments: what it is called with, by name.
        signature: Gemini's, of the thinking that led to the call, which it wants back with the call; None if there is none.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    signature: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call of a tool has given.

    Attributes:
        call_id: which call.
        content: what the model reads.
        is_error: whether it says that the call has failed.
    """

    call_id: str
    content: str
    is_error: bool = False


def written(part: Part) -> str:
    """Return what a model reads of a part, or has written."""
    match part:
        case TextPart() | ThinkingPart():
            return part.text
        case ToolCall():
            return part.name + _as_json(part.arguments)
        case ToolResult():
            return part.content


def _as_json(arguments: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(arguments), ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return ""  # no vendor can be sent them: the request says why


def wrong_field(part: Part) -> tuple[str, str] | None:
    """Return the name of a field of a part that is not of its kind, and what it has to be; None if all are."""
    for name, kind, said in _FIELDS[type(part)]:
        if not isinstance(getattr(part, name), kind):
            return name, said
    return None


_TEXT = "a string"
_FIELDS: Mapping[type, tuple[tuple[str, Any, str], ...]] = {
    TextPart: (("text", str, _TEXT),),
    ThinkingPart: (
        ("text", str, _TEXT),
        ("signature", str | None, "a string, as the provider gave it"),
        ("redacted", str | None, "a string, as the provider gave it"),
        ("wire", str | None, 'the name of a wire format, such as "anthropic"'),
    ),
    ToolCall: (
        ("id", str, _TEXT),
        ("name", str, _TEXT),
        ("arguments", Mapping, "a dict"),
        ("signature", str | None, "a string, as the provider gave it"),
    ),
    ToolResult: (
        ("call_id", str, "the id of the call"),
        ("content", str, "a string: write anything else as JSON"),
    ),
}

UserPart = TextPart | ToolResult
AssistantPart = TextPart | ThinkingPart | ToolCall
Part = TextPart | ThinkingPart | ToolCall | ToolResult
