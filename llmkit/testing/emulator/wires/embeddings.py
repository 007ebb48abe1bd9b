"""Embeddings, as the vendors' APIs have them: numbers that are made of each text, the same ones for the same text.

Sources: developers.openai.com/api/docs/api-reference/embeddings, ai.google.dev/api/embeddings, github.com/ollama/ollama, docs/api.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from hashlib import shake_256
from typing import Any
from urllib.parse import unquote

from llmkit.testing.emulator.answer import Answer, Ask, estimate_tokens
from llmkit.testing.emulator.behaviour import Behaviour
from llmkit.testing.emulator.checks.azure import deployment, is_place, refusal
from llmkit.testing.emulator.wires.base import Failure, Stamp, parse, to_json
from llmkit.testing.emulator.wires.gemini import GeminiWire
from llmkit.testing.emulator.wires.ollama import OllamaWire
from llmkit.testing.emulator.wires.openai import OpenAIWire

DIMENSIONS = 8
_GEMINI = re.compile(r"/v1(?:beta)?/models/([^/:]+):batchEmbedContents")
_VERTEX = re.compile(
    r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/google"
    r"/models/([^/:]+):(predict|embedContent|batchEmbedContents)"
)


class _Document(Exception):
    """What came is no document that can be embedded."""


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = parse(body)
    except ValueError as error:
        raise _Document("the body is not JSON") from error
    if not isinstance(found, dict):
        raise _Document("the body is no object")
    return found


def _texts(given: object, most: int) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _Document("'input' has to be a text, or a list of texts that is not empty")
    if not all(isinstance(text, str) and text for text in texts):
        raise _Document("'input' cannot be an empty string")
    if len(texts) > most:
        raise _Document(f"'input' has more than {most} texts")
    return tuple(texts)


def _ask(
    model: object, texts: tuple[str, ...], dimensions: object, *, form: str | None = None
) -> Ask:
    if not isinstance(model, str) or not model:
        raise _Document("you must provide a model")
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        raise _Document("the number of dimensions has to be at least 1")
    return Ask(
        model=model,
        streaming=False,
        input_tokens=estimate_tokens(texts, messages=0),
        embeds=texts,
        dimensions=dimensions,
        form=form,
    )


def vectors(answer: Answer) -> list[list[float]]:
    """Make the numbers of each text, of length 1."""
    found = []
    for text in answer.embeds:
        size = answer.dimensions or DIMENSIONS
        raw = shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * size)
        numbers = [
            int.from_bytes(raw[at : at + 2], "big") / 32768 - 1 for at in range(0, 2 * size, 2)
        ]
        length = math.sqrt(sum(number * number for number in numbers)) or 1.0
        found.append([round(number / length, 7) for number in numbers])
    return found


class OpenAIEmbeddings(OpenAIWire):
    """POST /v1/embeddings."""

    def answers_at(self, path: str) -> bool:
        """Whether texts are embedded there."""
        return is_place(path, "embeddings")

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Nothing is that is not asked for there."""
        return False

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what is to be embedded, or why it is not."""
        refused = refusal(headers, target, require_key=require_key)
        if refused is not None:
            return refused
        try:
            request = _read(body)
            texts = _texts(request.get("input"), 2048)
            model = request.get("model") or deployment(target)
            return _ask(model, texts, request.get("dimensions"))
        except _Document as error:
            return Failure(400, "invalid_request_error", f"{error}.")

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write the list of embeddings."""
        data = [
            {"object": "embedding", "index": at, "embedding": vector}
            for at, vector in enumerate(vectors(answer))
        ]
        document: dict[str, Any] = {"object": "list", "data": data, "model": answer.model}
        if behaviour.usage is not False:
            tokens = answer.input_tokens
            document["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return to_json(document)


class GeminiEmbeddings(GeminiWire):
    """POST /v1beta/models/{model}:batchEmbedContents."""

    def answers_at(self, path: str) -> bool:
        """Whether texts are embedded there."""
        return _GEMINI.fullmatch(path) is not None

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Nothing is that is not asked for there."""
        return False

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what is to be embedded, or why it is not."""
        if require_key and not headers.get("x-goog-api-key") and not headers.get("authorization"):
            return Failure(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        place = _GEMINI.fullmatch(target)
        assert place is not None  # it would not have come here
        model = unquote(place[1])
        try:
            requests = _read(body).get("requests") or []
            texts = [
                "".join(part.get("text", "") for part in each.get("content", {}).get("parts", ()))
                for each in requests
            ]
            if {each.get("model") for each in requests} - {f"models/{model}"}:
                raise _Document("BatchEmbedContentsRequest.requests: model does not match")
            sizes = {each.get("outputDimensionality") for each in requests} or {None}
            return _ask(model, _texts(texts, 100), sizes.pop())
        except _Document as error:
            return Failure(400, "INVALID_ARGUMENT", f"{error}.")

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write the list of embeddings. It does not say how many tokens there were."""
        return to_json({"embeddings": [{"values": vector} for vector in vectors(answer)]})


class VertexEmbeddings(GeminiWire):
    """POST …/publishers/google/models/{model}:predict, and :embedContent and :batchEmbedContents for Gemini's models."""

    def answers_at(self, path: str) -> bool:
        """Whether texts are embedded there."""
        return _VERTEX.fullmatch(path) is not None

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Nothing is that is not asked for there."""
        return False

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what is to be embedded, or why it is not."""
        if require_key and not headers.get("authorization"):
            return Failure(401, "UNAUTHENTICATED", "Request is missing required authentication.")
        place = _VERTEX.fullmatch(target.partition("?")[0])
        assert place is not None  # it would not have come here
        model, method = unquote(place[1]), place[2]
        try:
            if ("gemini" in model) != (method != "predict"):
                raise _Document(f"Precondition check failed: {model} does not support {method}")
            return _ask(model, *_asked_of_vertex(method, _read(body)), form=method)
        except (_Document, AttributeError, TypeError) as error:
            return Failure(400, "INVALID_ARGUMENT", f"{error}.")

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write the embeddings, in the form of the method."""
        found = vectors(answer)
        if answer.form == "predict":
            told = behaviour.usage is not False
            pairs = zip(answer.embeds, found, strict=True)
            return to_json({"predictions": [_prediction(*pair, told=told) for pair in pairs]})
        usage: dict[str, Any] = {}
        if behaviour.usage is not False:
            usage = {"usageMetadata": {"promptTokenCount": answer.input_tokens}}
        if answer.form == "embedContent":
            return to_json({"embedding": {"values": found[0]}, **usage})
        return to_json({"embeddings": [{"values": vector} for vector in found], **usage})


def _prediction(text: str, vector: list[float], *, told: bool) -> dict[str, Any]:
    count = estimate_tokens((text,), messages=0)
    statistics = {"statistics": {"token_count": count, "truncated": False}} if told else {}
    return {"embeddings": {"values": vector, **statistics}}


def _asked_of_vertex(method: str, request: dict[str, Any]) -> tuple[tuple[str, ...], object]:
    """Find the texts, and how many numbers are wanted of each."""
    if method == "predict":
        texts = [each.get("content") for each in request.get("instances") or ()]
        return _texts(texts, 250), (request.get("parameters") or {}).get("outputDimensionality")
    requests = [request] if method == "embedContent" else request.get("requests") or []
    texts = [
        "".join(part.get("text", "") for part in each.get("content", {}).get("parts", ()))
        for each in requests
    ]
    configs = [each.get("embedContentConfig") or {} for each in requests]
    return _texts(texts, 100), configs[0].get("outputDimensionality")


class OllamaEmbeddings(OllamaWire):
    """POST /api/embed."""

    def answers_at(self, path: str) -> bool:
        """Whether texts are embedded there."""
        return path == "/api/embed"

    def is_meant(self, path: str, headers: Mapping[str, str]) -> bool:
        """Nothing is that is not asked for there."""
        return False

    def check(
        self, headers: Mapping[str, str], body: bytes, *, require_key: bool, target: str = ""
    ) -> Ask | Failure:
        """Say what is to be embedded, or why it is not."""
        try:
            request = _read(body)
            texts = _texts(request.get("input"), 1_000_000)
            return _ask(request.get("model"), texts, request.get("dimensions"))
        except _Document as error:
            return Failure(400, "", str(error))

    def whole(self, answer: Answer, behaviour: Behaviour, stamp: Stamp) -> bytes:
        """Write the list of embeddings."""
        document: dict[str, Any] = {"model": answer.model, "embeddings": vectors(answer)}
        if behaviour.usage is not False:
            document["prompt_eval_count"] = answer.input_tokens
        return to_json(document)
