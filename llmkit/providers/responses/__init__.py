"""OpenAI's Responses API: POST /responses.

Source: developers.openai.com/api/docs/api-reference/responses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmkit.call import Call
from llmkit.errors import InvalidRequest
from llmkit.messages import Message
from llmkit.parts import TextPart, ThinkingPart, ToolCall
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.openai.address import Address
from llmkit.providers.openai.shared import OpenAIAddresses
from llmkit.providers.request import arguments_json, to_request
from llmkit.providers.responses.answers import EventDecoder, ResponseDecoder
from llmkit.providers.responses.items import WIRE
from llmkit.providers.tool_history import sound_calls
from llmkit.tools.tool import CHOICES, Tool

# Whose reasoning can be carried along; others refuse to be asked for it.
_REASONS = re.compile(r"o\d|gpt-[5-9](?!.*chat)|codex")


class OpenAIResponses(OpenAIAddresses):
    """OpenAI's Responses wire format. Nothing is stored at the vendor's: the conversation, with what was thought, is sent anew each time."""

    vendor = "openai"

    def _locate(self, base_url: str, api_version: str | None) -> str:
        base_url = base_url.removesuffix("/responses")
        self._place(base_url, api_version)
        return Address.of(base_url, api_version, deploys=False).url("responses", "")

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Write the call in the vendor's format.

        Raises:
            InvalidRequest: the call has stop sequences or a seed, which this wire does not support, or cannot be written as JSON.
        """
        for option, value in (("stop", call.stop), ("seed", call.seed)):
            if value not in ((), None):
                raise InvalidRequest(
                    f"{self.name} does not support {option} with this wire",
                    hint=f'Leave {option} out for {model}, or set "wire": "openai" and name a model that chat completions offer.',
                )
        body: dict[str, object] = {"model": model, "input": _items(call), "store": False}
        if _REASONS.match(model):
            body["include"] = ["reasoning.encrypted_content"]
        if call.system is not None:
            body["instructions"] = call.system
        if call.max_tokens is not None:
            body["max_output_tokens"] = call.max_tokens
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.top_p is not None:
            body["top_p"] = call.top_p
        if call.tools:
            body |= _tools(call)
        if call.output is not None and call.output.strict_schema is not None:
            # developers.openai.com/api/docs/guides/structured-outputs
            schema = {"name": call.output.name, "schema": call.output.strict_schema}
            body["text"] = {"format": {"type": "json_schema", **schema, "strict": True}}
        if call.streaming:
            body["stream"] = True
        return to_request(self._url, self._sent(call), body, call.extra, joined=("include", "text"))

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(
            origin, headers, streaming=call.streaming, stream=EventDecoder, whole=ResponseDecoder
        )


def _items(call: Call) -> list[dict[str, object]]:
    """Write the conversation, an item for each message, call, result, and for what was thought."""
    found: list[dict[str, object]] = []
    for message in sound_calls(call.messages):
        if message.role == "assistant":
            found += _answer(message)
            continue
        results = message.tool_results
        found += (
            {
                "type": "function_call_output",
                "call_id": result.call_id,
                "output": result.content,
            }
            for result in results
        )
        if message.text or not results:
            found.append({"role": "user", "content": message.text})
    return found


def _answer(message: Message) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    thought: list[dict[str, object]] = []
    for part in message.parts:
        match part:
            case ThinkingPart(signature=str()) if part.is_of(WIRE):
                thought += _thought(part)
            case TextPart():
                # What was thought is only taken with what it led to behind it.
                found += [*thought, {"role": "assistant", "content": part.text}]
                thought = []
            case ToolCall():
                said: dict[str, object] = {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": arguments_json(part.arguments),
                }
                found += [*thought, said]
                thought = []
    return found


def _thought(part: ThinkingPart) -> list[dict[str, object]]:
    """Write an item of reasoning: its signature is the item's id and what the vendor has encrypted. One of another form is not the vendor's."""
    item_id, colon, encrypted = (part.signature or "").partition(":")
    if not colon:
        return []
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return [
        {"type": "reasoning", "id": item_id, "summary": summary, "encrypted_content": encrypted}
    ]


def _tools(call: Call) -> dict[str, object]:
    """Write what the model may call. Source: developers.openai.com/api/docs/guides/function-calling."""
    body: dict[str, object] = {"tools": [_tool(tool) for tool in call.tools]}
    if call.tool_choice in CHOICES:
        body["tool_choice"] = call.tool_choice
    elif call.tool_choice is not None:
        body["tool_choice"] = {"type": "function", "name": call.tool_choice}
    if call.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = call.parallel_tool_calls
    return body


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"type": "function", "name": tool.name, "parameters": tool.schema}
    if tool.description:
        said["description"] = tool.description
    return {**said, "strict": False}  # or each field would have to be there
