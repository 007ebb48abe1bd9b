"""What a request for embeddings answers: a list of numbers for each text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec

from llmkit.events import Event, Finish, Vectors
from llmkit.providers import failures
from llmkit.providers.counts import Count, TokenReport
from llmkit.providers.decoding import BodyDecoder
from llmkit.providers.failures import Origin
from llmkit.providers.lenient import Needs
from llmkit.usage import Usage

# 2,048 texts of 3,072 numbers are 80 MB of JSON.
MAX_VECTORS = 256 * 1024 * 1024


class Found(NamedTuple):
    """What an answer says.

    Attributes:
        vectors: the numbers, as they came; None if there are none in it.
        usage: how many tokens the texts had.
        model: what it calls itself.
        places: of which text each of them is, where the answer says so.
    """

    vectors: list[list[float]] | None
    usage: Usage | None
    model: str | None = None
    places: Sequence[int] | None = None


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
        found = self._find(body)
        if found.vectors is None:
            self._refuse(body)
            return []
        # What is wrong with the numbers does not make them free.
        self.model, self._reported = found.model, found.usage or Usage(output_tokens=0)
        fault = self._fault(found.vectors, found.places)
        if fault is not None:
            self.failure = failures.malformed(self._origin, fault)
            return []
        vectors = found.vectors
        if found.places is not None:
            placed = sorted(zip(found.places, vectors, strict=True), key=lambda each: each[0])
            vectors = [vector for _, vector in placed]
        self.finished = True
        return [Vectors(vectors), Finish("end", None, self.usage)]

    def _fault(self, vectors: list[list[float]], places: Sequence[int] | None) -> str | None:
        """Say why the numbers cannot be given to the texts."""
        if len(vectors) != self._count:
            return f"sent {len(vectors)} embeddings for {self._count} texts"
        sizes = {len(vector) for vector in vectors}
        if len(sizes) > 1 or 0 in sizes:
            return "sent embeddings of several lengths"
        if places is not None and sorted(places) != list(range(self._count)):
            return "sent embeddings that do not say of which text each is"
        return None

    @abstractmethod
    def _find(self, body: str) -> Found:
        """Find the numbers, with patience for what nobody needs."""


class _OpenAIUsage(TokenReport):
    prompt_tokens: Count | None = None

    def to_usage(self) -> Usage:
        return Usage(input_tokens=self.prompt_tokens, output_tokens=0)


class _OpenAIItem(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("embedding", "index")}

    embedding: list[float] = []  # each has its own
    index: int | None = None


class _OpenAI(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("data",)}

    data: list[_OpenAIItem] | None = None
    model: str | None = None
    usage: _OpenAIUsage | None = None


_openai = msgspec.json.Decoder(_OpenAI).decode


class OpenAIEmbeddings(EmbeddingDecoder):
    """Reads what OpenAI and compatible servers answer. Source: developers.openai.com/api/docs/api-reference/embeddings."""

    __slots__ = ()
    _report_type = _OpenAIUsage

    def _find(self, body: str) -> Found:
        found = self._fitted(body, _openai, _OpenAI)
        if found.data is None:
            return Found(None, None)
        # Who numbers none of them sends them in their order.
        places = [at if each.index is None else each.index for at, each in enumerate(found.data)]
        usage = found.usage.to_usage() if found.usage is not None else None
        return Found([each.embedding for each in found.data], usage, found.model, places)


class _GeminiValues(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("values",)}

    values: list[float] = []  # each has its own


class _GeminiUsage(TokenReport, rename="camel"):
    prompt_token_count: Count | None = None

    def to_usage(self) -> Usage:
        return Usage(input_tokens=self.prompt_token_count, output_tokens=0)


class _Statistics(msgspec.Struct):
    token_count: Count | None = None


class _VertexValues(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("values",)}

    values: list[float] = []  # each has its own
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("embeddings",)}

    embeddings: _VertexValues = msgspec.field(default_factory=_VertexValues)


class _Gemini(msgspec.Struct, rename="camel"):
    needs: ClassVar[Needs] = {"*": ("embeddings", "embedding", "predictions")}

    embeddings: list[_GeminiValues] | None = None
    embedding: _GeminiValues | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: _GeminiUsage | None = None


_gemini = msgspec.json.Decoder(_Gemini).decode


class GeminiEmbeddings(EmbeddingDecoder):
    """Reads what Gemini answers, and each kind of model on Vertex AI. Sources: as in `gemini.embeddings`."""

    __slots__ = ()
    _report_type = _GeminiUsage

    def _find(self, body: str) -> Found:
        found = self._fitted(body, _gemini, _Gemini)
        usage = found.usage_metadata.to_usage() if found.usage_metadata is not None else None
        if found.predictions is not None:
            predicted = [each.embeddings for each in found.predictions]
            counts = [
                each.statistics.token_count if each.statistics else None for each in predicted
            ]
            known = [count for count in counts if count is not None]
            if len(known) == len(counts):
                usage = Usage(input_tokens=sum(known), output_tokens=0)
            return Found([each.values for each in predicted], usage)
        if found.embedding is not None:
            return Found([found.embedding.values], usage)
        if found.embeddings is None:
            return Found(None, None)
        return Found([each.values for each in found.embeddings], usage)


class _Ollama(msgspec.Struct):
    needs: ClassVar[Needs] = {"*": ("embeddings",)}

    embeddings: list[list[float]] | None = None
    model: str | None = None
    prompt_eval_count: Count | None = None


_ollama = msgspec.json.Decoder(_Ollama).decode


class OllamaEmbeddings(EmbeddingDecoder):
    """Reads what Ollama answers. Source: github.com/ollama/ollama, docs/api.md."""

    __slots__ = ()

    def _find(self, body: str) -> Found:
        found = self._fitted(body, _ollama, _Ollama)
        usage = Usage(input_tokens=found.prompt_eval_count, output_tokens=0)
        return Found(found.embeddings, usage, found.model)
