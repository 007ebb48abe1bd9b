"""Anthropic Messages: POST /v1/messages.

Sources: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from llmkit.call import Call
from llmkit.errors import InvalidRequest, ProviderError
from llmkit.parts import Part, TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.providers import failures
from llmkit.providers.anthropic.answers import WIRE, EventDecoder, MessageDecoder
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.request import checked_api_key, checked_base_url, checked_headers, to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.providers.vendors import VENDORS
from llmkit.tools.tool import Tool
from llmkit.tracebacks import forgetful

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 4096
"""The vendor requires `max_tokens`; this is sent for a call that does not set it."""
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


class Anthropic:
    """The Anthropic Messages wire format, for Anthropic or a compatible server."""

    @forgetful
    def __init__(
        self,
        name: str = "anthropic",
        *,
        api_key: str | None,
        base_url: str = VENDORS["anthropic"].base_url,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the address and the key.

        `headers` are added to llmkit's own, or replace them; `clock` returns seconds since the
        epoch. With `api_key=None` no key is sent, for servers that need none.

        Raises:
            ConfigError: the base URL or the key cannot be used.
        """
        self.name = name
        self._url = checked_base_url(name, base_url).removesuffix("/v1") + "/v1/messages"
        self._headers = {"anthropic-version": VERSION, "content-type": "application/json"}
        if api_key is not None:
            self._headers["x-api-key"] = checked_api_key(name, api_key)
        further = checked_headers(name, headers)
        self._headers |= further
        # What tells its answers from those of another with the same name: the key does not.
        self.identity = (
            self._url,
            *(f"{name}: {value}" for name, value in sorted(further.items())),
        )
        self._clock = clock

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
        accept = "text/event-stream" if call.streaming else "application/json"
        return to_request(self._url, {"accept": accept, **self._headers}, body, call.extra)

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(
            origin, headers, streaming=call.streaming, stream=EventDecoder, whole=MessageDecoder
        )

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
        had_key = "x-api-key" in self._headers
        origin = Origin.of(self.name, model, headers, status, had_key=had_key)
        return failures.from_status(origin, headers, body, now=self._clock())


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
