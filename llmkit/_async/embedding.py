"""Embeddings: as many requests as it takes, one after another, each a call like all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit._async.attempts import AsyncAttempts
from llmkit._async.recorder import AsyncRecorder
from llmkit._async.stream import AsyncStreamManager
from llmkit.call import build_embedding
from llmkit.embeddings import (
    ALIAS,
    Embeddings,
    EmbedOptions,
    batches,
    joined,
    most_tokens,
    texts_of,
    with_setting,
)
from llmkit.errors import ProviderError
from llmkit.events import Vectors
from llmkit.policy.asking import most_texts
from llmkit.policy.estimate import estimate_tokens

if TYPE_CHECKING:
    from llmkit.policy.plan import Route
    from llmkit.response import Response
    from llmkit.runtime import Runtime


async def async_embed(
    runtime: Runtime, default_model: str, texts: Sequence[str], options: EmbedOptions
) -> Embeddings:
    """Embed texts; see `AsyncClient.embed`."""
    given = texts_of(texts)
    asked: EmbedOptions = {**options}
    asked["run_id"] = options.get("run_id") or runtime.new_id()
    if options.get("model") is None:
        asked["model"] = ALIAS if ALIAS in runtime.config.models else default_model
    # Options that are wrong are refused before anybody asks what they mean, also where there is nothing to embed.
    build_embedding(["."], asked, call_id="", default_model=default_model)
    vectors: list[list[float]] = []
    replies: list[Response] = []
    routes = runtime.routes.of(asked["model"])
    most = min(map(most_texts, routes))
    tokens = min(most_tokens(route.provider) for route in routes)

    def stay(route: Route) -> None:
        # The numbers of two models have nothing to do with each other: the rest is for the one that has answered.
        asked["model"] = f"{route.provider.name}:{route.model}"

    call_next = AsyncRecorder(runtime, AsyncAttempts(runtime, stay))
    for batch in batches(given, most=most, most_tokens=tokens, count=estimate_tokens):
        call = build_embedding(
            batch,
            asked,
            call_id=runtime.new_id(),
            default_model=default_model,
            tasks=runtime.tasks,
        )
        try:
            async with AsyncStreamManager(call, call_next) as stream:
                while (events := await stream.read()) is not None:
                    for event in events:
                        if isinstance(event, Vectors):
                            vectors += event.vectors
                replies.append(stream.response)
        except ProviderError as error:
            with_setting(error, len(batch))
            raise
    return joined(vectors, replies)
