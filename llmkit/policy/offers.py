"""Which models there are, as far as anybody says: the provider's own list, or the table that prices come from."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from llmkit.policy.known_models import find, price_id_of
from llmkit.providers.listing import Offer
from llmkit.providers.vendors import VENDORS

if TYPE_CHECKING:
    from genai_prices.types import Provider as Priced

    from llmkit.errors import ProviderError
    from llmkit.policy.plan import Route
    from llmkit.providers.base import Provider

# How many names are shown to somebody who has mistyped one.
_CLOSEST = 3


def in_table(provider: str) -> list[Offer]:
    """Return the models of a vendor that genai-prices has prices of; none of a provider of the app's own, whose models may have any name.

    It has prices of a provider `azure`, too, where the app's are named as its deployments are.
    """
    known = _priced(provider) if provider in VENDORS else None
    if known is None:
        return []
    return [Offer(model=each.id, context_window=each.context_window) for each in known.models]


def closest(provider: str, model: str) -> list[str]:
    """Return the names most like one that a provider does not know; none if it is in the table all the same, or like nothing there."""
    if find(provider, model) is not None:
        return []
    return get_close_matches(model, [each.model for each in in_table(provider)], n=_CLOSEST)


def with_closest(error: ProviderError, route: Route) -> None:
    """Say in the error of a model that a provider does not have which ones it may have been, or how to see those that it has.

    It is not asked for them here: a call that fails makes no other request.
    """
    provider = route.provider
    near = closest(provider.name, route.model)
    said = [error.hint] if error.hint else []
    if near:
        *others, last = near
        meant = f"{', '.join(others)} or {last}" if others else last
        said = [f"Did you mean {meant}?", *said]
    elif not in_table(provider.name) and _has_list(provider):
        said.append(f"`llmkit models --provider {provider.name}` shows those that it has.")
    error.hint = " ".join(said) or None


def _has_list(provider: Provider) -> bool:
    build: Any = getattr(provider, "build_listing", None)
    return build is not None and build() is not None


def _priced(provider: str) -> Priced | None:
    from genai_prices.data import providers  # noqa: PLC0415  # slow to load

    price_id = price_id_of(provider)
    return next((each for each in providers if each.id == price_id), None)
