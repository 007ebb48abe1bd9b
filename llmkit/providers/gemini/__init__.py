"""Gemini: POST /v1beta/models/{model}:generateContent, and :streamGenerateContent?alt=sse.

Sources: ai.google.dev/api/generate-content, ai.google.dev/gemini-api/docs/function-calling and /docs/thought-signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import msgspec

from llmkit.call import Call
from llmkit.errors import InvalidRequest
from llmkit.parts import Part, TextPart, ThinkingPart, ToolCall, ToolResult
from llmkit.providers.base import Decoder, HTTPRequest, Means
from llmkit.providers.body_kind import choose_decoder
from llmkit.providers.failures import Origin
from llmkit.providers.gemini import schemas
from llmkit.providers.gemini.answers import WIRE, ChunkDecoder, WholeDecoder
from llmkit.providers.over_http import HTTPProvider, without_version
from llmkit.providers.request import to_request
from llmkit.providers.tool_history import sound_calls
from llmkit.tools.tool import Tool

_VERSION = re.compile(r"/v[0-9]+[a-z0-9]*(/|$)")
_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
# From the third on a model wants its signature back with each call, and takes this word for one where another model has made the call
# (ai.google.dev/gemini-api/docs/thought-signatures).
_UNSIGNED = "skip_thought_signature_validator"
_WITHOUT_SIGNATURES = re.compile(r"(models/)?(gemini-(1|2)[.-]|gemma)")

# How many tokens Vertex AI embeds in one request: cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings.
_VERTEX_TOKENS = 20_000


class Gemini(HTTPProvider):
    """The Gemini wire format, for Google's API, Vertex AI or a compatible server. The key goes into a header, never into the URL.

    Vertex AI's base URL is `https://REGION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/REGION/publishers/google`, and it takes a `token`.
    """

    vendor = "gemini"
    means = Means(any_schema=True, single_calls=False)
    key_header = "x-goog-api-key"
    most_texts = 100
    most_tokens: int | None = None

    def _locate(self, base_url: str, api_version: str | None) -> str:
        without_version(self.name, api_version)
        self._is_vertex = base_url.endswith("/publishers/google")
        if self._is_vertex:
            self.most_tokens = _VERTEX_TOKENS
        return base_url if _VERSION.search(base_url) else f"{base_url}/v1beta"

    def build_request(self, call: Call, model: str) -> HTTPRequest:
        """Write the call in the vendor's format.

        Raises:
            InvalidRequest: the call forbids parallel calls of tools, which this wire has no word for, or cannot be written as JSON.
        """
        if call.tools and call.parallel_tool_calls is False:
            raise InvalidRequest(
                f"{self.name} does not support parallel_tool_calls=False",
                hint="Leave parallel_tool_calls out for this model.",
            )
        body: dict[str, object] = {"contents": _contents(call, model)}
        if call.system is not None:
            body["systemInstruction"] = {"parts": [{"text": call.system}]}
        if call.tools:
            body |= _tools(call)
        config = _config(call)
        if config:
            body["generationConfig"] = config
        method = "streamGenerateContent?alt=sse" if call.streaming else "generateContent"
        return to_request(
            f"{self._url}/{_path(model)}:{method}",
            self._sent(call),
            body,
            call.extra,
            joined=("generationConfig", "toolConfig"),
        )

    def decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for one successful answer."""
        origin = Origin.of(self.name, model, headers)
        return choose_decoder(
            origin, headers, streaming=call.streaming, stream=ChunkDecoder, whole=WholeDecoder
        )

    def build_listing(self) -> HTTPRequest | None:
        """Ask for the list of models; None on Vertex AI, which has another one."""
        if self._is_vertex:
            return None
        return self._list(f"{self._url}/models?pageSize=1000")

    def build_embedding(self, call: Call, model: str) -> HTTPRequest:
        """Write what is to be embedded. Fields of `extra`, such as `taskType`, go where the vendor has them for each text.

        Raises:
            InvalidRequest: it cannot be written as JSON.
        """
        from llmkit.providers.gemini import embeddings  # noqa: PLC0415  # for those who embed

        asked = call.embedding
        assert asked is not None  # noqa: S101  # or it would not be asked
        write = embeddings.for_vertex if self._is_vertex else embeddings.for_google
        method, body = write(asked.texts, unquote(_path(model)), asked.dimensions, call.extra)
        return to_request(f"{self._url}/{_path(model)}:{method}", self._sent(call), body, {})

    def embedding_decoder(self, call: Call, model: str, headers: Mapping[str, str]) -> Decoder:
        """Make the decoder for the answer."""
        from llmkit.providers.embedding import GeminiEmbeddings  # noqa: PLC0415  # for those who embed

        assert call.embedding is not None  # noqa: S101  # or it would not be asked
        origin = Origin.of(self.name, model, headers)
        return GeminiEmbeddings(origin, len(call.embedding.texts))


def _path(model: str) -> str:
    """Write a model's path; one that is tuned has another folder."""
    if model.startswith(("models/", "tunedModels/")):
        return quote(model)
    return f"models/{quote(model, safe='')}"


def _config(call: Call) -> dict[str, object]:
    config: dict[str, object] = {}
    if call.max_tokens is not None:
        config["maxOutputTokens"] = call.max_tokens
    if call.temperature is not None:
        config["temperature"] = call.temperature
    if call.top_p is not None:
        config["topP"] = call.top_p
    if call.stop:
        config["stopSequences"] = call.stop
    if call.seed is not None:
        config["seed"] = call.seed
    if call.output is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = schemas.said(call.output.strict_schema or call.output.schema)
    return config


def _contents(call: Call, model: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    names: dict[str, str] = {}
    signs = _WITHOUT_SIGNATURES.match(model) is None
    for message in sound_calls(call.messages):
        calls = message.tool_calls
        if calls:
            names = {each.id: each.name for each in calls}
        # Of several calls in one answer the first has the signature.
        unsigned = calls[0].id if signs and calls and not any(c.signature for c in calls) else None
        parts = [
            said
            for part in _in_order(message.parts, list(names))
            if (said := _part(part, names, unsigned=unsigned)) is not None
        ]
        if parts:
            role = "model" if message.role == "assistant" else "user"
            found.append({"role": role, "parts": parts})
    return found


def _in_order(parts: Sequence[Part], asked: list[str]) -> Sequence[Part]:
    """Put results into the order of their calls: models that know no ids tell them by that."""
    if not any(isinstance(part, ToolResult) for part in parts):
        return parts
    at = {call_id: number for number, call_id in enumerate(asked)}
    return sorted(
        parts,
        key=lambda part: at.get(part.call_id, 0) if isinstance(part, ToolResult) else len(at),
    )


def _part(
    part: Part, names: Mapping[str, str], *, unsigned: str | None
) -> dict[str, object] | None:
    """Write a part; None for thinking that the vendor has not signed: it reads nothing out of that."""
    match part:
        case TextPart():
            return {"text": part.text}
        case ThinkingPart(signature=str()) if part.is_of(WIRE):
            thought = {"thought": True} if part.text else {}
            return {"text": part.text, **thought, "thoughtSignature": part.signature}
        case ThinkingPart():
            return None
        case ToolCall():
            said = {"id": part.id, "name": part.name, "args": dict(part.arguments)}
            signature = _UNSIGNED if part.id == unsigned else part.signature
            signed = {} if signature is None else {"thoughtSignature": signature}
            return {"functionCall": said, **signed}
        case ToolResult():
            kind = "error" if part.is_error else "output"
            response = {kind: _content(part.content)}
            name = names.get(part.call_id, part.call_id)
            return {"functionResponse": {"id": part.call_id, "name": name, "response": response}}


def _content(text: str) -> object:
    """Return what a tool has given as it was before it became a text: the vendor takes objects."""
    if text.lstrip().startswith(("{", "[")):
        try:
            found: object = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text
        return found
    return text


def _tools(call: Call) -> dict[str, object]:
    """Write what the model may call. Source: ai.google.dev/gemini-api/docs/function-calling."""
    body: dict[str, object] = {
        "tools": [{"functionDeclarations": [_tool(tool) for tool in call.tools]}]
    }
    if call.tool_choice is not None:
        mode = _CHOICES.get(call.tool_choice)
        calling: dict[str, object] = {"mode": mode or "ANY"}
        if mode is None:
            calling["allowedFunctionNames"] = [call.tool_choice]
        body["toolConfig"] = {"functionCallingConfig": calling}
    return body


def _tool(tool: Tool) -> dict[str, object]:
    said: dict[str, object] = {"name": tool.name}
    if tool.description:
        said["description"] = tool.description
    return {**said, "parametersJsonSchema": schemas.said(tool.schema)}
