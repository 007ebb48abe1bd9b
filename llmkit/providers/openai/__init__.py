"""OpenAI chat completions, and everything compatible: POST /chat/completions.

Source: developers.openai.com/api/docs/api-reference/chat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from llmkit.call import Call
from llmkit.errors import ProviderError
from llmkit.messages import Message
from llmkit.providers import failures
from llmkit.providers.base import Decoder, HTTPRequest
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.openai.answers import ChunkDecoder, CompletionDecoder
from llmkit.providers.request import (
    arguments_json,
    checked_api_key,
    checked_base_url,
    checked_headers,
    to_request,
)
from llmkit.providers.tool_history import sound_calls
from llmkit.providers.vendors import VENDORS, quirks_at
from llmkit.tools.tool import CHOICES, Tool
from llmkit.tracebacks import forgetful


class OpenAI:
    """The OpenAI chat completions wire format, for OpenAI or a compatible server."""

    @forgetful
    def __init__(
        self,
        name: str = "openai",
        *,
        api_key: str | None,
        base_url: str = VENDORS["openai"].base_url,
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
        base_url = checked_base_url(name, base_url).removesuffix("/chat/completions")
        # Most servers have it; others have none, and know what was asked for.
        self._usual_path = None if urlsplit(base_url).path else "/v1"
        self._url = f"{base_url}/chat/completions"
        self._quirks = quirks_at(urlsplit(base_url).hostname or "")
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {checked_api_key(name, api_key)}"
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
            InvalidRequest: the call cannot be written as JSON.
        """
        messages = _messages(call)
        if call.system is not None:
            messages.insert(0, {"role": "system", "content": call.system})
        body: dict[str, object] = {"model": model, "messages": messages}
        if call.max_tokens is not None:
            body[self._quirks.max_tokens] = call.max_tokens
        if call.temperature is not None:
            body["temperature"] = call.temperature
        if call.top_p is not None:
            body["top_p"] = call.top_p
        if call.stop:
            body["stop"] = call.stop
        if call.seed is not None:
            body[self._quirks.seed] = call.seed
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
            if self._quirks.stream_options:
                body["stream_options"] = {"include_usage": True}
        accept = "text/event-stream" if call.streaming else "application/json"
        return to_request(self._url, {"accept": accept, **self._headers}, body, call.extra)

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

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
        had_key = "authorization" in self._headers
        origin = Origin.of(
            self.name, model, headers, status, had_key=had_key, usual_path=self._usual_path
        )
        return failures.from_status(origin, headers, body, now=self._clock())


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
