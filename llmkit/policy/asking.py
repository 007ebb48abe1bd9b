"""How a provider is asked: for an answer, or for embeddings, which not every one has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.errors import InvalidRequest

if TYPE_CHECKING:
    from llmkit.call import Call
    from llmkit.policy.plan import Route
    from llmkit.providers.base import Decoder, HTTPRequest

# How many texts one request takes, where the provider does not say.
_MOST_TEXTS = 96


def request_of(call: Call, route: Route) -> HTTPRequest:
    """Write what is sent for a call.

    Raises:
        InvalidRequest: the provider has no way to say it.
    """
    if call.embedding is None:
        return route.provider.build_request(call, route.model)
    build: Any = getattr(route.provider, "build_embedding", None)
    if build is None:
        raise InvalidRequest(
            f"{route.provider.name} has no embeddings",
            hint='Use a model of another provider, such as "openai:text-embedding-3-small".',
        )
    request: HTTPRequest = build(call, route.model)
    return request


def decoder_of(call: Call, route: Route, headers: Mapping[str, str]) -> Decoder:
    """Make what reads the answer."""
    if call.embedding is None:
        return route.provider.decoder(call, route.model, headers)
    make: Any = route.provider.embedding_decoder  # type: ignore[attr-defined]  # who builds one has it
    decoder: Decoder = make(call, route.model, headers)
    return decoder


def most_texts(route: Route) -> int:
    """Say how many texts one request of a provider takes."""
    return int(getattr(route.provider, "most_texts", _MOST_TEXTS))
