"""Anthropic Messages: POST /v1/messages.

Sources: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote

from llmkit.call import Call
from llmkit.errors import InvalidRequest
from llmkit.parts import Part, TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.providers.anthropic.answers import WIRE, EventDecoder, MessageDecoder
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.over_http import HTTPProvider, without_version
from llmkit.providers.request import to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.tools.tool import Tool

VERSION = "2023-06-01"
_VERTEX_VERSION = "vertex-2023-10-16"
DEFAULT_MAX_TOKENS = 4096
"""The vendor requires `max_tokens`; this is sent for a call that does not set it."""
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


class Anthropic(HTTPProvider):
    """The Anthropic Messages wire format, for Anthropic or a compatible server, and for Claude on Vertex AI.

    There the base URL ends in `/publishers/anthropic`: `https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/publishers/anthropic`.
    """

    vendor = "anthropic"
    key_header = "x-api-key"
    own_headers = MappingProxyType({"anthropic-version": VERSION})

    def _locate(self, base_url: str, api_version: str | None) -> str:
        without_version(self.name, api_version)
        # docs.claude.com/en/api/claude-on-vertex-ai
        self._is_vertex = base_url.endswith("/publishers/anthropic")
        if self._is_vertex:
            return f"{base_url}/models"
        return base_url.removesuffix("/v1") + "/v1/messages"

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Write the call in the vendor's format.

        Raises:
            InvalidRequest: the call has a seed, which this wire does not support, or cannot be
            written as JSON.
        """
        if call.seed is not None:
            raise InvalidRequest(
                f"{self.name} does not support seed", hint="Leave seed out for this model."
            )
        body: dict[str, object] = {
            "model": model,
            "max_tokens": DEFAULT_MAX_TOKENS if call.max_tokens is None else call.max_tokens,
            "messages": _messages(call),
        }
        if call.system is not None:
            body["system"] = call.system
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.top_p is not None:
            body["top_p"] = call.top_p
        if call.stop:
            body["stop_sequences"] = call.stop
        if call.tools:
            body |= _tools(call)
        if call.output is not None and call.output.strict_schema is not None:
            # platform.claude.com/docs/en/build-with-claude/structured-outputs
            schema = call.output.strict_schema
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        if call.streaming:
            body["stream"] = True
        url = self._url
        if self._is_vertex:
            del body["model"]
            body["anthropic_version"] = _VERTEX_VERSION
            method = "streamRawPredict" if call.streaming else "rawPredict"
            url = f"{url}/{quote(model, safe='')}:{method}"
        return to_request(url, self._sent(call), body, call.extra)

    def build_listing(self) -> HTTPRequest | None:
        """Ask for the list of models; None on Vertex AI, which has none."""
        if self._is_vertex:
            return None
        return self._list(f"{self._url.removesuffix('/messages')}/models?limit=1000")

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(
            origin, headers, streaming=call.streaming, stream=EventDecoder, whole=MessageDecoder
        )


def _messages(call: Call) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for message in sound_calls(call.messages):
        if len(message.parts) == 1 and type(message.parts[0]) is TextPart:
            found.append({"role": message.role, "content": message.text})
        elif blocks := [block for part in message.parts if (block := _block(part)) is not None]:
            found.append({"role": message.role, "content": blocks})
    return found


def _tools(call: Call) -> dict[str, object]:
    """Write what the model may call. Source: docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use."""
    body: dict[str, object] = {"tools": [_tool(tool) for tool in call.tools]}
    choice: dict[str, object] = {"type": "auto"}
    if call.tool_choice is not None:
        kind = _CHOICES.get(call.tool_choice)
        choice = {"type": "tool", "name": call.tool_choice} if kind is None else {"type": kind}
    if call.parallel_tool_calls is not None and call.tool_choice != "none":
        choice["disable_parallel_tool_use"] = not call.parallel_tool_calls
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice
    return body


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"name": tool.name, "input_schema": tool.schema}
    if tool.description:
        said["description"] = tool.description
    return said


def _block(part: Part) -> dict[str, object] | None:
    """Write a part; None for thinking that nobody has signed, or another vendor has: this one refuses it."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ThinkingPart() if not part.is_of(WIRE):
            return None
        case ThinkingPart(redacted=str()):
            return {"type": "redacted_thinking", "data": part.redacted}
        case ThinkingPart(signature=str()):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case ThinkingPart():
            return None
        case ToolCall():
            return {
                "type": "tool_use",
                "id": part.id,
                "name": part.name,
                "input": dict(part.arguments),
            }
        case ToolResult():
            return {
                "type": "tool_result",
                "tool_use_id": part.call_id,
                "content": part.content,
                "is_error": part.is_error,
            }
