"""What is to be embedded, as Google's own API has it, and as Vertex AI has it, which has another form for each kind of model.

Sources: ai.google.dev/api/embeddings, cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings, and the google-genai SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Of an instance; what else is set there is for all of them.
_OF_EACH = {"taskType": "task_type", "task_type": "task_type", "title": "title"}


class Asked(NamedTuple):
    """The method that is called, and what with."""

    method: str
    body: dict[str, object]


def for_google(
    texts: Sequence[str], path: str, dimensions: int | None, extra: Mapping[str, object]
) -> Asked:
    """Write it for Google's own API: each text with its own options, which are the same for all."""
    each = {"model": path, **_sized(dimensions), **extra}
    requests = [{**each, "content": {"parts": [{"text": text}]}} for text in texts]
    return Asked("batchEmbedContents", {"requests": requests})


def for_vertex(
    texts: Sequence[str], path: str, dimensions: int | None, extra: Mapping[str, object]
) -> Asked:
    """Write it for Vertex AI: Gemini's models take contents there, all others take instances."""
    if "gemini" not in path:
        own = {_OF_EACH[name]: value for name, value in extra.items() if name in _OF_EACH}
        rest = {name: value for name, value in extra.items() if name not in _OF_EACH}
        body: dict[str, object] = {"instances": [{"content": text, **own} for text in texts]}
        parameters = {**_sized(dimensions), **rest}
        return Asked("predict", body | ({"parameters": parameters} if parameters else {}))
    config = {**_sized(dimensions), **extra}
    given = {"embedContentConfig": config} if config else {}
    requests = [{"content": {"parts": [{"text": text}], "role": "user"}, **given} for text in texts]
    if len(requests) == 1:
        return Asked("embedContent", requests[0])
    return Asked("batchEmbedContents", {"requests": requests})


def _sized(dimensions: int | None) -> dict[str, object]:
    return {} if dimensions is None else {"outputDimensionality": dimensions}
