"""OpenAI chat completions, and everything compatible: POST /chat/completions.

Source: developers.openai.com/api/docs/api-reference/chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from llmkit.call import Call
from llmkit.messages import Message
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.openai.answers import ChunkDecoder, CompletionDecoder
from llmkit.providers.openai.shared import OpenAIAddresses
from llmkit.providers.request import arguments_json, to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.tools.tool import CHOICES, Tool


class OpenAI(OpenAIAddresses):
    """The OpenAI chat completions wire format, for OpenAI, Azure OpenAI or a compatible server.

    Azure's base URL is that of the resource, such as `https://NAME.openai.azure.com`; the model is the name of the deployment.
    """

    vendor = "openai"

    def _locate(self, base_url: str, api_version: str | None) -> str:
        base_url = base_url.removesuffix("/chat/completions")
        self._place(base_url, api_version)
        return f"{self._address.base}/chat/completions{self._address.query}"

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Write the call in the vendor's format.

        Raises:
            InvalidRequest: the call cannot be written as JSON.
        """
        messages = _messages(call)
        if call.system is not None:
            messages.insert(0, {"role": "system", "content": call.system})
        body: dict[str, object] = {"model": model, "messages": messages}
        if call.max_tokens is not None:
            body[self._address.quirks.max_tokens] = call.max_tokens
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.top_p is not None:
            body["top_p"] = call.top_p
        if call.stop:
            body["stop"] = call.stop
        if call.seed is not None:
            body[self._address.quirks.seed] = call.seed
        if call.tools:
            body |= _tools(call)
        if call.output is not None and call.output.strict_schema is not None:
            # developers.openai.com/api/docs/guides/structured-outputs
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": call.output.name,
                    "schema": call.output.strict_schema,
                    "strict": True,
                },
            }
        if call.streaming:
            body["stream"] = True
            if self._address.quirks.stream_options:
                body["stream_options"] = {"include_usage": True}
        url = self._address.url("chat/completions", model)
        return to_request(url, self._sent(call), body, call.extra)

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        choices = call.extra.get("n")
        several = isinstance(choices, int) and choices > 1
        return choose_decoder(
            origin,
            headers,
            streaming=call.streaming,
            stream=partial(ChunkDecoder, several=several),
            whole=CompletionDecoder,
        )


def _messages(call: Call) -> list[dict[str, object]]:
    """Write the conversation. What a model has thought is not said again: the wire has no word for it."""
    found: list[dict[str, object]] = []
    for message in sound_calls(call.messages):
        if message.role == "assistant":
            found.append(_answer(message))
            continue
        results = message.tool_results
        found += (
            {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
            for result in results
        )
        if message.text or not results:
            found.append({"role": "user", "content": message.text})
    return found


def _tools(call: Call) -> dict[str, object]:
    """Write what the model may call. Source: developers.openai.com/api/docs/guides/function-calling."""
    body: dict[str, object] = {
        "tools": [{"type": "function", "function": _tool(tool)} for tool in call.tools]
    }
    if call.tool_choice in CHOICES:
        body["tool_choice"] = call.tool_choice
    elif call.tool_choice is not None:
        body["tool_choice"] = {"type": "function", "function": {"name": call.tool_choice}}
    if call.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = call.parallel_tool_calls
    return body


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        said["description"] = tool.description
    return said


def _answer(message: Message) -> dict[str, object]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_json(call.arguments)},
        }
        for call in message.tool_calls
    ]
    if not calls:
        return {"role": "assistant", "content": message.text}
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}
