"""Calls of tools from earlier in a conversation, so that every vendor takes them: another one may have answered then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from llmkit.messages import Message, have_tools
from llmkit.parts import Part, ToolCall, ToolResult

# Anthropic refuses ids of other letters, and one that comes twice; OpenAI ids of more than 40, and names of other letters or more than 64.
# Sources: "String should match pattern '^[a-zA-Z0-9_-]+$'" and "`tool_use` ids must be unique", as in github.com/maximhq/bifrost/issues/5097
# and github.com/NVIDIA-NeMo/Switchyard/issues/502; developers.openai.com/api/reference/resources/chat, tool_calls.
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID = 40
_LONGEST_NAME = 64


def sound_calls(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the conversation with ids that no two calls share, and with ids and names of letters that all vendors take."""
    if not have_tools(messages):
        return messages
    taken: set[str] = set()
    ids: dict[str, str] = {}
    found = []
    for message in messages:
        if message.role == "assistant":
            # A result stands in the message behind its call.
            ids = {call.id: _own(call.id, taken) for call in message.tool_calls}
        parts = tuple(_sound(part, ids) for part in message.parts)
        found.append(message if parts == message.parts else Message(message.role, parts))
    return found


def _own(given: str, taken: set[str]) -> str:
    """Return an id like the one that is given, and take it."""
    stem = _ODD.sub("_", given)[:_LONGEST_ID] or "call"
    own, number = stem, 1
    while own in taken:
        number += 1
        end = f"_{number}"
        own = stem[: _LONGEST_ID - len(end)] + end
    taken.add(own)
    return own


def _sound(part: Part, ids: Mapping[str, str]) -> Part:
    if isinstance(part, ToolCall):
        name = _ODD.sub("_", part.name)[:_LONGEST_NAME] or "_"
        return replace(part, id=ids[part.id], name=name)
    if isinstance(part, ToolResult):
        return replace(part, call_id=ids.get(part.call_id, part.call_id))
    return part
