"""What a request for embeddings answers: a list of numbers for each text."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import msgspec

from llmkit.events import Event, Finish, Vectors
from llmkit.providers import failures
from llmkit.providers.counts import Count
from llmkit.providers.decoding import BROKEN, BodyDecoder
from llmkit.providers.failures import Origin
from llmkit.usage import Usage

# 2,048 texts of 3,072 numbers are 80 MB of JSON.
MAX_VECTORS = 256 * 1024 * 1024


class EmbeddingDecoder(BodyDecoder):
    """Reads an answer that has a list of numbers for each text, and nothing else.

    Args:
        count: how many texts there were.
    """

    __slots__ = ("_count",)
    max_body: ClassVar[int] = MAX_VECTORS

    def __init__(self, origin: Origin, count: int) -> None:
        super().__init__(origin)
        self._count = count

    def _read(self, body: str) -> list[Event]:
        try:
            vectors, tokens, model = self._vectors(body)
        except BROKEN:
            self._refuse(body)
            return []
        if vectors is None:
            self._refuse(body)
            return []
        sizes = {len(vector) for vector in vectors}
        if len(vectors) != self._count or len(sizes) > 1 or 0 in sizes:
            self.failure = failures.malformed(
                self._origin,
                f"sent {len(vectors)} embeddings for {self._count} texts"
                if len(vectors) != self._count
                else "sent embeddings of several lengths",
            )
            return []
        self.model = model
        self._reported = Usage(input_tokens=tokens, output_tokens=0)
        self.finished = True
        return [Vectors(vectors), Finish("end", None, self.usage)]

    @abstractmethod
    def _vectors(self, body: str) -> tuple[list[list[float]] | None, int | None, str | None]:
        """Return the numbers in the order of the texts, how many tokens these had, and what the model calls itself.

        Raises:
            msgspec.DecodeError: the document is of another form.
        """


class _OpenAIUsage(msgspec.Struct):
    prompt_tokens: Count | None = None


class _OpenAIItem(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _OpenAI(msgspec.Struct):
    data: list[_OpenAIItem]
    model: str | None = None
    usage: _OpenAIUsage | None = None


class OpenAIEmbeddings(EmbeddingDecoder):
    """Reads what OpenAI and compatible servers answer. Source: developers.openai.com/api/docs/api-reference/embeddings."""

    __slots__ = ()

    def _vectors(self, body: str) -> tuple[list[list[float]] | None, int | None, str | None]:
        found = msgspec.json.decode(body, type=_OpenAI)
        items = sorted(found.data, key=lambda item: item.index)
        tokens = found.usage.prompt_tokens if found.usage is not None else None
        return [item.embedding for item in items], tokens, found.model


class _GeminiValues(msgspec.Struct):
    values: list[float]


class _GeminiUsage(msgspec.Struct, rename="camel"):
    prompt_token_count: Count | None = None


class _Gemini(msgspec.Struct, rename="camel"):
    embeddings: list[_GeminiValues]
    usage_metadata: _GeminiUsage | None = None


class GeminiEmbeddings(EmbeddingDecoder):
    """Reads what Gemini answers. Source: ai.google.dev/api/embeddings."""

    __slots__ = ()

    def _vectors(self, body: str) -> tuple[list[list[float]] | None, int | None, str | None]:
        found = msgspec.json.decode(body, type=_Gemini)
        usage = found.usage_metadata
        tokens = usage.prompt_token_count if usage is not None else None
        return [each.values for each in found.embeddings], tokens, None


class _Ollama(msgspec.Struct):
    embeddings: list[list[float]]
    model: str | None = None
    prompt_eval_count: Count | None = None


class OllamaEmbeddings(EmbeddingDecoder):
    """Reads what Ollama answers. Source: github.com/ollama/ollama, docs/api.md."""

    __slots__ = ()

    def _vectors(self, body: str) -> tuple[list[list[float]] | None, int | None, str | None]:
        found: Any = msgspec.json.decode(body, type=_Ollama)
        return found.embeddings, found.prompt_eval_count, found.model
