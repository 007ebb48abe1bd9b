"""Embeddings: what a vendor answers, and what several answers come to together."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from llmkit.embeddings import Embedding, batches, joined
from llmkit.events import Finish, Vectors
from llmkit.providers.embedding import (
    EmbeddingDecoder,
    GeminiEmbeddings,
    OllamaEmbeddings,
    OpenAIEmbeddings,
)
from llmkit.providers.failures import Origin
from llmkit.response import Response
from llmkit.usage import Source, Usage

ORIGIN = Origin("p", "m")


@pytest.mark.parametrize(
    ("kind", "document", "model", "tokens"),
    [
        (
            OpenAIEmbeddings,
            {
                "data": [{"embedding": [3, 4], "index": 1}, {"embedding": [1, 2], "index": 0}],
                "model": "m-2",
                "usage": {"prompt_tokens": 7, "total_tokens": 7},
            },
            "m-2",
            7,
        ),
        (OpenAIEmbeddings, {"data": [{"embedding": [1, 2]}, {"embedding": [3, 4]}]}, None, None),
        (
            GeminiEmbeddings,
            {
                "embeddings": [{"values": [1, 2]}, {"values": [3, 4]}],
                "usageMetadata": {"promptTokenCount": 7},
            },
            None,
            7,
        ),
        (
            OllamaEmbeddings,
            {"embeddings": [[1, 2], [3, 4]], "model": "m-2", "prompt_eval_count": 7},
            "m-2",
            7,
        ),
    ],
)
def test_an_answer(
    kind: type[EmbeddingDecoder], document: Any, model: str | None, tokens: int | None
) -> None:
    """The numbers are in the order of the texts, however they come; there is no output."""
    decoder = kind(ORIGIN, 2)
    decoder.feed(json.dumps(document).encode())
    vectors, finish = decoder.close()
    assert isinstance(vectors, Vectors)
    assert vectors.vectors == [[1, 2], [3, 4]]
    assert isinstance(finish, Finish)
    assert decoder.model == model
    assert (finish.usage.input_tokens, finish.usage.output_tokens) == (
        tokens,
        None if tokens is None else 0,
    )


def test_a_long_answer() -> None:
    """Has room: numbers take more of it than words."""
    decoder = OpenAIEmbeddings(ORIGIN, 1)
    decoder.feed(bytes(80_000_000))
    assert decoder.failure is None


def reply(tokens: int | None, source: Source, cost: str | None) -> Response:
    """Make what one request has come to."""
    return Response(
        text="",
        thinking="",
        stop_reason="end",
        raw_stop_reason=None,
        usage=Usage(
            input_tokens=tokens, output_tokens=0, input_source=source, output_source="reported"
        ),
        cost=None if cost is None else Decimal(cost),
        provider="p",
        model="m",
        request_id=None,
        call_id="c",
    )


@pytest.mark.parametrize(
    ("replies", "tokens", "source", "cost"),
    [
        ([], 0, "reported", "0"),
        ([reply(3, "reported", "0.1"), reply(4, "reported", "0")], 7, "reported", "0.1"),
        ([reply(3, "reported", "0.1"), reply(4, "estimated", "0.2")], 7, "estimated", "0.3"),
        ([reply(3, "estimated", "0.1"), reply(4, "reported", None)], 7, "estimated", None),
        ([reply(3, "reported", "0.1"), reply(4, "unknown", "0.1")], 7, "estimated", "0.2"),
        ([reply(None, "unknown", None)], None, "unknown", None),
    ],
)
def test_what_several_requests_come_to(
    replies: list[Response], tokens: int | None, source: str, cost: str | None
) -> None:
    """What is not known of one is not known of all; one estimate makes the sum one."""
    found = joined([], replies)
    assert (found.usage.input_tokens, found.usage.input_source) == (tokens, source)
    assert found.cost == (None if cost is None else Decimal(cost))


def test_batches() -> None:
    """Each begins to count anew, and takes a text that is too long by itself."""
    sizes = {"a": 150_000, "b": 50_000, "c": 250_000}
    found = batches("abbbcabb", most=3, most_tokens=200_000, count=sizes.__getitem__)
    assert ["".join(batch) for batch in found] == ["ab", "bb", "c", "ab", "b"]


def test_texts_are_not_shown() -> None:
    """They are a user's, and what shows values may be a log."""
    assert "secret" not in repr(Embedding(("secret",), 3))
