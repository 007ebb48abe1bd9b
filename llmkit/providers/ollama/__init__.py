"""Ollama's own API: POST /api/chat.

Source: github.com/ollama/ollama, docs/api.md and api/types.go.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmkit.call import Call
from llmkit.errors import InvalidRequest, ProviderError
from llmkit.messages import Message
from llmkit.parts import ThinkingPart
from llmkit.providers.base import Decoder, HTTPRequest, Means
from llmkit.providers.body_kind import JSON_LINES, choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.ollama.answers import LineDecoder, WholeDecoder
from llmkit.providers.over_http import HTTPProvider, without_version
from llmkit.providers.request import to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.tools.tool import Tool


class Ollama(HTTPProvider):
    """Ollama's own wire format.

    What a call says beside the usual goes into `extra`: `{"keep_alive": "10m"}`, `{"think": True}`, and options of the model as
    `{"options": {"num_ctx": 8192}}`, which are joined with llmkit's own.
    """

    vendor = "ollama"
    most_texts = 512
    # What is held to a format is held to it in its calls of tools, too: it would make none.
    means = Means(any_schema=True, schema_with_tools=False, forced_tools=False)

    def _locate(self, base_url: str, api_version: str | None) -> str:
        without_version(self.name, api_version)
        for end in ("/v1", "/chat", "/api"):
            base_url = base_url.removesuffix(end)
        self._root = base_url
        return f"{base_url}/api/chat"

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
        headers = self._sent(call, "application/x-ndjson")
        return to_request(self._url, headers, body, call.extra, joined=("options",))

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

    def build_listing(self) -> HTTPRequest:
        """Ask for the models that the server has."""
        return self._list(f"{self._root}/api/tags")

    def build_embedding(self, call: Call, model: str) -> HTTPRequest:
        """Write what is to be embedded.

        Raises:
            InvalidRequest: it cannot be written as JSON.
        """
        assert call.embedding is not None  # noqa: S101  # or it would not be asked
        body: dict[str, object] = {"model": model, "input": call.embedding.texts}
        if call.embedding.dimensions is not None:
            body["dimensions"] = call.embedding.dimensions
        return to_request(f"{self._root}/api/embed", self._sent(call), body, call.extra)

    def embedding_decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for the answer."""
        from llmkit.providers.embedding import OllamaEmbeddings  # noqa: PLC0415  # for those who embed

        assert call.embedding is not None  # noqa: S101  # or it would not be asked
        return OllamaEmbeddings(Origin.of(self.name, model, headers), len(call.embedding.texts))

    def error(
        self, model: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> ProviderError:
        """Turn an answer with an error status into the error to raise."""
        error = super().error(model, status, headers, body)
        if status == 404 and "ollama pull" not in str(error.hint):
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
