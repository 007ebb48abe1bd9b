"""Ollama's own API: POST /api/chat.

Source: github.com/ollama/ollama, docs/api.md and api/types.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from llmkit.call import Call
from llmkit.errors import InvalidRequest, ProviderError
from llmkit.messages import Message
from llmkit.parts import ThinkingPart
from llmkit.providers import failures
from llmkit.providers.base import Decoder, HTTPRequest, Means
from llmkit.providers.body_kind import JSON_LINES, choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.ollama.answers import LineDecoder, WholeDecoder
from llmkit.providers.request import checked_api_key, checked_base_url, checked_headers, to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.providers.vendors import VENDORS
from llmkit.tools.tool import Tool
from llmkit.tracebacks import forgetful


class Ollama:
    """Ollama's own wire format.

    What a call says beside the usual goes into `extra`: `{"keep_alive": "10m"}`, `{"think": True}`, and options of the model as
    `{"options": {"num_ctx": 8192}}`, which are joined with llmkit's own.
    """

    # What is held to a format is held to it in its calls of tools, too: it would make none.
    means = Means(any_schema=True, schema_with_tools=False, forced_tools=False)

    @forgetful
    def __init__(
        self,
        name: str = "ollama",
        *,
        api_key: str | None = None,
        base_url: str = VENDORS["ollama"].base_url,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the address.

        It may have the `/v1` of the server's other API at its end. `headers` are added to llmkit's own, or replace them; `clock` returns
        seconds since the epoch. A key is only needed where somebody asks for one, as ollama.com does.

        Raises:
            ConfigError: the base URL or the key cannot be used.
        """
        self.name = name
        base_url = checked_base_url(name, base_url)
        for end in ("/v1", "/chat", "/api"):
            base_url = base_url.removesuffix(end)
        self._url = f"{base_url}/api/chat"
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
            InvalidRequest: the call says how tools have to be called, which this wire has no word for, or cannot be written as JSON.
        """
        body: dict[str, object] = {"model": model, "messages": _messages(call)}
        # It streams unless it is told not to.
        body["stream"] = call.streaming
        options = _options(call)
        if options:
            body["options"] = options
        tools = self._tools(call)
        if tools:
            body["tools"] = tools
        if call.output is not None:
            body["format"] = call.output.strict_schema or call.output.schema
        accept = "application/x-ndjson" if call.streaming else "application/json"
        return to_request(
            self._url, {"accept": accept, **self._headers}, body, call.extra, joined=("options",)
        )

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(
            origin,
            headers,
            streaming=call.streaming,
            stream=LineDecoder,
            whole=WholeDecoder,
            kind=JSON_LINES,
        )

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
        had_key = "authorization" in self._headers
        origin = Origin.of(self.name, model, headers, status, had_key=had_key)
        error = failures.from_status(origin, headers, body, now=self._clock())
        if status == 404:
            error.hint = f"{error.hint} The server has to have the model: `ollama pull` its name."
        return error

    def _tools(self, call: Call) -> list[dict[str, object]]:
        """Write what the model may call. Nothing here makes it call something."""
        if not call.tools or call.tool_choice == "none":
            return []
        if call.tool_choice not in (None, "auto"):
            raise InvalidRequest(
                f"{self.name} cannot be made to call a tool",
                hint='Leave tool_choice out, or use "auto" or "none"; for an answer of a type use output_type.',
            )
        if call.parallel_tool_calls is False:
            raise InvalidRequest(
                f"{self.name} does not support parallel_tool_calls=False",
                hint="Leave parallel_tool_calls out for this model.",
            )
        return [{"type": "function", "function": _tool(tool)} for tool in call.tools]


def _options(call: Call) -> dict[str, object]:
    options: dict[str, object] = {}
    if call.max_tokens is not None:
        options["num_predict"] = call.max_tokens
    if call.temperature is not None:
        options["temperature"] = call.temperature
    if call.top_p is not None:
        options["top_p"] = call.top_p
    if call.stop:
        options["stop"] = call.stop
    if call.seed is not None:
        options["seed"] = call.seed
    return options


def _messages(call: Call) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    if call.system is not None:
        found.append({"role": "system", "content": call.system})
    names: dict[str, str] = {}
    for message in sound_calls(call.messages):
        if message.role == "assistant":
            names = {each.id: each.name for each in message.tool_calls}
            found.append(_answer(message))
            continue
        results = message.tool_results
        found += (
            {
                "role": "tool",
                "tool_name": names.get(result.call_id, ""),
                "tool_call_id": result.call_id,
                "content": result.content,
            }
            for result in results
        )
        if message.text or not results:
            found.append({"role": "user", "content": message.text})
    return found


def _answer(message: Message) -> dict[str, object]:
    said: dict[str, object] = {"role": "assistant", "content": message.text}
    if not message.tool_calls:
        return said
    said["tool_calls"] = [
        {"id": call.id, "function": {"name": call.name, "arguments": dict(call.arguments)}}
        for call in message.tool_calls
    ]
    # Between its calls a model goes on thinking from where it was.
    thoughts = (part.text for part in message.parts if isinstance(part, ThinkingPart))
    thought = "".join(thoughts)
    return {**said, "thinking": thought} if thought else said


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        said["description"] = tool.description
    return said
