"""What an attempt cost: by the host's own prices, by the provider's word, or by the prices that genai-prices carries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from llmkit.policy.known_models import KnownModel, find
from llmkit.policy.rates import AnyPrice, Rates, own_rates
from llmkit.usage import EXACT, LARGEST_COST, PLAIN, Billing, Usage

_NANO = Decimal("0.000000001")
_REMEMBERED = 1000
STATED = "stated by "
"""How the version begins of a cost that the provider says itself."""


class Priced(NamedTuple):
    """A cost in US dollars, to nine places, and whose prices it is by; both None when unknown."""

    cost: Decimal | None
    version: str | None


UNKNOWN = Priced(None, None)
UNSENT = Priced(Decimal(0), None)
"""What was never sent costs nothing, whatever its price."""


class Prices:
    """Prices attempts, without ever asking the network.

    Args:
        overrides: by provider, or by `provider:model`, which wins.

    Raises:
        ConfigError: an override is no price.
    """

    def __init__(self, overrides: Mapping[str, AnyPrice] | None = None) -> None:
        self._overrides = {
            name: own_rates(name, price) for name, price in (overrides or {}).items()
        }
        self._models: dict[tuple[str, str], KnownModel | None] = {}

    def cost(
        self,
        provider: str | None,
        model: str,
        usage: Usage,
        *,
        billing: Billing = PLAIN,
        at: datetime | None = None,
    ) -> Priced:
        """Price what an attempt used: by the settings' price, else by what the provider says that it cost, else by its vendor's prices.

        A vendor's prices are taken where the provider has exactly this vendor's name, at whatever
        address, and the vendor has this model.

        Args:
            provider: its name in the settings; None is at nobody's price.
            model: the model's name, as the provider knows it.
            usage: the tokens. When one side is unknown the cost is, unless the model is free.
            billing: what else the price hangs on. What is not known to be priced makes the cost unknown; the settings' price
                holds for every tier, speed and region.
            at: when it was; default now. Some prices change at a date, or at an hour.
        """
        if provider is None:
            return UNKNOWN
        own = self._overrides.get(f"{provider}:{model}") or self._overrides.get(provider)
        if own is not None:
            return _priced(own, usage, billing, "settings")
        if billing.stated_cost is not None:
            return _rounded(billing.stated_cost, f"{STATED}{provider}"[:64])
        found = self._find(provider, model)
        rates = found.rates(at or datetime.now(UTC), billing) if found is not None else None
        if found is None or rates is None:
            return UNKNOWN
        return _priced(rates, usage, billing, found.version)

    def most(
        self,
        provider: str,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        billing: Billing = PLAIN,
        at: datetime | None = None,
    ) -> Decimal | None:
        """Return the most that an attempt can cost with so many tokens; None if the model has no price.

        Args:
            provider: as for `cost`.
            model: as for `cost`.
            input_tokens: how many there are at most.
            output_tokens: how many there are at most.
            billing: what the request asks to be billed by. Where that has no price, the usual one counts.
            at: when it is; default now.
        """
        own = self._overrides.get(f"{provider}:{model}") or self._overrides.get(provider)
        found = self._find(provider, model) if own is None else None
        if found is not None:
            moment = at or datetime.now(UTC)
            rates = [found.rates(moment, words) for words in {PLAIN, billing}]
        else:
            rates = [own]
        with localcontext(EXACT):
            costs = [rate.most(input_tokens, output_tokens) for rate in rates if rate is not None]
            return max((cost for cost in costs if cost is not None), default=None)

    def context_window(self, provider: str, model: str) -> int | None:
        """Return how many tokens a model reads and writes at most, together; None if nobody says."""
        found = self._find(provider, model)
        return None if found is None else found.context_window

    def preload(self) -> None:
        """Load the price data, so that no call has to wait the third of a second that it takes."""
        self._find("openai", "gpt-4o")

    def _find(self, provider: str, model: str) -> KnownModel | None:
        key = (provider, model)
        try:
            return self._models[key]
        except KeyError:
            found = find(provider, model)
        if len(self._models) >= _REMEMBERED:  # a model's name may come from outside
            self._models.clear()
        self._models[key] = found
        return found


def _priced(rates: Rates, usage: Usage, billing: Billing, version: str) -> Priced:
    cost = Decimal(0) if rates.free else rates.cost(usage, billing)
    return UNKNOWN if cost is None else _rounded(cost, version)


def _rounded(cost: Decimal, version: str) -> Priced:
    if cost < LARGEST_COST:
        cost = cost.quantize(_NANO, context=EXACT)
    return Priced(cost, version) if cost < LARGEST_COST else UNKNOWN
