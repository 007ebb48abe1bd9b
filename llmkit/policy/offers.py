"""Which models there are, as far as anybody says: the provider's own list, or the table that prices come from."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from llmkit.policy.known_models import price_id_of
from llmkit.providers.listing import Offer

if TYPE_CHECKING:
    from genai_prices.types import Provider as Priced

    from llmkit.errors import ProviderError
    from llmkit.policy.plan import Route

# How many names are shown to somebody who has mistyped one.
_CLOSEST = 3


def in_table(provider: str) -> list[Offer]:
    """Return the models of a vendor that genai-prices has prices of; none of a provider that it does not know."""
    known = _priced(provider)
    if known is None:
        return []
    return [Offer(model=each.id, context_window=each.context_window) for each in known.models]


def closest(provider: str, model: str) -> list[str]:
    """Return the names most like one that a provider does not know; none if it is in the table all the same, or like nothing there."""
    names = [each.model for each in in_table(provider)]
    if model in names:
        return []
    return get_close_matches(model, names, n=_CLOSEST)


def with_closest(error: ProviderError, route: Route) -> None:
    """Say in the error of a model that a provider does not have which ones it may have been."""
    near = closest(route.provider.name, route.model)
    if near:
        *others, last = near
        meant = f"{', '.join(others)} or {last}" if others else last
        error.hint = (
            f"Did you mean {meant}? {error.hint}" if error.hint else f"Did you mean {meant}?"
        )


def _priced(provider: str) -> Priced | None:
    from genai_prices.data import providers  # noqa: PLC0415  # slow to load

    price_id = price_id_of(provider)
    return next((each for each in providers if each.id == price_id), None)
