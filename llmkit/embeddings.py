"""Embeddings: lists of numbers for texts, of which those that mean alike are close together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from llmkit.caller import Caller, UserId
from llmkit.errors import InvalidRequest
from llmkit.kinds import is_whole, kind_of
from llmkit.usage import Source, Usage

if TYPE_CHECKING:
    from llmkit.errors import ProviderError
    from llmkit.response import Response

ALIAS = "embeddings"
"""The alias of the model that embeds, where the settings have it and a call names none."""
# How many tokens one request may have where the provider does not say: OpenAI takes 300,000.
_MOST_TOKENS = 250_000
# An estimate may be a fifth too low.
_CERTAIN = 0.8
# The statuses of a request that has too much of something.
_TOO_MANY = (400, 413, 422)


class EmbedOptions(TypedDict, total=False):
    """The options of `embed()`: those of a call that have a meaning for it, and `dimensions`, how many numbers there are to be for each text."""

    model: str
    dimensions: int | None
    extra: Mapping[str, object]
    user: UserId | Caller
    tags: Mapping[str, str]
    run_id: str | None
    conversation: str | None


@dataclass(frozen=True, slots=True)
class Embedding:
    """What a call asks to be embedded in one request."""

    texts: tuple[str, ...] = field(repr=False)
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """What texts were embedded as.

    Attributes:
        vectors: the numbers of each text, in the order of the texts.
        usage: the tokens of all requests that it took; the output has none.
        cost: of all of them, in US dollars; None if the price or the usage of one is unknown.
        provider, model: which one it was, the same for all texts.
        call_ids: of the requests; their rows have them.
    """

    vectors: list[list[float]] = field(repr=False)
    usage: Usage
    cost: Decimal | None
    provider: str | None
    model: str | None
    call_ids: tuple[str, ...]


def texts_of(given: object) -> list[str]:
    """Return the texts that are to be embedded.

    Raises:
        InvalidRequest: they are no list of texts, or one is empty, which vendors refuse.
    """
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidRequest(
            f"what is to be embedded is {kind_of(given)}", hint='Pass a list of texts: ["..."].'
        )
    texts = list(given)
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest(f"text {at} is {kind_of(text)}", hint="Embed strings.")
        if not text.strip():
            raise InvalidRequest(
                f"text {at} is empty", hint="Leave it out: there is nothing to embed."
            )
    return texts


def dimensions_of(given: object) -> int | None:
    """Return how many numbers are wanted.

    Raises:
        InvalidRequest: it is no number of them.
    """
    if given is None or (is_whole(given) and given > 0):  # type: ignore[operator]
        return given  # type: ignore[return-value]
    raise InvalidRequest(
        f"dimensions is {given if is_whole(given) else kind_of(given)}",
        hint="Pass a whole number from 1 up, or leave it out.",
    )


def most_tokens(provider: object) -> int:
    """Say how many tokens one request of a provider takes, as they are estimated."""
    return int((getattr(provider, "most_tokens", None) or _MOST_TOKENS) * _CERTAIN)


def with_setting(error: ProviderError, count: int) -> None:
    """Say in the refusal of a request with so many texts what sets how many there are: each vendor says in its own words that they are too many."""
    if count > 1 and error.status_code in _TOO_MANY:
        name = error.provider
        mend = (
            f"If {name} takes fewer than {count} texts at once, set providers.{name}.embed_at_once."
        )
        error.hint = f"{error.hint} {mend}" if error.hint else mend


def batches(
    texts: Sequence[str], *, most: int, most_tokens: int, count: Callable[[str], int]
) -> Iterator[tuple[str, ...]]:
    """Part texts so that each request takes its part: so many of them, and so many tokens together."""
    batch: list[str] = []
    tokens = 0
    for text in texts:
        size = count(text)
        if batch and (len(batch) == most or tokens + size > most_tokens):
            yield tuple(batch)
            batch, tokens = [], 0
        batch.append(text)
        tokens += size
    if batch:
        yield tuple(batch)


def joined(vectors: list[list[float]], replies: Sequence[Response]) -> Embeddings:
    """Put together what several requests have given."""
    costs = [reply.cost for reply in replies]
    last = replies[-1] if replies else None
    return Embeddings(
        vectors=vectors,
        usage=_total([reply.usage for reply in replies]),
        cost=None if None in costs else sum(filter(None, costs), Decimal(0)),
        provider=last.provider if last else None,
        model=last.model if last else None,
        call_ids=tuple(reply.call_id for reply in replies),
    )


def _total(usages: list[Usage]) -> Usage:
    counts = [usage.input_tokens for usage in usages]
    sources = {usage.input_source for usage in usages}
    source: Source = sources.pop() if len(sources) == 1 else "estimated"
    return Usage(
        input_tokens=None if None in counts else sum(filter(None, counts)),
        output_tokens=0,
        input_source=source if usages else "reported",
        output_source="reported",
    )
